//! What somebody watches: one history again, or seeds for as long as he likes.

#![allow(clippy::disallowed_methods, reason = "it says how long it has been going in real time")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::coverage::Mark;
use crate::history::{History, number};
use crate::many::{Many, Totals};
use crate::plan::Hazard;
use crate::report::{RUNS_MAX, complaint, describe, report};
use crate::trace::Trace;

/// From one line to the next.
const EVERY: Duration = Duration::from_secs(10);
/// Steps of a seed that is not played for itself.
const STEPS: u64 = 5_000;
/// Failures in different places that are told with their whole story.
const STORIES_MAX: usize = 5;

/// A number in an environment variable, or `default` if there is none.
pub(crate) fn from_environment(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    number(name, &text, u64::MAX).unwrap_or_else(|complaint| panic!("{complaint}"))
}

/// Whether `REDIS` wants runs in which several servers share one.
pub(crate) fn is_shared() -> bool {
    from_environment("REDIS", 0) > 0
}

/// Plays what the environment says: see [`History::parse`]. With `TRACE=1` the
/// whole trace is written, and otherwise the shortest history is sought in `RUNS` runs if it fails.
pub(crate) fn replay() {
    let history = History::parse(|name| std::env::var(name).ok());
    let history = history.unwrap_or_else(|complaint| panic!("{complaint}"));
    let runs_max = from_environment("RUNS", RUNS_MAX.into()) as u32;
    let wants_trace = from_environment("TRACE", 0) > 0;
    let trace = if wants_trace { Trace::whole() } else { Trace::default() };
    let played = history.play(trace);
    eprint!("{}", played.trace.text());
    match played.result {
        Ok(outcome) => eprintln!("{}\n{outcome:?}", describe(&history.plan())),
        Err(failure) if wants_trace => panic!("{}", complaint(&history, &failure)),
        Err(failure) => panic!("{}", report(&history, &failure, runs_max)),
    }
}

/// Plays seeds from some seed on for `MINUTES`, whether they fail or not.
pub(crate) fn long() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let first = from_environment("FIRST", clock);
    let minutes = from_environment("MINUTES", 60);
    let many = Many {
        seeds: first..u64::MAX,
        steps: from_environment("STEPS", STEPS) as u32,
        shared: is_shared(),
    };
    eprintln!("{minutes} minutes of seeds of {} steps, FIRST={first}", many.steps);
    let began = Instant::now();
    let mut said = began;
    let totals = many.play(|totals| {
        let now = Instant::now();
        if now - said >= EVERY {
            said = now;
            eprintln!("{}", line(totals, now - began));
        }
        now - began < Duration::from_secs(60 * minutes)
    });
    eprintln!("{}\n{}", line(&totals, began.elapsed()), totals.line());
    eprintln!("Runs that reached each mark:\n{}", totals.reached.lines().join("\n"));
    eprintln!("Never reached: {}", totals.reached.never().join("; "));
    assert!(totals.failures.is_empty(), "{}", many.tell(&totals, STORIES_MAX));
}

/// How it goes.
fn line(totals: &Totals, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(0.001);
    let hazards = Hazard::ALL.iter().filter(|&&hazard| totals.hazards[hazard as usize] > 0);
    let hazards = hazards.map(|&hazard| format!("{hazard:?} {}", totals.hazards[hazard as usize]));
    let hazards: Vec<String> = hazards.collect();
    format!(
        "{:>6.0} s: {} seeds, {:.1}/s, {:.0} steps/s, {} failed, {} of {} marks; {}",
        seconds,
        totals.seeds,
        totals.seeds as f64 / seconds,
        totals.steps as f64 / seconds,
        totals.failures.len(),
        totals.reached.count(),
        Mark::COUNT,
        hazards.join(", ")
    )
}
