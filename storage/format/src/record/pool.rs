//! Records about the pool itself: epochs, members, disk states, checkpoints, the retention clock.

pub use v1::{CheckpointTaken, ClockTicked, DiskState, DiskStateChanged, EpochStarted, Member, MembersChanged};

/// First published layout.
pub mod v1 {
    use crate::error::FormatError;
    use crate::id::{DiskId, Epoch, Lsn, SegmentId, StripeHash};
    use crate::superblock::DISKS_MAX;

    crate::layout! {
        /// First record of every life of the process.
        pub struct EpochStarted {
            /// The new epoch.
            pub epoch: Epoch,
            /// Newest stripe that recovery accepted; whatever lies beyond it is void for ever.
            pub last_lsn: Lsn,
            /// Its hash; zero at the first start.
            pub last_hash: StripeHash,
            /// Release that started.
            pub release: String,
            /// Wall clock.
            pub started_at: u64,
            /// Retention clock (R12).
            pub retention_clock: u64,
        }
    }

    crate::layout! {
        /// A disk of the pool.
        pub struct Member {
            /// Its name.
            pub disk: DiskId,
            /// Its state.
            pub state: DiskState,
            /// Tier, 0 until tiers exist.
            pub tier: u8,
            /// ISO 3166-1 numeric country, 0 when not stated.
            pub jurisdiction: u16,
        }
    }

    crate::layout! {
        /// All members of a generation.
        pub struct MembersChanged {
            /// Counts changes of membership.
            pub generation: u64,
            /// Every member.
            pub members: Vec<Member>,
        }
        check check_members
    }

    fn check_members(changed: &MembersChanged) -> Result<(), FormatError> {
        let mut disks: Vec<DiskId> = changed.members.iter().map(|member| member.disk).collect();
        disks.sort_unstable();
        disks.dedup();
        if disks.len() != changed.members.len() || disks.len() > DISKS_MAX as usize {
            return Err(FormatError::Invalid { what: "members" });
        }
        Ok(())
    }

    crate::code! {
        /// Whether a disk takes writes.
        pub enum DiskState: u8 {
            /// Reads and writes.
            Serving = 1,
            /// Read with verification, never written (R13).
            Fenced = 2,
            /// Not there.
            Missing = 3,
            /// Being compared and caught up after its return (R15).
            Returning = 4,
        }
    }

    crate::layout! {
        /// A disk stopped or started to count.
        pub struct DiskStateChanged {
            /// The disk.
            pub disk: DiskId,
            /// Its new state.
            pub state: DiskState,
            /// Why, for people.
            pub reason: String,
            /// Wall clock.
            pub changed_at: u64,
        }
    }

    crate::layout! {
        /// A checkpoint was written and read back.
        pub struct CheckpointTaken {
            /// The index held everything up to here.
            pub lsn: Lsn,
            /// Hash of that stripe.
            pub hash: StripeHash,
            /// Segment that holds the sealed rows.
            pub segment: SegmentId,
            /// Stripes in it.
            pub stripes: u32,
            /// Rows in it.
            pub rows: u64,
            /// Canonical digest of the index.
            pub digest: [u8; 32],
        }
    }
    crate::layout! {
        /// The retention clock was at this moment (R12). Also its row in the index.
        pub struct ClockTicked {
            /// Its time.
            pub retention_clock: u64,
            /// Wall clock at that moment.
            pub wall: u64,
            /// Time off that was credited and not regained yet, milliseconds.
            pub credited: u64,
            /// Whether it stands still until people accept a time.
            pub disputed: bool,
        }
    }
}
