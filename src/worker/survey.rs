//! What a worker finds out for an operator: its topics and connections are looked at in slices, tick after tick,
//! so that a million of them hold up nobody.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use super::Worker;
use super::inquiries::Question;
use crate::connection::{Connection, ConnectionsWanted, Sight, TopicOrder, TopicsWanted};
use crate::counters::{Counters, HubGauges, Wire};
use crate::key::ConnectionKey;
use crate::limits::SURVEYED_PER_TICK;
use crate::outbound::Status;
use crate::time::Instant;
use crate::topic::Topics as _;
use crate::topic::{Epoch, Reach, TopicId, TopicName, View};

/// What is of late: a topic's messages are counted that were appended within so many milliseconds.
const RECENT_MS: u64 = 10_000;
/// Places looked at for one question before the next one's turn.
const TURN: usize = SURVEYED_PER_TICK / 4;

/// A worker's answer.
#[derive(Debug)]
pub enum Report {
    /// What it counts.
    Numbers(Box<Numbers>),
    /// Names of topics with what they are sorted by, best first, and whether there are more.
    Names(Vec<(u64, TopicName)>, bool),
    /// What is known of the topics that were asked for.
    Topics(Vec<Figures>),
    /// Connections in their order, and whether there are more.
    Connections(Vec<(ConnectionKey, Sight)>, bool),
    /// Whether the connection was there, and is ended.
    Ended(bool),
    /// How far topics are and what is retained of them, of those that are sequenced here.
    Reaches(Vec<Option<(Reach, u64)>>),
}

/// An answer and whose it is.
pub(super) type Reported = (usize, Report);

/// What a worker counts, and what it found out besides.
#[derive(Debug, Default)]
pub struct Numbers {
    pub(super) counters: Counters,
    pub(super) gauges: HubGauges,
    /// How far the subscription that is furthest behind is, in messages.
    pub(super) lag: u64,
    /// Subscriptions that are behind.
    pub(super) behind: u64,
    /// How things stand with Redis, if topics are sequenced there.
    pub(super) redis: Option<Box<Status>>,
    /// When the numbers were taken.
    pub(super) at: Instant,
}

/// What one worker knows of one topic.
#[derive(Debug, Default)]
pub struct Figures {
    /// What only its owner knows.
    pub(super) owned: Option<Owned>,
    /// The epoch, and the next message here.
    pub(super) reach: Option<(Epoch, u64)>,
    /// Who is subscribed here.
    pub(super) subscribers: [u64; Wire::COUNT],
    /// How far the slowest of them is behind, in messages.
    pub(super) lag: u64,
}

/// What the owner of a topic knows.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) epoch: Epoch,
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) recent: u64,
    pub(super) age_s: u64,
    /// Milliseconds since the newest message that is retained.
    pub(super) idle_ms: Option<u64>,
}

/// Questions that this worker has not answered yet, in turn.
#[derive(Debug, Default)]
pub(super) struct Surveys(VecDeque<Survey>);

#[derive(Debug)]
struct Survey {
    /// Who asked.
    from: usize,
    number: u32,
    question: Arc<Question>,
    /// The place that is looked at next: of a topic, of a connection, or in the list that was asked for.
    at: usize,
    found: Found,
}

/// What was found so far.
#[derive(Debug)]
enum Found {
    Numbers {
        lag: u64,
        behind: u64,
    },
    Names(Best<TopicName>),
    NamesByLag(BTreeMap<TopicName, u64>),
    Topics {
        figures: Vec<Figures>,
        /// The seat that is looked at next, of the last topic there; none before the next topic.
        seat: Option<usize>,
    },
    Connections(Vec<(ConnectionKey, Sight)>),
    Slowest(Best<ConnectionKey>),
    Nothing,
}

/// The best so many of all that are offered: those with the largest value, of equals the smallest.
#[derive(Debug)]
struct Best<T> {
    limit: usize,
    /// The worst of them on top.
    heap: BinaryHeap<(Reverse<u64>, T)>,
    more: bool,
}

