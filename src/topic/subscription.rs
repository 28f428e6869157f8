//! A cursor on one log, as a live subscription keeps it.

use super::cursor::{Position, Start};
use super::log::Log;
use super::terms::NO_LIFE;
use super::topics::{TopicId, Topics, View};
use crate::planted::{Fault, planted};

/// One topic of a subscription: 24 bytes, which is all that an idle or lagging subscriber costs beside its
/// connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The topic, in this worker.
    pub topic: TopicId,
    /// The subscriber's place among the topic's, by which it is found when it leaves.
    pub seat: u32,
    /// [`Log::life`] to which `next` belongs.
    life: u32,
    /// The next message wanted, at least 1; 0 while nobody knows yet.
    next: u64,
    /// The question ([`Topics::ask`]) that its beginning waits for; 0: none.
    question: u32,
}

/// What a subscription is owed next of one topic.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing: it is at the head.
    Nothing,
    /// The news that messages are gone; how many, if anybody knows.
    Gap(Option<u64>),
    /// The message with this sequence, which is retained.
    Message(u64),
}

impl Edge {
    /// A subscription whose log is not known yet.
    pub const fn unresolved(topic: TopicId, seat: u32) -> Self {
        Self { topic, seat, life: 0, next: 0, question: 0 }
    }

    /// Whether it has been told where to begin.
    pub const fn is_resolved(&self) -> bool {
        self.next > 0
    }

    /// Whether a position that is not good here may be good in a moment: its reader was told by another worker
    /// of what has not come to this one yet. The worker that sequences the topic knows.
    pub fn is_on_its_way(&mut self, topics: &mut impl Topics, position: Position) -> bool {
        let View::Live(log) = topics.view(self.topic) else { return false };
        let here = log.reach();
        if log.covers(position) || position == Position::NOWHERE {
            return false;
        }
        if self.question == 0 {
            self.question = topics.ask(self.topic, self.seat);
        }
        match topics.answer(self.topic, self.question) {
            None => true,
            Some(there) => {
                there.epoch != here.epoch
                    || (here.next_seq..there.next_seq).contains(&position.sequence)
            }
        }
    }

    /// Begins at `start`; `position` is this topic's in the cursor of `start`, if it has one. What was
    /// missed before is due as a gap, like everything that is missed later.
    pub fn resolve(&mut self, log: &Log, start: &Start, position: Option<Position>) {
        self.life = log.life();
        self.question = 0;
        self.next = match (start, position) {
            (Start::Latest, _) => log.next_seq(),
            (Start::Earliest, _) => log.first_seq(),
            (Start::Last(count), _) => log.next_seq().saturating_sub(*count).max(log.first_seq()),
            (Start::After(_), Some(position)) if log.covers(position) => position.sequence + 1,
            (Start::After(_) | Start::Unknown, position) => {
                // Who has received more of an epoch than it came to goes on where it ended.
                self.life = NO_LIFE;
                position.and_then(|position| log.end_of(position.epoch)).unwrap_or(1)
            }
        };
    }

    /// What is owed now.
    pub fn due(&self, log: &Log) -> Due {
        if self.life != log.life() && !log.carries(self.life, self.next) {
            Due::Gap(None)
        } else if self.next < log.first_seq() {
            let surplus = u64::from(planted(Fault::MiscountsGap));
            Due::Gap(Some(log.first_seq() - self.next + surplus))
        } else if self.next < log.next_seq() {
            Due::Message(self.next)
        } else {
            Due::Nothing
        }
    }

    /// Moves past what [`Edge::due`] said, which was handed over.
    pub fn advance(&mut self, log: &Log) {
        match self.due(log) {
            Due::Nothing => (),
            Due::Message(_) => self.next += 1,
            Due::Gap(_) => {
                let good_until = match self.life {
                    NO_LIFE => self.next.min(log.next_seq()),
                    life => log.good_until(life, self.next).unwrap_or_default(),
                };
                self.next = good_until.max(log.first_seq());
            }
        }
        self.life = log.life();
    }

    /// Goes along with a log that has begun another epoch, if nothing is missed by that.
    pub fn keep_up(&mut self, log: &Log) {
        if self.life != log.life() && log.carries(self.life, self.next) {
            self.life = log.life();
        }
    }

    /// How many messages are owed now, when it is not the news of a gap.
    pub fn lag(&self, log: &Log) -> u64 {
        match self.due(log) {
            Due::Message(next) => log.next_seq() - next,
            Due::Nothing | Due::Gap(_) => 0,
        }
    }

    /// How far it is behind the head, in messages: those that are due, and those that are gone. Of another life of the
    /// log nobody knows what is gone.
    pub fn behind(&self, log: &Log) -> u64 {
        let next = log.good_until(self.life, self.next).unwrap_or(log.first_seq());
        if self.is_resolved() { log.next_seq().saturating_sub(next) } else { 0 }
    }

    /// Moves past so many messages, at most [`Edge::lag`], which were handed over.
    pub fn advance_by(&mut self, messages: u64) {
        self.next += messages;
    }

