//! Clocks the engine is given. Decisions never read one themselves: they take the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use kovcheg_format::units::TimestampMs;

/// Source of wall-clock time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z; for people and Last-Modified, never for expiry (L-2).
    fn wall_ms(&self) -> TimestampMs;
}

/// The operating system's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> TimestampMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampMs::try_from(since.as_millis()).unwrap_or(TimestampMs::MAX)
    }
}
