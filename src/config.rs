//! What the operator chose, as plain values.

mod entrance;
mod redis;
mod topics;

pub use self::entrance::Entrance;
pub use self::redis::{Credentials, Endpoint, RedisConfig, RedisUrl, RedisUrlError, Topology};
pub use self::topics::{Publishers, RuleId, Scope, TopicRule, TopicRules};

use std::sync::Arc;

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
    pub topics: Arc<TopicRules>,
    /// Whether the page at `/` is served.
    pub page: bool,
    /// Connections on the whole server, settled from the flag and the descriptor limit.
    pub connections_max: usize,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Whether the operator has addresses of its own (`--admin-listen`).
    pub has_admin: bool,
    /// What carries the topics between servers, if anything does.
    pub redis: Option<Arc<RedisConfig>>,
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
            topics: Arc::default(),
            page: true,
            connections_max: 0,
            workers: 0,
            has_admin: false,
            redis: None,
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

impl Origins {
    /// Where in the list this value of `Origin` stands.
    pub fn find(&self, origin: &[u8]) -> Option<u16> {
        let Self::Listed(list) = self else { return None };
        let is_it =
            |listed: &String| !listed.is_empty() && listed.as_bytes().eq_ignore_ascii_case(origin);
        u16::try_from(list.iter().position(is_it)?).ok()
    }

    /// The origin that stands there, if it is still allowed.
    pub fn listed(&self, index: u16) -> Option<&str> {
        let Self::Listed(list) = self else { return None };
        list.get(usize::from(index)).map(String::as_str).filter(|origin| !origin.is_empty())
    }

    /// `new`, after a reload, in an order in which what [`Origins::find`] said of the present ones remains true:
    /// requests that are under way remember it. An origin that is not allowed any more leaves an empty place.
    #[must_use]
    pub fn succeeded_by(&self, new: Self) -> Self {
        let (Self::Listed(old), Self::Listed(new)) = (self, &new) else { return new };
        let same = |one: &String, other: &String| one.eq_ignore_ascii_case(other);
        let keep = |origin: &String| {
            let stays = new.iter().any(|other| same(origin, other));
            if stays { origin.clone() } else { String::new() }
        };
        let mut list: Vec<String> = old.iter().map(keep).collect();
        let fresh = new.iter().filter(|origin| !old.iter().any(|other| same(origin, other)));
        list.extend(fresh.cloned());
        while list.last().is_some_and(String::is_empty) {
            list.pop();
        }
        Self::Listed(list)
    }
}

impl Config {
    /// A worker's share of a whole-server bound, rounded up, so that the shares never add up to less.
    pub fn share(&self, whole: usize) -> usize {
        whole.div_ceil(self.workers.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(origins: &[&str]) -> Origins {
        Origins::Listed(origins.iter().map(|&origin| origin.to_owned()).collect())
    }

    #[test]
    fn an_origin_keeps_its_place_over_reloads_and_leaves_it_empty() {
        let old = listed(&["https://a", "https://b", "https://c"]);
        let new = old.succeeded_by(listed(&["https://d", "https://C", "https://b"]));
        assert_eq!(new.find(b"https://b"), Some(1));
        assert_eq!(new.find(b"https://c"), Some(2));
        assert_eq!(new.find(b"https://d"), Some(3));
        assert_eq!((new.find(b"https://a"), new.find(b"")), (None, None));
        assert_eq!((new.listed(0), new.listed(3), new.listed(9)), (None, Some("https://d"), None));
        assert_eq!(new.succeeded_by(Origins::Any), Origins::Any);
        assert_eq!(Origins::Any.succeeded_by(listed(&["https://a"])), listed(&["https://a"]));
        let fewer = old.succeeded_by(listed(&["https://a"]));
        assert_eq!(fewer, listed(&["https://a"]), "empty places at the end are not kept");
    }
}
