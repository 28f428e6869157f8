//! The clock: the only place in the server where time is read, once a tick; and what it shows of our own
//! stalls.

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

    /// Microseconds since the clock showed 0.
    pub fn micros(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        self.now_and_micros().0
    }

    /// Reads both clocks, and says in microseconds what the monotonic one shows.
    pub fn now_and_micros(&self) -> (Now, u64) {
        let micros = self.micros();
        // A wall clock before 1970 is wrong, but no reason to fall over.
        let wall_ms = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        (Now { instant: Instant::from_ms(micros / 1_000), wall_ms }, micros)
    }
}

/// A thread that comes back so much later than it asked to has stood still. Less is an ordinary delay.
const STALL_MS: u64 = 500;

/// Notices when a thread stands still.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Instant,
    /// How long the thread meant to wait since then; `None`: for as long as it takes.
    asked_ms: Option<u64>,
    stalled_ms: u64,
}

impl Pace {
    /// The thread begins to wait.
    pub(super) fn wait(&mut self, asked_ms: Option<u64>) {
        self.asked_ms = asked_ms;
    }

    /// The clock was read.
    pub(super) fn note(&mut self, now: Instant) {
        let late_ms = self.asked_ms.map_or(0, |asked| now.since(self.last + asked));
        self.stalled_ms = if late_ms < STALL_MS { 0 } else { late_ms };
        self.last = now;
    }

    /// How long the thread had stood still when the clock was read.
    pub(super) fn stalled_ms(&self) -> u64 {
        self.stalled_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_time_that_was_asked_for_is_a_stall() {
        let mut pace = Pace::default();
        let mut after = |asked_ms, ms: u64| {
            pace.note(Instant::from_ms(10_000));
            pace.wait(asked_ms);
            pace.note(Instant::from_ms(10_000 + ms));
            pace.stalled_ms()
        };
        assert_eq!(after(Some(1_000), 1_000), 0);
        assert_eq!(after(Some(1_000), 300), 0, "an event came");
        assert_eq!(after(Some(1_000), 1_499), 0, "a busy machine");
        assert_eq!(after(Some(1_000), 31_000), 30_000);
        assert_eq!(after(Some(0), 700), 700, "a tick that took long");
        assert_eq!(after(None, 1_000_000), 0, "nobody had a deadline");
    }
}
