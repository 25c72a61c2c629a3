//! What names and keys the vault takes. The gateway's protocol may be stricter, never laxer.

use crate::error::{StorageError, StorageResult};
use crate::object::types::{KEY_LEN_MAX, PARTS_MAX};

/// Whether XML 1.0 has this character: a key with another one could be neither answered nor listed.
#[must_use]
pub fn fits_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Checks an object key: 1 to 1,024 bytes of UTF-8 without NUL. Keys are never paths: `..` is an ordinary key.
pub fn check_key(key: &str) -> StorageResult<()> {
    let reason = if key.is_empty() {
        "it is empty".to_owned()
    } else if key.len() > KEY_LEN_MAX {
        format!("it has {} bytes and {KEY_LEN_MAX} are the most", key.len())
    } else if key.contains('\0') {
        "it contains a NUL byte".to_owned()
    } else {
        return Ok(());
    };
    Err(StorageError::InvalidArgument { what: "object key", reason })
}

/// Checks a bucket name: 3 to 63 of `a-z`, `0-9`, `.` and `-`, beginning and ending with a letter or digit.
pub fn check_bucket_name(name: &str) -> StorageResult<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    let good = (3..=63).contains(&bytes.len())
        && bytes.iter().copied().all(allowed)
        && edge(bytes.first())
        && edge(bytes.last())
        && !name.contains("..");
    if good {
        return Ok(());
    }
    let reason = "it needs 3 to 63 lower-case letters, digits, dots and hyphens, a letter or digit at both ends";
    Err(StorageError::InvalidArgument { what: "bucket name", reason: reason.to_owned() })
}

/// Checks a part number: 1 to 10,000.
pub fn check_part_number(number: u16) -> StorageResult<()> {
    if (1..=PARTS_MAX).contains(&number) {
        return Ok(());
    }
    Err(StorageError::InvalidArgument { what: "part number", reason: format!("it must be 1 to {PARTS_MAX}") })
}

#[cfg(test)]
mod tests {
    //! Goal: exactly the names S3 takes. Method: tables.

    use super::{check_bucket_name, check_key, check_part_number};

    #[test]
    fn keys() {
        for good in ["a", "../..", "/", "a//b", " ", "ключ", &"x".repeat(1024)] {
            assert!(check_key(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a\0b", &"x".repeat(1025), &"я".repeat(513)] {
            assert!(check_key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bucket_names() {
        for good in ["abc", "a-b", "a.b.c", "1-2-3", &"x".repeat(63)] {
            assert!(check_bucket_name(good).is_ok(), "{good:?}");
        }
        for bad in ["", "ab", "Abc", "a_b", "-ab", "ab-", "a..b", ".ab", "a/b", &"x".repeat(64)] {
            assert!(check_bucket_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn part_numbers() {
        assert!(check_part_number(1).is_ok() && check_part_number(10_000).is_ok());
        assert!(check_part_number(0).is_err() && check_part_number(10_001).is_err());
    }
}
