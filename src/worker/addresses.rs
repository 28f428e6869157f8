//! How many connections each address has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Connections by network: an IPv4 address, or an IPv6 /64, which is what one customer gets.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    counts: HashMap<Network, u32>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4(Ipv4Addr),
    V6(u64),
}

/// The network that is counted; none for this machine itself, where a proxy may be.
fn network(peer: SocketAddr) -> Option<Network> {
    match peer.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => None,
        IpAddr::V4(address) => Some(Network::V4(address)),
        IpAddr::V6(address) if address.is_loopback() => None,
        IpAddr::V6(address) => Some(Network::V6((address.to_bits() >> 64) as u64)),
    }
}

impl Addresses {
    pub(super) fn count(&self, peer: SocketAddr) -> usize {
        network(peer)
            .and_then(|network| self.counts.get(&network))
            .map_or(0, |&count| count as usize)
    }

    pub(super) fn add(&mut self, peer: SocketAddr) {
        if let Some(network) = network(peer) {
            *self.counts.entry(network).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, peer: SocketAddr) {
        let Some(network) = network(peer) else { return };
        let count = self.counts.get_mut(&network).expect("what is removed was added");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_return_to_nothing_and_know_networks() {
        let mut addresses = Addresses::default();
        let [a, b, c, here] =
            ["[2001:db8::1]:1", "[2001:db8::2]:2", "[::ffff:10.0.0.1]:3", "127.0.0.1:4"]
                .map(|text| text.parse::<SocketAddr>().unwrap());
        for peer in [a, b, c, here] {
            addresses.add(peer);
        }
        assert_eq!(addresses.count(a), 2);
        assert_eq!(addresses.count("10.0.0.1:9".parse().unwrap()), 1);
        assert_eq!(addresses.count(here), 0);
        for peer in [a, b, c, here] {
            addresses.remove(peer);
        }
        assert!(addresses.counts.is_empty());
    }
}
