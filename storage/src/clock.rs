//! Clocks the engine is given. Decisions never read one themselves: they take the time as an argument.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kovcheg_format::units::TimestampMs;

/// Source of time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z; for people and Last-Modified, never for expiry (L-2).
    fn wall_ms(&self) -> TimestampMs;

    /// Time since some moment of this process, that no setting of the wall clock changes.
    fn monotonic(&self) -> Duration;

    /// Whether somebody vouches for the wall clock: a time service that keeps it right.
    fn synchronised(&self) -> bool;
}

/// The operating system's clocks.
#[derive(Debug, Default)]
pub struct SystemClock;

/// From where [`SystemClock`] counts.
static START: OnceLock<Instant> = OnceLock::new();

impl Clock for SystemClock {
    fn wall_ms(&self) -> TimestampMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampMs::try_from(since.as_millis()).unwrap_or(TimestampMs::MAX)
    }

    fn monotonic(&self) -> Duration {
        START.get_or_init(Instant::now).elapsed()
    }

    fn synchronised(&self) -> bool {
        // SAFETY: zeroes are a valid timex; modes 0 asks and changes nothing.
        let mut answer = unsafe { std::mem::zeroed::<libc::timex>() };
        // SAFETY: the pointer is to a whole timex.
        let state = unsafe { libc::adjtimex(&raw mut answer) };
        state >= 0 && state != libc::TIME_ERROR && answer.status & libc::STA_UNSYNC == 0
    }
}
