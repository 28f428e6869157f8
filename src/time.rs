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
