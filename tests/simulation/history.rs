//! What is carried out: a seed, and what is left out of all that is drawn from it. It fits in a line of
//! environment variables, so that whoever reads of it can play it again.

use std::fmt;

use crate::complaint::{self, Complaint};
use crate::plan::{Hazard, Plan};
use crate::run::{Outcome, Run};
use crate::trace::Trace;

/// Steps, unless somebody says how many.
pub(crate) const STEPS: u32 = 3_000;
/// More take longer than anybody waits.
const STEPS_MAX: u32 = 10_000_000;
/// A bit each.
const CLIENTS_MAX: u32 = u32::BITS;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) seed: u64,
    /// Numbers of the steps that are carried out, in order.
    pub(crate) steps: Vec<u32>,
    /// Hazards that are left out, by [`Hazard::bit`].
    pub(crate) spared: u32,
    /// Clients that never do anything, by `1 << number`.
    pub(crate) dismissed: u32,
    /// Several servers share a Redis: another run, with the same number.
    pub(crate) shared: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) result: Result<Outcome, Failure>,
    pub(crate) trace: Trace,
}

/// How a run failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) complaint: Complaint,
    /// In this step; none: before the first or after the last.
    pub(crate) step: Option<u32>,
}

impl History {
    /// The first `steps` steps of a seed, and nothing left out.
    pub(crate) fn whole(seed: u64, steps: u32) -> Self {
        Self { seed, steps: (0..steps).collect(), spared: 0, dismissed: 0, shared: false }
    }

    /// The same of a run in which several servers share a Redis.
    pub(crate) fn shared(seed: u64, steps: u32) -> Self {
        Self { shared: true, ..Self::whole(seed, steps) }
    }

    pub(crate) fn plan(&self) -> Plan {
        let draw = if self.shared { Plan::draw_shared } else { Plan::draw };
        let mut plan = draw(self.seed, self.spared);
        plan.dismissed = self.dismissed;
        plan
    }

    pub(crate) fn play(&self, trace: Trace) -> Played {
        let plan = self.plan();
        let mut begun = None;
        let result = complaint::listen(|| {
            begun.insert(Run::new(&plan, trace)).play(self.steps.iter().copied())
        });
        let trace = begun.map_or_else(Trace::default, |run| run.trace);
        let result = result.map_err(|complaint| Failure { complaint, step: trace.step() });
        Played { result, trace }
    }

    /// From variables as [`History`] writes them: `REDIS`, `SEED`, then `STEPS` or `KEEP`, `SPARE`, `DISMISS`.
    pub(crate) fn parse(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let seed = variable("SEED").ok_or("SEED=... says what is played")?;
        let seed = number("SEED", &seed, u64::MAX)?;
        let steps = match (variable("STEPS"), variable("KEEP")) {
            (Some(_), Some(_)) => return Err("KEEP says which steps, so STEPS must not".to_owned()),
            (Some(count), None) => {
                (0..number("STEPS", &count, u64::from(STEPS_MAX))? as u32).collect()
            }
            (None, Some(kept)) => numbers("KEEP", &kept, STEPS_MAX)?,
            (None, None) => (0..STEPS).collect(),
        };
        let shared = variable("REDIS").is_some_and(|value| value != "0");
        let mut history = Self { seed, steps, spared: 0, dismissed: 0, shared };
        for name in variable("SPARE").unwrap_or_default().split(',').filter(|name| !name.is_empty())
        {
            let hazard = Hazard::ALL.into_iter().find(|&hazard| name_of(hazard) == name);
            history.spared |= hazard.ok_or_else(|| unknown_hazard(name))?.bit();
        }
        for client in numbers("DISMISS", &variable("DISMISS").unwrap_or_default(), CLIENTS_MAX)? {
            history.dismissed |= 1 << client;
        }
        Ok(history)
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shared {
            write!(f, "REDIS=1 ")?;
        }
        write!(f, "SEED={}", self.seed)?;
        match self.steps.last() {
            Some(&last) if self.steps.len() <= last as usize => {
                write!(f, " KEEP={}", ranges(&self.steps))?;
            }
            _ => write!(f, " STEPS={}", self.steps.len())?,
        }
        if self.spared != 0 {
            write!(f, " SPARE={}", names(self.spared).join(","))?;
        }
        if self.dismissed != 0 {
            let clients: Vec<u32> = bits(self.dismissed).collect();
            write!(f, " DISMISS={}", ranges(&clients))?;
        }
        Ok(())
    }
}

