//! What the operator chose, as plain values.

mod topics;

pub use self::topics::{Publishers, RuleId, Scope, TopicRule, TopicRules, TopicSettings};

use crate::fuse::Fuse;
use crate::limits::{Budgets, Limits};

/// Everything that a worker needs to know about how it is run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Origins that are allowed beside the server's own.
    pub origins: Origins,
    /// Every bound.
    pub limits: Limits,
    /// What is different for some topics.
    pub topics: TopicRules,
    /// Whether the page at `/` is served.
    pub page: bool,
    /// Connections on the whole server, settled from the flag and the descriptor limit.
    pub connections_max: usize,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// How work is portioned. No flag sets it.
    pub budgets: Budgets,
    /// Makes a worker panic, in tests. No flag sets it.
    pub fuse: Fuse,
}

impl Default for Config {
    /// What the flags' defaults make, but for what depends on the machine, which is 0.
    fn default() -> Self {
        Self {
            origins: Origins::default(),
            limits: Limits::default(),
            topics: TopicRules::default(),
            page: true,
            connections_max: 0,
            workers: 0,
            budgets: Budgets::DEFAULT,
            fuse: Fuse::default(),
        }
    }
}

/// Which foreign origins may talk to this server (docs/protocol.md 14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Only the server's own.
    #[default]
    Own,
    /// These, compared exactly, ASCII case aside.
    Listed(Vec<String>),
    /// Everyone's.
    Any,
}

impl Config {
    /// A worker's share of a whole-server bound, rounded up, so that the shares never add up to less.
    pub fn share(&self, whole: usize) -> usize {
        whole.div_ceil(self.workers.max(1))
    }
}
