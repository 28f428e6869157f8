//! Where a connection came in, and whether the operator is served there.

use std::net::SocketAddr;

use super::Config;

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
        let admin = Entrance::Admin;
        assert!(admin.serves_operator(&without) && admin.serves_operator(&with));
    }
}
