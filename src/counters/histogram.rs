//! How long things took: durations counted in buckets that double, and the longest of late.

use crate::time::Instant;

/// The upper bound of the first bucket, in microseconds.
const FIRST_US: u64 = 125;
/// Bounds, each twice the one before: 125 µs to 8.192 s.
const BOUNDS: usize = 17;

/// Durations since the start. Plain numbers: noting one costs a few instructions.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Durations of at most each bound and more than the one before; the last: longer than all.
    buckets: [u64; BOUNDS + 1],
    /// The sum of all, in microseconds.
    sum_us: u64,
}

impl Histogram {
    /// Counts a duration.
    pub fn note(&mut self, us: u64) {
        // Halves of the next power of two are the bounds below it.
        let steps = us.div_ceil(FIRST_US).max(1).checked_next_power_of_two();
        let bucket = steps.map_or(BOUNDS, |steps| steps.trailing_zeros() as usize);
        self.buckets[bucket.min(BOUNDS)] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Adds another one's durations.
    pub fn add(&mut self, other: &Self) {
        let pairs = self.buckets.iter_mut().zip(&other.buckets);
        pairs.for_each(|(own, more)| *own += more);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Each bound in microseconds with how many durations it holds, those of smaller bounds included.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut count = 0;
        self.buckets[..BOUNDS].iter().enumerate().map(move |(power, bucket)| {
            count += bucket;
            (FIRST_US << power, count)
        })
    }

    /// How many durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

/// How long the largest value is remembered at least; twice that at most.
const PEAK_MS: u64 = 10_000;

/// The largest of the values of the last 10 to 20 seconds. So whoever asks sees a peak, and two who ask do not
/// take it from each other.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    present: u64,
    past: u64,
    /// When the present becomes the past.
    until: Instant,
}

impl Peak {
    /// Notes a value.
    pub fn note(&mut self, now: Instant, value: u64) {
        if now >= self.until {
            *self = Self { present: 0, past: self.value(now), until: now + PEAK_MS };
        }
        self.present = self.present.max(value);
    }

    /// The largest of late.
    pub fn value(&self, now: Instant) -> u64 {
        if now < self.until {
            self.present.max(self.past)
        } else if now < self.until + PEAK_MS {
            self.present
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        for (us, bucket) in [
            (0, 0),
            (125, 0),
            (126, 1),
            (250, 1),
            (251, 2),
            (8_192_000, 16),
            (8_192_001, 17),
            (u64::MAX, 17),
        ] {
            let mut histogram = Histogram::default();
            histogram.note(us);
            assert_eq!(
                histogram.buckets.iter().position(|&count| count == 1),
                Some(bucket),
                "{us}"
            );
            assert_eq!((histogram.count(), histogram.sum_us()), (1, us));
        }
    }

    #[test]
    fn bounds_double_and_hold_what_is_below_them() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        [100, 200, 9_000_000].into_iter().for_each(|us| one.note(us));
        other.note(200);
        one.add(&other);
        let counts: Vec<(u64, u64)> = one.cumulative().collect();
        assert_eq!(&counts[..3], [(125, 1), (250, 3), (500, 3)]);
        assert_eq!(counts.last(), Some(&(8_192_000, 3)));
        assert_eq!((one.count(), one.sum_us()), (4, 9_000_500));
    }

    #[test]
    fn a_peak_is_seen_for_ten_seconds_at_least_and_twenty_at_most() {
        let at = Instant::from_ms;
        let mut peak = Peak::default();
        peak.note(at(1_000), 3);
        peak.note(at(5_000), 7);
        peak.note(at(12_000), 1);
        assert_eq!(peak.value(at(15_001)), 7);
        peak.note(at(22_000), 2);
        assert_eq!(peak.value(at(22_000)), 2);
        assert_eq!(peak.value(at(33_000)), 2, "nothing was noted since");
        assert_eq!(peak.value(at(42_001)), 0);
    }
}
