//! Access keys of tenants: what each may do, whether it counts, and when it goes. The root key is none of them.

use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Origin};
use kovcheg_format::record::identity::{
    CredentialRemoved, CredentialSet, GRANT_BYPASS, GRANT_DELETE, GRANT_HOLD, GRANT_LIST, GRANT_READ, GRANT_WRITE,
    GrantSet,
};
use kovcheg_policy::access::{Grant, Right};
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::identity::{operator_origin, seal, tenants};
use crate::index::{Column, IndexRead, rows};
use crate::journal::sequencer::{Commit, Moment};
use crate::object::guard::audit;

/// Longest note, bytes.
const NOTE_LEN_MAX: usize = 256;
/// Most patterns of a grant.
const BUCKETS_MAX: usize = 64;
/// Longest name of a bucket.
const BUCKET_LEN_MAX: usize = 63;

/// An access key to be made. No `Debug`: the secret must not reach a log.
pub struct NewAccessKey {
    /// Its id.
    pub access_key: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
    /// Name of the tenant it acts for.
    pub tenant: String,
    /// What it may do.
    pub grant: Grant,
    /// What it is for.
    pub note: String,
}

/// An access key as it is listed: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id.
    pub access_key: String,
    /// Name of the tenant it acts for.
    pub tenant: String,
    /// Whether it is the vault's root key.
    pub root: bool,
    /// Whether requests with it are taken.
    pub enabled: bool,
    /// What it may do, when it is not root.
    pub grant: Grant,
    /// What it is for.
    pub note: String,
    /// When it was made: milliseconds since 1970.
    pub created_at: u64,
}

/// Every access key, by id.
pub fn all(view: &dyn IndexRead) -> StorageResult<Vec<AccessKey>> {
    let tenants = tenants::all(view)?;
    let mut stored: Vec<CredentialSet> = Vec::new();
    rows::scan(view, Column::Credential, &[], None, &mut |_, credential| {
        stored.push(credential);
        ControlFlow::Continue(())
    })?;
    let shown = stored.into_iter().map(|stored| {
        let tenant = tenants.iter().find(|tenant| tenant.tenant == stored.tenant);
        let grant = row(view, &stored.access_key)?;
        Ok(AccessKey {
            tenant: tenant.map_or_else(|| stored.tenant.to_string(), |tenant| tenant.name.clone()),
            root: stored.root,
            enabled: stored.enabled,
            grant: grant.as_ref().map(unpack).unwrap_or_default(),
            note: grant.map(|grant| grant.note).unwrap_or_default(),
            created_at: stored.created_at,
            access_key: stored.access_key,
        })
    });
    shown.collect()
}

/// What an access key may do; nothing when nothing was granted.
pub fn grant(view: &dyn IndexRead, access_key: &str) -> StorageResult<Grant> {
    Ok(row(view, access_key)?.as_ref().map(unpack).unwrap_or_default())
}

/// Makes an access key; durable on return, audited.
pub fn create(engine: &Arc<Engine>, new: NewAccessKey) -> StorageResult<()> {
    check(&new)?;
    let sealed = seal(engine, &new.access_key, &new.secret);
    let by = operator_origin();
    engine.commit(Commit::of(Box::new(move |moment| {
        if moment.view.get(Column::Credential, new.access_key.as_bytes())?.is_some() {
            return Err(refused(format!("there is an access key {} already", new.access_key)));
        }
        let tenant = tenants::find(moment.view, &new.tenant)?.tenant;
        let credential = CredentialSet {
            access_key: new.access_key.clone(),
            sealed_secret: sealed,
            tenant,
            root: false,
            enabled: true,
            created_at: moment.now,
        };
        let grant = pack(&new);
        Ok(vec![audit(moment, Action::CreateAccessKey, &by, "", &new.access_key), grant.into(), credential.into()])
    })))
}

/// Has requests with an access key taken or refused from now on; durable on return, audited.
pub fn set_enabled(engine: &Arc<Engine>, access_key: &str, enabled: bool) -> StorageResult<()> {
    let (access_key, by) = (access_key.to_owned(), operator_origin());
    engine.commit(Commit::of(Box::new(move |moment| {
        let stored = find(moment, &access_key)?;
        if stored.enabled == enabled {
            return Ok(Vec::new());
        }
        let action = if enabled { Action::EnableAccessKey } else { Action::DisableAccessKey };
        Ok(changed(moment, action, &by, &access_key, CredentialSet { enabled, ..stored }.into()))
    })))
}

