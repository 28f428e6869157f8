//! A timer wheel: one deadline for each of many slots, set and cancelled in constant time.
//!
//! Deadlines are mostly pushed back (every delivery postpones the next heartbeat). So moving a deadline
//! to a later moment only writes it down; the wheel finds out when the old moment comes, and files the
//! slot anew. Deadlines beyond the wheel's horizon are filed at the horizon and found again there.

#[cfg(planted)]
use crate::planted::{Fault, planted};
use crate::time::Instant;

/// log2 of the milliseconds in one step of the wheel. A timer fires up to one step late, never early.
const STEP_BITS: u32 = 4;
/// Buckets of the wheel; with 16 ms each, the horizon is 65 s.
const BUCKETS: usize = 4096;
/// No node, no bucket.
const NONE: u32 = u32::MAX;

/// Deadlines of slots 0, 1, 2 …, each slot having one or none.
#[derive(Debug)]
pub struct Timers {
    nodes: Vec<Node>,
    /// First node of each bucket's doubly linked list.
    heads: Box<[u32; BUCKETS]>,
    /// A bit for each bucket that is not empty.
    occupied: Box<[u64; BUCKETS / 64]>,
    /// The step that is looked at next: everything before it has fired.
    step: u64,
    armed: usize,
    /// Deadlines that were not cancelled when their slot's owner left it.
    #[cfg(planted)]
    left: Vec<(Instant, u32)>,
}

#[derive(Clone, Debug)]
struct Node {
    /// When the slot wants to be told; [`Instant::NEVER`] when it does not.
    deadline: Instant,
    /// The step at which the wheel looks at it: at or before that of `deadline`.
    filed_at: u64,
    previous: u32,
    next: u32,
}

impl Node {
    const IDLE: Self =
        Self { deadline: Instant::NEVER, filed_at: u64::MAX, previous: NONE, next: NONE };

    const fn is_filed(&self) -> bool {
        self.filed_at != u64::MAX
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            heads: Box::new([NONE; BUCKETS]),
            occupied: Box::new([0; BUCKETS / 64]),
            step: 0,
            armed: 0,
            #[cfg(planted)]
            left: Vec::new(),
        }
    }
}

impl Timers {
    /// A wheel that begins to turn at `now`, rather than at the clock's zero.
    pub fn starting_at(now: Instant) -> Self {
        Self { step: now.as_ms() >> STEP_BITS, ..Self::default() }
    }

    /// Sets the slot's one deadline, replacing what it had; [`Instant::NEVER`] cancels it.
    pub fn set(&mut self, slot: u32, deadline: Instant) {
        let index = slot as usize;
        if index >= self.nodes.len() {
            if deadline == Instant::NEVER {
                return;
            }
            self.nodes.resize(index + 1, Node::IDLE);
        }
        let node = &mut self.nodes[index];
        node.deadline = deadline;
        if deadline == Instant::NEVER {
            if node.is_filed() {
                self.unlink(slot);
            }
        } else if !node.is_filed() {
            self.link(slot);
        } else if step_of(deadline) < node.filed_at {
            self.unlink(slot);
            self.link(slot);
        }
    }

    /// The slot's owner leaves, and where that fault is planted its deadline stays.
    #[cfg(planted)]
    pub fn leave(&mut self, slot: u32) {
        if planted(Fault::FiresDeadTimer) && (slot as usize) < self.nodes.len() {
            self.left.push((self.nodes[slot as usize].deadline, slot));
        }
    }

