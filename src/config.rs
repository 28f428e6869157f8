//! What the operator chose, as plain values.

use std::net::SocketAddr;

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
    /// Whether the operator has addresses of its own (`--admin-listen`).
    pub has_admin: bool,
    /// How work is portioned. No flag sets it.
    pub budgets: Budgets,
    /// Makes a worker panic, in tests. No flag sets it.
    pub fuse: Fuse,
}

/// Where a connection came in.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// At an address that clients use.
    Public {
        /// Whether only this machine can reach it.
        loopback: bool,
    },
    /// At an address of the operator's own (`--admin-listen`).
    Admin,
}

impl Entrance {
    /// That of an address that clients use.
    pub const fn public(address: SocketAddr) -> Self {
        Self::Public { loopback: address.ip().to_canonical().is_loopback() }
    }

    /// Whether the operator's resources (`/metrics`, the listings, and what ends a connection) are served to who
    /// came in here: the one place where this is decided. Without an address of the operator's own they are, at
    /// an address that only this machine can reach.
    pub const fn serves_operator(self, config: &Config) -> bool {
        match self {
            Self::Admin => true,
            Self::Public { loopback } => loopback && !config.has_admin,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_served_at_its_own_address_or_where_only_this_machine_is() {
        let public = |text: &str| Entrance::public(text.parse().unwrap());
        let (without, with) = (Config::default(), Config { has_admin: true, ..Config::default() });
        for loopback in ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(public(loopback).serves_operator(&without), "{loopback}");
            assert!(!public(loopback).serves_operator(&with), "{loopback}");
        }
        for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "10.0.0.1:1", "[fe80::1]:1"] {
            assert!(!public(open).serves_operator(&without), "{open}");
            assert!(!public(open).serves_operator(&with), "{open}");
        }
        assert!(
            Entrance::Admin.serves_operator(&without) && Entrance::Admin.serves_operator(&with)
        );
    }
}
