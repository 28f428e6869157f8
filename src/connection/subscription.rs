//! What one stream, poll or WebSocket is subscribed to: a cursor on each of its topics.

use super::context::Context;
use crate::buffer::Chunk;
use crate::planted::{Fault, planted};
use crate::topic::{
    Cursor, Due, Edge, Encoded, Format, Position, Refusal, Start, TopicId, TopicName, Topics, View,
};

/// Cursors on one or more logs. Belongs to a stream, not to a socket.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    edges: Edges,
    /// Which edge is looked at first, so that a busy topic does not starve the others.
    turn: u16,
}

/// Nearly every subscription has one topic, which needs no allocation.
#[derive(Debug, Default)]
enum Edges {
    #[default]
    None,
    One(Edge),
    /// In the order of the topics' names.
    Many(Vec<Edge>),
}

/// How far the beginning of a subscription is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Every topic is known.
    Ready,
    /// An owner is still being asked.
    Waiting,
    /// A topic cannot be had.
    Refused(Refusal),
}

/// What a subscriber is told next.
#[derive(Debug)]
pub(super) enum Told {
    /// Messages of a topic are gone; how many, if anybody knows.
    Gap(TopicName, Option<u64>),
    /// A message. Only the sole topic's message carries the cursor in itself.
    Message(Chunk),
}

impl Subscription {
    /// Subscribes to `topics`, which are in the order of their names, each once. Nothing is due before
    /// [`Subscription::resolve`].
    pub(super) fn open<T: Topics>(
        context: &mut Context<'_, T>,
        topics: &[TopicName],
    ) -> Result<Self, Refusal> {
        let mut subscription = Self::default();
        for topic in topics {
            if let Err(refusal) = subscription.add(context, topic) {
                subscription.close(context);
                return Err(refusal);
            }
        }
        Ok(subscription)
    }