    /// The next slot whose deadline has come; it has none from then on. Call until `None`, or until the
    /// tick's budget is used up.
    pub fn poll(&mut self, now: Instant) -> Option<u32> {
        #[cfg(planted)]
        if let Some(index) = self.left.iter().position(|(deadline, _)| *deadline <= now) {
            return Some(self.left.swap_remove(index).1);
        }
        let now_step = now.as_ms() >> STEP_BITS;
        if self.armed == 0 {
            self.step = self.step.max(now_step);
            return None;
        }
        // After a leap of the clock one turn of the wheel passes every bucket: more would find nothing new.
        self.step = self.step.max(now_step.saturating_sub(BUCKETS as u64 - 1));
        while self.step <= now_step {
            let slot = self.heads[bucket(self.step)];
            if slot == NONE {
                match self.next_occupied() {
                    Some(step) if step <= now_step => self.step = step,
                    _ => {
                        self.step = now_step;
                        return None;
                    }
                }
                continue;
            }
            self.unlink(slot);
            if step_of(self.nodes[slot as usize].deadline) <= now_step {
                self.nodes[slot as usize].deadline = Instant::NEVER;
                return Some(slot);
            }
            self.link(slot);
        }
        None
    }

    /// When [`Timers::poll`] should be called next: at or before the earliest deadline.
    pub fn next_deadline(&self) -> Instant {
        self.next_occupied().map_or(Instant::NEVER, |step| Instant::from_ms(step << STEP_BITS))
    }

    /// How many slots have a deadline.
    pub fn armed(&self) -> usize {
        self.armed
    }

