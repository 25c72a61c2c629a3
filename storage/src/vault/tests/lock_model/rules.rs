//! The rules of S3 Object Lock and of case holds, restated: what the model expects. Shares no code with the policy.

use kovcheg_format::id::VersionId;
use kovcheg_format::record::version::RetentionMode;

use crate::error::{StorageError, StorageResult};
use crate::object::types::Retention;

/// A version as S3's rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub key: usize,
    pub id: VersionId,
    pub marker: bool,
    pub mode: RetentionMode,
    pub until: u64,
    pub hold: bool,
    pub tagged: bool,
    pub size: u64,
    /// When it was made, by the later of both clocks.
    pub born: u64,
}

/// What a case hold covers, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Case {
    All,
    Under(&'static str),
    Tagged,
    One(VersionId),
}

impl Case {
    pub fn covers(&self, kept: &Kept, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Under(prefix) => name.get(..prefix.len()) == Some(*prefix),
            Self::Tagged => kept.tagged,
            Self::One(id) => kept.id == *id,
        }
    }
}

/// A lifecycle rule of the model: it covers everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    pub days: u64,
    pub noncurrent_days: u64,
    pub keep: usize,
    pub markers: bool,
}

/// So many days after, at the next midnight.
fn midnight_after(from: u64, days: u64) -> u64 {
    const DAY: u64 = 24 * 3600 * 1000;
    let end = from + days * DAY;
    end + (DAY - end % DAY) % DAY
}

impl Expiry {
    /// What is due of the versions of one key, from the oldest to the newest: whether the current one is, and which others.
    pub fn due(&self, versions: &[Kept], now: u64) -> (bool, Vec<VersionId>) {
        let Some((newest, older)) = versions.split_last() else { return (false, Vec::new()) };
        let aged = self.days > 0 && midnight_after(newest.born, self.days) <= now;
        let mut gone = Vec::new();
        for (at, kept) in older.iter().enumerate() {
            let newer_noncurrent = older.len() - at - 1;
            let since = versions[at + 1].born;
            if self.noncurrent_days > 0
                && newer_noncurrent >= self.keep
                && midnight_after(since, self.noncurrent_days) <= now
            {
                gone.push(kept.id);
            }
        }
        let lone_marker = newest.marker && older.is_empty() && (self.markers || aged);
        gone.extend(lone_marker.then_some(newest.id));
        (aged && !newest.marker, gone)
    }
}

/// What an act is answered: done, refused with the reasons, or wrong in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done,
    Refused(Vec<String>),
    Wrong,
    Absent,
}

impl Answer {
    pub fn of<T>(answer: StorageResult<T>) -> Result<(Self, Option<T>), String> {
        match answer {
            Ok(value) => Ok((Self::Done, Some(value))),
            Err(StorageError::Refused { reasons }) => Ok((Self::Refused(reasons), None)),
            Err(StorageError::InvalidArgument { .. }) => Ok((Self::Wrong, None)),
            Err(StorageError::NoSuchKey | StorageError::NoSuchVersion | StorageError::DeleteMarker { .. }) => {
                Ok((Self::Absent, None))
            }
            Err(other) => Err(other.to_string()),
        }
    }
}

/// What S3 says to a change of retention whose date is right.
pub fn retention_change(kept: &Kept, wanted: Option<Retention>, bypass: bool, now: u64) -> Answer {
    if kept.until <= now {
        return Answer::Done;
    }
    let extends = wanted.is_some_and(|wanted| wanted.mode == kept.mode && wanted.until >= kept.until);
    match kept.mode {
        _ if extends => Answer::Done,
        RetentionMode::Compliance => Answer::Refused(vec!["compliance-retention".to_owned()]),
        RetentionMode::Governance if !bypass => Answer::Refused(vec!["governance-retention".to_owned()]),
        RetentionMode::Governance | RetentionMode::None => Answer::Done,
    }
}

/// What S3 says to the removal of a version, and the case holds besides.
pub fn removal(kept: &Kept, in_case: bool, bypass: bool, now: u64) -> Answer {
    let mut reasons = Vec::new();
    if kept.until > now {
        match kept.mode {
            RetentionMode::Compliance => reasons.push("compliance-retention".to_owned()),
            RetentionMode::Governance if !bypass => reasons.push("governance-retention".to_owned()),
            RetentionMode::Governance | RetentionMode::None => {}
        }
    }
    if kept.hold {
        reasons.push("legal-hold".to_owned());
    }
    if in_case {
        reasons.push("case-hold".to_owned());
    }
    if reasons.is_empty() { Answer::Done } else { Answer::Refused(reasons) }
}
