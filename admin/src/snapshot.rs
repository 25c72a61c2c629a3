//! The vault at a glance for those who ask often. Taking it reads every segment row and asks every disk for its space: off the
//! async threads, once for all who ask at the same time, and never for more than a tenth of the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kovcheg_storage::status::VaultStatus;
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::ports::VaultControl;

/// A snapshot is kept for so many times as long as it took to take: that bounds what asking costs. In a small vault, who asks after
/// a change sees it.
const KEPT_FOLD: u32 = 10;
/// But at most this long.
const KEPT_MAX: Duration = Duration::from_secs(1);

struct Taken {
    status: Arc<VaultStatus>,
    until: Instant,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Snapshots {
    vault: Arc<dyn VaultControl>,
    last: Arc<Mutex<Option<Taken>>>,
    turn: Arc<Semaphore>,
}

impl Snapshots {
    /// Of this vault.
    pub fn new(vault: Arc<dyn VaultControl>) -> Self {
        Self { vault, last: Arc::new(Mutex::new(None)), turn: Arc::new(Semaphore::new(1)) }
    }

    /// The vault, at most [`KEPT_MAX`] ago.
    ///
    /// # Errors
    /// [`ApiError::NotOpen`] as soon as the vault recovers or closes, whatever is kept.
    pub async fn status(&self) -> Result<Arc<VaultStatus>, ApiError> {
        self.vault.is_open()?;
        if let Some(status) = self.kept() {
            return Ok(status);
        }
        // Whoever comes meanwhile waits here and finds what was taken.
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| ApiError::Worker)?;
        if let Some(status) = self.kept() {
            return Ok(status);
        }
        let this = self.clone();
        let taking = tokio::task::spawn_blocking(move || {
            let status = this.take();
            // The turn lasts as long as the work, also when nobody waits for its outcome any more.
            drop(turn);
            status
        });
        taking.await.map_err(|_| ApiError::Worker)?
    }

    fn kept(&self) -> Option<Arc<VaultStatus>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|taken| Instant::now() < taken.until).map(|taken| Arc::clone(&taken.status))
    }

    fn take(&self) -> Result<Arc<VaultStatus>, ApiError> {
        let began = Instant::now();
        let status = Arc::new(self.vault.status()?);
        let now = Instant::now();
        let kept = now.duration_since(began).saturating_mul(KEPT_FOLD).min(KEPT_MAX);
        let taken = Taken { status: Arc::clone(&status), until: now + kept };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: asking often costs little, and nobody sees what is long past. Method: a vault whose status takes its time, and counts
    //! how often it was asked.
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::Snapshots;
    use crate::testing::FakeVault;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_askers_share_one_snapshot() {
        let vault = Arc::new(FakeVault::serving());
        vault.status_ms.store(150, Ordering::SeqCst);
        let snapshots = Snapshots::new(vault.clone());
        let askers: Vec<_> = (0..50)
            .map(|_| {
                let snapshots = snapshots.clone();
                tokio::spawn(async move { snapshots.status().await.is_ok() })
            })
            .collect();
        for asker in askers {
            assert!(asker.await.unwrap());
        }
        assert_eq!(vault.asked.load(Ordering::SeqCst), 1, "one for all");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(snapshots.status().await.is_ok());
        assert_eq!(vault.asked.load(Ordering::SeqCst), 2, "none is kept for more than a second");
    }

    #[tokio::test]
    async fn a_vault_that_closes_is_not_shown_as_it_was() {
        let vault = Arc::new(FakeVault::serving());
        vault.status_ms.store(50, Ordering::SeqCst);
        let snapshots = Snapshots::new(vault.clone());
        assert!(snapshots.status().await.is_ok());
        vault.close();
        assert!(snapshots.status().await.is_err());
    }
}
