//! Audit records and the origin that every data-plane record carries.

pub use v1::{Action, Audit, Origin, Verdict};

/// First published layout.
pub mod v1 {
    use crate::id::{RequestId, VersionId};

    crate::layout! {
        /// Who asked, from where, in which request.
        pub struct Origin {
            /// Access key, user or worker.
            pub actor: String,
            /// Network address, empty for the vault's own workers.
            pub address: String,
            /// Request.
            pub request: RequestId,
        }
    }

    crate::code! {
        /// What was asked for. Closed: a new act is a new value.
        pub enum Action: u16 {
            /// A bucket was made.
            CreateBucket = 1,
            /// A bucket was removed.
            DeleteBucket = 2,
            /// A bucket began or ceased to keep versions; the reason says which.
            SetVersioning = 3,
            /// A bucket got Object Lock, or another default retention; the reasons say what was and what is.
            SetObjectLock = 4,
            /// A bucket got other lifecycle rules; the reasons say what was and what is.
            SetLifecycle = 5,
            /// A bucket got another quota; the reasons say what was and what is.
            SetQuota = 6,
            /// A version was removed by a delete.
            DeleteVersion = 10,
            /// A version was replaced by a newer one in a bucket without versioning.
            OverwriteVersion = 11,
            /// A multipart upload was aborted.
            AbortUpload = 12,
            /// The retention of a version was set; the reasons say why it may, what was and what is.
            SetRetention = 13,
            /// A version came under an S3 legal hold, or is no longer; the reason says which.
            SetLegalHold = 14,
            /// A case hold was placed; the reasons say the case and what it covers.
            PlaceCaseHold = 15,
            /// A version was removed by a lifecycle rule, which the actor names.
            ExpireVersion = 16,
            /// Root credentials changed.
            ChangeRootCredentials = 30,
            /// A recovery kit was made.
            MakeRecoveryKit = 31,
            /// A recovery kit was confirmed.
            ConfirmRecoveryKit = 32,
            /// A tenant was made.
            CreateTenant = 33,
            /// An access key was made.
            CreateAccessKey = 34,
            /// An access key was enabled.
            EnableAccessKey = 35,
            /// An access key was disabled.
            DisableAccessKey = 36,
            /// An access key was removed.
            DeleteAccessKey = 37,
            /// Requests were refused; `reasons` says why, `count` how many (aggregated above a rate).
            Denied = 40,
            /// Time off was credited to the retention clock; the reason says how many milliseconds.
            CreditClock = 45,
            /// Time off was not credited, and the retention clock stands still; the reason says how many milliseconds.
            DisputeClock = 46,
            /// People accepted the wall clock as the retention clock's time.
            AcceptClock = 47,
            /// The index was thrown away at a start, and built anew from the journal, as it was not as it had been left; the reason says what
            /// was found.
            DiscardIndex = 48,
        }
    }

    crate::code! {
        /// What policy said.
        pub enum Verdict: u8 {
            /// Done.
            Allow = 1,
            /// Refused.
            Deny = 2,
        }
    }

    crate::layout! {
        /// One act, before its effect.
        pub struct Audit {
            /// What.
            pub action: Action,
            /// Who.
            pub by: Origin,
            /// Bucket name, empty when none.
            pub bucket: String,
            /// Object key, empty when none.
            pub key: String,
            /// Version, zero when none.
            pub version: VersionId,
            /// What policy said.
            pub verdict: Verdict,
            /// Why, as policy's reason codes.
            pub reasons: Vec<String>,
            /// Acts this record stands for; 1 but for aggregated denials.
            pub count: u32,
            /// Wall clock.
            pub at: u64,
            /// Retention clock.
            pub retention_clock: u64,
        }
    }
}
