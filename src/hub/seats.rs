//! Who is subscribed to a topic, and the walk past all of them that a new message starts.

use std::collections::BTreeSet;

use crate::counters::Walked;
use crate::planted::{Fault, planted};
use crate::time::Instant;

/// In a seat: nobody sits there; the other bits are the seat that became vacant before it.
const VACANT: u32 = 1 << 31;
/// The last of the vacant seats.
const NONE: u32 = VACANT - 1;

/// Subscribers of one topic: 4 bytes each. A seat keeps its number until it is left. A topic without
/// subscribers, of which there may be a million, has 8 bytes for them (and until its turn, if it was queued
/// for a walk, its rows).
#[derive(Debug, Default)]
pub(super) struct Seats(Option<Box<Rows>>);

#[derive(Debug)]
struct Rows {
    /// The slots of the subscribers' connections, or with [`VACANT`] the next vacant seat.
    seats: Vec<u32>,
    /// The seat that became vacant last, or [`NONE`].
    vacant: u32,
    taken: u32,
    /// Seats before this one are still to be visited by the walk.
    left: u32,
    /// Seats to be visited before that: what they waited for is no news to the others.
    called: BTreeSet<u32>,
    /// Whether the topic is in the queue of those with a walk to do.
    queued: bool,
    /// Whether something was appended after the walk had begun, so that it has to be walked again.
    again: bool,
    /// When the walk began, and the oldest message that it carries was appended; never, where there is none.
    walk: Walked,
    /// When the oldest message of the next walk was appended.
    next_oldest: Instant,
}

/// No walk.
const NO_WALK: Walked = Walked { began: Instant::NEVER, oldest: Instant::NEVER };

impl Seats {
    /// Seats a subscriber (the slot of its connection).
    pub(super) fn take(&mut self, subscriber: u32) -> u32 {
        assert!(subscriber < VACANT, "connections are counted in 31 bits");
        self.0.get_or_insert_default().take(subscriber)
    }

    /// Frees a seat. When the last subscriber leaves, so does the memory.
    pub(super) fn leave(&mut self, seat: u32) {
        let rows = self.0.as_mut().expect("a seat is left once");
        rows.leave(seat);
        if rows.taken == 0 {
            // What is in the queue of walks says so until its turn comes.
            self.0 = rows.queued.then(|| Box::new(Rows { queued: true, ..Rows::default() }));
        }
    }

    /// Whether nobody is subscribed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|rows| rows.taken == 0)
    }

    /// How many are subscribed.
    pub(super) fn taken(&self) -> u32 {
        self.0.as_ref().map_or(0, |rows| rows.taken)
    }

    /// Who is in a seat, `Some(None)` if it is free; `None` if there is no such seat.
    pub(super) fn at(&self, seat: usize) -> Option<Option<u32>> {
        let subscriber = *self.0.as_ref()?.seats.get(seat)?;
        Some((subscriber < VACANT).then_some(subscriber))
    }

    /// Whether the topic is in the queue of those with a walk to do.
    pub(super) fn is_queued(&self) -> bool {
        self.0.as_ref().is_some_and(|rows| rows.queued)
    }

    /// Something is new: everybody has to be visited. If it is a message, it was appended at `appended_at`,
    /// else that is never. True if the topic has to be queued for it.
    pub(super) fn begin_walk(&mut self, now: Instant, appended_at: Instant) -> bool {
        let begin = |rows: &mut Box<Rows>| rows.taken > 0 && rows.begin_walk(now, appended_at);
        self.0.as_mut().is_some_and(begin)
    }

    /// Has these seats visited, whoever has them by then. True if the topic has to be queued for it.
    pub(super) fn call(&mut self, mut seats: BTreeSet<u32>) -> bool {
        match &mut self.0 {
            Some(rows) if rows.taken > 0 && !seats.is_empty() => {
                rows.called.append(&mut seats);
                !std::mem::replace(&mut rows.queued, true)
            }
            _ => false,
        }
    }

    /// The next subscriber to visit. From the back to the front, so that who sits down during the walk
    /// (and was told everything when it did) is not visited.
    pub(super) fn next(&mut self) -> Option<u32> {
        let rows = self.0.as_mut()?;
        while let Some(seat) = rows.next_seat() {
            match rows.seats.get(seat as usize) {
                Some(&subscriber) if subscriber < VACANT => return Some(subscriber),
                _ => (),
            }
        }
        None
    }

    /// Ends a walk, and says which. True if another one has begun in its place.
    pub(super) fn end_walk(&mut self, now: Instant) -> (bool, Option<Walked>) {
        let Some(rows) = &mut self.0 else { return (false, None) };
        let next = Walked { began: now, oldest: rows.next_oldest };
        let ended = std::mem::replace(&mut rows.walk, if rows.again { next } else { NO_WALK });
        rows.next_oldest = Instant::NEVER;
        rows.queued = std::mem::take(&mut rows.again) && rows.taken > 0;
        rows.left = if rows.queued { rows.seats.len() as u32 } else { 0 };
        let queued = rows.queued;
        if rows.taken == 0 {
            self.0 = None;
        }
        (queued, (ended.began != Instant::NEVER).then_some(ended))
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            seats: Vec::new(),
            vacant: NONE,
            taken: 0,
            left: 0,
            called: BTreeSet::new(),
            queued: false,
            again: false,
            walk: NO_WALK,
            next_oldest: Instant::NEVER,
        }
    }
}