    /// The first step from the present one on whose bucket is not empty.
    fn next_occupied(&self) -> Option<u64> {
        if self.armed == 0 {
            return None;
        }
        let start = bucket(self.step);
        let words = self.occupied.len();
        // The start's word is looked at twice: first from the start on, at last before it.
        (0..=words).find_map(|distance| {
            let word = (start / 64 + distance) % words;
            let mask = match distance {
                0 => u64::MAX << (start % 64),
                _ if distance == words => !(u64::MAX << (start % 64)),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            (bits != 0).then(|| {
                let found = word * 64 + bits.trailing_zeros() as usize;
                self.step + ((found + BUCKETS - start) % BUCKETS) as u64
            })
        })
    }

    fn link(&mut self, slot: u32) {
        let wanted = step_of(self.nodes[slot as usize].deadline);
        let filed_at = wanted.clamp(self.step, self.step + BUCKETS as u64 - 1);
        let bucket = bucket(filed_at);
        let next = std::mem::replace(&mut self.heads[bucket], slot);
        if next != NONE {
            self.nodes[next as usize].previous = slot;
        }
        let node = &mut self.nodes[slot as usize];
        (node.filed_at, node.previous, node.next) = (filed_at, NONE, next);
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
        self.armed += 1;
    }

    fn unlink(&mut self, slot: u32) {
        let Node { filed_at, previous, next, .. } = self.nodes[slot as usize];
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous != NONE {
            self.nodes[previous as usize].next = next;
        } else {
            let bucket = bucket(filed_at);
            self.heads[bucket] = next;
            if next == NONE {
                self.occupied[bucket / 64] &= !(1 << (bucket % 64));
            }
        }
        self.nodes[slot as usize].filed_at = u64::MAX;
        self.armed -= 1;
    }
}

/// The step at whose beginning `deadline` has passed.
const fn step_of(deadline: Instant) -> u64 {
    deadline.as_ms().div_ceil(1 << STEP_BITS)
}

const fn bucket(step: u64) -> usize {
    (step % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_fires_what_a_sorted_map_would_fire_whatever_is_set_moved_and_cancelled() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..50 {
            let mut timers = Timers::default();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = 0;
            for _ in 0..400 {
                let slot = random.u32(0..20);
                match random.u8(0..4) {
                    0 => {
                        timers.set(slot, Instant::NEVER);
                        model.remove(&slot);
                    }
                    1 => now += random.u64(0..30_000),
                    _ => {
                        let deadline = now + random.u64(0..200_000);
                        timers.set(slot, Instant::from_ms(deadline));
                        model.insert(slot, deadline);
                    }
                }
                while let Some(slot) = timers.poll(Instant::from_ms(now)) {
                    let deadline = model.remove(&slot).expect("only what was set fires");
                    assert!(deadline <= now, "{slot} fired early");
                }
                for (slot, deadline) in &model {
                    assert!(deadline + 16 > now, "{slot} is late: {deadline} at {now}");
                }
                assert_eq!(timers.armed(), model.len());
                let earliest = model.values().min().copied().unwrap_or(u64::MAX);
                let next = timers.next_deadline().as_ms();
                assert!(next <= earliest.saturating_add(16), "{next} > {earliest}");
            }
        }
    }

    #[test]
    fn a_deadline_that_is_pushed_back_all_the_time_is_filed_only_when_the_old_moment_comes() {
        let mut timers = Timers::default();
        timers.set(0, Instant::from_ms(1_000));
        let filed = timers.nodes[0].filed_at;
        timers.set(0, Instant::from_ms(9_000));
        assert_eq!(timers.nodes[0].filed_at, filed);
        assert_eq!(timers.poll(Instant::from_ms(1_100)), None);
        assert_eq!(timers.poll(Instant::from_ms(9_016)), Some(0));
    }

    #[test]
    fn after_a_leap_of_the_clock_what_is_due_fires_and_the_rest_is_not_chased_through_the_years() {
        let mut random = fastrand::Rng::with_seed(8);
        for leap in [1 << 17, 1 << 30, 1 << 50, 1 << 60] {
            let mut timers = Timers::default();
            let due: Vec<u32> = (0..100).filter(|_| random.bool()).collect();
            for slot in 0..100 {
                let deadline = if due.contains(&slot) {
                    random.u64(1..=leap)
                } else {
                    leap + random.u64(100_000..200_000)
                };
                timers.set(slot, Instant::from_ms(deadline));
            }
            let mut fired = Vec::new();
            while let Some(slot) = timers.poll(Instant::from_ms(leap + 16)) {
                fired.push(slot);
            }
            fired.sort_unstable();
            assert_eq!(fired, due);
            let rest = (0..200_032).step_by(16).map(|later| {
                std::iter::from_fn(|| timers.poll(Instant::from_ms(leap + later))).count()
            });
            assert_eq!(rest.sum::<usize>(), 100 - due.len());
        }
    }

    #[test]
    fn attack_226_a_million_timers_that_are_due_at_once_fire_once_and_as_many_can_be_cancelled() {
        let mut timers = Timers::default();
        let count = 1_000_000;
        (0..count).for_each(|slot| timers.set(slot, Instant::from_ms(5_000 + u64::from(slot % 7))));
        assert_eq!(timers.poll(Instant::from_ms(4_000)), None);
        let now = Instant::from_ms(6_000);
        let mut fired = vec![false; count as usize];
        while let Some(slot) = timers.poll(now) {
            assert!(!std::mem::replace(&mut fired[slot as usize], true), "{slot} fires once");
        }
        assert!(fired.iter().all(|&fired| fired));
        (0..count).for_each(|slot| timers.set(slot, Instant::from_ms(9_000)));
        (0..count).for_each(|slot| timers.set(slot, Instant::NEVER));
        assert_eq!((timers.armed(), timers.next_deadline()), (0, Instant::NEVER));
        assert_eq!(timers.poll(Instant::from_ms(10_000)), None);
    }

    #[test]
    fn a_wheel_that_begins_late_fires_in_time() {
        let start = 365 * 24 * 3_600_000;
        let mut timers = Timers::starting_at(Instant::from_ms(start));
        timers.set(0, Instant::from_ms(start + 1_000));
        assert!(timers.next_deadline() >= Instant::from_ms(start + 1_000));
        assert_eq!(timers.poll(Instant::from_ms(start + 900)), None);
        assert_eq!(timers.poll(Instant::from_ms(start + 1_016)), Some(0));
    }

    #[test]
    fn without_timers_there_is_nothing_to_wait_for() {
        let mut timers = Timers::default();
        assert_eq!(timers.next_deadline(), Instant::NEVER);
        timers.set(3, Instant::from_ms(5));
        timers.set(3, Instant::NEVER);
        assert_eq!(timers.next_deadline(), Instant::NEVER);
        assert_eq!(timers.poll(Instant::from_ms(100)), None);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_timer_is_held_to_its_size() {
        // One for each connection and each topic.
        assert_eq!(size_of::<Node>(), 24);
    }
}