impl<T: Ord> Best<T> {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new(), more: false }
    }

    fn offer(&mut self, value: u64, what: impl FnOnce() -> T) {
        // Most of a million are worse than all that there are, and are not even cloned.
        let is_full = self.heap.len() == self.limit;
        if is_full && self.heap.peek().is_some_and(|(Reverse(worst), _)| *worst > value) {
            self.more = true;
            return;
        }
        self.heap.push((Reverse(value), what()));
        if is_full {
            self.heap.pop();
            self.more = true;
        }
    }

    fn into_sorted(self) -> (Vec<(u64, T)>, bool) {
        let sorted = self.heap.into_sorted_vec().into_iter();
        (sorted.map(|(Reverse(value), what)| (value, what)).collect(), self.more)
    }
}

impl Surveys {
    /// Takes in a question.
    pub(super) fn begin(&mut self, own: usize, from: usize, number: u32, question: Arc<Question>) {
        let mut at = 0;
        let found = match &*question {
            Question::Numbers => Found::Numbers { lag: 0, behind: 0 },
            Question::Names(wanted) if wanted.order == TopicOrder::Lag => {
                Found::NamesByLag(BTreeMap::new())
            }
            Question::Names(wanted) => Found::Names(Best::new(wanted.limit)),
            Question::Topics(_) => Found::Topics { figures: Vec::new(), seat: None },
            Question::Connections(wanted) if wanted.by_lag => {
                Found::Slowest(Best::new(wanted.limit))
            }
            Question::Connections(wanted) => {
                at = match wanted.after {
                    Some(after) if after.worker > own => usize::MAX,
                    Some(after) if after.worker == own => after.key.slot as usize + 1,
                    _ => 0,
                };
                Found::Connections(Vec::new())
            }
            Question::End(_) | Question::Explain(_) => Found::Nothing,
        };
        self.0.push_back(Survey { from, number, question, at, found });
    }

    /// Whether there is nothing to find out.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A worker has begun anew, and does not know what it has asked.
    pub(super) fn forget(&mut self, worker: usize) {
        self.0.retain(|survey| survey.from != worker);
    }
}

impl Worker {
    /// Looks at some of what there is for those who asked. Whether there is more to look at.
    pub(super) fn survey(&mut self) -> bool {
        for _ in 0..SURVEYED_PER_TICK / TURN {
            let Some(mut survey) = self.surveys.0.pop_front() else { return false };
            match self.look(&mut survey) {
                Some(report) => self.tell(survey.from, survey.number, report),
                // Questions take turns: numbers are not held up by a listing of a million topics.
                None => self.surveys.0.push_back(survey),
            }
        }
        !self.surveys.0.is_empty()
    }

    /// A survey's turn; the answer if it is over.
    fn look(&mut self, survey: &mut Survey) -> Option<Report> {
        let question = Arc::clone(&survey.question);
        let is_over = match (&*question, &mut survey.found) {
            (Question::End(key), _) => return Some(Report::Ended(self.kill(*key))),
            (Question::Explain(explaining), _) => {
                return Some(Report::Reaches(self.reaches(&explaining.topics)));
            }
            (Question::Numbers, Found::Numbers { lag, behind }) => {
                self.connections_from(&mut survey.at, |worker, _, connection| {
                    let own = connection.lag(&worker.hub);
                    *lag = own.max(*lag);
                    *behind += u64::from(own > 0);
                    true
                })
            }
            (Question::Names(wanted), Found::Names(best)) => {
                self.look_at_topics(&mut survey.at, wanted, best)
            }
            (Question::Names(wanted), Found::NamesByLag(lags)) => {
                self.connections_from(&mut survey.at, |worker, _, connection| {
                    worker.note_lags(connection, wanted, lags);
                    true
                })
            }
            (Question::Topics(names), Found::Topics { figures, seat }) => {
                self.look_at_named(names, figures, seat)
            }
            (Question::Connections(wanted), Found::Connections(listed)) => {
                self.connections_from(&mut survey.at, |worker, key, connection| {
                    // One more than is wanted says that there are more.
                    if worker.is_wanted(wanted, connection) {
                        listed.push((key, connection.sight(worker.now, &worker.hub)));
                    }
                    listed.len() <= wanted.limit
                })
            }
            (Question::Connections(wanted), Found::Slowest(best)) => {
                self.connections_from(&mut survey.at, |worker, key, connection| {
                    let lag = connection.lag(&worker.hub);
                    if lag > 0 && worker.is_wanted(wanted, connection) {
                        best.offer(lag, || key);
                    }
                    true
                })
            }
            _ => unreachable!("each question has its own kind of findings"),
        };
        if !is_over {
            return None;
        }
        let found = std::mem::replace(&mut survey.found, Found::Nothing);
        Some(self.report(&question, found))
    }

