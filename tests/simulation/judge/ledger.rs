//! What Redis has sequenced, whatever became of it: the truth that servers which share it are held against.
//!
//! The simulated Redis writes it down as it happens. A topic's history is a tree: messages follow each other on a
//! branch, whatever epochs begin on it, and where Redis has lost the last ones another branch begins. So a
//! position is one place, however many names it has, and one place comes after another or it does not.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::position::Position;
use super::shadow::number_of;

/// A branch, and the last message of it that is meant; 0: none.
pub(crate) type Place = (usize, u64);

/// A ledger, as Redis and the judge have it.
pub(crate) type Shared = Rc<RefCell<Ledger>>;

/// A message that was sequenced.
#[derive(Debug)]
struct Entry {
    term: usize,
    /// The publish, if it is one of ours.
    number: Option<usize>,
    at_ms: u64,
    cost: usize,
    /// When servers say that it was published.
    time_ms: Option<u64>,
}

/// Messages that followed each other.
#[derive(Debug)]
struct Branch {
    /// Where it leaves another one.
    parent: Option<Place>,
    entries: Vec<Entry>,
}

/// An epoch, and where it began.
#[derive(Debug)]
struct Term {
    epoch: String,
    head: Place,
}

#[derive(Debug, Default)]
struct Topic {
    branches: Vec<Branch>,
    terms: Vec<Term>,
    /// Where Redis is now.
    head: Option<Place>,
    /// The epochs that it knows of.
    known: BTreeSet<String>,
}

/// How much is retained, as every server is told.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Retention {
    pub(crate) messages: u64,
    pub(crate) bytes: usize,
    pub(crate) age_ms: u64,
    /// A key is remembered for so long.
    pub(crate) window_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) now_ms: u64,
    retention: Retention,
    topics: BTreeMap<String, Topic>,
    /// Where each publish is, and when it came there, and what Redis had lost before.
    placed: BTreeMap<usize, Vec<(Place, u64, u64)>>,
    /// Publishes that were refused for good.
    refused: BTreeSet<usize>,
    /// How often Redis has lost something.
    losses: u64,
}

impl Branch {
    fn first(&self) -> u64 {
        self.parent.map_or(1, |(_, sequence)| sequence + 1)
    }

    fn last(&self) -> u64 {
        self.first() + self.entries.len() as u64 - 1
    }
}

impl Topic {
    /// The place on the way to `place` that has this sequence.
    fn back(&self, mut place: Place, sequence: u64) -> Option<Place> {
        while sequence < self.branches[place.0].first() {
            match self.branches[place.0].parent {
                Some(parent) => place = parent,
                None => break,
            }
        }
        (sequence <= place.1).then_some((place.0, sequence))
    }

    /// The last place of each branch on the way to `place`.
    fn way(&self, place: Place) -> impl Iterator<Item = Place> + '_ {
        std::iter::successors(Some(place), |place| self.branches[place.0].parent)
    }

    fn entry(&self, (branch, sequence): Place) -> Option<&Entry> {
        let branch = &self.branches[branch];
        branch.entries.get(sequence.checked_sub(branch.first())? as usize)
    }

    /// The end of each branch that goes on behind `place`, or is its own.
    fn tips(&self, place: Place) -> impl Iterator<Item = Place> + '_ {
        let ends = self.branches.iter().enumerate().map(|(number, it)| (number, it.last()));
        ends.filter(move |&end| self.back(end, place.1) == Some(place))
    }
}

impl Ledger {
    pub(crate) fn new(retention: Retention) -> Self {
        Self {
            now_ms: 0,
            retention,
            topics: BTreeMap::new(),
            placed: BTreeMap::new(),
            refused: BTreeSet::new(),
            losses: 0,
        }
    }

    // What Redis does.

    /// An epoch begins: behind `head`, or with a topic that has nothing.
    pub(crate) fn begin(&mut self, topic: &str, epoch: &str, head: Option<Place>) -> Place {
        let it = self.topics.entry(topic.to_owned()).or_default();
        let is_new = it.terms.iter().all(|term| term.epoch != epoch);
        assert!(is_new, "epoch {epoch} of topic {topic:?} begins a second time");
        let head = head.unwrap_or_else(|| {
            it.known.clear();
            it.branches.push(Branch { parent: None, entries: Vec::new() });
            (it.branches.len() - 1, 0)
        });
        it.terms.push(Term { epoch: epoch.to_owned(), head });
        it.known.insert(epoch.to_owned());
        it.head = Some(head);
        head
    }