/// The numbers of the bits that are set.
pub(crate) fn bits(all: u32) -> impl Iterator<Item = u32> {
    (0..u32::BITS).filter(move |bit| all & 1 << bit != 0)
}

/// Names of hazards, by their bits.
pub(crate) fn names(hazards: u32) -> Vec<String> {
    Hazard::ALL.into_iter().filter(|hazard| hazards & hazard.bit() != 0).map(name_of).collect()
}

/// `short-calls`.
fn name_of(hazard: Hazard) -> String {
    let mut name = String::new();
    for letter in format!("{hazard:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn unknown_hazard(name: &str) -> String {
    format!("SPARE={name}: there is no such hazard, but {}", names(u32::MAX).join(", "))
}

/// Ascending numbers: `0-3,17,99`.
pub(crate) fn ranges(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let text = |run: &[u32]| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run[0].to_string(),
    };
    runs.map(text).collect::<Vec<_>>().join(",")
}

/// What [`ranges`] writes, of numbers below `end`.
fn numbers(name: &str, text: &str, end: u32) -> Result<Vec<u32>, String> {
    let mut numbers: Vec<u32> = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let most = u64::from(end) - 1;
        let (first, last) = (number(name, first, most)?, number(name, last, most)?);
        let (first, last) = (first as u32, last as u32);
        if first > last || numbers.last().is_some_and(|&before| before >= first) {
            return Err(format!("{name}: {part} is not behind what is before it"));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

/// A number that is at most `most`, the value of the variable `name`.
pub(crate) fn number(name: &str, text: &str, most: u64) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if number <= most => Ok(number),
        Ok(_) => Err(format!("{name}={text}: at most {most}")),
        Err(_) => Err(format!("{name}={text}: a number is wanted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<History, String> {
        let find = |name: &str| {
            let mut words = text.split(' ').filter_map(|word| word.split_once('='));
            words.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        History::parse(find)
    }

    #[test]
    fn a_history_is_read_as_it_was_written() {
        for text in [
            "SEED=17 STEPS=3000",
            "SEED=18446744073709551615 STEPS=0",
            "SEED=0 KEEP=1",
            "REDIS=1 SEED=3 STEPS=5",
            "SEED=17 KEEP=0-3,17,99-100 SPARE=short-calls,cut,panic-in-call DISMISS=0,3-5,31",
        ] {
            let history = parse(text).expect(text);
            assert_eq!(history.to_string(), text);
        }
        assert_eq!(parse("SEED=5"), Ok(History::whole(5, STEPS)));
        assert_eq!(parse("SEED=5 KEEP=0-1,2"), Ok(History::whole(5, 3)));
        let all = parse("SEED=5 SPARE=cut,stall").expect("right");
        assert_eq!(all.spared, Hazard::Cut.bit() | Hazard::Stall.bit());
    }

    #[test]
    fn what_is_no_history_is_said_to_be_none() {
        for (text, complaint) in [
            ("", "SEED=... says what is played"),
            ("SEED=x", "SEED=x: a number is wanted"),
            ("SEED=1 STEPS=3000000000", "STEPS=3000000000: at most 10000000"),
            ("SEED=1 STEPS=3 KEEP=1", "KEEP says which steps, so STEPS must not"),
            ("SEED=1 KEEP=1,1", "KEEP: 1 is not behind what is before it"),
            ("SEED=1 KEEP=3-2", "KEEP: 3-2 is not behind what is before it"),
            ("SEED=1 KEEP=-2", "KEEP=: a number is wanted"),
            ("SEED=1 DISMISS=32", "DISMISS=32: at most 31"),
        ] {
            assert_eq!(parse(text), Err(complaint.to_owned()), "{text}");
        }
        let complaint = parse("SEED=1 SPARE=rain").expect_err("there is no rain");
        assert!(complaint.starts_with("SPARE=rain: there is no such hazard, but short-calls, "));
    }

    #[test]
    fn a_failure_knows_its_step() {
        let history = History { steps: vec![3, 5], ..History::whole(1, 0) };
        let played = history.play(Trace::default());
        let outcome = played.result.expect("two steps hurt nobody");
        assert_eq!(played.trace.step(), None, "the last lines are of the end");
        assert_eq!(outcome.fingerprint, played.trace.fingerprint());
    }
}
