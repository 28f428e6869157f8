//! The epochs that a log has been through: where each began and ended, so that a position in one of them is
//! still good as long as the log has not forked before it.
//!
//! ```text
//!   epoch     a              b         c (now)
//!         1 ───── 40 │ 41 ───── 97 │ 98 ── …
//! ```
//!
//! A log that one worker sequences begins another epoch only with nothing in it. One that a backplane
//! sequences goes on: its server restarted or another took over, and the messages before are the same ones.
//! Or they are not: then the log has forked, and whoever has received what lies behind the fork is told of
//! a gap.

use super::backplane::Term;
use super::cursor::{Epoch, Position};

/// The life of nobody: an edge in it has received what nobody knows.
pub(super) const NO_LIFE: u32 = u32::MAX;

/// Epochs that are remembered, and lives; a position in an older one is of another log.
const PAST_MAX: usize = 16;

/// Which epoch a log is in, and which it was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The present one.
    pub epoch: Epoch,
    /// Counts the times that the log has begun another epoch in this process.
    pub life: u32,
    /// What was before.
    pub past: Past,
}

/// What a log was before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Epochs that have ended, in order. Each ends where the next one begins, the last one where the present one does.
    terms: Vec<PastTerm>,
    /// Lives that have ended, in order.
    lives: Vec<PastLife>,
}

/// An epoch that has ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct PastTerm {
    epoch: Epoch,
    /// Its first message.
    first: u64,
    /// The first message that is not its own.
    end: u64,
}

/// A life that has ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct PastLife {
    life: u32,
    /// The first message that is another one by now than it was, or may be.
    good_until: u64,
}

impl Past {
    /// Whether there is anything to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.lives.is_empty()
    }

    /// The first message of which is known which epoch it was in.
    pub(super) fn first(&self) -> u64 {
        self.terms.first().map_or(1, |oldest| oldest.first)
    }

    /// Up to where an edge in a life that has ended has received what is in the log; `None`: nobody knows.
    pub(super) fn good_until(&self, life: u32) -> Option<u64> {
        self.lives.iter().find(|past| past.life == life).map(|past| past.good_until)
    }

    /// Whether this epoch is one of those that have ended.
    pub(super) fn knows(&self, epoch: Epoch) -> bool {
        self.terms.iter().any(|term| term.epoch == epoch)
    }

    /// The first message behind an epoch that has ended.
    pub(super) fn end_of(&self, epoch: Epoch) -> Option<u64> {
        self.terms.iter().rev().find(|term| term.epoch == epoch).map(|term| term.end)
    }

    /// Whether a reader may be at this position of an epoch that has ended.
    pub(super) fn covers(&self, position: Position) -> bool {
        self.end_of(position.epoch).is_some_and(|end| position.sequence < end)
    }

    /// The epoch of a message, in a log that is in the epoch `present`.
    pub(super) fn epoch_of(&self, present: Epoch, sequence: u64) -> Epoch {
        match self.terms.iter().rposition(|term| sequence >= term.end) {
            Some(index) => self.terms.get(index + 1).map_or(present, |next| next.epoch),
            None => self.terms.first().map_or(present, |oldest| oldest.epoch),
        }
    }

    /// A life ends, whose messages before `good_until` stay.
    fn end_life(&mut self, life: u32, good_until: u64) {
        for past in &mut self.lives {
            past.good_until = past.good_until.min(good_until);
        }
        self.lives.push(PastLife { life, good_until });
        self.lives.drain(..self.lives.len().saturating_sub(PAST_MAX));
    }
}

impl History {
    /// The same with the epochs counted from another number on: by `offset` more.
    #[must_use]
    pub fn counted_from(mut self, offset: u32) -> Self {
        self.life = self.life.wrapping_add(offset);
        for past in &mut self.past.lives {
            past.life = past.life.wrapping_add(offset);
        }
        self
    }

    /// Takes over what a backplane says: its epochs, the oldest first, and the sequence of its next message.
    /// `next_seq` is the log's own. Returns up to where the log's messages are those of the backplane; `None`: nowhere.
    pub(super) fn adopt(
        &mut self,
        terms: &[Term],
        backplane_next: u64,
        next_seq: u64,
    ) -> Option<u64> {
        let Some(present) = terms.last() else { return Some(next_seq) };
        if present.epoch == self.epoch {
            return Some(next_seq);
        }
        let end_of = |index: usize| terms.get(index + 1).map_or(backplane_next, |next| next.first);
        let find = |epoch: Epoch| terms.iter().rposition(|term| term.epoch == epoch);
        let own_first = self.past.terms.last().map_or(1, |last| last.end);
        let mut own = std::mem::take(&mut self.past.terms);
        own.push(PastTerm { epoch: self.epoch, first: own_first, end: next_seq });
        let mut common = None;
        while let Some(term) = own.pop() {
            if let Some(index) = find(term.epoch) {
                let end = end_of(index);
                common = Some((index, next_seq.min(term.end).min(end)));
                own.push(PastTerm { end, ..term });
                break;
            }
        }
        let first_new = common.map_or(0, |(index, _)| index + 1);
        for (index, Term { epoch, first }) in terms.iter().copied().enumerate().skip(first_new) {
            own.push(PastTerm { epoch, first, end: end_of(index) });
        }
        if first_new < terms.len() {
            // The last is not past.
            own.pop();
        }
        own.drain(..own.len().saturating_sub(PAST_MAX));
        let fork = common.map(|(_, fork)| fork);
        match fork {
            Some(fork) => self.past.end_life(self.life, fork),
            None => self.past.lives.clear(),
        }
        (self.epoch, self.life, self.past.terms) = (present.epoch, next_life(self.life), own);
        fork
    }
}

