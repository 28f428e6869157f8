//! Instructions that the hot paths take, counted by callgrind and compared with the committed figures.
//!
//! `cargo bench --bench instructions` counts all cases and fails when one has grown by more than 5 %;
//! `-- CASE…` counts some; `-- --accept` writes what was counted into `benches/instructions.txt`
//! (docs/hacking.md, *Counting instructions*). Time on a shared machine says nothing about a few per cent; the
//! number of instructions is the same every time, and a change in it is a change in the code.

#![allow(clippy::print_stdout, reason = "a measuring program: its table is what it is for")]

mod cases;
mod counting;
mod figures;
mod requests;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use cases::{CASES, Case, FLAT};
use figures::{Figures, Machine, machine};

/// Growth, and fall, beyond which a figure needs a decision, in per cent.
const TOLERANCE: f64 = 5.0;
/// How much more an operation may take among ten times as many, in per cent.
const FLAT_TOLERANCE: f64 = 10.0;
/// How often an accepted figure, or one that seems to have changed, is counted. The median is taken: where a
/// hash table's keys fall is random.
const TIMES: usize = 3;

/// Counts the instructions of the server's hot paths.
#[derive(Parser)]
struct Arguments {
    /// Cases to count (default: all)
    cases: Vec<String>,
    /// Writes what is counted as the figures to compare with
    #[arg(long)]
    accept: bool,
    /// The file of figures
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt"))]
    figures: PathBuf,
    /// Plays one case, under callgrind
    #[arg(long, hide = true, value_name = "CASE")]
    play: Option<String>,
    /// What Cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(name) = &arguments.play {
        counting::play(CASES.iter().find(|case| case.name == name).expect("a case"));
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing has grown.
fn run(arguments: &Arguments) -> Result<bool, String> {
    if cfg!(debug_assertions) {
        return Err("this is no optimised build: cargo bench --bench instructions".to_owned());
    }
    let wanted = wanted(&arguments.cases)?;
    let (machine, committed) = (machine()?, Figures::read(&arguments.figures)?);
    let here: Vec<String> = machine.iter().map(|(name, value)| format!("{name} {value}")).collect();
    println!("counting {} cases under callgrind: {}", wanted.len(), here.join(", "));
    if arguments.accept {
        return accept(&wanted, committed, &machine, &arguments.figures);
    }
    if committed.cases.is_empty() {
        let path = arguments.figures.display();
        return Err(format!("there are no figures in {path}; --accept writes some"));
    }
    let is_whole = arguments.cases.is_empty();
    let differs = committed.differs(&machine);
    let counted = count(&wanted, &committed, differs.is_none())?;
    let mut verdict = Verdict::default();
    println!("\n{:<22} {:>12} {:>12} {:>9}", "case", "instructions", "committed", "change");
    for case in &wanted {
        let figure = committed.cases.get(case.name).filter(|_| differs.is_none()).copied();
        verdict.compare(case, counted[case.name], figure, differs.is_none());
    }
    if is_whole && differs.is_none() {
        for name in committed.cases.keys().filter(|name| !counted.contains_key(name.as_str())) {
            verdict.fail(format!("{name}: has a figure and is no case any more"));
        }
    }
    verdict.flat(&counted);
    verdict.tell(arguments, differs);
    Ok(verdict.failures.is_empty())
}

/// The cases of these names, or all.
fn wanted(names: &[String]) -> Result<Vec<&'static Case>, String> {
    if let Some(name) = names.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
        let all: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        return Err(format!("there is no case {name}, but {}", all.join(", ")));
    }
    let is_wanted = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name);
    Ok(CASES.iter().filter(is_wanted).collect())
}

/// Counts each case once, and again what seems to have changed.
fn count(
    cases: &[&'static Case],
    committed: &Figures,
    compares: bool,
) -> Result<BTreeMap<&'static str, u64>, String> {
    let counts = counting::count_all(cases, 1)?;
    let mut counted: BTreeMap<_, _> =
        cases.iter().zip(&counts).map(|(case, counts)| (case.name, counts[0])).collect();
    let has_changed = |case: &&Case| {
        let figure = committed.cases.get(case.name).filter(|_| compares);
        figure.is_some_and(|&figure| change(figure, counted[case.name]).abs() > TOLERANCE)
    };
    let again: Vec<_> = cases.iter().copied().filter(has_changed).collect();
    counted.extend(medians(&again)?);
    Ok(counted)
}