    /// A message is sequenced behind `head`, in this epoch.
    pub(crate) fn append(
        &mut self,
        topic: &str,
        epoch: &str,
        head: Place,
        payload: &[u8],
        (cost, is_keyed): (usize, bool),
    ) -> Place {
        let at_ms = self.now_ms;
        let it = self.topics.get_mut(topic).expect("an epoch of it has begun");
        let term = it.terms.iter().rposition(|term| term.epoch == epoch);
        let term = term.expect("the epoch has begun");
        let branch = if it.branches[head.0].last() == head.1 {
            head.0
        } else {
            it.branches.push(Branch { parent: Some(head), entries: Vec::new() });
            it.branches.len() - 1
        };
        let number = number_of(payload);
        it.branches[branch].entries.push(Entry { term, number, at_ms, cost, time_ms: None });
        let place = (branch, head.1 + 1);
        it.head = Some(place);
        let Some(number) = number else { return place };
        assert!(!self.refused.contains(&number), "publish {number} was refused, and comes about");
        let window_ms = self.retention.window_ms;
        for (before, then_ms, losses) in self.placed.get(&number).into_iter().flatten() {
            let is_forgotten = at_ms - then_ms >= window_ms || *losses < self.losses;
            assert!(
                is_keyed && is_forgotten,
                "publish {number} was published twice: it is {place:?} of topic {topic:?}, and {before:?}"
            );
        }
        self.placed.entry(number).or_default().push((place, at_ms, self.losses));
        place
    }

    /// Redis has this of a topic now, which is less than before; none: nothing.
    pub(crate) fn lose(&mut self, topic: &str, head: Option<Place>, epochs: &[(String, u64)]) {
        let it = self.topics.entry(topic.to_owned()).or_default();
        it.head = head;
        it.known = epochs.iter().map(|(epoch, _)| epoch.clone()).collect();
    }

    /// Keys may be forgotten.
    pub(crate) fn note_loss(&mut self) {
        self.losses += 1;
    }

    // What the judge asks.

    /// A publish was refused for good.
    pub(crate) fn refuse(&mut self, number: usize) {
        let there = self.placed.get(&number);
        assert!(there.is_none(), "publish {number} was refused, and is at {there:?}");
        self.refused.insert(number);
    }

    /// The place of a position, which must be one that there was.
    pub(crate) fn find(&self, topic: &str, position: &Position) -> Place {
        let Position { epoch, sequence } = position;
        let it = self.topics.get(topic);
        let term = it.and_then(|it| it.terms.iter().position(|term| *term.epoch == **epoch));
        let (Some(it), Some(term)) = (it, term) else {
            panic!("nobody has begun epoch {epoch} of topic {topic:?}")
        };
        let head = it.terms[term].head;
        if *sequence <= head.1 {
            return it.back(head, *sequence).expect("there is a beginning");
        }
        let mut branches = it.branches.iter().enumerate();
        let place = branches.find_map(|(branch, _)| {
            let place = (branch, *sequence);
            it.entry(place).filter(|entry| entry.term == term).map(|_| place)
        });
        place.unwrap_or_else(|| panic!("there is no message {sequence} in {epoch} of {topic:?}"))
    }

    /// The publish at a place.
    pub(crate) fn number_at(&self, topic: &str, place: Place) -> Option<usize> {
        self.topics.get(topic)?.entry(place)?.number
    }

    /// Whether `later` is `place`, or comes after it.
    pub(crate) fn leads(&self, topic: &str, place: Place, later: Place) -> bool {
        self.topics.get(topic).is_some_and(|it| it.back(later, place.1) == Some(place))
    }

    /// The last place that two have in common, if they have any.
    pub(crate) fn common(&self, topic: &str, one: Place, other: Place) -> Option<Place> {
        let it = self.topics.get(topic)?;
        let others: BTreeMap<usize, u64> = it.way(other).collect();
        let both = it.way(one).filter_map(|(branch, sequence)| {
            others.get(&branch).map(|other| (branch, sequence.min(*other)))
        });
        both.max_by_key(|place| place.1)
    }

    /// Whether a place may have a name that Redis does not know: an epoch began there that it has lost. Who comes
    /// with that name is told of a gap, though nothing is missing.
    pub(crate) fn may_be_unknown(&self, topic: &str, place: Place) -> bool {
        self.topics.get(topic).is_some_and(|it| {
            it.terms.iter().any(|term| term.head == place && !it.known.contains(&term.epoch))
        })
    }

    /// What Redis has of a topic.
    pub(crate) fn head(&self, topic: &str) -> Option<Place> {
        self.topics.get(topic)?.head
    }

    /// The last message on any way on from a place.
    pub(crate) fn end(&self, topic: &str, place: Place) -> u64 {
        let tips = self.topics.get(topic).map(|it| it.tips(place).map(|tip| tip.1).max());
        tips.flatten().unwrap_or(place.1)
    }

