//! The clock: the only place in the server where time is read, once a tick.

#![allow(clippy::disallowed_methods, reason = "this is the one clock")]

use std::time::{Instant as MonotonicTime, SystemTime};

use crate::time::{Instant, Now};

/// A monotonic clock that all workers of a server share, and the wall clock.
#[derive(Copy, Clone, Debug)]
pub struct Clock {
    zero: MonotonicTime,
}

impl Clock {
    /// A clock that shows 0 now.
    pub fn start() -> Self {
        Self { zero: MonotonicTime::now() }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        let instant = u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX);
        // A wall clock before 1970 is wrong, but no reason to fall over.
        let wall_ms = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Now { instant: Instant::from_ms(instant), wall_ms }
    }
}
