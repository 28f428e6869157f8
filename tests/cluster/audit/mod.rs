//! The auditor: says what is wrong with a record of what was promised and what was received.
//!
//! Per topic: every id has one payload, wherever it was seen, and every payload one id, unless Redis has lost it; epochs
//! follow one another in one order for everybody; what somebody receives follows what he had, or a gap
//! declares what lies between; and what was acknowledged is delivered to everybody or lies in such a gap.

mod topic;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use crate::history::{Loss, Record};

/// A complaint says the topic and, where there is one, the subscriber.
pub type Complaint = String;

/// Complaints that are kept; behind them is only more of the same.
const COMPLAINTS_MAX: usize = 40;

/// What may happen in a run.
#[derive(Copy, Clone, Debug)]
pub struct Rules {
    pub loss: Loss,
    /// Gaps may be declared: the logs of the run are shorter than what somebody may miss, or Redis has lost something.
    pub gaps: bool,
}

impl Rules {
    /// Everybody receives everything.
    pub const STRICT: Self = Self { loss: Loss::Nothing, gaps: false };
    /// Logs are short.
    pub const TRIMMED: Self = Self { loss: Loss::Nothing, gaps: true };
    /// Redis begins empty.
    pub const LIVES: Self = Self { loss: Loss::Lives, gaps: true };
    /// A replica takes over.
    pub const TAILS: Self = Self { loss: Loss::Tails, gaps: true };
}

/// The figures of a run in which nothing is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub acknowledged: usize,
    pub delivered: usize,
    /// Epochs of all topics.
    pub epochs: usize,
    /// Gaps that were declared.
    pub gaps: usize,
    /// Acknowledged messages that lie in gaps, for each who was told so.
    pub declared: usize,
    /// Acknowledged messages that a replica had not heard of, for each who could not be told.
    pub untold: usize,
    /// Payloads that were published again, as Redis had lost the first time.
    pub again: usize,
}

/// Looks at everything.
pub fn audit(record: &Record, rules: Rules) -> Result<Figures, Vec<Complaint>> {
    let mut complaints = record.wrongs.clone();
    let mut figures = Figures { acknowledged: record.acknowledged.len(), ..Figures::default() };
    for (name, topic) in by_topic(record) {
        let mut about = topic::Topic::new(name, rules);
        about.learn(&topic);
        about.look_at_ids();
        about.look_at_order(&topic);
        for history in &topic.histories {
            about.follow(history, &topic);
        }
        about.add_to(&mut figures);
        complaints.extend(about.complaints);
    }
    if complaints.is_empty() {
        return Ok(figures);
    }
    let more = complaints.len().saturating_sub(COMPLAINTS_MAX);
    complaints.truncate(COMPLAINTS_MAX);
    if more > 0 {
        complaints.push(format!("... and {more} more"));
    }
    Err(complaints)
}

/// The part of a record that is about one topic.
fn by_topic(record: &Record) -> BTreeMap<&str, topic::Part<'_>> {
    let mut topics: BTreeMap<&str, topic::Part<'_>> = BTreeMap::new();
    for (topic, payload) in &record.attempted {
        topics.entry(topic).or_default().attempted.insert(payload);
    }
    for one in &record.acknowledged {
        topics.entry(&one.topic).or_default().acknowledged.push(one);
    }
    for history in &record.histories {
        topics.entry(&history.topic).or_default().histories.push(history);
    }
    let named: HashSet<&str> = topics.keys().copied().collect();
    debug_assert_eq!(named.len(), topics.len());
    topics
}