    /// A server says when a message was published: whoever asks is told the same.
    pub(crate) fn note_time(&mut self, topic: &str, (branch, sequence): Place, time_ms: u64) {
        let it = self.topics.get_mut(topic).expect("there is something of it");
        let branch = &mut it.branches[branch];
        let index = sequence - branch.first();
        let told_ms = *branch.entries[index as usize].time_ms.get_or_insert(time_ms);
        assert!(told_ms == time_ms, "{sequence} of {topic:?} is of {told_ms}, and of {time_ms}");
    }

    /// Whether retention may have taken a message by now, and so all before it.
    pub(crate) fn may_be_gone(&self, topic: &str, place: Place) -> bool {
        let Some((it, entry)) =
            self.topics.get(topic).and_then(|it| it.entry(place).map(|entry| (it, entry)))
        else {
            return true;
        };
        let Retention { messages, bytes, age_ms, .. } = self.retention;
        self.now_ms - entry.at_ms >= age_ms
            || it.tips(place).any(|tip| {
                let cost = |sequence| {
                    let place = it.back(tip, sequence).expect("it is on the way");
                    it.entry(place).map_or(0, |entry| entry.cost)
                };
                tip.1 >= place.1 + messages || (place.1..=tip.1).map(cost).sum::<usize>() > bytes
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let retention = Retention { messages: 3, bytes: 1_000, age_ms: 5_000, window_ms: 1_000 };
        Ledger::new(retention)
    }

    fn append(ledger: &mut Ledger, epoch: &str, head: Place, text: &str) -> Place {
        ledger.append("t", epoch, head, text.as_bytes(), (10, false))
    }

    fn position(epoch: &str, sequence: u64) -> Position {
        Position { epoch: epoch.into(), sequence }
    }

    #[test]
    fn a_place_has_as_many_names_as_epochs_begin_there_and_what_was_lost_is_on_no_way() {
        let mut ledger = ledger();
        let root = ledger.begin("t", "one", None);
        let first = append(&mut ledger, "one", root, "#0");
        let second = append(&mut ledger, "one", first, "#1");
        // Redis comes back with the first only.
        ledger.lose("t", Some(first), &[("one".to_owned(), 1)]);
        assert_eq!(ledger.begin("t", "two", Some(first)), first);
        let other = append(&mut ledger, "two", first, "#2");
        assert_eq!(ledger.head("t"), Some(other));
        assert_eq!(ledger.find("t", &position("two", 1)), ledger.find("t", &position("one", 1)));
        assert_eq!(ledger.find("t", &position("one", 2)), second);
        assert_eq!(ledger.find("t", &position("two", 2)), other);
        assert!(ledger.leads("t", first, other) && ledger.leads("t", first, second));
        assert!(!ledger.leads("t", second, other) && !ledger.leads("t", other, first));
        assert_eq!(ledger.common("t", second, other), Some(first));
        assert_eq!(ledger.number_at("t", other), Some(2));
        assert!(!ledger.may_be_unknown("t", first));
        ledger.lose("t", Some(first), &[("one".to_owned(), 1)]);
        assert!(ledger.may_be_unknown("t", first) && !ledger.may_be_unknown("t", second));
        let again = ledger.begin("t", "three", None);
        assert_eq!(ledger.common("t", other, again), None);
        assert!(!ledger.leads("t", again, other));
    }

    #[test]
    fn what_is_gone_was_followed_by_enough_or_is_old() {
        let mut ledger = ledger();
        let mut head = ledger.begin("t", "one", None);
        for number in 0..3 {
            head = append(&mut ledger, "one", head, &format!("#{number}"));
        }
        assert!(!ledger.may_be_gone("t", (0, 1)));
        append(&mut ledger, "one", head, "#3");
        assert!(ledger.may_be_gone("t", (0, 1)) && !ledger.may_be_gone("t", (0, 2)));
        ledger.now_ms += 5_000;
        assert!(ledger.may_be_gone("t", (0, 4)));
    }

    #[test]
    fn a_key_is_forgotten_in_time_or_with_what_redis_had() {
        let twice = |forget: fn(&mut Ledger), is_keyed| {
            crate::complaint::listen(|| {
                let mut ledger = ledger();
                let head = ledger.begin("t", "one", None);
                ledger.append("t", "one", head, b"#7", (10, true));
                forget(&mut ledger);
                ledger.append("t", "one", (0, 1), b"#7", (10, is_keyed));
            })
            .is_ok()
        };
        assert!(twice(|ledger| ledger.now_ms += 1_000, true));
        assert!(twice(Ledger::note_loss, true));
        assert!(!twice(|ledger| ledger.now_ms += 999, true));
        assert!(!twice(|ledger| ledger.now_ms += 1_000, false));
    }
}