    /// How far those of these topics are that are sequenced here. As many as one connection may have.
    fn reaches(&self, topics: &[TopicName]) -> Vec<Option<(Reach, u64)>> {
        let reach = |topic| {
            let sight = self.hub.sight_of(topic).filter(|sight| sight.begun_s.is_some())?;
            Some((sight.log.reach(), sight.log.first_seq()))
        };
        topics.iter().map(reach).collect()
    }

    fn report(&self, question: &Question, found: Found) -> Report {
        match (question, found) {
            (_, Found::Numbers { lag, behind }) => {
                let (counters, gauges) = (self.counters.clone(), self.hub.gauges());
                let (at, redis) = (self.now.instant, self.backplane.status());
                let numbers = Numbers { counters, gauges, lag, behind, redis, at };
                Report::Numbers(Box::new(numbers))
            }
            (_, Found::Names(best)) => {
                let (names, more) = best.into_sorted();
                Report::Names(names, more)
            }
            (Question::Names(wanted), Found::NamesByLag(lags)) => {
                let mut best = Best::new(wanted.limit);
                lags.into_iter().for_each(|(name, lag)| best.offer(lag, || name));
                let (names, more) = best.into_sorted();
                Report::Names(names, more)
            }
            (_, Found::Topics { figures, .. }) => Report::Topics(figures),
            (Question::Connections(wanted), Found::Connections(mut listed)) => {
                let more = listed.len() > wanted.limit;
                listed.truncate(wanted.limit);
                Report::Connections(listed, more)
            }
            (_, Found::Slowest(best)) => {
                let (slowest, more) = best.into_sorted();
                let sight = |(_, key): (u64, ConnectionKey)| {
                    // It may have ended since it was looked at.
                    let entry = self.connections.get(key.slot as usize)?;
                    let is_it = entry.generation == key.generation;
                    is_it.then(|| (key, entry.connection.sight(self.now, &self.hub)))
                };
                Report::Connections(slowest.into_iter().filter_map(sight).collect(), more)
            }
            _ => unreachable!("each question has its own kind of findings"),
        }
    }

    /// Looks at some connections from `at` on, until `look` says that it has seen enough. Whether this is over.
    fn connections_from(
        &self,
        at: &mut usize,
        mut look: impl FnMut(&Self, ConnectionKey, &Connection) -> bool,
    ) -> bool {
        let end = self.connections.capacity();
        let until = at.saturating_add(TURN).min(end);
        for slot in *at..until {
            if let Some(entry) = self.connections.get(slot) {
                let key = ConnectionKey { slot: slot as u32, generation: entry.generation };
                if !look(self, key, &entry.connection) {
                    return true;
                }
            }
        }
        *at = until.max(*at);
        *at >= end
    }

    fn is_wanted(&self, wanted: &ConnectionsWanted, connection: &Connection) -> bool {
        let Some(topic) = &wanted.topic else { return true };
        connection.lags(&self.hub).any(|(id, _)| self.hub.name(id) == topic)
    }

    /// Looks at some of the topics that are sequenced here (of subscribers, at replicas too).
    fn look_at_topics(
        &self,
        at: &mut usize,
        wanted: &TopicsWanted,
        best: &mut Best<TopicName>,
    ) -> bool {
        let end = self.hub.places();
        let until = (*at + TURN).min(end);
        let since = self.now.instant - RECENT_MS;
        for sight in (*at..until).filter_map(|place| self.hub.sight(place)) {
            let name = sight.name.as_str();
            let is_behind = wanted.after.as_ref().is_none_or(|after| after < sight.name);
            if !name.starts_with(&wanted.prefix) || !is_behind {
                continue;
            }
            let value = match wanted.order {
                TopicOrder::Subscribers => sight.subscribers,
                _ if sight.begun_s.is_none() => continue,
                TopicOrder::Recent => sight.log.appended_since(since),
                TopicOrder::Bytes => sight.log.bytes() as u64,
                TopicOrder::Name | TopicOrder::Lag => 0,
            };
            if value > 0 || wanted.order == TopicOrder::Name {
                best.offer(value, || sight.name.clone());
            }
        }
        *at = until;
        *at >= end
    }

