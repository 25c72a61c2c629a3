//! Records about multipart uploads.

pub use v1::{PART_NUMBER_MAX, PartPut, UploadCreated, UploadEnded, UploadLocked, UploadOutcome};

/// First published layout.
pub mod v1 {
    use crate::error::FormatError;
    use crate::id::{BucketId, DomainId, UploadId};
    use crate::manifest::Root;
    use crate::record::version::v1::{Checksum, Pair, RetentionMode};

    /// Highest number of a part, as in S3.
    pub const PART_NUMBER_MAX: u16 = 10_000;

    crate::layout! {
        /// A multipart upload is open. Also its row in the index.
        pub struct UploadCreated {
            /// Bucket.
            pub bucket: BucketId,
            /// Object key.
            pub key: String,
            /// The upload.
            pub upload: UploadId,
            /// Domain of its chunks.
            pub domain: DomainId,
            /// The later of wall clock and retention clock.
            pub created_at: u64,
            /// Content headers of the object to be.
            pub headers: Vec<Pair>,
            /// User metadata.
            pub metadata: Vec<Pair>,
            /// Tags.
            pub tags: Vec<Pair>,
            /// Checksum algorithm announced, as its code; 0 for none.
            pub checksum_kind: u8,
            /// Whether the checksum covers the full object.
            pub full_object: bool,
            /// Who opened it.
            pub by: crate::record::audit::Origin,
        }
    }

    crate::layout! {
        /// The object that an upload is to become asks for these locks. Also its row in the index.
        pub struct UploadLocked {
            /// The upload.
            pub upload: UploadId,
            /// Retention mode.
            pub mode: RetentionMode,
            /// Retain-until; 0 without a mode.
            pub retain_until: u64,
            /// Whether it comes under an S3 legal hold.
            pub legal_hold: bool,
        }
    }

    crate::layout! {
        /// A part is stored; a later one with the same number replaces it. Also its row in the index.
        pub struct PartPut {
            /// The upload.
            pub upload: UploadId,
            /// 1 to 10,000.
            pub number: u16,
            /// Bytes.
            pub size: u64,
            /// MD5 in hex.
            pub etag: String,
            /// Wall clock.
            pub created_at: u64,
            /// Checksums.
            pub checksums: Vec<Checksum>,
            /// Content.
            pub manifest: Root,
            /// CRC64-NVME of the content.
            pub crc: u64,
        }
        check check_part
    }

    fn check_part(part: &PartPut) -> Result<(), FormatError> {
        if part.number == 0 || part.number > PART_NUMBER_MAX {
            return Err(FormatError::Invalid { what: "part number" });
        }
        Ok(())
    }

    crate::code! {
        /// How an upload ended.
        pub enum UploadOutcome: u8 {
            /// It became an object; the record of the version stands beside this one.
            Completed = 1,
            /// It was thrown away.
            Aborted = 2,
        }
    }

    crate::layout! {
        /// An upload and its parts are gone.
        pub struct UploadEnded {
            /// Bucket.
            pub bucket: BucketId,
            /// Object key.
            pub key: String,
            /// The upload.
            pub upload: UploadId,
            /// How.
            pub outcome: UploadOutcome,
            /// Who ended it.
            pub by: crate::record::audit::Origin,
        }
    }
}
