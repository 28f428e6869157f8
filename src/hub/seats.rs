//! Who is subscribed to a topic, and the walk past all of them that a new message starts.

use std::collections::BTreeSet;

use crate::planted::{Fault, planted};

/// A vacant seat.
const VACANT: u32 = u32::MAX;

/// Subscribers of one topic: 4 bytes each. A seat keeps its number until it is left.
#[derive(Debug, Default)]
pub(super) struct Seats {
    seats: Vec<u32>,
    vacant: Vec<u32>,
    /// Seats before this one are still to be visited by the walk.
    left: u32,
    /// Seats to be visited before that: what they waited for is no news to the others.
    called: BTreeSet<u32>,
    /// Whether the topic is in the queue of those with a walk to do.
    pub(super) queued: bool,
    /// Whether something was appended after the walk had begun, so that it has to be walked again.
    again: bool,
}

impl Seats {
    /// Seats a subscriber (the slot of its connection).
    pub(super) fn take(&mut self, subscriber: u32) -> u32 {
        match self.vacant.pop() {
            Some(seat) => {
                self.seats[seat as usize] = subscriber;
                seat
            }
            None => {
                let seat =
                    u32::try_from(self.seats.len()).expect("connections are counted in 32 bits");
                self.seats.push(subscriber);
                seat
            }
        }
    }

    /// Frees a seat. When the last subscriber leaves, so does the memory.
    pub(super) fn leave(&mut self, seat: u32) {
        assert_ne!(self.seats[seat as usize], VACANT, "a seat is left once");
        self.seats[seat as usize] = VACANT;
        self.vacant.push(seat);
        if self.is_empty() {
            (self.seats, self.vacant) = (Vec::new(), Vec::new());
            (self.left, self.called) = (0, BTreeSet::new());
        }
    }

    /// Whether nobody is subscribed.
    pub(super) fn is_empty(&self) -> bool {
        self.seats.len() == self.vacant.len()
    }

    /// Something is new: everybody has to be visited. True if the topic has to be queued for it.
    pub(super) fn begin_walk(&mut self) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut seats = self.seats.len() as u32;
        if planted(Fault::WalksPastTooFewSeats) {
            seats -= self.vacant.len() as u32;
        }
        if std::mem::replace(&mut self.queued, true) {
            self.again |= self.left < seats && !planted(Fault::ForgetsNewsDuringWalk);
            return false;
        }
        self.left = seats;
        true
    }

    /// Has these seats visited, whoever has them by then. True if the topic has to be queued for it.
    pub(super) fn call(&mut self, mut seats: BTreeSet<u32>) -> bool {
        if self.is_empty() || seats.is_empty() {
            return false;
        }
        self.called.append(&mut seats);
        !std::mem::replace(&mut self.queued, true)
    }

    /// The next subscriber to visit. From the back to the front, so that who sits down during the walk
    /// (and was told everything when it did) is not visited.
    pub(super) fn next(&mut self) -> Option<u32> {
        while let Some(seat) = self.next_seat() {
            match self.seats.get(seat as usize) {
                Some(&subscriber) if subscriber != VACANT => return Some(subscriber),
                _ => (),
            }
        }
        None
    }

    fn next_seat(&mut self) -> Option<u32> {
        self.called.pop_last().or_else(|| {
            self.left = self.left.checked_sub(1)?;
            Some(self.left)
        })
    }

    /// Ends a walk. True if another one has begun in its place.
    pub(super) fn end_walk(&mut self) -> bool {
        self.queued = std::mem::take(&mut self.again) && !self.is_empty();
        self.left = if self.queued { self.seats.len() as u32 } else { 0 };
        self.queued
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
        assert_eq!(seats.seats.capacity(), 0);
    }
}
