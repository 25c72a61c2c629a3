//! Records about case holds (docs/rfcs/0004).

pub use v1::{CaseHoldPlaced, HoldScope};

/// First published layout.
pub mod v1 {
    use crate::error::FormatError;
    use crate::id::{BucketId, HoldId, VersionId};
    use crate::record::version::v1::Pair;

    crate::code! {
        /// Which versions of a bucket a case hold covers.
        pub enum HoldScope: u8 {
            /// All of them.
            Bucket = 0,
            /// Those whose key begins with a prefix.
            Prefix = 1,
            /// Those that carry a tag.
            Tag = 2,
            /// One.
            Version = 3,
        }
    }

    crate::layout! {
        /// A case hold covers part of a bucket from here on, what is there and what comes. Also its row in the index.
        pub struct CaseHoldPlaced {
            /// Its name inside the vault, never used twice.
            pub hold: HoldId,
            /// Number of the case.
            pub case: String,
            /// The bucket.
            pub bucket: BucketId,
            /// Which of its versions.
            pub scope: HoldScope,
            /// The prefix, or the object key of the one version; else empty.
            pub key: String,
            /// The one version; else zero.
            pub version: VersionId,
            /// The tag; else two empty texts.
            pub tag: Pair,
            /// What it is for.
            pub note: String,
            /// Wall clock.
            pub placed_at: u64,
            /// Retention clock.
            pub retention_clock: u64,
            /// Who placed it.
            pub by: crate::record::audit::Origin,
        }
        check check_hold
    }

    fn check_hold(hold: &CaseHoldPlaced) -> Result<(), FormatError> {
        let said = (!hold.key.is_empty(), hold.version != VersionId::ZERO, !hold.tag.name.is_empty());
        let wanted = match hold.scope {
            HoldScope::Bucket => (false, false, false),
            HoldScope::Prefix => (true, false, false),
            HoldScope::Tag => (false, false, true),
            HoldScope::Version => (true, true, false),
        };
        let sound = said == wanted && !hold.case.is_empty() && (said.2 || hold.tag.value.is_empty());
        if sound { Ok(()) } else { Err(FormatError::Invalid { what: "case hold" }) }
    }
}