    /// Notes how far a connection is behind in its topics, keeping a few more than are wanted.
    fn note_lags(
        &self,
        connection: &Connection,
        wanted: &TopicsWanted,
        lags: &mut BTreeMap<TopicName, u64>,
    ) {
        for (id, lag) in connection.lags(&self.hub).filter(|(_, lag)| *lag > 0) {
            let name = self.hub.name(id);
            if !name.as_str().starts_with(&wanted.prefix) {
                continue;
            }
            match lags.get_mut(name) {
                Some(most) => *most = lag.max(*most),
                None => {
                    lags.insert(name.clone(), lag);
                }
            }
        }
        if lags.len() > 2 * wanted.limit + 64 {
            // A topic that is let go comes back if somebody is found who is further behind.
            let mut best = Best::new(wanted.limit);
            std::mem::take(lags).into_iter().for_each(|(name, lag)| best.offer(lag, || name));
            lags.extend(best.into_sorted().0.into_iter().map(|(lag, name)| (name, lag)));
        }
    }

    /// Looks at some of the topics that were asked for by their names, and at some subscribers of each.
    fn look_at_named(
        &self,
        names: &[TopicName],
        figures: &mut Vec<Figures>,
        seat: &mut Option<usize>,
    ) -> bool {
        let mut left = TURN;
        while let Some(name) = names.get(figures.len() - usize::from(seat.is_some())) {
            if left == 0 {
                return false;
            }
            left -= 1;
            let Some(sight) = self.hub.sight_of(name) else {
                // It may have been forgotten while its subscribers were counted.
                if seat.take().is_none() {
                    figures.push(Figures::default());
                }
                continue;
            };
            let mut at = seat.unwrap_or_else(|| {
                figures.push(self.figures(&sight));
                0
            });
            let Some(here) = figures.last_mut() else { return true };
            *seat = loop {
                let Some(subscriber) = self.hub.seat(sight.id, at) else { break None };
                if left == 0 {
                    break Some(at);
                }
                (at, left) = (at + 1, left - 1);
                if let Some(slot) = subscriber {
                    self.count_subscriber(here, slot, sight.id);
                }
            };
        }
        true
    }

    fn figures(&self, sight: &crate::hub::Sight<'_>) -> Figures {
        let (now, log) = (self.now.instant, sight.log);
        let reach = log.reach();
        let owned = sight.begun_s.map(|begun_s| Owned {
            epoch: reach.epoch,
            first: log.first_seq(),
            next: reach.next_seq,
            messages: log.len(),
            bytes: log.bytes(),
            recent: log.appended_since(now - RECENT_MS),
            age_s: (now.as_ms() / 1_000).saturating_sub(u64::from(begun_s)),
            idle_ms: log.newest_at().map(|newest| now.since(newest)),
        });
        let is_live = matches!(self.hub.view(sight.id), View::Live(_));
        let reach = is_live.then_some((reach.epoch, reach.next_seq));
        Figures { owned, reach, ..Figures::default() }
    }

    fn count_subscriber(&self, figures: &mut Figures, slot: u32, topic: TopicId) {
        let Some(entry) = self.connections.get(slot as usize) else { return };
        let Some(wire) = entry.connection.wire() else { return };
        figures.subscribers[wire as usize] += 1;
        let mut lags = entry.connection.lags(&self.hub);
        if let Some((_, lag)) = lags.find(|(id, _)| *id == topic) {
            figures.lag = lag.max(figures.lag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_whatever_the_order_in_which_they_come() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..100 {
            let all: Vec<(u64, u32)> = (0..50).map(|what| (random.u64(..5), what)).collect();
            let mut sorted = all.clone();
            sorted.sort_by_key(|&(value, what)| (Reverse(value), what));
            let mut best = Best::new(7);
            let mut shuffled = all;
            random.shuffle(&mut shuffled);
            shuffled.iter().for_each(|&(value, what)| best.offer(value, || what));
            assert_eq!(best.into_sorted(), (sorted[..7].to_vec(), true));
        }
    }

    #[test]
    fn fewer_than_are_wanted_are_all_and_there_are_no_more() {
        let mut best = Best::new(2);
        best.offer(0, || "b");
        best.offer(0, || "a");
        assert_eq!(best.into_sorted(), (vec![(0, "a"), (0, "b")], false));
    }
}
