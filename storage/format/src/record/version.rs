//! Records about object versions.

pub use v1::{
    Checksum, ChecksumKind, LegalHoldSet, Pair, PartMark, RetentionMode, RetentionSet, TagsSet, VersionFacts,
    VersionKind, VersionPut, VersionRemoved,
};

/// First published layout.
pub mod v1 {
    use crate::codec::Blob;
    use crate::error::FormatError;
    use crate::id::{BucketId, DomainId, VersionId};
    use crate::manifest::Root;

    crate::code! {
        /// What a version is.
        pub enum VersionKind: u8 {
            /// An object with content.
            Object = 0,
            /// A delete marker.
            DeleteMarker = 1,
        }
    }

    crate::code! {
        /// Object Lock's retention mode.
        pub enum RetentionMode: u8 {
            /// None.
            None = 0,
            /// May be lifted with a permission.
            Governance = 1,
            /// May not be lifted.
            Compliance = 2,
        }
    }

    crate::code! {
        /// Algorithm of a stored checksum.
        pub enum ChecksumKind: u8 {
            /// CRC32 (ISO-HDLC).
            Crc32 = 1,
            /// CRC32C.
            Crc32c = 2,
            /// CRC64-NVME.
            Crc64Nvme = 3,
            /// SHA-1.
            Sha1 = 4,
            /// SHA-256.
            Sha256 = 5,
        }
    }

    crate::layout! {
        /// A checksum the client gave or asked for.
        pub struct Checksum {
            /// Algorithm.
            pub kind: ChecksumKind,
            /// Whether it covers the whole object; otherwise it is composed of the parts' checksums.
            pub full_object: bool,
            /// The digest.
            pub value: Blob,
        }
    }

    crate::layout! {
        /// A named text: header, user metadata or tag.
        pub struct Pair {
            /// Name, in the case it is sent back in.
            pub name: String,
            /// Value.
            pub value: String,
        }
    }

    crate::layout! {
        /// Length of one part of a multipart object, for `partNumber`.
        pub struct PartMark {
            /// Number the client gave.
            pub number: u16,
            /// Bytes.
            pub len: u64,
        }
    }

    crate::layout! {
        /// What policy looks at; zero until used (R12).
        pub struct VersionFacts {
            /// Retention mode.
            pub retention: RetentionMode,
            /// Retain-until, by the retention clock.
            pub retain_until: u64,
            /// S3 legal hold.
            pub legal_hold: bool,
            /// Number of case holds.
            pub case_holds: u32,
            /// Retention clock when the version was made.
            pub retention_clock: u64,
            /// Tier.
            pub tier: u8,
            /// Placement class.
            pub placement: u8,
            /// Jurisdiction, 0 for none.
            pub jurisdiction: u16,
        }
    }

    impl VersionFacts {
        /// No retention, no hold.
        #[must_use]
        pub fn free(retention_clock: u64) -> Self {
            Self {
                retention: RetentionMode::None,
                retain_until: 0,
                legal_hold: false,
                case_holds: 0,
                retention_clock,
                tier: 0,
                placement: 0,
                jurisdiction: 0,
            }
        }
    }

    crate::layout! {
        /// An object version exists. Also its row in the index.
        pub struct VersionPut {
            /// Bucket.
            pub bucket: BucketId,
            /// Object key.
            pub key: String,
            /// Name of the version; sorts by journal order.
            pub version: VersionId,
            /// Whether clients see it as version "null" (bucket without versioning).
            pub null_version: bool,
            /// Object or delete marker.
            pub kind: VersionKind,
            /// Domain of its chunks.
            pub domain: DomainId,
            /// Bytes.
            pub size: u64,
            /// S3 ETag, without quotes.
            pub etag: String,
            /// Wall clock: Last-Modified.
            pub created_at: u64,
            /// Content headers (`content-type`, …).
            pub headers: Vec<Pair>,
            /// `x-amz-meta-*`, without the prefix.
            pub metadata: Vec<Pair>,
            /// Object tags.
            pub tags: Vec<Pair>,
            /// Checksums.
            pub checksums: Vec<Checksum>,
            /// Parts, empty unless multipart.
            pub parts: Vec<PartMark>,
            /// Content.
            pub manifest: Root,
            /// CRC64-NVME of the content, composed (D-2).
            pub crc: u64,
            /// What policy looks at.
            pub facts: VersionFacts,
            /// Who made it: this record is its own audit record.
            pub by: crate::record::audit::Origin,
        }
    }

    crate::layout! {
        /// An object version is gone from the namespace. Its audit record stands before it in the same stripe (R14).
        pub struct VersionRemoved {
            /// Bucket.
            pub bucket: BucketId,
            /// Object key.
            pub key: String,
            /// The version.
            pub version: VersionId,
        }
    }
    crate::layout! {
        /// The retention of an object version changed. Its audit record stands before it.
        pub struct RetentionSet {
            /// Bucket.
            pub bucket: BucketId,
            /// Object key.
            pub key: String,
            /// The version.
            pub version: VersionId,
            /// Mode from here on.
            pub mode: RetentionMode,
            /// Retain-until from here on, by the retention clock; 0 without a mode.
            pub retain_until: u64,
            /// Who set it.
            pub by: crate::record::audit::Origin,
        }
        check check_retention
    }

    fn check_retention(set: &RetentionSet) -> Result<(), FormatError> {
        if set.mode == RetentionMode::None && set.retain_until != 0 {
            return Err(FormatError::Invalid { what: "retention" });
        }
        Ok(())
    }

    crate::layout! {
        /// An object version came under an S3 legal hold, or is no longer. Its audit record stands before it.
        pub struct LegalHoldSet {
            /// Bucket.
            pub bucket: BucketId,
            /// Object key.
            pub key: String,
            /// The version.
            pub version: VersionId,
            /// Whether it is under one from here on.
            pub on: bool,
            /// Who set it.
            pub by: crate::record::audit::Origin,
        }
    }
    crate::layout! {
        /// The tags of an object version, in place of those it had. Its own audit record.
        pub struct TagsSet {
            /// Bucket.
            pub bucket: BucketId,
            /// Object key.
            pub key: String,
            /// The version.
            pub version: VersionId,
            /// Tags.
            pub tags: Vec<Pair>,
            /// Who set them.
            pub by: crate::record::audit::Origin,
        }
    }
}
