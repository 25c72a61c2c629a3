//! Newtypes for everything that has a name on disk, so that one can never stand in for another.

use std::fmt;

use crate::codec::{Decode, Encode, Reader, Writer};
use crate::error::FormatError;

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// All bytes zero: "none" where a field is optional.
            pub const ZERO: Self = Self([0; $len]);
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!(stringify!($name), "({})"), hex::encode(self.0))
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Writer) {
                out.raw(&self.0);
            }
        }

        impl Decode for $name {
            fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
                Ok(Self(input.array(stringify!($name))?))
            }
        }
    };
}

macro_rules! int_id {
    ($(#[$doc:meta])* $name:ident, $int:ty, $method:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}", self.0)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Writer) {
                out.$method(self.0);
            }
        }

        impl Decode for $name {
            fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
                Ok(Self(input.$method(stringify!($name))?))
            }
        }
    };
}

byte_id!(
    /// Name of a chunk or manifest node: BLAKE3 of its plaintext, keyed per domain.
    ChunkId,
    32
);
byte_id!(
    /// Name of a stripe: BLAKE3 over its place in the order and its payload. The journal chains these.
    StripeHash,
    32
);
byte_id!(
    /// Random name of a pool, the same on all its disks.
    PoolId,
    16
);
byte_id!(
    /// Random name of a disk, made when it is initialised.
    DiskId,
    16
);
byte_id!(
    /// Name of an object version: eight bytes of journal order and eight random ones (docs/format.md).
    VersionId,
    16
);
byte_id!(
    /// Random name of a multipart upload.
    UploadId,
    16
);
byte_id!(
    /// SHA-256 over the audit trail: an entry, a subtree, or the head of the chain. Zero before the first entry.
    AuditHash,
    32
);
byte_id!(
    /// Name of one request, as clients and the audit trail see it.
    RequestId,
    16
);

int_id!(
    /// Position of a stripe in the journal; the first is 1, 0 means "none".
    Lsn,
    u64,
    u64
);
/// One life of the process: raised by one, durably, before a vault is opened for writing. At most [`Epoch::MAX`], because
/// a segment's name has 32 bits for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Epoch(pub u64);

int_id!(
    /// Name of a segment or journal file: the epoch in the upper 32 bits, a counter in the lower.
    SegmentId,
    u64,
    u64
);
int_id!(
    /// Name of a bucket, never used twice.
    BucketId,
    u64,
    u64
);
int_id!(
    /// Name of a case hold, never used twice.
    HoldId,
    u64,
    u64
);
int_id!(
    /// Name of a tenant.
    TenantId,
    u32,
    u32
);
int_id!(
    /// Name of a domain of dedup and keys.
    DomainId,
    u32,
    u32
);
int_id!(
    /// Name of a key in the keyring.
    KeyId,
    u32,
    u32
);

impl Epoch {
    /// The last epoch a vault can have: four billion starts.
    pub const MAX: Self = Self(u32::MAX as u64);

    /// The epoch after this one; `None` after the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        (self < Self::MAX).then(|| Self(self.0 + 1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl Encode for Epoch {
    fn encode(&self, out: &mut Writer) {
        if *self > Self::MAX {
            out.check(Err(FormatError::OverLimit { what: "epoch", found: self.0, limit: Self::MAX.0 }));
        }
        out.u64(self.0);
    }
}

impl Decode for Epoch {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let epoch = Self(input.u64("epoch")?);
        if epoch > Self::MAX {
            return Err(FormatError::OverLimit { what: "epoch", found: epoch.0, limit: Self::MAX.0 });
        }
        Ok(epoch)
    }
}

impl SegmentId {
    /// The id of the `counter`-th segment of an epoch.
    ///
    /// # Panics
    /// When the epoch is above [`Epoch::MAX`], which neither a decoder nor [`Epoch::next`] hands out.
    #[must_use]
    pub fn new(epoch: Epoch, counter: u32) -> Self {
        assert!(epoch <= Epoch::MAX, "epoch {epoch} does not fit into a segment id");
        Self((epoch.0 << 32) | u64::from(counter))
    }

    /// The epoch in which the segment was opened.
    #[must_use]
    pub fn epoch(self) -> Epoch {
        Epoch(self.0 >> 32)
    }

    /// The name of the segment's file on each of its disks: sixteen hex digits.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:016x}", self.0)
    }

    /// The reverse of [`SegmentId::file_name`]: takes that spelling and no other.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if name.len() != 16 || !digits {
            return None;
        }
        u64::from_str_radix(name, 16).ok().map(Self)
    }

    /// The folder of the segment's file below `segments`: the low byte in two hex digits.
    #[must_use]
    pub fn folder_name(self) -> String {
        format!("{:02x}", self.0 & 0xff)
    }
}

impl Lsn {
    /// The last position a journal can have: 48 bits, because version ids put 16 bits of order within a stripe behind it.
    /// Headers beyond it are refused, so that [`Lsn::next`] is exact.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{Epoch, Lsn, SegmentId};

    #[test]
    fn a_segment_has_one_file_name() {
        let id = SegmentId::new(Epoch(3), 0x1f);
        assert_eq!(id.file_name(), "000000030000001f");
        assert_eq!(id.folder_name(), "1f");
        assert_eq!(SegmentId::from_file_name(&id.file_name()).unwrap(), id);
        for other in
            ["000000030000001F", "+00000030000001f", "00000030000001f", "0000000030000001f", "", "00000003é000001"]
        {
            assert_eq!(SegmentId::from_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn ends_of_the_ranges_do_not_wrap() {
        assert_eq!(Epoch::MAX.next(), None);
        assert_eq!(SegmentId::new(Epoch::MAX, u32::MAX).epoch(), Epoch::MAX);
        assert_eq!(Lsn::MAX.next(), Lsn(1 << 48));
        assert_eq!(Lsn(u64::MAX).next(), Lsn(u64::MAX));
    }
}
