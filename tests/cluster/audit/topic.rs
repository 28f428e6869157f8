//! What is known of one topic, and what somebody received of it held against that.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Complaint, Figures, Rules};
use crate::history::{Acknowledged, Event, History, Loss, Position};

/// The part of a record that is about one topic.
#[derive(Default)]
pub struct Part<'a> {
    pub attempted: HashSet<&'a str>,
    pub acknowledged: Vec<&'a Acknowledged>,
    pub histories: Vec<&'a History>,
}

pub struct Topic<'a> {
    name: &'a str,
    rules: Rules,
    payloads: HashMap<&'a Position, &'a str>,
    ids: HashMap<&'a str, BTreeSet<&'a Position>>,
    /// Epochs in their order: an epoch's place is its index.
    epochs: Vec<&'a str>,
    pub complaints: Vec<Complaint>,
    figures: Figures,
}

/// A place in the order of everything: the epoch's index, and the sequence.
type Place = (usize, u64);

/// Where somebody stands, and what he has had.
struct Reader<'a> {
    who: &'a str,
    /// A gap of unknown count may lead into another history.
    may_turn: bool,
    at: Option<Position>,
    received: HashSet<&'a Position>,
    /// The same, as far as it may not come again.
    unrepeatable: HashSet<&'a Position>,
    /// What gaps have declared: from behind the first to before the second; `None` is the beginning.
    declared: Vec<(Option<Place>, Place)>,
    /// The last of the gaps that the next message ends.
    open: Option<Open>,
}

/// A gap whose end is not known yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Exactly(u64),
    Unknown,
    /// He has asked from the earliest on.
    Anew,
}

impl<'a> Topic<'a> {
    pub fn new(name: &'a str, rules: Rules) -> Self {
        Self {
            name,
            rules,
            payloads: HashMap::new(),
            ids: HashMap::new(),
            epochs: Vec::new(),
            complaints: Vec::new(),
            figures: Figures::default(),
        }
    }

    fn complain(&mut self, what: impl AsRef<str>) {
        self.complaints.push(format!("{:?}: {}", self.name, what.as_ref()));
    }

    /// Which id has which payload, from everybody who says so.
    pub fn learn(&mut self, part: &Part<'a>) {
        let told = part.acknowledged.iter().map(|one| (&one.id, one.payload.as_str(), "publisher"));
        let heard = part.histories.iter().flat_map(|history| {
            history.events.iter().filter_map(|event| match event {
                Event::Message { payload, id: Some(id) } => {
                    Some((id, payload.as_str(), history.subscriber.as_str()))
                }
                _ => None,
            })
        });
        for (id, payload, who) in told.chain(heard) {
            let before = *self.payloads.entry(id).or_insert(payload);
            if before != payload {
                self.complain(format!("{who}: {id} is {payload:?}, for others {before:?}"));
            }
            self.ids.entry(payload).or_default().insert(id);
        }
    }

    /// A payload is published once, unless Redis has forgotten that it was.
    pub fn look_at_ids(&mut self) {
        let several: Vec<_> = self.ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
        let mut complaints = Vec::new();
        for (payload, ids) in several {
            let epochs: HashSet<&str> = ids.iter().map(|id| id.epoch.as_str()).collect();
            if self.rules.loss == Loss::Nothing || epochs.len() < ids.len() {
                complaints.push(format!("{payload:?} was published more than once: {ids:?}"));
            }
            self.figures.again += 1;
        }
        complaints.iter().for_each(|complaint| self.complain(complaint));
        if self.rules.loss == Loss::Nothing {
            self.look_at_density();
        }
    }

    /// Nobody was given a number that nobody has seen: what was sequenced was published, and everybody tries until
    /// he is answered.
    fn look_at_density(&mut self) {
        let mut sequences: Vec<u64> = self.payloads.keys().map(|id| id.sequence).collect();
        sequences.sort_unstable();
        for pair in sequences.windows(2) {
            if pair[1] > pair[0] + 1 {
                self.complain(format!("nobody has seen {} to {}", pair[0] + 1, pair[1] - 1));
            } else if pair[1] == pair[0] {
                self.complain(format!("two messages have the number {}", pair[0]));
            }
        }
        if sequences.first().is_some_and(|&first| first != 1) {
            self.complain(format!("the first number is {}", sequences[0]));
        }
    }

