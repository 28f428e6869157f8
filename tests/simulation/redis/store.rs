//! What the simulated Redis keeps: of each topic its state, its log and the keys of its publishes. A clone is what
//! a replica had, or a disk; it costs little.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::judge::ledger::{Place, Shared};

/// The hash of a topic's state.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) life: String,
    pub(super) epoch: String,
    pub(super) sequence: u64,
    pub(super) terms: Vec<(String, u64)>,
    pub(super) bytes: usize,
    pub(super) trimmed: usize,
    pub(super) renewed_ms: u64,
    /// When it expires.
    pub(super) ends_ms: u64,
    /// Where this is in the ledger.
    pub(super) head: Place,
}

/// An entry of a topic's stream.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) sequence: u64,
    pub(super) time_ms: u64,
    pub(super) record: Rc<[u8]>,
    pub(super) bytes_before: usize,
}

/// All keys of one topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Topic {
    pub(super) state: Option<State>,
    pub(super) log: VecDeque<Item>,
    /// When the log expires; never: `u64::MAX`.
    pub(super) log_ends_ms: u64,
    /// What publishes with a key were answered, and when that expires.
    pub(super) keys: BTreeMap<Vec<u8>, (String, u64)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub(super) topics: BTreeMap<String, Rc<Topic>>,
}

impl Topic {
    pub(super) fn clear_log(&mut self) {
        self.log.clear();
        self.log_ends_ms = u64::MAX;
    }

    fn has_expired(&self, now_ms: u64) -> bool {
        self.state.as_ref().is_some_and(|state| state.ends_ms <= now_ms)
            || !self.log.is_empty() && self.log_ends_ms <= now_ms
            || self.keys.values().any(|(_, ends_ms)| *ends_ms <= now_ms)
    }
}

impl Store {
    /// The topic of this name, to be changed.
    pub(super) fn topic(&mut self, name: &str) -> &mut Topic {
        Rc::make_mut(self.topics.entry(name.to_owned()).or_default())
    }

    /// What has come to its end is gone.
    pub(super) fn expire(&mut self, now_ms: u64, ledger: &Shared) {
        for (name, topic) in &mut self.topics {
            if !topic.has_expired(now_ms) {
                continue;
            }
            let topic = Rc::make_mut(topic);
            if topic.state.take_if(|state| state.ends_ms <= now_ms).is_some() {
                ledger.borrow_mut().lose(name, None, &[]);
            }
            if topic.log_ends_ms <= now_ms {
                topic.clear_log();
            }
            topic.keys.retain(|_, (_, ends_ms)| *ends_ms > now_ms);
        }
    }

    /// When something expires next; never: `u64::MAX`.
    pub(super) fn next_end_ms(&self) -> u64 {
        let ends = self.topics.values().filter_map(|topic| topic.state.as_ref());
        ends.map(|state| state.ends_ms).min().unwrap_or(u64::MAX)
    }

    /// The ledger is told what there is now, of everything that there ever was.
    pub(super) fn tell(&self, ledger: &Shared, before: &Self) {
        let mut ledger = ledger.borrow_mut();
        ledger.note_loss();
        for name in before.topics.keys().chain(self.topics.keys()) {
            let state = self.topics.get(name).and_then(|topic| topic.state.as_ref());
            let terms = state.map_or(&[][..], |state| &state.terms);
            ledger.lose(name, state.map(|state| state.head), terms);
        }
    }
}
