//! Sizes as people write them: `64 MiB`, `1 GiB`, or a bare number of bytes.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes that reads and prints with a binary unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, unit) in UNITS {
            if self.0 != 0 && self.0.is_multiple_of(unit) {
                return write!(out, "{} {name}", self.0 / unit);
            }
        }
        write!(out, "{} B", self.0)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || format!("`{text}` is not a size; write a whole number and B, KiB, MiB, GiB or TiB, as in \"64 MiB\"");
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = match unit.trim() {
            "" | "B" => 1,
            name => UNITS.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit).ok_or_else(wrong)?,
        };
        number.checked_mul(unit).map(Self).ok_or_else(|| format!("`{text}` is more bytes than there are"))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = ByteSize;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a size such as \"64 MiB\", or a number of bytes")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<ByteSize, E> {
                u64::try_from(value).map(ByteSize).map_err(|_| E::custom("a size is not negative"))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(value))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(SizeVisitor).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn sizes_read_as_they_print() {
        for (text, bytes) in [
            ("0 B", 0),
            ("1 B", 1),
            ("1536 B", 1536),
            ("4 KiB", 4096),
            ("64 MiB", 64 << 20),
            ("5 GiB", 5 << 30),
            ("1 TiB", 1 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        assert_eq!("4096".parse(), Ok(ByteSize(4096)));
        assert_eq!("4KiB".parse(), Ok(ByteSize(4096)));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "-1", "1.5 GiB", "1 GB", "1 mib", "99999999999 TiB", "1 KiB KiB", "ё"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