/// Removes an access key for good; durable on return, audited.
pub fn remove(engine: &Arc<Engine>, access_key: &str) -> StorageResult<()> {
    let (access_key, by) = (access_key.to_owned(), operator_origin());
    engine.commit(Commit::of(Box::new(move |moment| {
        find(moment, &access_key)?;
        let removed = CredentialRemoved { access_key: access_key.clone() };
        Ok(changed(moment, Action::DeleteAccessKey, &by, &access_key, removed.into()))
    })))
}

fn changed(moment: &Moment<'_>, action: Action, by: &Origin, access_key: &str, record: Record) -> Vec<Record> {
    vec![audit(moment, action, by, "", access_key), record]
}

fn find(moment: &Moment<'_>, access_key: &str) -> StorageResult<CredentialSet> {
    let stored: Option<CredentialSet> = rows::get(moment.view, Column::Credential, access_key.as_bytes())?;
    match stored {
        None => Err(refused(format!("there is no access key {access_key}; `kovcheg access-key list` shows them"))),
        Some(stored) if stored.root => Err(refused(
            "the root key is set by KOVCHEG_ROOT_ACCESS_KEY and KOVCHEG_ROOT_SECRET_KEY at a start, and in no other way".to_owned(),
        )),
        Some(stored) => Ok(stored),
    }
}

fn check(new: &NewAccessKey) -> StorageResult<()> {
    if new.grant.rights.is_empty() || new.grant.buckets.is_empty() {
        return Err(refused("a key without rights or buckets could do nothing".to_owned()));
    }
    if new.grant.buckets.len() > BUCKETS_MAX {
        return Err(refused(format!("at most {BUCKETS_MAX} names of buckets")));
    }
    if let Some(wrong) = new.grant.buckets.iter().find(|pattern| !is_pattern(pattern)) {
        return Err(refused(format!("{wrong:?} is no name of a bucket, with or without a * at its end")));
    }
    if new.note.len() > NOTE_LEN_MAX || new.note.chars().any(char::is_control) {
        return Err(refused(format!("the note is a line of at most {NOTE_LEN_MAX} bytes")));
    }
    Ok(())
}

fn is_pattern(pattern: &str) -> bool {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    name.len() <= BUCKET_LEN_MAX && name.bytes().all(plain) && !pattern.is_empty()
}

const BITS: [(Right, u8); 6] = [
    (Right::Read, GRANT_READ),
    (Right::Write, GRANT_WRITE),
    (Right::Delete, GRANT_DELETE),
    (Right::List, GRANT_LIST),
    (Right::Hold, GRANT_HOLD),
    (Right::Bypass, GRANT_BYPASS),
];

fn pack(new: &NewAccessKey) -> GrantSet {
    let bits = BITS.iter().filter(|(right, _)| new.grant.rights.contains(right));
    GrantSet {
        access_key: new.access_key.clone(),
        note: new.note.clone(),
        buckets: new.grant.buckets.clone(),
        rights: bits.fold(0, |sum, (_, bit)| sum | bit),
    }
}

fn unpack(row: &GrantSet) -> Grant {
    let rights = BITS.iter().filter(|(_, bit)| row.rights & bit != 0).map(|(right, _)| *right).collect();
    Grant { buckets: row.buckets.clone(), rights }
}

fn row(view: &dyn IndexRead, access_key: &str) -> StorageResult<Option<GrantSet>> {
    Ok(rows::get(view, Column::Grant, access_key.as_bytes())?)
}

fn refused(reason: String) -> StorageError {
    StorageError::InvalidArgument { what: "access key", reason }
}

#[cfg(test)]
mod tests {
    use super::is_pattern;

    #[test]
    fn patterns_are_names_of_buckets_or_their_beginnings() {
        for sound in ["dumps", "wal-*", "*", "a.b", "1"] {
            assert!(is_pattern(sound), "{sound}");
        }
        for wrong in ["", "a*b", "**", "Dumps", "a/b", "a b", "a\0", &"x".repeat(64)] {
            assert!(!is_pattern(wrong), "{wrong}");
        }
    }
}
