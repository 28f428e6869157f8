//! Latencies, as HDR histograms of nanoseconds.

use hdrhistogram::Histogram;

use super::findings::{Figure, Series};

/// The longest latency that is told from longer ones: an hour.
const LATENCY_MAX: u64 = 3_600_000_000_000;

/// How long something took, many times.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX, 3);
        Self { histogram: histogram.expect("the bounds are in order") }
    }
}

impl Latencies {
    /// Records one, in nanoseconds.
    pub(super) fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// That which so many percent do not exceed, in microseconds.
    pub(super) fn percentile_us(&self, percent: f64) -> f64 {
        self.histogram.value_at_percentile(percent) as f64 / 1e3
    }

    /// Adds what another has recorded.
    pub(super) fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("the bounds are the same");
    }

    /// Figures of the percentiles that have these names.
    pub(super) fn figures(&self, of: &str, names: &[(&'static str, f64)]) -> Vec<Figure> {
        let figure = |&(name, percent)| Figure {
            name,
            of: of.to_owned(),
            value: self.percentile_us(percent),
        };
        if self.count() == 0 { Vec::new() } else { names.iter().map(figure).collect() }
    }

    /// The line of a plot over percentiles; values in milliseconds.
    pub(super) fn series(&self, name: &str) -> Series {
        let mut percents = vec![0.0];
        // From half to half of the rest, while there is enough of it to speak of.
        let mut rest = 100.0;
        while self.count() > 0 && rest / 100.0 * self.count() as f64 >= 1.0 {
            rest /= 2.0_f64.powf(0.25);
            percents.push(100.0 - rest);
        }
        let point = |&percent: &f64| (percent, self.percentile_us(percent) / 1e3);
        Series { name: name.to_owned(), points: percents.iter().map(point).collect() }
    }
}

/// A duration in microseconds, as people read it.
pub(super) fn readable_us(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e4 => format!("{:.2} ms", us / 1e3),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let mut latencies = Latencies::default();
        for millisecond in 1..=1_000_u64 {
            latencies.record(millisecond * 1_000_000);
        }
        for (percent, expected) in [(50.0, 5e5), (90.0, 9e5), (99.0, 9.9e5), (100.0, 1e6)] {
            let found = latencies.percentile_us(percent);
            assert!((found / expected - 1.0).abs() < 1e-3, "{percent}: {found}");
        }
        assert_eq!(latencies.figures("x", &[("latency_p50_us", 50.0)]).len(), 1);
    }

    #[test]
    fn what_is_beyond_every_bound_is_recorded_as_the_longest() {
        let mut latencies = Latencies::default();
        latencies.record(u64::MAX);
        latencies.record(0);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.percentile_us(100.0) > 3.5e9);
    }

    #[test]
    fn a_plot_rises_and_does_not_speak_of_more_nines_than_there_are() {
        let mut latencies = Latencies::default();
        (1..=1_000).for_each(|us| latencies.record(us * 1_000));
        let points = latencies.series("x").points;
        assert!(points.is_sorted_by(|left, right| left.0 < right.0 && left.1 <= right.1));
        assert!(points.last().is_some_and(|last| last.0 > 99.8 && last.0 < 99.99));
        assert_eq!(Latencies::default().series("x").points.len(), 1);
    }

    #[test]
    fn nothing_recorded_gives_no_figures() {
        assert!(Latencies::default().figures("x", &[("latency_p50_us", 50.0)]).is_empty());
    }

    #[test]
    fn durations_are_readable() {
        let read = [12.3, 1_234.0, 12_345.0, 2_500_000.0].map(readable_us);
        assert_eq!(read, ["12 µs", "1.23 ms", "12 ms", "2.50 s"]);
    }
}
