//! Records about lifecycle rules (docs/rfcs/0006).

pub use v1::{LifecycleRule, LifecycleSet, LifecycleTransition, RULES_MAX};

/// First published layout.
pub mod v1 {
    use crate::error::FormatError;
    use crate::id::BucketId;
    use crate::record::version::v1::Pair;

    /// Most rules of a bucket, as in S3.
    pub const RULES_MAX: usize = 1000;

    crate::layout! {
        /// A move to another tier, recorded for when there are tiers.
        pub struct LifecycleTransition {
            /// Whether it is for noncurrent versions.
            pub noncurrent: bool,
            /// Days until then; 0 with a date, and for at once.
            pub days: u32,
            /// Date, milliseconds since 1970; 0 for none.
            pub date: u64,
            /// Newer noncurrent versions that stay where they are.
            pub keep: u32,
            /// S3's name of the storage class.
            pub class: String,
        }
    }

    crate::layout! {
        /// What may go when, and of what.
        pub struct LifecycleRule {
            /// Its name in the bucket.
            pub id: String,
            /// Whether it counts.
            pub enabled: bool,
            /// For keys that begin so.
            pub prefix: String,
            /// For versions that carry all these tags.
            pub tags: Vec<Pair>,
            /// For versions with more bytes.
            pub larger_than: Option<u64>,
            /// For versions with fewer bytes.
            pub smaller_than: Option<u64>,
            /// Days after which a current version expires; 0 for never.
            pub expire_days: u32,
            /// Date at which current versions expire, milliseconds since 1970; 0 for never.
            pub expire_date: u64,
            /// Whether delete markers go under which there is no version.
            pub expire_markers: bool,
            /// Days after which a noncurrent version expires; 0 for never.
            pub noncurrent_days: u32,
            /// Newer noncurrent versions that stay.
            pub noncurrent_keep: u32,
            /// Days after which an upload is aborted; 0 for never.
            pub abort_days: u32,
            /// Moves to other tiers.
            pub transitions: Vec<LifecycleTransition>,
        }
    }

    crate::layout! {
        /// The lifecycle rules of a bucket, in place of those there were; none takes them away. Also its row in the index.
        pub struct LifecycleSet {
            /// The bucket.
            pub bucket: BucketId,
            /// The rules.
            pub rules: Vec<LifecycleRule>,
            /// Who set them.
            pub by: crate::record::audit::Origin,
        }
        check check_rules
    }

    fn check_rules(set: &LifecycleSet) -> Result<(), FormatError> {
        let mut ids: Vec<&str> = set.rules.iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != set.rules.len() || ids.len() > RULES_MAX {
            return Err(FormatError::Invalid { what: "lifecycle rules" });
        }
        Ok(())
    }
}
