//! How a server is asked to end: SIGTERM or SIGINT once for a clean end, a second time to end at once.

use std::future::Future;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::AppError;

/// Both signals, listened to from its making on.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    seen: u32,
}

impl Signals {
    /// Takes the signals over from their default, which is to die. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn listen() -> Result<Self, AppError> {
        let failed = |error: std::io::Error| AppError::Machinery { what: "signal handling", reason: error.to_string() };
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            seen: 0,
        })
    }

    /// Calls `act` at every SIGHUP from now on, off the async threads.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn on_hangup(act: impl Fn() + Send + Sync + 'static) -> Result<(), AppError> {
        let failed = |error: std::io::Error| AppError::Machinery { what: "signal handling", reason: error.to_string() };
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        let act = Arc::new(act);
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                let act = Arc::clone(&act);
                let _ = tokio::task::spawn_blocking(move || act()).await;
            }
        });
        Ok(())
    }

    /// Waits for the next of either. May be dropped and called again without losing one.
    pub async fn next(&mut self) -> &'static str {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        self.seen += 1;
        name
    }

    /// Whether the process was asked to end.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.seen > 0
    }

    /// Waits for `work`, through the first signal but not through the second.
    ///
    /// # Errors
    /// [`AppError::Forced`] at the second signal; `work` is dropped.
    pub async fn through<T>(&mut self, work: impl Future<Output = T>) -> Result<T, AppError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                signal = self.next() => {
                    if self.seen > 1 {
                        return Err(AppError::Forced);
                    }
                    tracing::info!(signal, "ending as soon as this step is done; once more ends at once");
                }
            }
        }
    }
}
