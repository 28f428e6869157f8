//! What each address uses of the server: how many connections it has, and how fast it begins to read.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::time::Instant;

/// Addresses that are remembered beyond those with connections, before the idle ones are dropped.
const IDLE_MAX: usize = 1024;

/// Use by network: an IPv4 address, or an IPv6 /64, which is what one customer gets. This machine's own
/// addresses 127.0.0.1 and ::1 are not counted: a proxy may be there.
#[derive(Debug)]
pub struct Addresses {
    uses: HashMap<Network, Use>,
    /// Topics that a network may begin to read in a second, and at once.
    reads_per_second: u32,
    /// How many networks there may be before idle ones are looked for.
    sweep_at: usize,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4(Ipv4Addr),
    V6(u64),
}

/// One network's use. Reads are a bucket of as many as a second allows.
#[derive(Copy, Clone, Debug, Default)]
struct Use {
    connections: u32,
    /// Reads that were begun and not yet made up for by time.
    spent: u32,
    /// Up to when time has made up for reads.
    since: Instant,
}

/// The network that is counted, if it is.
fn network(peer: SocketAddr) -> Option<Network> {
    match peer.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => None,
        IpAddr::V4(address) => Some(Network::V4(address)),
        IpAddr::V6(address) if address.is_loopback() => None,
        IpAddr::V6(address) => Some(Network::V6((address.to_bits() >> 64) as u64)),
    }
}

impl Use {
    fn recover(&mut self, now: Instant, per_second: u32) {
        let per_second = u64::from(per_second);
        let regained = now.since(self.since).saturating_mul(per_second) / 1_000;
        if regained >= u64::from(self.spent) {
            (self.spent, self.since) = (0, now);
        } else {
            self.spent -= regained as u32;
            // What is left of the time counts next time.
            self.since = self.since + regained * 1_000 / per_second;
        }
    }
}

impl Addresses {
    /// Nobody is here yet. Each network may begin `reads_per_second` reads a second, at least 1.
    pub fn new(reads_per_second: u32) -> Self {
        Self { uses: HashMap::new(), reads_per_second, sweep_at: IDLE_MAX }
    }

    /// From now on, each network may begin so many reads a second, at least 1.
    pub fn set_reads_per_second(&mut self, reads_per_second: u32) {
        self.reads_per_second = reads_per_second;
    }

    /// Connections of a peer's network; 0 if it is not counted.
    pub fn connections(&self, peer: SocketAddr) -> usize {
        network(peer)
            .and_then(|network| self.uses.get(&network))
            .map_or(0, |usage| usage.connections as usize)
    }

    /// A connection begins.
    pub fn add(&mut self, now: Instant, peer: SocketAddr) {
        let Some(network) = network(peer) else { return };
        if self.uses.len() >= self.sweep_at {
            let per_second = self.reads_per_second;
            self.uses.retain(|_, usage| {
                usage.recover(now, per_second);
                usage.connections > 0 || usage.spent > 0
            });
            // Looking at all of them is paid for by as many that came.
            self.sweep_at = self.uses.len() * 2 + IDLE_MAX;
        }
        self.uses.entry(network).or_default().connections += 1;
    }

    /// A connection has ended. What its network has spent is remembered until it is made up for.
    pub fn remove(&mut self, peer: SocketAddr) {
        let Some(network) = network(peer) else { return };
        let usage = self.uses.get_mut(&network).expect("what is removed was added");
        usage.connections -= 1;
        if usage.connections == 0 && usage.spent == 0 {
            self.uses.remove(&network);
        }
    }

    /// Begins to read so many topics. False if the network has begun too many within a second; a single
    /// request may overdraw it.
    pub fn begin_read(&mut self, now: Instant, peer: SocketAddr, topics: usize) -> bool {
        let Some(usage) = network(peer).and_then(|network| self.uses.get_mut(&network)) else {
            return true;
        };
        usage.recover(now, self.reads_per_second);
        let may = usage.spent < self.reads_per_second;
        if may {
            usage.spent += u32::try_from(topics).unwrap_or(u32::MAX / 2);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    #[test]
    fn counts_return_to_nothing_and_know_networks() {
        let mut addresses = Addresses::new(1);
        let peers =
            ["[2001:db8::1]:1", "[2001:db8::2]:2", "[::ffff:10.0.0.1]:3", "127.0.0.1:4"].map(peer);
        peers.iter().for_each(|&peer| addresses.add(at(0), peer));
        assert_eq!(addresses.connections(peers[0]), 2);
        assert_eq!(addresses.connections(peer("10.0.0.1:9")), 1);
        assert_eq!(addresses.connections(peers[3]), 0);
        peers.iter().for_each(|&peer| addresses.remove(peer));
        assert!(addresses.uses.is_empty());
    }

    #[test]
    fn reads_are_as_many_as_a_second_allows_at_once_and_then_one_after_the_other() {
        let mut addresses = Addresses::new(4);
        let [there, here] = ["10.0.0.1:1", "127.0.0.1:1"].map(peer);
        [there, here].iter().for_each(|&peer| addresses.add(at(5_000), peer));
        let mut begun = |peer, ms| addresses.begin_read(at(ms), peer, 1);
        assert_eq!([5_000, 5_000, 5_000, 5_100].map(|ms| begun(there, ms)), [true; 4]);
        assert!(!begun(there, 5_200) && !begun(there, 5_249));
        assert!(begun(there, 5_250) && !begun(there, 5_251), "a quarter of a second for each");
        assert!(begun(there, 5_501), "what a refused one waited is not lost");
        assert!((0..100).all(|_| begun(here, 5_501)));
        assert_eq!((0..9).filter(|_| begun(there, 60_000)).count(), 4);
        // Coming back does not help.
        addresses.remove(there);
        addresses.add(at(60_000), there);
        assert!(!addresses.begin_read(at(60_000), there, 1));
    }

    #[test]
    fn those_who_have_gone_are_forgotten() {
        let mut addresses = Addresses::new(10);
        for number in 0..100_000_u32 {
            let peer = SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + number), 1));
            let now = at(u64::from(number));
            addresses.add(now, peer);
            assert!(addresses.begin_read(now, peer, 1));
            addresses.remove(peer);
        }
        assert!(addresses.uses.len() <= 2 * IDLE_MAX, "{}", addresses.uses.len());
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn what_is_known_of_an_address_is_held_to_its_size() {
        // One for each address with connections: as many as there are connections, at worst.
        assert_eq!(size_of::<(Network, Use)>(), 32);
    }
}