    /// The order of the epochs, in which everybody has met them.
    pub fn look_at_order(&mut self, part: &Part<'a>) {
        let acknowledged = part.acknowledged.iter().map(|one| one.id.epoch.as_str());
        let mut known: Vec<&str> = Vec::new();
        let everywhere = part.histories.iter().flat_map(|history| epochs_of(history));
        for epoch in acknowledged.chain(everywhere) {
            if !known.contains(&epoch) {
                known.push(epoch);
            }
        }
        let mut later: HashSet<(&str, &str)> = HashSet::new();
        let is_turned = |history: &&&History| history.wanders && self.rules.loss == Loss::Tails;
        for history in part.histories.iter().filter(|history| !is_turned(history)) {
            let met = epochs_of(history);
            later.extend(
                met.windows(2).filter(|pair| pair[0] != pair[1]).map(|pair| (pair[0], pair[1])),
            );
        }
        // What nobody has before it comes first; among several, what was acknowledged first.
        while !known.is_empty() {
            let first = known.iter().position(|epoch| {
                !later.iter().any(|(from, to)| to == epoch && known.contains(from))
            });
            if first.is_none() {
                self.complain(format!("epochs were met in different orders: {known:?}"));
            }
            self.epochs.push(known.remove(first.unwrap_or(0)));
        }
        self.figures.epochs = self.epochs.len();
    }

    fn place(&self, position: &Position) -> Place {
        let index = self.epochs.iter().position(|epoch| *epoch == position.epoch);
        (index.unwrap_or(usize::MAX), position.sequence)
    }

    /// Goes through what somebody has received.
    pub fn follow(&mut self, history: &'a History, part: &Part<'a>) {
        let mut reader = Reader {
            who: &history.subscriber,
            may_turn: history.wanders && self.rules.loss == Loss::Tails,
            at: None,
            received: HashSet::new(),
            unrepeatable: HashSet::new(),
            declared: Vec::new(),
            open: None,
        };
        let before = self.complaints.len();
        for event in &history.events {
            match event {
                Event::Message { payload, id } => {
                    if !part.attempted.contains(payload.as_str()) {
                        self.complain(format!("{}: nobody published {payload:?}", reader.who));
                        continue;
                    }
                    match id.as_ref().or_else(|| self.guess(payload, &reader)) {
                        Some(id) => self.message(&mut reader, id),
                        None => self.complain(format!("{}: {payload:?} has no id", reader.who)),
                    }
                }
                Event::Gap { count, until } => self.gap(&mut reader, *count, until.as_ref()),
                Event::Anew => {
                    self.figures.gaps += 1;
                    reader.open = Some(Open::Anew);
                    self.refuse_gap(reader.who);
                }
            }
            // What follows the first mistakes of somebody follows from them.
            if self.complaints.len() > before + 3 {
                return;
            }
        }
        self.settle(&reader, part);
    }

