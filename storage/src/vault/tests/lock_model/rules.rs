//! The rules of S3 Object Lock, restated: what the model expects. Shares no code with the policy.

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
    pub size: u64,
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

/// What S3 says to the removal of a version.
pub fn removal(kept: &Kept, bypass: bool, now: u64) -> Answer {
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
    if reasons.is_empty() { Answer::Done } else { Answer::Refused(reasons) }
}
