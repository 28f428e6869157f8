//! Who is subscribed to a topic, and the walk past all of them that a new message starts.

use std::collections::BTreeSet;

use crate::planted::{Fault, planted};

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
}

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

    /// Whether the topic is in the queue of those with a walk to do.
    pub(super) fn is_queued(&self) -> bool {
        self.0.as_ref().is_some_and(|rows| rows.queued)
    }

    /// Something is new: everybody has to be visited. True if the topic has to be queued for it.
    pub(super) fn begin_walk(&mut self) -> bool {
        self.0.as_mut().is_some_and(|rows| rows.taken > 0 && rows.begin_walk())
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

    /// Ends a walk. True if another one has begun in its place.
    pub(super) fn end_walk(&mut self) -> bool {
        let Some(rows) = &mut self.0 else { return false };
        rows.queued = std::mem::take(&mut rows.again) && rows.taken > 0;
        rows.left = if rows.queued { rows.seats.len() as u32 } else { 0 };
        let queued = rows.queued;
        if rows.taken == 0 {
            self.0 = None;
        }
        queued
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

    fn begin_walk(&mut self) -> bool {
        let mut seats = self.seats.len() as u32;
        if planted(Fault::WalksPastTooFewSeats) {
            seats = self.taken;
        }
        if std::mem::replace(&mut self.queued, true) {
            self.again |= self.left < seats && !planted(Fault::ForgetsNewsDuringWalk);
            return false;
        }
        self.left = seats;
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

    fn walk(seats: &mut Seats) -> Vec<u32> {
        std::iter::from_fn(|| seats.next()).collect()
    }

    #[test]
    fn everybody_seated_is_visited_once_and_a_freed_seat_is_taken_again() {
        let mut seats = Seats::default();
        let places: Vec<u32> = (10..14).map(|subscriber| seats.take(subscriber)).collect();
        seats.leave(places[1]);
        assert!(seats.begin_walk());
        assert_eq!(walk(&mut seats), [13, 12, 10]);
        assert!(!seats.end_walk());
        assert_eq!(seats.take(20), places[1]);
    }

    #[test]
    fn news_during_a_walk_begins_another_and_news_before_it_does_not() {
        let mut seats = Seats::default();
        seats.take(1);
        seats.take(2);
        assert!(seats.begin_walk());
        assert!(!seats.begin_walk());
        assert_eq!(walk(&mut seats), [2, 1]);
        assert!(!seats.end_walk());
        assert!(seats.begin_walk());
        assert_eq!(seats.next(), Some(2));
        assert!(!seats.begin_walk());
        assert_eq!(walk(&mut seats), [1]);
        assert!(seats.end_walk());
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
        assert!(!seats.end_walk());
        assert!(seats.call(BTreeSet::from([places[0]])));
        assert!(!seats.begin_walk(), "news behind a call");
        assert_eq!(seats.next(), Some(10));
        assert_eq!(seats.next(), None);
        assert!(seats.end_walk());
        assert_eq!(walk(&mut seats), [13, 12, 10]);
        assert!(!seats.end_walk());
    }

    #[test]
    fn an_empty_room_holds_no_memory_and_begins_no_walk() {
        let mut seats = Seats::default();
        let seat = seats.take(1);
        assert!(seats.begin_walk());
        seats.leave(seat);
        assert_eq!(seats.next(), None);
        assert!(!seats.end_walk());
        assert!(!seats.begin_walk());
        assert!(seats.0.is_none());
    }
}
