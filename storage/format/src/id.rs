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
int_id!(
    /// One life of the process: raised by one, durably, before a vault is opened for writing.
    Epoch,
    u64,
    u64
);
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

impl SegmentId {
    /// The id of the `counter`-th segment of an epoch.
    #[must_use]
    pub fn new(epoch: Epoch, counter: u32) -> Self {
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

    /// The reverse of [`SegmentId::file_name`].
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        if name.len() != 16 || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        u64::from_str_radix(name, 16).ok().map(Self)
    }
}

impl Lsn {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
