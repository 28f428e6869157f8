//! One server of Redis: the two connections to it, and what waits for them.
//!
//! Two, because a connection that hears channels can do little else until Redis 7, and because Redis cuts one that does
//! not read fast enough: requests are not to suffer from that.

use std::collections::{BTreeMap, VecDeque};

use crate::config::Endpoint;
use crate::time::Instant;
use crate::topic::{Position, TopicName};

use super::greeting::Identity;
use super::job::Job;
use super::link::{Link, Role};
use super::trouble::Place;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    pub(super) commands: Link,
    pub(super) subscriptions: Link,
    /// Requests that are not sent, by their order.
    pub(super) waiting: BTreeMap<u64, Job>,
    /// What it says of itself at present.
    pub(super) identity: Identity,
    /// The life that it was in when its subscriptions began; another one may have lost anything.
    pub(super) life: Option<String>,
    /// Channels that will be asked for, and that will be left.
    pub(super) to_ask: VecDeque<TopicName>,
    pub(super) to_leave: VecDeque<TopicName>,
    pub(super) probe: Probe,
    /// Publishes that `WAIT` has not confirmed yet.
    pub(super) confirming: Vec<(u32, Position)>,
    /// Publishes that were sent without a `WAIT` behind them.
    pub(super) unwaited: usize,
    /// Whether it is one that the operator named, in a place that any other of them may take.
    pub(super) is_seed: bool,
    /// Whether it has no slots any more: it goes as soon as it has answered.
    pub(super) is_retired: bool,
    /// Whether a sentinel has just said that this is the primary.
    pub(super) is_found: bool,
}

/// Whether the subscriptions still bring what is published.
#[derive(Debug)]
pub(super) struct Probe {
    /// Its channel; empty while there is none.
    pub(super) channel: String,
    /// Whether that was confirmed.
    pub(super) is_heard: bool,
    /// What was published there and has not come, and until when it must have.
    pub(super) pending: Option<(u64, Instant)>,
    /// When the next one is due.
    pub(super) next: Instant,
}

impl Probe {
    /// None.
    pub(super) const fn new() -> Self {
        Self { channel: String::new(), is_heard: false, pending: None, next: Instant::NEVER }
    }
}

impl Node {
    /// One that is dialled at that moment.
    pub(super) fn new(endpoint: Endpoint, is_seed: bool, at: Instant) -> Self {
        Self {
            endpoint,
            commands: Link::new(at),
            subscriptions: Link::new(Instant::NEVER),
            waiting: BTreeMap::new(),
            identity: Identity::default(),
            life: None,
            to_ask: VecDeque::new(),
            to_leave: VecDeque::new(),
            probe: Probe::new(),
            confirming: Vec::new(),
            unwaited: 0,
            is_seed,
            is_retired: false,
            is_found: false,
        }
    }

    pub(super) const fn link(&self, role: Role) -> &Link {
        match role {
            Role::Commands => &self.commands,
            Role::Subscriptions => &self.subscriptions,
        }
    }

    pub(super) const fn link_mut(&mut self, role: Role) -> &mut Link {
        match role {
            Role::Commands => &mut self.commands,
            Role::Subscriptions => &mut self.subscriptions,
        }
    }

    /// Where trouble with one of its connections is.
    pub(super) fn place(&self, role: Role) -> Place {
        match role {
            Role::Commands => Place::Commands(self.endpoint.to_string()),
            Role::Subscriptions => Place::Subscriptions(self.endpoint.to_string()),
        }
    }

    /// When something has to be done here.
    pub(super) fn deadline(&self, timeout_ms: u64) -> Instant {
        let links = self.commands.deadline(timeout_ms).min(self.subscriptions.deadline(timeout_ms));
        let probe = if self.commands.is_ready() { self.probe.next } else { Instant::NEVER };
        let pending = self.probe.pending.map_or(Instant::NEVER, |(_, until)| until);
        links.min(probe).min(pending)
    }
}
