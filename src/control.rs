//! The vault as its operators see it: what the admin crate's [`VaultControl`] is made of.
//!
//! The vault is put in when it is open and taken out to be closed. A verification holds it while it runs, so taking it
//! out waits for that; [`Control::stop`] makes it end soon.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use kovcheg_admin::ports::{AuditControl, BucketControl, HoldControl, IdentityControl, NotOpen, VaultControl};
use kovcheg_format::record::identity::TenantSet;
use kovcheg_storage::audit::trail;
use kovcheg_storage::error::{StorageError, StorageResult};
use kovcheg_storage::handle::VaultHandle;
use kovcheg_storage::identity::access_keys::{self, AccessKey, NewAccessKey};
use kovcheg_storage::identity::tenants;
use kovcheg_storage::object::types::{BucketStatus, CaseHold, Grant, NewCaseHold};
use kovcheg_storage::object::{holds, quota};
use kovcheg_storage::status::{ClockStatus, VaultStatus, clock_status};
use kovcheg_storage::vault::{Vault, VerifyProgress, VerifyReport};
use zeroize::Zeroizing;

use crate::secrets;

/// See the module.
#[derive(Default)]
pub struct Control {
    vault: RwLock<Option<Vault>>,
    handle: OnceLock<VaultHandle>,
    stopping: AtomicBool,
}

impl Control {
    /// Puts the opened vault in; from now on status is answered. Once.
    pub fn put(&self, vault: Vault) {
        let handle = vault.handle();
        *self.vault.write().unwrap_or_else(PoisonError::into_inner) = Some(vault);
        let _ = self.handle.set(handle);
    }

    /// No new verification starts, a running one ends, status says so.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Takes the vault out, to be closed. Waits for a running verification; call [`Control::stop`] first.
    pub fn take(&self) -> Option<Vault> {
        self.vault.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn open_handle(&self) -> Result<&VaultHandle, NotOpen> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(NotOpen("closing"));
        }
        self.handle.get().ok_or(NotOpen("opening; it replays the journal's tail"))
    }

    fn with_vault<T>(&self, act: impl FnOnce(&Vault) -> StorageResult<T>) -> StorageResult<T> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(StorageError::Stopping("it was asked to".into()));
        }
        let vault = self.vault.read().unwrap_or_else(PoisonError::into_inner);
        match vault.as_ref() {
            Some(vault) => act(vault),
            None => Err(StorageError::Stopping("the vault is not open".into())),
        }
    }
}

impl IdentityControl for Control {
    fn tenants(&self) -> StorageResult<Vec<TenantSet>> {
        self.with_vault(|vault| tenants::all(vault.engine().index.as_ref()))
    }

    fn create_tenant(&self, name: &str) -> StorageResult<TenantSet> {
        self.with_vault(|vault| vault.create_tenant(name))
    }

    fn access_keys(&self) -> StorageResult<Vec<AccessKey>> {
        self.with_vault(|vault| access_keys::all(vault.engine().index.as_ref()))
    }

    fn create_access_key(&self, tenant: &str, grant: Grant, note: &str) -> StorageResult<(String, Zeroizing<String>)> {
        self.with_vault(|vault| create_access_key(vault, tenant, grant, note))
    }

    fn set_access_key_enabled(&self, access_key: &str, enabled: bool) -> StorageResult<()> {
        self.with_vault(|vault| access_keys::set_enabled(vault.engine(), access_key, enabled))
    }

    fn remove_access_key(&self, access_key: &str) -> StorageResult<()> {
        self.with_vault(|vault| access_keys::remove(vault.engine(), access_key))
    }
}

impl AuditControl for Control {
    fn read_audit(&self, visit: &mut dyn FnMut(String) -> ControlFlow<()>) -> StorageResult<Option<u64>> {
        self.with_vault(|vault| {
            let read = trail::read(vault.engine(), &mut |line| {
                if self.stopping.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { visit(line) }
            })?;
            Ok(read.whole.then_some(read.tree.size))
        })
    }

    fn audit_checkpoint(&self) -> StorageResult<String> {
        self.with_vault(|vault| trail::checkpoint(vault.engine()))
    }

    fn audit_key(&self) -> StorageResult<String> {
        self.with_vault(|vault| Ok(vault.engine().signer.verifier().text()))
    }
}

impl BucketControl for Control {
    fn buckets(&self) -> StorageResult<Vec<BucketStatus>> {
        self.with_vault(|vault| quota::list(vault.engine().index.as_ref()))
    }

    fn set_quota(&self, bucket: &str, bytes: Option<u64>) -> StorageResult<BucketStatus> {
        self.with_vault(|vault| vault.set_quota(bucket, bytes))
    }
}

impl HoldControl for Control {
    fn case_holds(&self, bucket: Option<&str>) -> StorageResult<Vec<CaseHold>> {
        self.with_vault(|vault| holds::list(vault.engine().index.as_ref(), bucket))
    }

    fn place_case_hold(&self, new: NewCaseHold) -> StorageResult<CaseHold> {
        self.with_vault(|vault| vault.place_case_hold(new))
    }
}

/// Makes an access key of random id and secret, which are answered and in no other place in clear.
pub fn create_access_key(
    vault: &Vault,
    tenant: &str,
    grant: Grant,
    note: &str,
) -> StorageResult<(String, Zeroizing<String>)> {
    let pair = secrets::generate().map_err(|error| StorageError::Operator(error.to_string()))?;
    let (access_key, secret) = (pair.access, Zeroizing::new(pair.secret));
    let new = NewAccessKey {
        access_key: access_key.clone(),
        secret: secret.clone(),
        tenant: tenant.to_owned(),
        grant,
        note: note.to_owned(),
    };
    access_keys::create(vault.engine(), new)?;
    Ok((access_key, secret))
}

impl VaultControl for Control {
    fn is_open(&self) -> Result<(), NotOpen> {
        self.open_handle().map(|_| ())
    }

    fn status(&self) -> Result<VaultStatus, NotOpen> {
        self.open_handle().map(VaultHandle::status)
    }

    fn verify(
        &self,
        bucket: Option<&str>,
        progress: &mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>,
    ) -> StorageResult<VerifyReport> {
        self.with_vault(|vault| {
            vault.verify(bucket, &mut |done| {
                if self.stopping.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { progress(done) }
            })
        })
    }

    fn confirm_recovery_kit(&self, code: &str) -> StorageResult<()> {
        self.with_vault(|vault| vault.confirm_recovery_kit(code))
    }

    fn accept_clock(&self, code: &str) -> StorageResult<ClockStatus> {
        self.with_vault(|vault| {
            vault.accept_clock(code)?;
            Ok(clock_status(vault.engine()))
        })
    }
}