impl Rows {
    fn take(&mut self, subscriber: u32) -> u32 {
        self.taken += 1;
        if self.vacant == NONE {
            self.seats.push(subscriber);
            return self.seats.len() as u32 - 1;
        }
        let seat = self.vacant;
        self.vacant = std::mem::replace(&mut self.seats[seat as usize], subscriber) & !VACANT;
        seat
    }

    fn leave(&mut self, seat: u32) {
        assert!(self.seats[seat as usize] < VACANT, "a seat is left once");
        self.seats[seat as usize] = VACANT | self.vacant;
        self.vacant = seat;
        self.taken -= 1;
    }

    fn begin_walk(&mut self, now: Instant, appended_at: Instant) -> bool {
        let mut seats = self.seats.len() as u32;
        if planted(Fault::WalksPastTooFewSeats) {
            seats = self.taken;
        }
        if std::mem::replace(&mut self.queued, true) {
            if self.left < seats && !planted(Fault::ForgetsNewsDuringWalk) {
                self.again = true;
                self.next_oldest = self.next_oldest.min(appended_at);
            } else {
                self.walk.oldest = self.walk.oldest.min(appended_at);
            }
            return false;
        }
        (self.left, self.walk) = (seats, Walked { began: now, oldest: appended_at });
        true
    }

    fn next_seat(&mut self) -> Option<u32> {
        self.called.pop_last().or_else(|| {
            self.left = self.left.checked_sub(1)?;
            Some(self.left)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_ms(9);

    fn walk(seats: &mut Seats) -> Vec<u32> {
        std::iter::from_fn(|| seats.next()).collect()
    }

    #[test]
    fn everybody_seated_is_visited_once_and_a_freed_seat_is_taken_again() {
        let mut seats = Seats::default();
        let places: Vec<u32> = (10..14).map(|subscriber| seats.take(subscriber)).collect();
        seats.leave(places[1]);
        assert!(seats.begin_walk(NOW, NOW));
        assert_eq!(walk(&mut seats), [13, 12, 10]);
        assert!(!seats.end_walk(NOW).0);
        assert_eq!(seats.take(20), places[1]);
    }

    #[test]
    fn news_during_a_walk_begins_another_and_news_before_it_does_not() {
        let mut seats = Seats::default();
        seats.take(1);
        seats.take(2);
        assert!(seats.begin_walk(NOW, NOW));
        assert!(!seats.begin_walk(NOW, NOW));
        assert_eq!(walk(&mut seats), [2, 1]);
        assert!(!seats.end_walk(NOW).0);
        assert!(seats.begin_walk(NOW, NOW));
        assert_eq!(seats.next(), Some(2));
        assert!(!seats.begin_walk(NOW, NOW));
        assert_eq!(walk(&mut seats), [1]);
        assert!(seats.end_walk(NOW).0);
        assert_eq!(walk(&mut seats), [2, 1]);
    }

    #[test]
    fn who_is_called_is_visited_alone_and_before_the_walk() {
        let mut seats = Seats::default();
        let places: Vec<u32> = (10..14).map(|subscriber| seats.take(subscriber)).collect();
        assert!(!seats.call(BTreeSet::new()));
        assert!(seats.call(BTreeSet::from([places[1], places[2]])));
        assert!(!seats.call(BTreeSet::from([places[2]])), "it is queued");
        assert_eq!(seats.next(), Some(12));
        seats.leave(places[1]);
        assert_eq!(seats.next(), None, "it has left");
        assert!(!seats.end_walk(NOW).0);
        assert!(seats.call(BTreeSet::from([places[0]])));
        assert!(!seats.begin_walk(NOW, NOW), "news behind a call");
        assert_eq!(seats.next(), Some(10));
        assert_eq!(seats.next(), None);
        assert!(seats.end_walk(NOW).0);
        assert_eq!(walk(&mut seats), [13, 12, 10]);
        assert!(!seats.end_walk(NOW).0);
    }

    #[test]
    fn an_empty_room_holds_no_memory_and_begins_no_walk() {
        let mut seats = Seats::default();
        let seat = seats.take(1);
        assert!(seats.begin_walk(NOW, NOW));
        seats.leave(seat);
        assert_eq!(seats.next(), None);
        assert!(!seats.end_walk(NOW).0);
        assert!(!seats.begin_walk(NOW, NOW));
        assert!(seats.0.is_none());
    }

    #[test]
    fn a_walk_knows_when_it_began_and_its_oldest_message() {
        let at = Instant::from_ms;
        let mut seats = Seats::default();
        seats.take(1);
        seats.take(2);
        assert!(seats.begin_walk(at(10), at(8)));
        assert!(!seats.begin_walk(at(11), at(7)), "nobody was visited: it goes with the first");
        seats.next();
        assert!(!seats.begin_walk(at(12), at(11)));
        assert!(!seats.begin_walk(at(13), at(13)));
        seats.next();
        assert_eq!(seats.next(), None);
        let first = Walked { began: at(10), oldest: at(7) };
        assert_eq!(seats.end_walk(at(14)), (true, Some(first)));
        assert_eq!(walk(&mut seats), [2, 1]);
        let second = Walked { began: at(14), oldest: at(11) };
        assert_eq!(seats.end_walk(at(15)), (false, Some(second)));
        seats.call(BTreeSet::from([0]));
        seats.next();
        assert_eq!(seats.end_walk(at(16)), (false, None), "nobody but who was called");
    }
}
