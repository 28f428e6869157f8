//! Time as plain integers, so that everything below the reactor can be driven by an invented clock.

use std::ops::{Add, Sub};

/// A moment on the server's monotonic clock: milliseconds since the process began to serve.
///
/// The clock is read in `reactor/clock.rs` alone, once a tick.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// A moment that never comes: the deadline of what has no deadline.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `ms` milliseconds after the clock's zero.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the clock's zero.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// A moment at most `ms` milliseconds later and less than a hundredth of that (128 ms) before, which it has in
    /// common with others: what is due to many connections at about the same time then costs one wake-up
    /// (docs/benchmarks.md: a fifth less for a heartbeat).
    pub const fn on_a_beat(self, ms: u32) -> Self {
        let hundredth = if ms < 100 { 1 } else { ms / 100 };
        let bits = if hundredth > 128 { 7 } else { hundredth.ilog2() };
        Self(self.0.saturating_add(ms as u64) >> bits << bits)
    }

    /// Milliseconds from `earlier` to here; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Instant {
    type Output = Self;

    /// The moment `ms` milliseconds later, [`Instant::NEVER`] on overflow.
    fn add(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl Sub<u64> for Instant {
    type Output = Self;

    /// The moment `ms` milliseconds earlier, the clock's zero at the earliest.
    fn sub(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }
}

/// What the clocks said at the beginning of a tick.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock, on which every deadline lies.
    pub instant: Instant,
    /// Milliseconds since 1970-01-01T00:00:00Z, for messages and `Date`; never compared with anything.
    pub wall_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_in_time_and_fall_together() {
        for ms in [0, 1, 11, 12, 1_000, 12_000, 15_000, 25_000, 86_400_000] {
            for now in [0, 1, 1_023, 987_654_321] {
                let beat = Instant(now).on_a_beat(ms).0;
                assert!(
                    beat <= now + u64::from(ms)
                        && beat + u64::from(ms) / 100 >= now + u64::from(ms)
                );
            }
        }
        assert_eq!(Instant(1_000).on_a_beat(15_000), Instant(950).on_a_beat(15_060));
        assert!(
            Instant::NEVER.on_a_beat(86_400_000) > Instant(1 << 63),
            "there is nothing to overflow"
        );
    }
}
