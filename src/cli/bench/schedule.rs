//! When to publish: at fixed times, whatever the server does, or as soon as the server has caught up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::clock::SECOND;

/// What sets the pace.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) enum Pace {
    /// Open loop: so many a second, at times that are fixed beforehand. When the server, or the generator,
    /// is late, the delay counts as latency: nothing is left out that would have happened to a user.
    PerSecond(f64),
    /// Closed loop: so many are under way at any time. As fast as possible; latencies are of a server
    /// that is kept just that busy.
    Outstanding(u32),
}

/// What ends it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many publishes.
    Count(u64),
    /// So many nanoseconds.
    Time(u64),
}

/// The times of one run's publishes.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pace: Pace,
    extent: Extent,
    began: u64,
    issued: u64,
    /// Set when it is to end before its extent.
    end: Option<Arc<AtomicBool>>,
}

impl Schedule {
    /// Begins at `now`.
    pub(super) const fn new(pace: Pace, extent: Extent, now: u64) -> Self {
        Self { pace, extent, began: now, issued: 0, end: None }
    }

    /// The same, over as soon as `end` is set.
    pub(super) fn until(mut self, end: Arc<AtomicBool>) -> Self {
        self.end = Some(end);
        self
    }

    /// Whether times are fixed beforehand.
    pub(super) const fn is_open_loop(&self) -> bool {
        matches!(self.pace, Pace::PerSecond(_))
    }

    /// Nothing is due any more. Returns how many seconds it took.
    pub(super) fn stop(&mut self, now: u64) -> f64 {
        self.extent = Extent::Count(self.issued);
        super::clock::seconds(now.saturating_sub(self.began))
    }

    /// When the next one is due; `None` when there is none, or when it depends on `under_way` becoming
    /// fewer.
    pub(super) fn next(&self, now: u64, under_way: u64) -> Option<u64> {
        if self.end.as_ref().is_some_and(|end| end.load(Ordering::Relaxed)) {
            return None;
        }
        let time = match self.pace {
            Pace::PerSecond(rate) => {
                self.began + (self.issued as f64 * SECOND as f64 / rate).round() as u64
            }
            Pace::Outstanding(most) if under_way < u64::from(most) => now,
            Pace::Outstanding(_) => return None,
        };
        let is_inside = match self.extent {
            Extent::Count(count) => self.issued < count,
            Extent::Time(length) => time < self.began.saturating_add(length),
        };
        is_inside.then_some(time)
    }

    /// Whether one is due now: the time that it was meant for. It counts as issued then.
    pub(super) fn issue(&mut self, now: u64, under_way: u64) -> Option<u64> {
        let time = self.next(now, under_way).filter(|&time| time <= now)?;
        self.issued += 1;
        Some(time)
    }

    /// What is counted on the way to its end, and how much of it there is.
    pub(super) const fn phase(&self) -> (&'static str, u64) {
        match self.extent {
            Extent::Count(count) => ("publishing, requests", count),
            Extent::Time(length) => ("publishing, seconds", length.div_ceil(SECOND)),
        }
    }

    /// How much of that is done.
    pub(super) fn step(&self, now: u64) -> u64 {
        match self.extent {
            Extent::Count(_) => self.issued,
            Extent::Time(length) => now.saturating_sub(self.began).min(length).div_ceil(SECOND),
        }
    }

    /// Whether nothing will be due any more.
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.next(now, 0).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_an_open_loop_do_not_depend_on_when_they_are_asked_for() {
        let mut schedule = Schedule::new(Pace::PerSecond(4.0), Extent::Count(6), 1_000);
        let mut times = Vec::new();
        // Asked for late, and with everything still under way.
        for now in [1_000, 1_000 + SECOND, 1_000 + 2 * SECOND] {
            while let Some(time) = schedule.issue(now, 1_000) {
                times.push(time - 1_000);
            }
        }
        let quarter = SECOND / 4;
        assert_eq!(times, [0, quarter, 2 * quarter, 3 * quarter, SECOND, 5 * quarter]);
        assert!(schedule.is_over(0));
    }

    #[test]
    fn a_rate_for_a_time_is_that_many() {
        let mut schedule = Schedule::new(Pace::PerSecond(3.0), Extent::Time(2 * SECOND), 0);
        while schedule.issue(u64::MAX, 0).is_some() {}
        assert_eq!(schedule.issued, 6);
    }

    #[test]
    fn a_schedule_that_is_ended_from_outside_is_over() {
        let end = Arc::new(AtomicBool::new(false));
        let schedule = Schedule::new(Pace::PerSecond(1.0), Extent::Time(u64::MAX), 0);
        let mut schedule = schedule.until(Arc::clone(&end));
        assert_eq!((schedule.issue(0, 0), schedule.is_over(0)), (Some(0), false));
        end.store(true, Ordering::Relaxed);
        assert_eq!((schedule.issue(u64::MAX, 0), schedule.is_over(0)), (None, true));
    }

    #[test]
    fn a_schedule_that_was_stopped_has_nothing_due_any_more() {
        for extent in [Extent::Time(u64::MAX), Extent::Count(9)] {
            let mut schedule = Schedule::new(Pace::PerSecond(1.0), extent, SECOND);
            assert_eq!(schedule.issue(2 * SECOND, 0), Some(SECOND));
            assert_eq!(schedule.stop(3 * SECOND), 2.0);
            assert_eq!((schedule.issue(u64::MAX, 0), schedule.is_over(0)), (None, true));
        }
    }

    #[test]
    fn a_closed_loop_waits_until_fewer_are_under_way() {
        let mut schedule = Schedule::new(Pace::Outstanding(2), Extent::Time(SECOND), 0);
        assert_eq!(schedule.issue(5, 0), Some(5));
        assert_eq!(schedule.issue(6, 1), Some(6));
        assert_eq!(schedule.issue(7, 2), None);
        assert!(!schedule.is_over(7));
        assert_eq!(schedule.issue(SECOND, 0), None);
        assert!(schedule.is_over(SECOND));
    }
}
