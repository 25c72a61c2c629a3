//! Case holds, as the admin API says them.

use kovcheg_format::record::version::Pair;
use kovcheg_storage::error::StorageError;
use kovcheg_storage::object::types::{self, HeldPart, VersionName};
use serde::{Deserialize, Serialize};

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A case hold to be placed: on the whole bucket, or on what one of `prefix`, `tag` and `key` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCaseHold {
    /// Number of the case.
    pub case: String,
    /// Bucket.
    pub bucket: String,
    /// Versions whose key begins so.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Versions that carry this tag.
    #[serde(default)]
    pub tag: Option<Tag>,
    /// One version of this key.
    #[serde(default)]
    pub key: Option<String>,
    /// Which version of `key`: 32 hex digits or `null`; without it the current one.
    #[serde(default)]
    pub version: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub note: String,
}

impl NewCaseHold {
    /// The hold as the engine takes it.
    ///
    /// # Errors
    /// [`StorageError::InvalidArgument`] when more than one part is said, or a version that is none.
    pub fn parse(self) -> Result<types::NewCaseHold, StorageError> {
        let refused = |reason: &str| StorageError::InvalidArgument { what: "case hold", reason: reason.to_owned() };
        let version = match self.version.as_deref() {
            None => None,
            Some(text) => {
                Some(VersionName::from_text(text).ok_or_else(|| refused("a version is 32 hex digits, or null"))?)
            }
        };
        let part = match (self.prefix, self.tag, self.key) {
            (None, None, None) if version.is_some() => return Err(refused("a version needs its key")),
            (None, None, None) => HeldPart::Bucket,
            (Some(prefix), None, None) if version.is_none() => HeldPart::Prefix(prefix),
            (None, Some(Tag { name, value }), None) if version.is_none() => HeldPart::Tag(Pair { name, value }),
            (None, None, Some(key)) => HeldPart::Version(key, version),
            _ => return Err(refused("it is on a prefix, a tag or a version; place several for several")),
        };
        Ok(types::NewCaseHold { case: self.case, bucket: self.bucket, part, note: self.note })
    }
}

/// A case hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseHold {
    /// Its name.
    pub id: String,
    /// Number of the case.
    pub case: String,
    /// Bucket.
    pub bucket: String,
    /// `bucket`, `prefix`, `tag` or `version`.
    pub scope: String,
    /// The prefix, for that scope.
    pub prefix: Option<String>,
    /// The tag, for that scope.
    pub tag: Option<Tag>,
    /// The key of the version, for that scope.
    pub key: Option<String>,
    /// The version, for that scope: 32 hex digits or `null`.
    pub version: Option<String>,
    /// What it is for.
    pub note: String,
    /// When it was placed: milliseconds since 1970.
    pub placed_at_ms: u64,
    /// Who placed it.
    pub placed_by: String,
}

impl From<types::CaseHold> for CaseHold {
    fn from(hold: types::CaseHold) -> Self {
        let mut shown = Self {
            id: hold.id.to_string(),
            case: hold.case,
            bucket: hold.bucket,
            scope: "bucket".to_owned(),
            prefix: None,
            tag: None,
            key: None,
            version: None,
            note: hold.note,
            placed_at_ms: hold.placed_at,
            placed_by: hold.placed_by,
        };
        match hold.part {
            HeldPart::Bucket => {}
            HeldPart::Prefix(prefix) => {
                shown.scope = "prefix".to_owned();
                shown.prefix = Some(prefix);
            }
            HeldPart::Tag(Pair { name, value }) => {
                shown.scope = "tag".to_owned();
                shown.tag = Some(Tag { name, value });
            }
            HeldPart::Version(key, version) => {
                shown.scope = "version".to_owned();
                shown.key = Some(key);
                shown.version = version.map(|version| version.to_string());
            }
        }
        shown
    }
}

/// Which case holds to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldQuery {
    /// Only those on this bucket.
    pub bucket: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{HeldPart, NewCaseHold, Tag, VersionName};

    #[test]
    fn one_part_is_said_or_none() {
        let new = NewCaseHold { case: "7".into(), bucket: "b".into(), ..NewCaseHold::default() };
        let tag = Some(Tag { name: "a".into(), value: "b".into() });
        assert_eq!(new.clone().parse().unwrap().part, HeldPart::Bucket);
        let of_key = NewCaseHold { key: Some("k".into()), ..new.clone() };
        assert_eq!(of_key.clone().parse().unwrap().part, HeldPart::Version("k".into(), None));
        let null = NewCaseHold { version: Some("null".into()), ..of_key.clone() };
        assert_eq!(null.parse().unwrap().part, HeldPart::Version("k".into(), Some(VersionName::Null)));
        for wrong in [
            NewCaseHold { version: Some("null".into()), ..new.clone() },
            NewCaseHold { prefix: Some("p".into()), tag: tag.clone(), ..new.clone() },
            NewCaseHold { prefix: Some("p".into()), version: Some("null".into()), ..new.clone() },
            NewCaseHold { tag, version: Some("null".into()), ..new },
            NewCaseHold { prefix: Some("p".into()), ..of_key.clone() },
            NewCaseHold { version: Some("12".into()), ..of_key },
        ] {
            assert!(wrong.clone().parse().is_err(), "{wrong:?}");
        }
    }
}
