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

/// Epochs that are remembered; a position in an older one is of another life.
const PAST_MAX: usize = 16;

/// Which epoch a log is in, and which it was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The present one.
    pub epoch: Epoch,
    /// Counts the epochs that the log has had in this process, also those that are forgotten.
    pub life: u32,
    /// Those before, in order. Each ends where the next one begins, the last one where the present one does.
    pub past: Vec<PastTerm>,
}

/// An epoch that has ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PastTerm {
    /// Which.
    pub epoch: Epoch,
    /// What counts it.
    pub life: u32,
    /// Its first message.
    pub first: u64,
    /// The first message that is not its own.
    pub end: u64,
    /// The first that an edge of this life, or of one that was cut off behind it, may have received in
    /// other words; at most `end`.
    pub fork: u64,
}

/// How far messages are those that another history says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kinship {
    /// The epoch is the same.
    Same,
    /// Up to here, exclusively, whatever was received is what is there.
    Until(u64),
    /// Nobody knows.
    None,
}

impl History {
    /// How far an edge in `life` may be without having received what is not in the log any more.
    pub(super) fn kinship(past: &[PastTerm], present: u32, life: u32) -> Kinship {
        if life == present {
            return Kinship::Same;
        }
        // Epochs that were cut off at a fork are not there: then what counts is where the last one before them ended.
        let common = past.iter().rev().find(|term| term.life <= life && life != NO_LIFE);
        common.map_or(Kinship::None, |term| Kinship::Until(term.fork))
    }

    /// Whether a reader may be at this position of an epoch that has ended.
    pub(super) fn past_covers(past: &[PastTerm], position: Position) -> bool {
        let mut terms = past.iter().rev();
        terms.find(|term| term.epoch == position.epoch).is_some_and(|it| position.sequence < it.end)
    }

    /// The epoch of a message.
    pub(super) fn epoch_of(past: &[PastTerm], present: Epoch, sequence: u64) -> Epoch {
        match past.iter().rposition(|term| sequence >= term.end) {
            Some(index) => past.get(index + 1).map_or(present, |next| next.epoch),
            None => past.first().map_or(present, |oldest| oldest.epoch),
        }
    }

    /// The same with the epochs counted from another number on: by `offset` more.
    #[must_use]
    pub fn counted_from(mut self, offset: u32) -> Self {
        self.life = self.life.wrapping_add(offset);
        self.past.iter_mut().for_each(|term| term.life = term.life.wrapping_add(offset));
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
        let own_first = self.past.last().map_or(1, |last| last.end);
        let own = PastTerm {
            epoch: self.epoch,
            life: self.life,
            first: own_first,
            end: next_seq,
            fork: next_seq,
        };
        let mut owned: Vec<PastTerm> = std::mem::take(&mut self.past);
        owned.push(own);
        let mut common = None;
        while let Some(term) = owned.pop() {
            if let Some(index) = find(term.epoch) {
                let (end, fork) = (end_of(index), term.fork.min(end_of(index)));
                common = Some((index, fork));
                owned.push(PastTerm { end, fork, ..term });
                break;
            }
        }
        let first_new = common.map_or(0, |(index, _)| index + 1);
        for (index, term) in terms.iter().enumerate().skip(first_new) {
            self.life = next_life(self.life);
            let (Term { epoch, first }, end) = (*term, end_of(index));
            owned.push(PastTerm { epoch, life: self.life, first, end, fork: end });
        }
        if first_new == terms.len() {
            // The backplane has gone back to an epoch of before: whoever was further is in another life.
            self.life = next_life(self.life);
            let (epoch, end) = (present.epoch, backplane_next);
            owned.push(PastTerm { epoch, life: self.life, first: end, end, fork: end });
        }
        // The last is not past.
        owned.pop();
        owned.drain(..owned.len().saturating_sub(PAST_MAX));
        (self.epoch, self.past) = (present.epoch, owned);
        common.map(|(_, fork)| fork.min(next_seq))
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
        let mut history = History { epoch: Epoch::NONE, life: 0, past: Vec::new() };
        assert_eq!(history.adopt(&terms(&[(1, 1), (2, 41), (3, 98)]), 120, 1), None);
        history
    }

    fn kinship(history: &History, life: u32) -> Kinship {
        History::kinship(&history.past, history.life, life)
    }

    fn covers(history: &History, number: u64, sequence: u64) -> bool {
        History::past_covers(&history.past, Position { epoch: epoch(number), sequence })
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let history = history();
        let epoch_of = |sequence| History::epoch_of(&history.past, history.epoch, sequence);
        let expected = [(0, 1), (1, 1), (40, 1), (41, 2), (97, 2), (98, 3), (500, 3)];
        for (sequence, number) in expected {
            assert_eq!(epoch_of(sequence), epoch(number), "{sequence}");
        }
        assert!(covers(&history, 1, 40) && covers(&history, 2, 97));
        assert!(!covers(&history, 1, 41) && !covers(&history, 2, 98) && !covers(&history, 9, 1));
        assert_eq!(kinship(&history, history.life), Kinship::Same);
        assert_eq!(kinship(&history, history.life - 1), Kinship::Until(98));
        assert_eq!(
            (kinship(&history, 0), kinship(&history, NO_LIFE)),
            (Kinship::None, Kinship::None)
        );
    }

    #[test]
    fn another_epoch_at_the_head_takes_nothing_from_anybody() {
        let mut history = history();
        let before = history.life;
        let longer = terms(&[(1, 1), (2, 41), (3, 98), (4, 120)]);
        assert_eq!(history.adopt(&longer, 125, 120), Some(120));
        assert_eq!(kinship(&history, before), Kinship::Until(120));
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
        assert_eq!(kinship(&history, before), Kinship::Until(110));
        assert!(covers(&history, 3, 109) && !covers(&history, 3, 110) && covers(&history, 1, 3));
        // Epoch 5 was never heard of by the one that takes over next.
        let second = history.life;
        assert_eq!(history.adopt(&terms(&[(3, 98), (6, 105)]), 105, 112), Some(105));
        assert_eq!(kinship(&history, second), Kinship::Until(105));
        assert_eq!(kinship(&history, before), Kinship::Until(105));
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
        assert_eq!(kinship(&history, second), Kinship::Until(120));
        assert_eq!(kinship(&history, first), Kinship::Until(120));
        assert!(covers(&history, 3, 121) && !covers(&history, 4, 120));
    }

    #[test]
    fn nothing_in_common_is_another_life() {
        let mut history = history();
        let before = history.life;
        assert_eq!(history.adopt(&terms(&[(7, 1), (8, 3)]), 4, 120), None);
        assert_eq!(kinship(&history, before), Kinship::None);
        assert_eq!((history.epoch, history.past.len()), (epoch(8), 1));
    }
}