    /// Subscribes to one more topic. False if it was there already, and nothing happened.
    pub(super) fn add<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        topic: &TopicName,
    ) -> Result<bool, Refusal> {
        let place = self
            .edges
            .as_slice()
            .binary_search_by(|edge| context.topics.name(edge.topic).cmp(topic));
        if let Err(place) = place {
            let (id, seat) = context.topics.subscribe(context.now, topic, context.key)?;
            self.edges.insert(place, Edge::unresolved(id, seat));
        }
        Ok(place.is_err())
    }

    /// Ends the subscription to one topic; nothing happens if there is none.
    pub(super) fn remove<T: Topics>(&mut self, context: &mut Context<'_, T>, topic: &TopicName) {
        let place = self
            .edges
            .as_slice()
            .binary_search_by(|edge| context.topics.name(edge.topic).cmp(topic));
        if let Ok(place) = place {
            let edge = self.edges.remove(place);
            context.topics.unsubscribe(context.now, edge.topic, edge.seat);
        }
    }

    /// Ends the subscription to topics that have not begun.
    pub(super) fn remove_fresh<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let fresh = self.edges.as_slice().iter().filter(|edge| !edge.is_resolved());
        let fresh: Vec<TopicName> =
            fresh.map(|edge| context.topics.name(edge.topic).clone()).collect();
        for topic in &fresh {
            self.remove(context, topic);
        }
    }

    /// Whether this topic is subscribed to.
    pub(super) fn has<T: Topics>(&self, context: &Context<'_, T>, topic: &TopicName) -> bool {
        self.edges.as_slice().iter().any(|edge| context.topics.name(edge.topic) == topic)
    }

    /// Ends all of it.
    pub(super) fn close<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        for edge in self.edges.as_slice() {
            context.topics.unsubscribe(context.now, edge.topic, edge.seat);
        }
        self.edges = Edges::None;
    }

    /// Begins every topic that has not begun yet, and those of `again` anew, at `start`, once all of them
    /// are known, and nothing that the cursor of `start` says was received is still on its way to this
    /// worker.
    pub(super) fn resolve<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        start: &Start,
        again: &[TopicName],
    ) -> Opening {
        let mut count = 0;
        for edge in self.edges.as_slice() {
            if begins(context, edge, again) {
                count += 1;
                match context.topics.view(edge.topic) {
                    View::Live(_) => (),
                    View::Syncing => return Opening::Waiting,
                    View::Refused(refusal) => return Opening::Refused(refusal),
                }
            }
        }
        let positions = match start {
            Start::After(cursor) => cursor.positions(count),
            _ => None,
        };
        let (mut awaited, mut left) = (false, positions.unwrap_or_default());
        for edge in self.edges.as_mut_slice() {
            if begins(context, edge, again)
                && let Some(position) = left.split_off_first()
            {
                awaited |= edge.is_on_its_way(context.topics, *position);
            }
        }
        if awaited && context.topics.is_cut_off() {
            return Opening::Refused(Refusal::RedisAway);
        }
        if awaited {
            return Opening::Waiting;
        }
        let mut left = positions.unwrap_or_default();
        for edge in self.edges.as_mut_slice() {
            if begins(context, edge, again)
                && let View::Live(log) = context.topics.view(edge.topic)
            {
                edge.resolve(log, start, left.split_off_first().copied());
                if planted(Fault::DropsAtSlotReuse) && context.key.generation != context.key.slot {
                    edge.advance(log);
                }
            }
        }
        Opening::Ready
    }

    /// Whether something is due.
    pub(super) fn is_behind<T: Topics>(&self, context: &Context<'_, T>) -> bool {
        self.edges.as_slice().iter().any(|edge| due(context, edge) != Due::Nothing)
    }

    /// Takes the next thing that is due, moving the cursor past it; `None` at the head. The caller hands
    /// it over. `sole` says which part of a message a subscriber of one topic gets, `several` which part
    /// the others do.
    pub(super) fn next<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        format: Format,
        sole: fn(&Encoded) -> Chunk,
        several: fn(&Encoded) -> Chunk,
    ) -> Option<Told> {
        let count = self.edges.as_slice().len();
        for _ in 0..count {
            let index = usize::from(self.turn) % count;
            let edge = &mut self.edges.as_mut_slice()[index];
            let log = match context.topics.view(edge.topic) {
                View::Live(log) if edge.is_resolved() => log,
                _ => {
                    self.turn = self.turn.wrapping_add(1);
                    continue;
                }
            };
            let due = edge.due(log);
            edge.advance(log);
            match due {
                Due::Nothing => self.turn = self.turn.wrapping_add(1),
                Due::Gap(_) if planted(Fault::SkipsGapNotice) => {
                    return self.next(context, format, sole, several);
                }
                Due::Gap(missed) => {
                    context.counters.gaps += 1;
                    return Some(Told::Gap(context.topics.name(edge.topic).clone(), missed));
                }
                Due::Message(sequence) => {
                    context.counters.delivered += 1;
                    self.turn = self.turn.wrapping_add(1);
                    let part = if count == 1 { sole } else { several };
                    let chunk = context.topics.chunk(edge.topic, sequence, format, part);
                    context.counters.delivered_bytes += chunk.len() as u64;
                    return Some(Told::Message(chunk));
                }
            }
        }
        None
    }

    /// Takes several messages at once, framed, moving the cursor past them: those of a sole topic, if others
    /// want the same ones too. [`Subscription::next`] has what is left.
    pub(super) fn next_run<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        format: Format,
        bytes_max: usize,
    ) -> Option<Chunk> {
        let Edges::One(edge) = &mut self.edges else { return None };
        match context.topics.view(edge.topic) {
            View::Live(log) if edge.is_resolved() && edge.lag(log) > 1 => edge.keep_up(log),
            _ => return None,
        }
        let (run, messages) = context.topics.run(edge.topic, edge.next(), format, bytes_max)?;
        edge.advance_by(messages);
        context.counters.delivered += messages;
        context.counters.delivered_bytes += run.len() as u64;
        Some(run)
    }

    /// The cursor's text: what was handed over of every topic that has begun. One whose owner has just failed
    /// has a position that is good in no log, so that whoever resumes there is told of a gap.
    pub(super) fn cursor<T: Topics>(&self, context: &Context<'_, T>) -> String {
        let mut text = String::new();
        Cursor::encode(self.positions(context), &mut text);
        text
    }

    fn positions<'a, T: Topics>(
        &'a self,
        context: &'a Context<'_, T>,
    ) -> impl Iterator<Item = Position> + 'a {
        let begun = self.edges.as_slice().iter().filter(|edge| edge.is_resolved());
        begun.map(|edge| match context.topics.view(edge.topic) {
            View::Live(log) => edge.position(log),
            View::Syncing | View::Refused(_) => Position::NOWHERE,
        })
    }

    /// The topics, and how far it is behind in each, in messages.
    pub(super) fn lags<'a, T: Topics>(
        &'a self,
        topics: &'a T,
    ) -> impl Iterator<Item = (TopicId, u64)> + 'a {
        self.edges.as_slice().iter().map(|edge| match topics.view(edge.topic) {
            View::Live(log) => (edge.topic, edge.behind(log)),
            View::Syncing | View::Refused(_) => (edge.topic, 0),
        })
    }

    /// How many topics.
    pub(super) fn len(&self) -> usize {
        self.edges.as_slice().len()
    }

    /// The only topic, if there is one.
    pub(super) fn sole_topic<'a, T: Topics>(
        &self,
        context: &'a Context<'_, T>,
    ) -> Option<&'a TopicName> {
        match &self.edges {
            Edges::One(edge) => Some(context.topics.name(edge.topic)),
            _ => None,
        }
    }
}

/// Whether a topic has not begun, or is to begin anew.
fn begins<T: Topics>(context: &Context<'_, T>, edge: &Edge, again: &[TopicName]) -> bool {
    !edge.is_resolved() || again.contains(context.topics.name(edge.topic))
}

fn due<T: Topics>(context: &Context<'_, T>, edge: &Edge) -> Due {
    match context.topics.view(edge.topic) {
        View::Live(log) if edge.is_resolved() => edge.due(log),
        _ => Due::Nothing,
    }
}

impl Edges {
    fn as_slice(&self) -> &[Edge] {
        match self {
            Self::None => &[],
            Self::One(edge) => std::slice::from_ref(edge),
            Self::Many(edges) => edges,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Edge] {
        match self {
            Self::None => &mut [],
            Self::One(edge) => std::slice::from_mut(edge),
            Self::Many(edges) => edges,
        }
    }

    fn insert(&mut self, place: usize, edge: Edge) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(edge),
            Self::One(only) => {
                let mut edges = vec![only];
                edges.insert(place, edge);
                Self::Many(edges)
            }
            Self::Many(mut edges) => {
                edges.insert(place, edge);
                Self::Many(edges)
            }
        };
    }

    fn remove(&mut self, place: usize) -> Edge {
        match std::mem::take(self) {
            Self::None => unreachable!("the place was found"),
            Self::One(edge) => edge,
            Self::Many(mut edges) => {
                let edge = edges.remove(place);
                *self = match edges[..] {
                    [only] => Self::One(only),
                    _ => Self::Many(edges),
                };
                edge
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_subscription_is_held_to_its_size() {
        // It is inside of every stream, poll and WebSocket.
        assert_eq!(size_of::<Subscription>(), 40);
    }
}
