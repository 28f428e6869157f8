//! What is said of a history that fails: the complaint, how to see it again, and the shortest history that
//! does the same, with its plan, its steps and the end of its trace.

use std::fmt::{Debug, Write};

use tidings::limits::Limits;

use crate::history::{Failure, History, names, ranges};
use crate::net::Weather;
use crate::plan::Plan;
use crate::shrink::{Ballast, shrink};
use crate::topics::name;
use crate::trace::Trace;

/// Histories that are tried to find a shorter one, unless somebody says how many.
pub(crate) const RUNS_MAX: u32 = 600;
/// Lines of the trace.
const TRACE_LINES: usize = 60;
/// Of each; payloads are long.
const LINE_CHARS_MAX: usize = 240;
/// Lines about the steps: those that could not be made few are not read.
const STEP_LINES_MAX: usize = 80;

/// See the module. Plays up to `runs_max` histories to find the shortest.
pub(crate) fn report(history: &History, failure: &Failure, runs_max: u32) -> String {
    let mut text = complaint(history, failure);
    let place = &failure.complaint.place;
    let fails = |shorter: &History| {
        let failure = shorter.play(Trace::default()).result.err();
        failure.filter(|failure| failure.complaint.place == *place)
    };
    if fails(history).as_ref() != Some(failure) {
        text += "\nIt does not fail like that a second time: something in it is not drawn from the seed.\n";
        return text;
    }
    let plan = history.plan();
    let clients = (1 << plan.roles.len()) - 1;
    let ballast = Ballast { hazards: plan.hazards, clients };
    let shrunk = shrink(history.clone(), failure.clone(), ballast, runs_max, fails);
    let short = &shrunk.history;
    let needed = clients & !short.dismissed;
    let _ = writeln!(
        text,
        "\nThe shortest history that fails there, after {} runs: {} of {} steps, {} of {} clients, {}.\n{}",
        shrunk.runs,
        short.steps.len(),
        history.steps.len(),
        needed.count_ones(),
        plan.roles.len(),
        hazards(short.plan().hazards),
        command(short)
    );
    if shrunk.failure.complaint.text != failure.complaint.text {
        let _ = writeln!(text, "{}", shrunk.failure.complaint.text);
    }
    let short_plan = short.plan();
    text += &describe(&short_plan);
    text += &steps(&short_plan, &short.steps);
    let _ = writeln!(text, "\nThe end of its trace:");
    for line in short.play(Trace::default()).trace.tail(TRACE_LINES) {
        let shown: String = line.chars().take(LINE_CHARS_MAX).collect();
        let _ = writeln!(text, "{shown}");
    }
    text
}

/// What is wrong, and how to see it again.
pub(crate) fn complaint(history: &History, failure: &Failure) -> String {
    let when = match failure.step {
        Some(step) => format!("in step {step}"),
        None => "when all steps are over".to_owned(),
    };
    let (text, place) = (&failure.complaint.text, &failure.complaint.place);
    format!("Seed {} fails {when}, at {place}:\n{text}\n\n{}\n", history.seed, command(history))
}

/// What to type to play a history.
pub(crate) fn command(history: &History) -> String {
    let profile = if cfg!(debug_assertions) { "" } else { "--release " };
    format!("{history} cargo test {profile}--test simulation replay -- --ignored --nocapture")
}

fn hazards(hazards: u32) -> String {
    match names(hazards) {
        names if names.is_empty() => "no hazards".to_owned(),
        names => format!("with {}", names.join(", ")),
    }
}

/// How the server is set up, and who comes.
pub(crate) fn describe(plan: &Plan) -> String {
    let topics: Vec<&str> = (0..plan.topics).map(name).collect();
    let roles = plan.roles.iter().enumerate().filter(|(number, _)| !plan.is_dismissed(*number));
    let roles: Vec<String> = roles.map(|(number, role)| format!("{number} {role:?}")).collect();
    format!(
        "\nIts plan: {} workers, at most {} connections, topics {topics:?}\n  \
         limits that are not the defaults: {}\n  weather that is not fair: {}\n  clients: {}\n",
        plan.config.workers,
        plan.config.connections_max,
        differences(&plan.config.limits, &Limits::default()),
        differences(&plan.weather(), &Weather::FAIR),
        roles.join(", ")
    )
}

/// The fields of `one` that are not as in `other`.
fn differences<T: Debug>(one: &T, other: &T) -> String {
    let (one, other) = (format!("{one:#?}"), format!("{other:#?}"));
    let pairs = one.lines().zip(other.lines());
    let fields = pairs.filter(|(one, other)| one != other);
    let fields: Vec<&str> = fields.map(|(one, _)| one.trim().trim_end_matches(',')).collect();
    if fields.is_empty() { "none".to_owned() } else { fields.join(", ") }
}

/// What happens in each step, a line for those in a row that are alike.
fn steps(plan: &Plan, steps: &[u32]) -> String {
    let mut text = "\nIts steps:\n".to_owned();
    let act = |step: &u32| plan.step(*step).0;
    let runs: Vec<&[u32]> = steps.chunk_by(|one, next| act(one) == act(next)).collect();
    for run in runs.iter().take(STEP_LINES_MAX) {
        let _ = writeln!(text, "  {:?} x {}: {}", act(&run[0]), run.len(), ranges(run));
    }
    if runs.len() > STEP_LINES_MAX {
        let _ = writeln!(text, "  and {} lines more", runs.len() - STEP_LINES_MAX);
    }
    text
}
