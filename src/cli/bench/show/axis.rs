//! Where values lie along an axis, and which of them are named on it.

use super::super::findings::Scale;
use super::number;

/// At most as many names on an axis with proportion.
const TICKS_MAX: f64 = 6.0;
/// The nines that are told apart: more than 99.9999 takes more messages than a run has.
const NINES_MAX: f64 = 6.0;

/// What differs by less is the same: steps between the two would come to nothing.
const LEAST_SPAN: f64 = 1e-12;

/// A range of values, laid out.
pub(super) struct Layout {
    scale: Scale,
    /// The ends, as `position` has them before they are divided: a logarithm, nines, or the value.
    from: f64,
    to: f64,
    /// Values with a line and a name.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Layout {
    /// An axis for all of `values`; those that cannot be on it are passed over. There is an axis even
    /// if there is none.
    pub(super) fn of(scale: Scale, values: impl Iterator<Item = f64>) -> Layout {
        let values: Vec<f64> = values.filter(|&value| belongs(scale, value)).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match scale {
            Scale::Percentile => percentile(&values),
            _ if values.is_empty() => linear(0.0, 1.0),
            Scale::Linear => linear(least, most),
            Scale::Logarithmic => logarithmic(least, most),
        }
    }

    /// Where `value` lies between the ends: 0 to 1. Nowhere, if it cannot be on such an axis.
    pub(super) fn position(&self, value: f64) -> Option<f64> {
        let at = belongs(self.scale, value).then(|| raw(self.scale, value))?;
        Some(((at - self.from) / (self.to - self.from)).clamp(0.0, 1.0))
    }
}

fn belongs(scale: Scale, value: f64) -> bool {
    match scale {
        Scale::Linear => value.is_finite(),
        Scale::Logarithmic => value.is_finite() && value > 0.0,
        Scale::Percentile => (0.0..=100.0).contains(&value),
    }
}

fn raw(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Logarithmic => value.log10(),
        Scale::Percentile => -(1.0 - value / 100.0).log10(),
    }
}

/// From 0, unless values are below it, to the next round number.
fn linear(least: f64, most: f64) -> Layout {
    let least = least.min(0.0);
    let most = if most - least > LEAST_SPAN { most } else { least + 1.0 };
    let rough = (most - least) / (TICKS_MAX - 1.0);
    let power = 10f64.powf(rough.log10().floor());
    let wanted = |&step: &f64| step * power >= rough * 0.999;
    let step = [1.0, 2.0, 5.0].into_iter().find(wanted).unwrap_or(10.0) * power;
    let (first, last) = ((least / step).floor(), (most / step * 0.999).ceil());
    let mut ticks = Vec::new();
    let mut count = first;
    while count <= last {
        ticks.push((count * step, short(count * step)));
        count += 1.0;
    }
    Layout { scale: Scale::Linear, from: first * step, to: last * step, ticks }
}

/// Between numbers that begin with 1, 2 or 5; the decades are named, and where they are few, those too.
fn logarithmic(least: f64, most: f64) -> Layout {
    let from = round_number(least, |round| round <= least * 1.001, true);
    let mut to = round_number(most, |round| round >= most * 0.999, false);
    if to <= from {
        to = from * 10.0;
    }
    let decades = (to / from).log10();
    let steps: &[f64] = if decades <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = (decades / TICKS_MAX).ceil().max(1.0);
    let mut ticks = Vec::new();
    let mut exponent = from.log10().floor();
    while exponent <= to.log10() {
        for step in steps {
            let value = step * 10f64.powf(exponent);
            if value >= from * 0.999 && value <= to * 1.001 {
                ticks.push((value, short(value)));
            }
        }
        exponent += every;
    }
    Layout { scale: Scale::Logarithmic, from: from.log10(), to: to.log10(), ticks }
}

/// The round number beside `value` that is `wanted`: the largest of them, or the smallest.
fn round_number(value: f64, wanted: impl Fn(f64) -> bool, largest: bool) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let rounds = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let found = match largest {
        true => rounds.into_iter().rev().find(|&round| wanted(round)),
        false => rounds.into_iter().find(|&round| wanted(round)),
    };
    found.unwrap_or(power)
}

