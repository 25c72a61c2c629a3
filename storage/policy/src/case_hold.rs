//! Case holds: which versions one covers, and whether tags may change under it (L-1, docs/rfcs/0004). The table is in docs/policy.md.

use kovcheg_format::id::VersionId;
use kovcheg_format::record::hold::{CaseHoldPlaced, HoldScope};
use kovcheg_format::record::version::{Pair, VersionPut};

use crate::verdict::{Reason, Verdict};

/// A version as case holds see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldTarget<'a> {
    /// Object key.
    pub key: &'a str,
    /// Which version of it.
    pub version: VersionId,
    /// Its tags.
    pub tags: &'a [Pair],
}

impl<'a> HoldTarget<'a> {
    /// The version of a record.
    #[must_use]
    pub fn of(version: &'a VersionPut) -> Self {
        Self { key: &version.key, version: version.version, tags: &version.tags }
    }
}

/// Whether a hold covers a version of its bucket.
#[must_use]
pub fn covers(hold: &CaseHoldPlaced, target: &HoldTarget<'_>) -> bool {
    match hold.scope {
        HoldScope::Bucket => true,
        HoldScope::Prefix => target.key.starts_with(&hold.key),
        HoldScope::Tag => target.tags.contains(&hold.tag),
        HoldScope::Version => target.key == hold.key && target.version == hold.version,
    }
}

/// Whether a version may have these tags instead of those it has: not when it slips out of a hold by that.
pub fn may_set_tags(holds: &[CaseHoldPlaced], target: &HoldTarget<'_>, wanted: &[Pair]) -> Verdict {
    let after = HoldTarget { tags: wanted, ..*target };
    let slips = holds.iter().any(|hold| covers(hold, target) && !covers(hold, &after));
    if slips { Verdict::deny(Reason::CaseHold) } else { Verdict::allow(Reason::StillHeld) }
}
