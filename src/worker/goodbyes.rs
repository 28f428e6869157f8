//! When each connection is said goodbye to in a drain: at a random moment, so that clients come back spread out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use crate::key::ConnectionKey;
use crate::time::Instant;

/// Milliseconds by which each client of the server widens the window of the goodbyes.
const MS_PER_CLIENT: u64 = 10;
/// Milliseconds by which who has not asked for anything yet stays longer.
const LATE_MS: u64 = 2_000;

/// Goodbyes that are to be said.
#[derive(Debug)]
pub(super) struct Goodbyes {
    due: BinaryHeap<Reverse<(Instant, ConnectionKey)>>,
    began: Instant,
    spread_ms: u64,
    window_ms: u64,
}

impl Goodbyes {
    /// None yet. They are spread over `spread_ms` milliseconds, less for few `clients`.
    pub(super) fn begin(now: Instant, spread_ms: u64, clients: usize) -> Self {
        let window_ms = spread_ms.min(clients as u64 * MS_PER_CLIENT);
        Self { due: BinaryHeap::new(), began: now, spread_ms, window_ms }
    }

    /// For a connection that has been served.
    pub(super) fn add(&mut self, random: &mut Rng, key: ConnectionKey) {
        let when = self.began + random.u64(..=self.window_ms);
        self.due.push(Reverse((when, key)));
    }

    /// For one whose first request has not been read: it is given time for that.
    pub(super) fn add_late(&mut self, random: &mut Rng, key: ConnectionKey) {
        let most = self.spread_ms.min(self.window_ms + LATE_MS);
        let when = self.began + random.u64(most / 2..=most);
        self.due.push(Reverse((when, key)));
    }

    /// The next connection to say goodbye to, if it is time.
    pub(super) fn poll(&mut self, now: Instant) -> Option<ConnectionKey> {
        self.due.peek().filter(|Reverse((when, _))| *when <= now)?;
        self.due.pop().map(|Reverse((_, key))| key)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Instant {
        self.due.peek().map_or(Instant::NEVER, |Reverse((when, _))| *when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goodbyes_come_in_time_each_once_and_spread_out() {
        let (mut random, began) = (Rng::with_seed(1), Instant::from_ms(5_000));
        let mut goodbyes = Goodbyes::begin(began, 1_000, 40);
        for slot in 0..40 {
            goodbyes.add(&mut random, ConnectionKey { slot, generation: 0 });
            goodbyes.add_late(&mut random, ConnectionKey { slot, generation: 1 });
        }
        let (mut early, mut late, mut moments) = (0, 0, 0);
        for ms in 0..=1_000 {
            assert!(goodbyes.next() >= began + ms);
            moments += u32::from(goodbyes.next() == began + ms);
            while let Some(key) = goodbyes.poll(began + ms) {
                early += u32::from(key.generation == 0 && ms <= 400);
                late += u32::from(key.generation == 1 && ms >= 500);
            }
        }
        assert_eq!((early, late, goodbyes.next()), (40, 40, Instant::NEVER));
        assert!(moments > 60, "{moments}");
    }
}