/// The nines evenly spaced. 100 is infinitely far away: where it occurs it is the end of the axis, one
/// nine after the last that was told apart.
fn percentile(values: &[f64]) -> Layout {
    let nines =
        values.iter().filter(|&&value| value < 100.0).map(|&value| raw(Scale::Percentile, value));
    let last = nines.fold(1.0, f64::max).min(NINES_MAX);
    let ends_in_100 = values.contains(&100.0);
    let to = if ends_in_100 { (last + 0.001).floor() + 1.0 } else { (last - 0.001).ceil() };
    let mut ticks = Vec::new();
    let mut nines = 0;
    while f64::from(nines) <= to {
        let is_end = f64::from(nines + 1) > to;
        if ends_in_100 && is_end {
            ticks.push((100.0, "100".to_owned()));
        } else {
            let value = 100.0 * (1.0 - 10f64.powi(-nines));
            let decimals = usize::try_from(nines - 2).unwrap_or(0);
            ticks.push((value, format!("{value:.decimals$}")));
        }
        nines += 1;
    }
    Layout { scale: Scale::Percentile, from: 0.0, to, ticks }
}

/// A number that is short enough to stand below an axis.
fn short(value: f64) -> String {
    // What is left of a sum that should be round.
    let value = if value.abs() < 1e-12 { 0.0 } else { value };
    match value.abs() {
        size if size >= 1e9 => format!("{} G", number(value / 1e9)),
        size if size >= 1e6 => format!("{} M", number(value / 1e6)),
        _ => number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scale: Scale, values: &[f64]) -> Vec<String> {
        let layout = Layout::of(scale, values.iter().copied());
        layout.ticks.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn the_nines_of_a_percentile_axis_are_evenly_spaced() {
        let layout = Layout::of(Scale::Percentile, [0.0, 50.0, 99.99].into_iter());
        let names: Vec<&str> = layout.ticks.iter().map(|(_, name)| &**name).collect();
        assert_eq!(names, ["0", "90", "99", "99.9", "99.99"]);
        for (index, value) in [0.0, 90.0, 99.0, 99.9, 99.99].into_iter().enumerate() {
            let at = layout.position(value).unwrap();
            assert!((at - index as f64 / 4.0).abs() < 1e-6, "{value} lies at {at}");
        }
    }

    #[test]
    fn the_hundredth_percentile_is_the_end_of_the_axis() {
        let layout = Layout::of(Scale::Percentile, [50.0, 99.9, 100.0].into_iter());
        let names: Vec<&str> = layout.ticks.iter().map(|(_, name)| &**name).collect();
        assert_eq!(names, ["0", "90", "99", "99.9", "100"]);
        assert_eq!(layout.position(100.0), Some(1.0));
        assert!((layout.position(99.9).unwrap() - 0.75).abs() < 1e-6);
        assert_eq!(layout.position(100.1), None);
    }

    #[test]
    fn the_finest_percentiles_share_the_last_place() {
        let want = ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999"];
        assert_eq!(names(Scale::Percentile, &[99.999_999_99]), want);
        assert_eq!(names(Scale::Percentile, &[]), ["0", "90"]);
    }

    #[test]
    fn a_linear_axis_begins_at_nothing_and_ends_round() {
        let want = ["0", "2,000", "4,000", "6,000", "8,000", "10,000"];
        assert_eq!(names(Scale::Linear, &[1000.0, 9_700.0]), want);
        assert_eq!(names(Scale::Linear, &[0.0, 0.3]), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(names(Scale::Linear, &[0.0, 3e6]), ["0", "1 M", "2 M", "3 M"]);
        assert_eq!(names(Scale::Linear, &[-5.0, 5.0]), ["-6", "-4", "-2", "0", "2", "4", "6"]);
    }

    #[test]
    fn a_logarithmic_axis_names_decades_and_more_where_they_are_few() {
        assert_eq!(
            names(Scale::Logarithmic, &[30.0, 1.3e6]),
            ["100", "1,000", "10,000", "100,000", "1 M"]
        );
        assert_eq!(names(Scale::Logarithmic, &[120.0, 900.0]), ["100", "200", "500", "1,000"]);
        let every_second = ["0.01", "1", "100", "10,000", "1 M"];
        assert_eq!(names(Scale::Logarithmic, &[0.01, 2e7]), every_second);
        let layout = Layout::of(Scale::Logarithmic, [1.0, 100.0].into_iter());
        assert_eq!(layout.position(10.0), Some(0.5));
        assert_eq!(layout.position(0.0), None);
    }

    #[test]
    fn there_is_an_axis_for_no_value_one_value_and_impossible_values() {
        for scale in [Scale::Linear, Scale::Logarithmic, Scale::Percentile] {
            for values in
                [&[][..], &[0.0], &[7.0], &[f64::NAN, f64::INFINITY, -1.0], &[1e-320], &[1e18]]
            {
                let layout = Layout::of(scale, values.iter().copied());
                assert!(layout.to > layout.from, "{scale:?} {values:?}");
                assert!((2..=8).contains(&layout.ticks.len()), "{scale:?} {values:?}");
                let inside = |&(value, _): &(f64, String)| layout.position(value).is_some();
                assert!(layout.ticks.iter().all(inside), "{scale:?} {values:?}");
            }
        }
    }
}