    /// The next message wanted.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// What was received, for a cursor. While a gap of unknown size is due, a position that is good in no
    /// log, so that whoever resumes there is told of it.
    pub fn position(&self, log: &Log) -> Position {
        if log.carries(self.life, self.next) {
            log.position(self.next - 1)
        } else {
            Position::NOWHERE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::backplane::Term;
    use super::super::cursor::{Cursor, Epoch};
    use super::super::log::Retention;
    use super::super::message::Message;
    use super::*;
    use crate::time::Instant;

    #[test]
    fn delivered_and_declared_gaps_are_what_was_published_whatever_is_trimmed_between() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let mut log = Log::new(Epoch::from_random(1), 1);
            let mut edge = Edge::unresolved(TopicId(0), 0);
            edge.resolve(&log, &Start::Earliest, None);
            let (mut accounted, mut published) = (0, 0);
            for _ in 0..100 {
                match random.u8(0..3) {
                    0 => {
                        let message = Message::new(Vec::new(), None, None, 0).unwrap();
                        log.append(Arc::new(message), Instant::default());
                        published += 1;
                    }
                    1 => {
                        let messages = random.usize(0..5);
                        let retention = Retention { messages, bytes: usize::MAX, age_ms: 1 };
                        log.trim(&retention, Instant::default());
                    }
                    _ => match edge.due(&log) {
                        Due::Nothing => assert_eq!(accounted, published),
                        Due::Gap(count) => {
                            accounted += count.expect("the epoch is the same");
                            edge.advance(&log);
                            assert!(!matches!(edge.due(&log), Due::Gap(_)));
                        }
                        Due::Message(sequence) => {
                            accounted += 1;
                            assert_eq!(sequence, accounted, "in order, each once");
                            edge.advance(&log);
                        }
                    },
                }
            }
        }
    }

    #[test]
    fn a_start_is_resolved_to_a_message_or_a_gap() {
        let mut log = Log::new(Epoch::from_random(9), 1);
        for _ in 0..10 {
            let message = Message::new(Vec::new(), None, None, 0).unwrap();
            log.append(Arc::new(message), Instant::default());
        }
        let retention = Retention { messages: 4, bytes: usize::MAX, age_ms: 1 };
        log.trim(&retention, Instant::default());
        let due = |start: &Start, position| {
            let mut edge = Edge::unresolved(TopicId(0), 0);
            edge.resolve(&log, start, position);
            edge.due(&log)
        };
        let after = |epoch, sequence| {
            let position = Position { epoch: Epoch::from_random(epoch), sequence };
            let cursor = Cursor::parse(position.text().as_bytes()).unwrap();
            due(&Start::After(cursor), Some(position))
        };
        assert_eq!(due(&Start::Earliest, None), Due::Message(7));
        assert_eq!(due(&Start::Latest, None), Due::Nothing);
        assert_eq!(due(&Start::Last(2), None), Due::Message(9));
        assert_eq!(due(&Start::Last(u64::MAX), None), Due::Message(7));
        assert_eq!(after(9, 10), Due::Nothing);
        assert_eq!(after(9, 6), Due::Message(7));
        assert_eq!(after(9, 5), Due::Gap(Some(1)));
        assert_eq!(after(9, 0), Due::Gap(Some(6)));
        for (epoch, sequence) in [(9, 11), (9, u64::MAX), (8, 3), (8, 0)] {
            assert_eq!(after(epoch, sequence), Due::Gap(None));
        }
        assert_eq!(due(&Start::Unknown, None), Due::Gap(None));
    }

    #[test]
    fn a_cursor_behind_the_end_of_its_epoch_goes_on_where_that_ended() {
        let mut log = Log::new(Epoch::from_random(1), 1);
        let terms = [(3, 1), (4, 5)];
        let terms = terms.map(|(epoch, first)| Term { epoch: Epoch::from_random(epoch), first });
        log.adopt(&terms, 10);
        for _ in 1..10 {
            let message = Message::new(Vec::new(), None, None, 0).unwrap();
            log.append(Arc::new(message), Instant::default());
        }
        let begin = |epoch, sequence| {
            let position = Position { epoch: Epoch::from_random(epoch), sequence };
            let cursor = Cursor::parse(position.text().as_bytes()).unwrap();
            let mut edge = Edge::unresolved(TopicId(0), 0);
            edge.resolve(&log, &Start::After(cursor), Some(position));
            let first = edge.due(&log);
            edge.advance(&log);
            (first, edge.due(&log))
        };
        assert_eq!(begin(3, 3), (Due::Message(4), Due::Message(5)));
        assert_eq!(begin(3, 4), (Due::Message(5), Due::Message(6)));
        for sequence in [5, 7, 9, 100, u64::MAX] {
            assert_eq!(begin(3, sequence), (Due::Gap(None), Due::Message(5)), "{sequence}");
        }
        assert_eq!(begin(8, 3), (Due::Gap(None), Due::Message(1)));
    }

    #[test]
    fn a_cursor_taken_while_a_gap_is_due_does_not_hide_it() {
        let mut log = Log::new(Epoch::from_random(1), 1);
        let mut edge = Edge::unresolved(TopicId(0), 0);
        edge.resolve(&log, &Start::Latest, None);
        log.reset(Epoch::from_random(2), 1);
        let position = edge.position(&log);
        let start = Start::After(Cursor::parse(position.text().as_bytes()).unwrap());
        edge.resolve(&log, &start, Some(position));
        assert_eq!(edge.due(&log), Due::Gap(None));
    }

    #[test]
    fn another_epoch_is_a_gap_of_unknown_size() {
        let mut log = Log::new(Epoch::from_random(1), 1);
        let mut edge = Edge::unresolved(TopicId(0), 0);
        edge.resolve(&log, &Start::Latest, None);
        log.reset(Epoch::from_random(2), 1);
        assert_eq!(edge.due(&log), Due::Gap(None));
        edge.advance(&log);
        assert_eq!(edge.due(&log), Due::Nothing);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_edge_is_held_to_its_size() {
        // One for each topic of each subscriber.
        assert_eq!(size_of::<Edge>(), 24);
    }
}
