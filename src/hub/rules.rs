//! What the operator chose for each topic, settled when the topic begins, and again after a reload.
//!
//! A reload gives the rules another version. A topic whose version is older is settled anew when it is used next,
//! and a sweep goes past all of them, some in each tick, so that what is retained shrinks at once and not with
//! the next message.

use std::sync::Arc;

use super::Hub;
use crate::config::{Config, RuleId, TopicRule, TopicRules};
use crate::limits::Limits;
use crate::time::Instant;
use crate::topic::{Retention, TopicName};

/// Messages that a sweep forgets in a tick, but for the rest of one topic's: dropping one is a hundred
/// nanoseconds or two.
const FORGOTTEN_PER_TICK: usize = 4 * 1024;

/// The rules, and how far a sweep is.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Arc<TopicRules>,
    /// What each of them comes to, in their order.
    retentions: Vec<Retention>,
    /// Counts reloads. It may come round: no sweep lasts that long.
    version: u16,
    /// The slot that the sweep looks at next, while there is one.
    sweep: Option<usize>,
}

/// Which rule holds for a topic.
#[derive(Copy, Clone, Debug)]
pub(super) struct Ruled {
    id: RuleId,
    version: u16,
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        let retentions = config.topics.all().iter().map(|rule| retention(rule, &config.limits));
        let (rules, retentions) = (Arc::clone(&config.topics), retentions.collect());
        Self { rules, retentions, version: 0, sweep: None }
    }

    /// Settles which rule holds for a topic.
    pub(super) fn settle(&self, topic: &TopicName) -> Ruled {
        Ruled { id: self.rules.find(topic.as_str()), version: self.version }
    }

    /// What a topic retains that is settled in this version.
    pub(super) fn retention(&self, ruled: Ruled) -> Retention {
        self.retentions[ruled.id.index()]
    }
}

/// What a rule says, and the server's limits where it says nothing.
fn retention(rule: &TopicRule, limits: &Limits) -> Retention {
    Retention {
        messages: rule.log_messages.unwrap_or(limits.log_messages) as usize,
        bytes: rule.log_bytes.unwrap_or(limits.log_bytes),
        age_ms: rule.log_age_ms.unwrap_or(limits.log_age_ms),
    }
}

impl Hub {
    /// From now on, what `config` says holds. What topics retain shrinks in this tick and those that follow;
    /// replicas follow their own worker's configuration, which is the same.
    pub fn reconfigure(&mut self, config: &Config) {
        let limits = &config.limits;
        let version = self.rules.version.wrapping_add(1);
        self.rules = Rules { version, sweep: Some(0), ..Rules::new(config) };
        self.topic_idle_ms = limits.topic_idle_ms;
        self.memory_max = config.share(limits.memory_bytes_max);
        self.room.reconfigure(config);
        self.remembered
            .reconfigure(limits.idempotency_window_ms, limits.idempotency_keys_max as usize);
    }

    /// What the topic in that slot retains.
    pub(super) fn retention(&mut self, slot: u32) -> Retention {
        let topic = &mut self.topics[slot as usize];
        if topic.ruled.version != self.rules.version {
            topic.ruled = self.rules.settle(&topic.name);
        }
        self.rules.retention(topic.ruled)
    }

    /// Goes on with a sweep. Whether there is more to do in the next tick.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        let Some(from) = self.rules.sweep else { return false };
        let until = from + self.budgets.timers_per_tick;
        let mut forgotten = 0;
        for slot in from..until {
            if slot >= self.topics.capacity() {
                self.rules.sweep = None;
                return false;
            }
            self.rules.sweep = Some(slot + 1);
            if let Some(topic) = self.topics.get(slot) {
                let before = topic.log.len();
                let slot = slot as u32;
                self.trim(now, slot);
                self.arm(slot);
                forgotten += before - self.topics[slot as usize].log.len();
            }
            if forgotten >= FORGOTTEN_PER_TICK {
                break;
            }
        }
        true
    }
}
