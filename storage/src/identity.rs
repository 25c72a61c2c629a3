//! Who may ask: S3 access keys, their secrets sealed under the metadata key even in the index (K-1), and the tenants they act for.

pub mod access_keys;
pub mod tenants;

use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::Decode;
use kovcheg_format::codec::Blob;
use kovcheg_format::id::RequestId;
use kovcheg_format::record::audit::{Action, Origin};
use kovcheg_format::record::identity::CredentialSet;
use kovcheg_policy::access::Grant;
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::index::{Column, rows};
use crate::journal::sequencer::Commit;
use crate::object::guard::audit;
use crate::object::types::Credential;

pub use tenants::DEFAULT_TENANT;

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
        grant: Grant::default(),
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
    let new = CredentialSet {
        access_key: access_key.to_owned(),
        sealed_secret: seal(engine, access_key, secret),
        tenant: DEFAULT_TENANT,
        root: true,
        enabled: true,
        created_at: engine.clock.wall_ms(),
    };
    let old: Vec<CredentialSet> =
        roots(engine)?.into_iter().filter(|stored| stored.enabled && stored.access_key != access_key).collect();
    let by = operator_origin();
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

/// Whoever may use the private socket or open the vault.
pub(crate) fn operator_origin() -> Origin {
    Origin { actor: "operator".to_owned(), address: String::new(), request: RequestId::ZERO }
}

/// Who acts when the vault does so by itself.
pub(crate) fn vault_origin() -> Origin {
    Origin { actor: "vault".to_owned(), ..operator_origin() }
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
        grant: if stored.root {
            Grant::default()
        } else {
            access_keys::grant(engine.index.as_ref(), &stored.access_key)?
        },
    })
}

fn seal(engine: &Engine, access_key: &str, secret: &str) -> Blob {
    Blob(engine.metadata.seal(&seal_context(access_key), secret.as_bytes()))
}

fn seal_context(access_key: &str) -> Vec<u8> {
    [b"kovcheg access key ".as_slice(), access_key.as_bytes()].concat()
}
