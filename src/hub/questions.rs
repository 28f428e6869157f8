//! What is asked about a log of whoever sequences it: how far it is. One question at a time, whoever wants to know.

use std::collections::BTreeSet;

use crate::topic::Reach;

/// How far the log is there, as far as somebody here needed to know.
#[derive(Debug)]
pub(super) struct Questions {
    /// The question that was answered last; those before it need no answer any more.
    answered: u32,
    reach: Reach,
    /// The question that is on its way.
    asked: Option<Question>,
    /// The next one, of those who came since.
    wanted: Option<Question>,
}

#[derive(Debug)]
struct Question {
    number: u32,
    /// Who is to be visited when it is answered, and nobody else: a crowd that comes back with old cursors
    /// would otherwise be walked past once for each few that come.
    seats: BTreeSet<u32>,
}

impl Questions {
    /// Whatever was asked up to the question `answered` is answered with `reach`.
    pub(super) fn new(answered: u32, reach: Reach) -> Self {
        Self { answered, reach, asked: None, wanted: None }
    }

    /// The answer to a question, if it is there.
    pub(super) fn answer(&self, question: u32) -> Option<Reach> {
        // Numbers wrap; those that wait for an answer are close to each other.
        let is_answered = self.answered.wrapping_sub(question) <= u32::MAX / 2;
        is_answered.then_some(self.reach)
    }

    /// Somebody wants to know. Returns the number of the question that will be asked; `numbers` counts those of all
    /// topics.
    pub(super) fn want(&mut self, numbers: &mut u32, seat: u32) -> u32 {
        if let Some(question) = &mut self.wanted {
            question.seats.insert(seat);
            return question.number;
        }
        // 0 is for who has not asked.
        *numbers = numbers.wrapping_add(1).max(1);
        let number = *numbers;
        self.wanted = Some(Question { number, seats: BTreeSet::from([seat]) });
        if self.asked.is_none() {
            // All that were asked before were answered. Said anew, as the numbers are those of all topics,
            // and may have gone half around since this one's last.
            self.answered = number.wrapping_sub(1);
        }
        number
    }

    /// Whether a question is on its way.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether a question is to be asked.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Asks what is wanted, if something is: its number. Whoever waits for the question before, if that one was not
    /// answered, waits for this one.
    pub(super) fn send(&mut self) -> Option<u32> {
        let mut wanted = self.wanted.take()?;
        if let Some(asked) = self.asked.take() {
            wanted.seats.extend(asked.seats);
        }
        let number = wanted.number;
        self.asked = Some(wanted);
        Some(number)
    }

    /// The number of the question that is on its way.
    pub(super) fn asked(&self) -> Option<u32> {
        self.asked.as_ref().map(|question| question.number)
    }

    /// A question was answered. Returns who is to be visited.
    pub(super) fn note_answer(&mut self, number: u32, reach: Reach) -> BTreeSet<u32> {
        (self.answered, self.reach) = (number, reach);
        self.asked.take().map_or_else(BTreeSet::new, |question| question.seats)
    }

    /// Another epoch has begun there. An answer may have come before this, and say how far it is by now.
    pub(super) fn note_epoch(&mut self, reach: Reach) {
        if self.reach.epoch != reach.epoch {
            self.reach = reach;
        }
    }
}
