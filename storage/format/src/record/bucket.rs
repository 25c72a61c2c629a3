//! Records about buckets.

pub use v1::{
    BucketCreated, BucketDeleted, ChunkProfile, Namespace, ObjectLockSet, QuotaSet, Versioning, VersioningSet,
};

/// First published layout.
pub mod v1 {
    use crate::envelope::PLAIN_LEN_MAX;
    use crate::error::FormatError;
    use crate::id::{BucketId, DomainId, TenantId};
    use crate::record::version::v1::RetentionMode;

    crate::code! {
        /// What keys mean in a bucket.
        pub enum Namespace: u8 {
            /// Exact S3: keys are strings.
            Flat = 0,
            /// An inode tree, for mounts.
            Hierarchical = 1,
        }
    }

    crate::code! {
        /// Whether a bucket keeps versions. One that was enabled is never off again.
        pub enum Versioning: u8 {
            /// It never did: a put replaces the object.
            Off = 0,
            /// Each put makes a version.
            Enabled = 1,
            /// A put replaces the version `null` and leaves the others.
            Suspended = 2,
        }
    }

    crate::layout! {
        /// Sizes of the chunker, in bytes.
        pub struct ChunkProfile {
            /// No chunk but the last is shorter.
            pub min: u32,
            /// The size aimed at.
            pub average: u32,
            /// No chunk is longer.
            pub max: u32,
        }
        check check_profile
    }

    fn check_profile(profile: &ChunkProfile) -> Result<(), FormatError> {
        let rising = 0 < profile.min && profile.min <= profile.average && profile.average <= profile.max;
        if !rising || profile.max > PLAIN_LEN_MAX {
            return Err(FormatError::Invalid { what: "chunk profile" });
        }
        Ok(())
    }

    crate::layout! {
        /// A bucket exists. Also its row in the index.
        pub struct BucketCreated {
            /// Its name inside the vault, never used twice.
            pub bucket: BucketId,
            /// Its S3 name.
            pub name: String,
            /// Tenant that owns it.
            pub tenant: TenantId,
            /// Domain of its dedup and keys.
            pub domain: DomainId,
            /// What keys mean in it.
            pub namespace: Namespace,
            /// How its objects are cut.
            pub profile: ChunkProfile,
            /// Jurisdiction its data may not leave, 0 for none.
            pub jurisdiction: u16,
            /// Placement class, 0 until classes exist.
            pub placement: u8,
            /// Tier new data goes to, 0 until tiers exist.
            pub tier: u8,
            /// Whether Object Lock is on.
            pub object_lock: bool,
            /// Wall clock.
            pub created_at: u64,
            /// Who made it.
            pub by: crate::record::audit::Origin,
        }
    }

    crate::layout! {
        /// A bucket began or ceased to keep versions. Also its row in the index.
        pub struct VersioningSet {
            /// The bucket.
            pub bucket: BucketId,
            /// From here on.
            pub state: Versioning,
            /// Who set it.
            pub by: crate::record::audit::Origin,
        }
    }

    crate::layout! {
        /// A bucket has Object Lock from here on, and gives versions that ask for nothing this retention. Also its row in the index. Locks
        /// are never off again; the default may go.
        pub struct ObjectLockSet {
            /// The bucket.
            pub bucket: BucketId,
            /// Mode of the default retention.
            pub mode: RetentionMode,
            /// Days it lasts; 0 when it is counted in years, or there is none.
            pub days: u32,
            /// Calendar years it lasts.
            pub years: u32,
            /// Who set it.
            pub by: crate::record::audit::Origin,
        }
        check check_default_retention
    }

    fn check_default_retention(set: &ObjectLockSet) -> Result<(), FormatError> {
        let lasts = usize::from(set.days > 0) + usize::from(set.years > 0);
        if lasts != usize::from(set.mode != RetentionMode::None) {
            return Err(FormatError::Invalid { what: "default retention" });
        }
        Ok(())
    }

    crate::layout! {
        /// How much a bucket may hold from here on. Also its row in the index.
        pub struct QuotaSet {
            /// The bucket.
            pub bucket: BucketId,
            /// Most bytes of its versions and of the parts of its open uploads, as clients count them; none takes the quota away.
            pub bytes: Option<u64>,
            /// Who set it.
            pub by: crate::record::audit::Origin,
        }
    }

    crate::layout! {
        /// A bucket is gone; it was empty.
        pub struct BucketDeleted {
            /// The bucket.
            pub bucket: BucketId,
            /// Who removed it.
            pub by: crate::record::audit::Origin,
        }
    }
}
