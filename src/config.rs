//! What the operator chose, as plain values.

use crate::fuse::Fuse;
use crate::limits::{Budgets, Limits};

/// Everything that a worker needs to know about how it is run.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Origins that are allowed beside the server's own.
    pub origins: Origins,
    /// Every bound.
    pub limits: Limits,
    /// Connections on the whole server, settled from the flag and the descriptor limit.
    pub connections_max: usize,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// How work is portioned. No flag sets it.
    pub budgets: Budgets,
    /// Makes a worker panic, in tests. No flag sets it.
    pub fuse: Fuse,
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