/// The life behind this one, which is never [`NO_LIFE`].
pub(super) fn next_life(life: u32) -> u32 {
    if life + 1 == NO_LIFE { 0 } else { life + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch::from_random(number)
    }

    fn terms(list: &[(u64, u64)]) -> Vec<Term> {
        list.iter().map(|&(number, first)| Term { epoch: epoch(number), first }).collect()
    }

    fn history() -> History {
        let mut history = History { epoch: Epoch::NONE, life: 0, past: Past::default() };
        assert_eq!(history.adopt(&terms(&[(1, 1), (2, 41), (3, 98)]), 120, 1), None);
        history
    }

    fn good_until(history: &History, life: u32) -> Option<u64> {
        history.past.good_until(life)
    }

    fn covers(history: &History, number: u64, sequence: u64) -> bool {
        history.past.covers(Position { epoch: epoch(number), sequence })
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let history = history();
        let epoch_of = |sequence| history.past.epoch_of(history.epoch, sequence);
        let expected = [(0, 1), (1, 1), (40, 1), (41, 2), (97, 2), (98, 3), (500, 3)];
        for (sequence, number) in expected {
            assert_eq!(epoch_of(sequence), epoch(number), "{sequence}");
        }
        assert!(covers(&history, 1, 40) && covers(&history, 2, 97));
        assert!(!covers(&history, 1, 41) && !covers(&history, 2, 98) && !covers(&history, 9, 1));
        assert_eq!((good_until(&history, 0), good_until(&history, NO_LIFE)), (None, None));
    }

    #[test]
    fn another_epoch_at_the_head_takes_nothing_from_anybody() {
        let mut history = history();
        let before = history.life;
        let longer = terms(&[(1, 1), (2, 41), (3, 98), (4, 120)]);
        assert_eq!(history.adopt(&longer, 125, 120), Some(120));
        assert_eq!(good_until(&history, before), Some(120));
        assert!(covers(&history, 3, 119) && !covers(&history, 3, 120));
        let same = history.clone();
        assert_eq!(history.adopt(&longer, 130, 125), Some(125));
        assert_eq!(history, same);
    }

    #[test]
    fn a_fork_cuts_off_what_the_backplane_does_not_know() {
        let mut history = history();
        let before = history.life;
        // A replica that had not heard of 110 to 119 took over.
        assert_eq!(history.adopt(&terms(&[(2, 41), (3, 98), (5, 110)]), 112, 120), Some(110));
        assert_eq!(good_until(&history, before), Some(110));
        assert!(covers(&history, 3, 109) && !covers(&history, 3, 110) && covers(&history, 1, 3));
        // Epoch 5 was never heard of by the one that takes over next.
        let second = history.life;
        assert_eq!(history.adopt(&terms(&[(3, 98), (6, 105)]), 105, 112), Some(105));
        assert_eq!(good_until(&history, second), Some(105));
        assert_eq!(good_until(&history, before), Some(105));
        assert!(!covers(&history, 5, 110));
    }

    #[test]
    fn a_backplane_that_goes_back_to_an_epoch_ends_what_came_after_it() {
        let mut history = history();
        let first = history.life;
        assert_eq!(history.adopt(&terms(&[(3, 98), (4, 120)]), 130, 120), Some(120));
        let second = history.life;
        assert_eq!(history.adopt(&terms(&[(3, 98)]), 122, 130), Some(120));
        assert_eq!(history.epoch, epoch(3));
        // Between 120 and 121 this epoch went on where nobody here saw it.
        assert_eq!(good_until(&history, second), Some(120));
        assert_eq!(good_until(&history, first), Some(120));
        assert!(covers(&history, 3, 121) && !covers(&history, 4, 120));
    }

    #[test]
    fn nothing_in_common_is_another_life() {
        let mut history = history();
        let before = history.life;
        assert_eq!(history.adopt(&terms(&[(7, 1), (8, 3)]), 4, 120), None);
        assert_eq!(good_until(&history, before), None);
        assert_eq!((history.epoch, history.past.first()), (epoch(8), 1));
    }
}