    /// Which message a payload without id is: of several the one that fits best.
    fn guess(&self, payload: &str, reader: &Reader<'_>) -> Option<&'a Position> {
        let ids = self.ids.get(payload)?;
        let next = reader.at.as_ref().map_or(1, |at| at.sequence + 1);
        let fits = |id: &&&Position| id.sequence == next && !reader.unrepeatable.contains(**id);
        let fresh = |id: &&&Position| !reader.unrepeatable.contains(**id);
        let found = ids.iter().find(fits).or_else(|| ids.iter().find(fresh));
        found.or(ids.first()).copied()
    }

    fn message(&mut self, reader: &mut Reader<'a>, id: &'a Position) {
        let open = reader.open.take();
        let at = reader.at.as_ref().map(|at| self.place(at));
        let place = self.place(id);
        let stood = reader.at.as_ref().map_or("the beginning".to_owned(), ToString::to_string);
        let (sequence, who) = (at.map_or(0, |at| at.1), reader.who);
        if open == Some(Open::Anew) {
            reader.unrepeatable.clear();
        }
        reader.received.insert(id);
        if !reader.unrepeatable.insert(id) {
            self.complain(format!("{who}: {id} again, behind {stood}"));
        }
        match open {
            None if place.1 != sequence + 1 => {
                self.complain(format!("{who}: {id} behind {stood}, and no gap"));
            }
            Some(Open::Exactly(count)) if place.1 != sequence + count + 1 => {
                self.complain(format!("{who}: {id} behind {stood} and a gap of {count}"));
            }
            Some(Open::Exactly(_) | Open::Unknown) if at.is_some_and(|at| place <= at) => {
                self.complain(format!("{who}: {id} is before {stood}, in spite of a gap"));
            }
            _ => (),
        }
        if at.is_some_and(|at| place.0 < at.0) && open != Some(Open::Anew) {
            self.complain(format!("{who}: {id} is of an epoch before that of {stood}"));
        }
        if open.is_some() {
            reader.declared.push((at, place));
        }
        reader.at = Some(id.clone());
        self.figures.delivered += 1;
    }

    fn gap(&mut self, reader: &mut Reader<'a>, count: Option<u64>, until: Option<&Position>) {
        self.figures.gaps += 1;
        self.refuse_gap(reader.who);
        if count == Some(0) {
            self.complain(format!("{}: a gap of no messages", reader.who));
        }
        let Some(until) = until else {
            let sum = match (reader.open, count) {
                (_, None) if reader.may_turn => Open::Anew,
                (None, Some(count)) => Open::Exactly(count),
                (Some(Open::Exactly(before)), Some(count)) => Open::Exactly(before + count),
                (Some(Open::Anew), _) => Open::Anew,
                _ => Open::Unknown,
            };
            reader.open = Some(sum);
            return;
        };
        let open = reader.open.take();
        let at = reader.at.as_ref().map(|at| self.place(at));
        let place = self.place(until);
        if let (Some(count), None | Some(Open::Exactly(_))) = (count, open) {
            let before = if let Some(Open::Exactly(before)) = open { before } else { 0 };
            let expected = at.map_or(0, |at| at.1) + before + count;
            if place.1 != expected {
                self.complain(format!(
                    "{}: a gap of {count} up to {until}, where {expected} would be right",
                    reader.who
                ));
            }
        }
        // Behind a tail that was lost one stands where the rest ends.
        if self.rules.loss != Loss::Tails
            && open != Some(Open::Anew)
            && at.is_some_and(|at| place < at)
        {
            self.complain(format!("{}: a gap that leads back to {until}", reader.who));
        }
        reader.declared.push((at, (place.0, place.1 + 1)));
        if reader.may_turn && count.is_none() {
            reader.unrepeatable.clear();
        }
        reader.at = Some(until.clone());
    }

    fn refuse_gap(&mut self, who: &str) {
        if !self.rules.gaps {
            self.complain(format!("{who}: was told of a gap, and nothing was lost"));
        }
    }

    /// Delivered plus declared is what was acknowledged.
    fn settle(&mut self, reader: &Reader<'a>, part: &Part<'a>) {
        let (mut missing, mut untold, mut declared) = (Vec::new(), 0, 0);
        for one in &part.acknowledged {
            if reader.received.contains(&one.id) {
                continue;
            }
            let place = self.place(&one.id);
            let lies = |(from, to): &(Option<Place>, Place)| {
                from.is_none_or(|from| from < place) && place < *to
            };
            if reader.declared.iter().any(lies) {
                declared += 1;
            } else if self.rules.loss == Loss::Tails && self.is_lost_tail(place) {
                untold += 1;
            } else {
                missing.push(&one.id);
            }
        }
        self.figures.declared += declared;
        self.figures.untold += untold;
        if let Some(first) = missing.first() {
            let count = missing.len();
            let stands = reader.at.as_ref().map_or("the beginning".to_owned(), ToString::to_string);
            self.complain(format!(
                "{}: {count} acknowledged messages were neither delivered nor declared, the first of them \
                 {first} ({:?}); he stands at {stands}",
                reader.who,
                self.payloads.get(first).unwrap_or(&"?")
            ));
        }
    }

    /// A later epoch begins at or before this place: the server that sequenced it was replaced.
    fn is_lost_tail(&self, place: Place) -> bool {
        self.payloads.keys().any(|id| {
            let other = self.place(id);
            other.0 > place.0 && other.1 <= place.1
        })
    }

    pub fn add_to(&self, figures: &mut Figures) {
        let Figures { delivered, epochs, gaps, declared, untold, again, .. } = &self.figures;
        figures.delivered += delivered;
        figures.epochs += epochs;
        figures.gaps += gaps;
        figures.declared += declared;
        figures.untold += untold;
        figures.again += again;
    }
}

/// The epochs that somebody met, as he met them; not those that he asked for again by himself.
fn epochs_of(history: &History) -> Vec<&str> {
    let mut met: Vec<&str> = Vec::new();
    for event in &history.events {
        let epoch = match event {
            Event::Message { id: Some(id), .. } => &id.epoch,
            Event::Gap { until: Some(until), .. } => &until.epoch,
            _ => continue,
        };
        if met.last() != Some(&epoch.as_str()) {
            met.push(epoch);
        }
    }
    met
}
