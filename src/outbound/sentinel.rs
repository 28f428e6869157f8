//! Sentinels are asked, one after the other, which server takes writes.
//!
//! Each time anew, on a connection that is closed afterwards: what a sentinel said before a failover is of no use
//! behind it.
//! And every so often while there is a primary, which may have been left behind by the others without noticing.

use crate::config::{Endpoint, Topology};
use crate::key::OutboundId;
use crate::time::Instant;
use crate::wire::resp3::Value;

use super::link::{Link, Owed, Role, Stage, Then, Wire};
use super::trouble::{Kind, Place};
use super::{Redis, Whose};

/// Milliseconds between two questions while all is well, about. What is published meanwhile to a primary that was left
/// behind is lost, and who listens to it hears nothing.
const ASK_MS: u64 = 4_000;

/// The search for the primary.
#[derive(Debug)]
pub(super) struct Finder {
    pub(super) link: Link,
    /// The sentinel that is asked.
    asked: Option<Endpoint>,
    /// Whether it wants to know who we are.
    says_who: bool,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self { link: Link::new(Instant::NEVER), asked: None, says_who: false }
    }

    pub(super) fn deadline(&self, timeout_ms: u64) -> Instant {
        self.link.deadline(timeout_ms)
    }
}

impl Redis {
    /// The primary is wanted, from that moment on.
    pub(super) fn find_primary(&mut self, _now: Instant, number: u16, at: Instant) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.is_found = false;
            node.commands.stage = Stage::Resting(Instant::NEVER);
        }
        if let Some(finder) = &mut self.finder
            && let Stage::Resting(until) = &mut finder.link.stage
        {
            *until = at.min(*until);
        }
    }

    pub(super) fn handle_sentinel_timer(&mut self, now: Instant) {
        let timeout = self.config.timeout_ms;
        let Some(finder) = &mut self.finder else { return };
        if now < finder.deadline(timeout) {
            return;
        }
        match &finder.link.stage {
            Stage::Resting(_) => {
                let Topology::Sentinels { sentinels, .. } = &self.config.topology else { return };
                let Some(sentinel) = sentinels.get(self.next_seed % sentinels.len().max(1)) else {
                    return;
                };
                let sentinel = sentinel.clone();
                finder.asked = Some(sentinel.clone());
                let id = self.dial(Whose::Sentinel, sentinel);
                if let Some(finder) = &mut self.finder {
                    finder.link.stage = Stage::Dialling(id, now);
                }
            }
            Stage::Dialling(id, _) => {
                let id = *id;
                self.hang_up(now, id, Kind::Lost, "connecting takes too long");
            }
            Stage::Open(wire) => {
                let id = wire.id;
                self.hang_up(now, id, Kind::Silent, "nothing has come for too long");
            }
        }
    }

    pub(super) fn greet_sentinel(&mut self, now: Instant, id: OutboundId) {
        let Topology::Sentinels { service, .. } = &self.config.topology else { return };
        let Some(finder) = &mut self.finder else { return };
        let mut wire = Box::new(Wire::new(id, now, self.bounds));
        // A sentinel has passwords of its own, mostly none: ours is told when it asks for one.
        if let Some(credentials) = self.config.credentials.as_ref().filter(|_| finder.says_who) {
            let (user, password) = (credentials.user.as_bytes(), credentials.password.as_bytes());
            match user {
                b"" | b"default" => wire.ask(now, Owed::Agreement, &[b"AUTH", password]),
                user => wire.ask(now, Owed::Agreement, &[b"AUTH", user, password]),
            }
        }
        let question = [&b"SENTINEL"[..], b"GET-MASTER-ADDR-BY-NAME", service.as_bytes()];
        wire.ask(now, Owed::Primary, &question);
        finder.link.stage = Stage::Open(wire);
        self.list(id);
    }

    pub(super) fn handle_sentinel_answer(
        &mut self,
        now: Instant,
        id: OutboundId,
        owed: &Owed,
        value: &Value,
    ) {
        if let Some(text) = value.as_error() {
            let wants_password = text.starts_with(b"NOAUTH");
            let (kind, shown) = (Kind::of_error(text), String::from_utf8_lossy(text).into_owned());
            if let Some(finder) = &mut self.finder
                && wants_password
                && !finder.says_who
                && self.config.credentials.is_some()
            {
                // The same one once more, with a password.
                finder.says_who = true;
                finder.link.stage = Stage::Resting(now);
                self.let_go(id);
                return;
            }
            return self.hang_up(now, id, kind, &shown);
        }
        if !matches!(owed, Owed::Primary) {
            return;
        }
        match parse_primary(value) {
            Some(primary) => self.note_primary(now, id, primary),
            None => {
                self.hang_up(now, id, Kind::UnknownService, "it does not know the service");
            }
        }
    }

    fn note_primary(&mut self, now: Instant, id: OutboundId, primary: Endpoint) {
        let again = now + self.jitter(ASK_MS);
        self.let_go(id);
        let Some(finder) = &mut self.finder else { return };
        finder.link = Link::new(again);
        if let Some(asked) = &finder.asked {
            self.troubles.end(now, &Place::Sentinel(asked.to_string()));
        }
        let Some((&number, node)) = self.nodes.iter_mut().next() else { return };
        if node.commands.id().is_none() {
            node.is_found = true;
            node.commands.stage = Stage::Resting(now);
            self.readdress(now, number, primary);
            self.handle_link_timer(now, number, Role::Commands);
        } else if node.endpoint != primary {
            // The one that we have does not know it yet.
            if let Some(wire) = node.commands.wire_mut() {
                wire.settle(Then::Close(Kind::Replica));
            }
            self.settle(now, number, Role::Commands);
        }
    }

    /// The connection to a sentinel is no more.
    pub(super) fn bury_sentinel(&mut self, now: Instant, kind: Kind, what: &str) {
        self.next_seed = self.next_seed.wrapping_add(1);
        let again = now + self.jitter(ASK_MS);
        let is_urgent = self.nodes.values().any(|node| node.commands.id().is_none());
        let Some(finder) = &mut self.finder else { return };
        // Each sentinel knows the same: one that is away is no reason to wait for the next, but for all of them.
        let until =
            finder.link.backoff.after_failure(now, None, kind.is_lasting(), &mut self.random);
        finder.link.stage = Stage::Resting(if is_urgent { until } else { again });
        if let Some(asked) = &finder.asked {
            self.troubles.begin(now, Place::Sentinel(asked.to_string()), kind, what);
        }
    }
}

/// Host and port; `None` if the service is not known.
fn parse_primary(value: &Value) -> Option<Endpoint> {
    let [host, port] = value.as_array()? else { return None };
    let host = host.as_text().filter(|host| (1..=255).contains(&host.len()))?;
    Some(Endpoint { host: host.to_owned(), port: port.as_text()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_says_where_the_primary_is_or_that_it_does_not_know() {
        let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
        let primary = parse_primary(&Value::Array(vec![bulk("10.0.0.1"), bulk("6379")]));
        assert_eq!(primary, Some(Endpoint { host: "10.0.0.1".into(), port: 6379 }));
        let bad = [
            Value::Null,
            Value::Array(vec![bulk("a")]),
            Value::Array(vec![bulk(""), bulk("1")]),
            Value::Array(vec![bulk("a"), bulk("65536")]),
        ];
        for value in bad {
            assert_eq!(parse_primary(&value), None, "{value:?}");
        }
    }
}