fn medians(cases: &[&'static Case]) -> Result<BTreeMap<&'static str, u64>, String> {
    let median = |mut counts: Vec<u64>| {
        counts.sort_unstable();
        counts[counts.len() / 2]
    };
    let counts = counting::count_all(cases, TIMES)?;
    Ok(cases.iter().zip(counts).map(|(case, counts)| (case.name, median(counts))).collect())
}

/// Writes the figures of these cases; those of others stay if they hold for this machine.
fn accept(
    cases: &[&'static Case],
    committed: Figures,
    machine: &Machine,
    path: &Path,
) -> Result<bool, String> {
    let (differs, is_whole) = (committed.differs(machine), cases.len() == CASES.len());
    if let Some(difference) = differs.filter(|_| !is_whole && !committed.cases.is_empty()) {
        return Err(format!("the other figures are for {difference}: accept all cases at once"));
    }
    let counted = medians(cases)?;
    let mut figures = committed;
    for (name, count) in cases.iter().map(|case| (case.name, counted[case.name])) {
        let before = figures.cases.insert(name.to_owned(), count);
        let before = before.map_or("new".to_owned(), |before| before.to_string());
        println!("{name:<22} {before:>12} -> {count}");
    }
    figures.write(path, machine)?;
    println!("\nwritten to {}", path.display());
    println!("\ninstructions: {} passed, 0 failed", counted.len());
    Ok(true)
}

/// How much larger `now` is than `before`, in per cent.
fn change(before: u64, now: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

/// What has come of it.
#[derive(Default)]
struct Verdict {
    passed: usize,
    failures: Vec<String>,
    falls: Vec<String>,
}

impl Verdict {
    fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    /// Shows a case, and judges it if there is something to judge it by.
    fn compare(&mut self, case: &Case, now: u64, committed: Option<u64>, compares: bool) {
        let name = case.name;
        let Some(before) = committed else {
            println!("{name:<22} {now:>12} {:>12} {:>9}  {}", "-", "", case.what);
            if compares {
                self.fail(format!("{name}: has no committed figure"));
            }
            return;
        };
        let change = change(before, now);
        println!("{name:<22} {now:>12} {before:>12} {change:>+8.1}%  {}", case.what);
        let said = format!("{name}: {before} -> {now} instructions, {change:+.1} %: {}", case.what);
        if change > TOLERANCE {
            self.fail(said);
            return;
        }
        self.passed += 1;
        if change < -TOLERANCE {
            self.falls.push(said);
        }
    }

    /// Costs that must not grow with the number of connections or topics.
    fn flat(&mut self, counted: &BTreeMap<&str, u64>) {
        println!();
        for (few, many) in FLAT {
            let (Some(&one), Some(&other)) = (counted.get(few), counted.get(many)) else {
                continue;
            };
            let change = change(one, other);
            println!("{many} takes {change:+.1} % of {few}; it may {FLAT_TOLERANCE:+} %");
            if change > FLAT_TOLERANCE {
                self.fail(format!("{many}: {other} instructions, {change:+.1} % of {few}: {one}"));
            } else {
                self.passed += 1;
            }
        }
    }

    fn tell(&self, arguments: &Arguments, differs: Option<String>) {
        let accept = "tests/run --only instructions --accept, or cargo bench --bench instructions -- --accept";
        if let Some(difference) = differs {
            println!(
                "\nNOT COMPARED: the figures of {} are for {difference}.\n\
                 To compare two versions of the code on this machine, run the first with\n  \
                 cargo bench --bench instructions -- --figures FILE --accept\n\
                 and the second with\n  cargo bench --bench instructions -- --figures FILE",
                arguments.figures.display()
            );
        }
        if !self.falls.is_empty() {
            println!(
                "\nfewer instructions than committed; that is good. To hold it there:\n  {accept}"
            );
            self.falls.iter().for_each(|fall| println!("FALLEN  {fall}"));
        }
        if !self.failures.is_empty() {
            println!(
                "\nwhere they go: callgrind_annotate {}",
                counting::output(&CASES[0]).display()
            );
            println!("if it is worth it, accept it and say why in the commit:\n  {accept}");
            self.failures.iter().for_each(|failure| println!("FAILED  {failure}"));
        }
        println!("\ninstructions: {} passed, {} failed", self.passed, self.failures.len());
    }
}
