//! What the hot paths take, counted by callgrind and compared with the committed figures.
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
mod verdict;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use cases::{CASES, Case};
use counting::Cost;
use figures::{Figures, Machine, machine};
use verdict::Verdict;

/// How often what is accepted, or seems to have changed, is counted. The median is taken: where the keys of a
/// hash table fall is random.
const TIMES: usize = 3;

/// Counts the instructions and allocations of the server's hot paths.
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench instructions --")]
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

type Costs = BTreeMap<&'static str, Cost>;

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
    let (machine, committed) = (machine()?, Figures::read(&arguments.figures));
    let here: Vec<String> = machine.iter().map(|(name, value)| format!("{name} {value}")).collect();
    println!("counting {} cases under callgrind: {}", wanted.len(), here.join(", "));
    if arguments.accept {
        // Nothing of the old file stays when all is counted: not even what a merge has left of it.
        let is_whole = wanted.len() == CASES.len();
        let old = if is_whole { Figures::default() } else { committed? };
        return accept(&wanted, old, &machine, &arguments.figures);
    }
    let committed = committed?;
    if committed.cases.is_empty() {
        let path = arguments.figures.display();
        return Err(format!("there are no figures in {path}; --accept writes some"));
    }
    let differs = committed.differs(&machine);
    let (counted, mut verdict) = match &differs {
        Some(_) => show(&wanted)?,
        None => compare(&wanted, &committed)?,
    };
    verdict.flat(&counted);
    verdict.tell(&arguments.figures, differs);
    Ok(verdict.is_good())
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

/// Counts cases where there is nothing to compare them with.
fn show(cases: &[&'static Case]) -> Result<(Costs, Verdict), String> {
    let counted = count(cases, 1)?;
    let verdict = Verdict::new();
    cases.iter().for_each(|case| verdict.show(case, counted[case.name]));
    Ok((counted, verdict))
}

/// Counts cases and compares them with their figures.
fn compare(cases: &[&'static Case], committed: &Figures) -> Result<(Costs, Verdict), String> {
    let mut counted = count(cases, 1)?;
    let before = |case: &Case| committed.cases.get(case.name).copied();
    let is_other =
        |case: &&Case| before(case).is_some_and(|cost| counted[case.name].has_changed(cost));
    let again: Vec<_> = cases.iter().copied().filter(is_other).collect();
    counted.extend(count(&again, TIMES)?);
    let mut verdict = Verdict::new();
    for &case in cases {
        match before(case) {
            Some(before) => verdict.compare(case, counted[case.name], before),
            None => {
                verdict.show(case, counted[case.name]);
                verdict.fail(format!("{}: has no committed figure", case.name));
            }
        }
    }
    for name in committed.cases.keys().filter(|name| CASES.iter().all(|case| case.name != **name)) {
        verdict.fail(format!("{name}: has a figure and is no case any more"));
    }
    Ok((counted, verdict))
}

/// The median of so many counts of each case.
fn count(cases: &[&'static Case], times: usize) -> Result<Costs, String> {
    let median = |mut costs: Vec<Cost>| {
        costs.sort_by(|one, other| one.instructions.total_cmp(&other.instructions));
        costs[costs.len() / 2]
    };
    let costs = counting::count_all(cases, times)?;
    Ok(cases.iter().zip(costs).map(|(case, costs)| (case.name, median(costs))).collect())
}

/// Writes the figures of these cases; those of others stay if they hold for this machine.
fn accept(
    cases: &[&'static Case],
    mut figures: Figures,
    machine: &Machine,
    path: &Path,
) -> Result<bool, String> {
    if let Some(difference) = figures.differs(machine)
        && !figures.cases.is_empty()
    {
        return Err(format!("the other figures are for {difference}: accept all cases at once"));
    }
    let counted = count(cases, TIMES)?;
    let verdict = Verdict::new();
    for case in cases {
        verdict.show(case, counted[case.name]);
        figures.cases.insert(case.name.to_owned(), counted[case.name]);
    }
    figures.write(path, machine)?;
    println!("\nwritten to {}", path.display());
    println!("\ninstructions: {} passed, 0 failed", counted.len());
    Ok(true)
}
