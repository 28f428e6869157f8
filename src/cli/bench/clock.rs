//! The generator's clock: nanoseconds since it began.

use std::time::Instant;

/// A second.
pub(super) const SECOND: u64 = 1_000_000_000;
/// A millisecond.
pub(super) const MILLISECOND: u64 = 1_000_000;

/// Copies agree: a time of one thread can be compared with a time of another.
#[derive(Copy, Clone, Debug)]
pub(super) struct Clock {
    began: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// Nanoseconds since it was started.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Nanoseconds in seconds, for people.
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / SECOND as f64
}
