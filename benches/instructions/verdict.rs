//! What has come of a count: a table, and what has grown.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cases::{Case, FLAT};
use crate::counting::{self, Cost};

/// Growth, and fall, beyond which a figure needs a decision, in per cent.
const TOLERANCE: f64 = 5.0;
/// How much more an operation may take among ten times as many, in per cent.
const FLAT_TOLERANCE: f64 = 10.0;
/// How to say that a new figure is meant.
const ACCEPT: &str =
    "tests/run --only instructions --accept, or cargo bench --bench instructions -- --accept";

/// One of the two things that are counted, as it was committed and as it is.
struct Measure {
    what: &'static str,
    before: f64,
    now: f64,
    /// By how much it may differ.
    slack: f64,
}

impl Measure {
    /// How much more there is, in per cent.
    fn change(&self) -> f64 {
        // Something instead of nothing would be infinitely more.
        (self.now - self.before) / self.before.max(0.01) * 100.0
    }

    fn has_grown(&self) -> bool {
        self.now - self.before > self.slack
    }

    fn has_fallen(&self) -> bool {
        self.before - self.now > self.slack
    }
}

impl Cost {
    fn measures(self, before: Self) -> [Measure; 2] {
        let share = |figure: f64| figure * TOLERANCE / 100.0;
        let instructions = Measure {
            what: "instructions",
            before: before.instructions,
            now: self.instructions,
            slack: share(before.instructions),
        };
        let allocations = Measure {
            what: "allocations",
            before: before.allocations,
            now: self.allocations,
            // One more in fifty is one more; a hundredth is a buffer that grew once.
            slack: share(before.allocations).clamp(0.02, 0.5),
        };
        [instructions, allocations]
    }

    /// Whether it is another one than was committed.
    pub(crate) fn has_changed(self, before: Self) -> bool {
        self.measures(before).iter().any(|measure| measure.has_grown() || measure.has_fallen())
    }
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Verdict {
    passed: usize,
    failures: Vec<String>,
    falls: Vec<String>,
    /// The first case that has grown.
    grown: Option<&'static Case>,
}

impl Verdict {
    pub(crate) fn new() -> Self {
        let (case, change) = ("case", "change");
        println!(
            "\n{case:<19} {:>12} {:>9} {change:>8} {:>12} {:>9} {change:>8}",
            "instructions", "committed", "allocations", "committed"
        );
        Self::default()
    }

    /// Nothing has failed.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    pub(crate) fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    /// Shows a case that is compared with nothing.
    pub(crate) fn show(&self, case: &Case, now: Cost) {
        let Cost { instructions, allocations } = now;
        let (name, gap) = (case.name, "-");
        println!(
            "{name:<19} {instructions:>12} {gap:>9} {gap:>8} {allocations:>12.2} {gap:>9} {gap:>8}  {}",
            case.what
        );
    }

    /// Compares a case with its committed figures.
    pub(crate) fn compare(&mut self, case: &'static Case, now: Cost, before: Cost) {
        let name = case.name;
        let measures = now.measures(before);
        let [instructions, allocations] = &measures;
        println!(
            "{name:<19} {:>12} {:>9} {:>+7.1}% {:>12.2} {:>9.2} {:>+7.1}%  {}",
            instructions.now,
            instructions.before,
            instructions.change(),
            allocations.now,
            allocations.before,
            allocations.change(),
            case.what
        );
        self.passed += usize::from(!measures.iter().any(Measure::has_grown));
        for measure in measures {
            let Measure { what, before, now, .. } = measure;
            let change = measure.change();
            let said = format!("{name}: {before} -> {now} {what}, {change:+.1} %: {}", case.what);
            if measure.has_grown() {
                self.grown.get_or_insert(case);
                self.fail(said);
            } else if measure.has_fallen() {
                self.falls.push(said);
            }
        }
    }

    /// Costs that must not grow with the number of connections or topics.
    pub(crate) fn flat(&mut self, counted: &BTreeMap<&str, Cost>) {
        println!();
        for (few, many) in FLAT {
            let (Some(few_cost), Some(many_cost)) = (counted.get(few), counted.get(many)) else {
                continue;
            };
            let (one, other) = (few_cost.instructions, many_cost.instructions);
            let change = (other / one - 1.0) * 100.0;
            println!("{many} against {few}: {change:+.1} %, at most {FLAT_TOLERANCE:+} %");
            if change > FLAT_TOLERANCE {
                self.fail(format!("{many}: {other} instructions, {change:+.1} % against {few}"));
            } else {
                self.passed += 1;
            }
        }
    }

    /// Says what nobody may overlook. `differs`: why nothing was compared.
    pub(crate) fn tell(&self, figures: &Path, differs: Option<String>) {
        if let Some(difference) = differs {
            println!(
                "\nNOT COMPARED: the figures of {} are for {difference}\n\
                 To compare two versions of the code on this machine, run the first with\n  \
                 cargo bench --bench instructions -- --figures FILE --accept\n\
                 and the second with\n  cargo bench --bench instructions -- --figures FILE",
                figures.display()
            );
        }
        if !self.falls.is_empty() {
            println!("\nless than committed; that is good. To hold it there:\n  {ACCEPT}");
            self.falls.iter().for_each(|fall| println!("FALLEN  {fall}"));
        }
        if let Some(case) = self.grown {
            println!("\nwhere it goes:\n  callgrind_annotate {}", counting::output(case).display());
        }
        if !self.failures.is_empty() {
            println!("\nif it is worth it, say why in the commit, and accept it:\n  {ACCEPT}");
            self.failures.iter().for_each(|failure| println!("FAILED  {failure}"));
        }
        println!("\ninstructions: {} passed, {} failed", self.passed, self.failures.len());
    }
}
