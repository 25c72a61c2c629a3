//! Who may ask: S3 access keys, their secrets sealed under the metadata key even in the index (K-1).

use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::Decode;
use kovcheg_format::codec::Blob;
use kovcheg_format::id::{RequestId, TenantId};
use kovcheg_format::record::audit::{Action, Origin};
use kovcheg_format::record::identity::CredentialSet;
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::index::{Column, rows};
use crate::journal::sequencer::Commit;
use crate::object::guard::audit;
use crate::object::types::Credential;

/// The tenant that exists from the start.
pub const DEFAULT_TENANT: TenantId = TenantId(1);

/// What setting the root credential changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootChange {
    /// It was that already.
    Unchanged,
    /// There was none.
    Created,
    /// Another one was replaced.
    Replaced,
}

/// An enabled access key with its secret in clear.
pub fn credential(engine: &Engine, access_key: &str) -> StorageResult<Option<Credential>> {
    let held = engine.root_override.read().clone();
    if let Some(held) = held.as_ref().filter(|held| held.access_key == access_key) {
        return Ok(Some(held.clone()));
    }
    let stored: Option<CredentialSet> = rows::get(engine.index.as_ref(), Column::Credential, access_key.as_bytes())?;
    // A root that was replaced must not sign, also when that could not be stored.
    let counts = stored.filter(|stored| stored.enabled && !(held.is_some() && stored.root));
    counts.map(|stored| open(engine, &stored)).transpose()
}

/// The enabled root credential, if one was set.
pub fn root(engine: &Engine) -> StorageResult<Option<Credential>> {
    if let Some(held) = engine.root_override.read().clone() {
        return Ok(Some(held));
    }
    stored_root(engine)
}

fn stored_root(engine: &Engine) -> StorageResult<Option<Credential>> {
    roots(engine)?.into_iter().find(|stored| stored.enabled).map(|stored| open(engine, &stored)).transpose()
}

/// Makes this the one root credential for as long as this process lives, in a vault that takes no writes: the stored one signs
/// nothing meanwhile. Nothing is written.
pub fn hold_root(engine: &Engine, access_key: &str, secret: &str) {
    let held = Credential {
        access_key: access_key.to_owned(),
        secret: Zeroizing::new(secret.to_owned()),
        tenant: DEFAULT_TENANT,
        root: true,
    };
    *engine.root_access_key.write() = access_key.to_owned();
    *engine.root_override.write() = Some(held);
}

/// Makes this the one root credential; durable on return, audited. Earlier ones are disabled.
pub fn set_root(engine: &Arc<Engine>, access_key: &str, secret: &str) -> StorageResult<RootChange> {
    let before = stored_root(engine)?;
    if before.as_ref().is_some_and(|root| root.access_key == access_key && *root.secret == secret) {
        return Ok(RootChange::Unchanged);
    }
    let sealed = engine.metadata.seal(&seal_context(access_key), secret.as_bytes());
    let new = CredentialSet {
        access_key: access_key.to_owned(),
        sealed_secret: Blob(sealed),
        tenant: DEFAULT_TENANT,
        root: true,
        enabled: true,
        created_at: engine.clock.wall_ms(),
    };
    let old: Vec<CredentialSet> =
        roots(engine)?.into_iter().filter(|stored| stored.enabled && stored.access_key != access_key).collect();
    let by = Origin { actor: "operator".to_owned(), address: String::new(), request: RequestId::ZERO };
    engine.commit(Commit::of(Box::new(move |moment| {
        let mut records = vec![audit(moment, Action::ChangeRootCredentials, &by, "", "")];
        records.extend(old.into_iter().map(|stored| CredentialSet { enabled: false, ..stored }.into()));
        records.push(new.into());
        Ok(records)
    })))?;
    *engine.root_access_key.write() = access_key.to_owned();
    *engine.root_override.write() = None;
    Ok(if before.is_some() { RootChange::Replaced } else { RootChange::Created })
}

fn roots(engine: &Engine) -> StorageResult<Vec<CredentialSet>> {
    let mut found = Vec::new();
    engine.index.scan(Column::Credential, &[], None, &mut |_, value| {
        found.extend(CredentialSet::from_bytes(value).ok().filter(|stored| stored.root));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn open(engine: &Engine, stored: &CredentialSet) -> StorageResult<Credential> {
    let plain = engine.metadata.open(&seal_context(&stored.access_key), &stored.sealed_secret.0)?;
    let secret = std::str::from_utf8(&plain).map_err(|_| StorageError::NotAuthentic {
        what: "secret of an access key".to_owned(),
        reason: "it is not text",
    })?;
    Ok(Credential {
        access_key: stored.access_key.clone(),
        secret: Zeroizing::new(secret.to_owned()),
        tenant: stored.tenant,
        root: stored.root,
    })
}

fn seal_context(access_key: &str) -> Vec<u8> {
    [b"kovcheg access key ".as_slice(), access_key.as_bytes()].concat()
}
