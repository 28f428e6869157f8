//! A line of the table: figures of several repeats, what they are divided by, and what they must reach.

/// Figures with and without a unit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// What a line must reach, and what it aims at.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) better: Better,
    pub(crate) must: f64,
    pub(crate) aim: f64,
}

/// A figure in several repeats.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    name: String,
    unit: &'static str,
    ours: Vec<f64>,
    /// Of the same repeats; empty where the figure is judged by itself.
    floor: Vec<f64>,
    /// None where it only explains another line.
    mark: Option<Mark>,
}

/// The middle one, and the outermost ones.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Mark {
    pub(crate) fn at_most(must: f64, aim: f64) -> Option<Self> {
        Some(Self { better: Better::Lower, must, aim })
    }

    pub(crate) fn at_least(must: f64, aim: f64) -> Option<Self> {
        Some(Self { better: Better::Higher, must, aim })
    }

    fn reached(&self, value: f64) -> &'static str {
        let reaches = |bound: f64| match self.better {
            Better::Lower => value <= bound,
            Better::Higher => value >= bound,
        };
        match (reaches(self.aim), reaches(self.must)) {
            (true, _) => "aim",
            (false, true) => "yes",
            (false, false) => "NO",
        }
    }
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Self { median, min: sorted[0], max: *sorted.last().unwrap() }
    }
}

impl Line {
    /// A figure that is judged by itself.
    pub(crate) fn alone(name: &str, unit: &'static str, ours: &[f64], mark: Option<Mark>) -> Self {
        Self::against(name, unit, ours, &[], mark)
    }

    /// A figure that is judged by its ratio to the floor's of the same repeat.
    pub(crate) fn against(
        name: &str,
        unit: &'static str,
        ours: &[f64],
        floor: &[f64],
        mark: Option<Mark>,
    ) -> Self {
        let name = name.to_owned();
        Self { name, unit, ours: ours.to_vec(), floor: floor.to_vec(), mark }
    }

    /// Repeat by repeat, so that a machine that changes its speed meanwhile changes both.
    fn judged(&self) -> Spread {
        if self.floor.is_empty() {
            return Spread::of(&self.ours);
        }
        let ratios: Vec<f64> =
            self.ours.iter().zip(&self.floor).map(|(own, floor)| own / floor).collect();
        Spread::of(&ratios)
    }

    fn cells(&self) -> Vec<String> {
        let judged = self.judged();
        let number = |figures: &[f64]| {
            if figures.is_empty() { String::new() } else { digits(Spread::of(figures).median) }
        };
        let (must, aim, reached) = self.mark.map_or_else(Default::default, |mark| {
            let sign = if mark.better == Better::Lower { "≤ " } else { "≥ " };
            let bound = |bound: f64| format!("{sign}{bound}");
            (bound(mark.must), bound(mark.aim), mark.reached(judged.median).to_owned())
        });
        let of = if self.floor.is_empty() { "" } else { "x" };
        let spread = format!(
            "{}{of} ({}–{}, {})",
            digits(judged.median),
            digits(judged.min),
            digits(judged.max),
            self.ours.len()
        );
        vec![
            if self.unit.is_empty() {
                self.name.clone()
            } else {
                format!("{}, {}", self.name, self.unit)
            },
            number(&self.ours),
            number(&self.floor),
            spread,
            must,
            aim,
            reached,
        ]
    }
}

/// Three digits that say something.
fn digits(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The lines as a Markdown table.
pub(crate) fn table(lines: &[Line]) -> String {
    let head = [
        "figure",
        "tidings",
        "floor",
        "judged: median (min–max, repeats)",
        "must",
        "aim",
        "reached",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.push(["---", "---:", "---:", "---:", "---:", "---:", "---"].map(String::from).to_vec());
    rows.extend(lines.iter().map(Line::cells));
    rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect()
}
