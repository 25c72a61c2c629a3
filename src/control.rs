//! The vault as its operators see it: what the admin crate's [`VaultControl`] is made of.
//!
//! The vault is put in when it is open and taken out to be closed. A verification holds it while it runs, so taking it
//! out waits for that; [`Control::stop`] makes it end soon.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use kovcheg_admin::ports::{NotOpen, VaultControl};
use kovcheg_storage::error::{StorageError, StorageResult};
use kovcheg_storage::handle::VaultHandle;
use kovcheg_storage::status::VaultStatus;
use kovcheg_storage::vault::{Vault, VerifyProgress, VerifyReport};

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
}
