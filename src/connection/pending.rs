//! Messages that one client publishes one after the other, and their outcomes, which are reported in that
//! order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::admission::admit;
use super::context::Context;
use super::problem::Problem;
use crate::config::Config;
use crate::limits::PUBLISHES_IN_FLIGHT_MAX;
use crate::planted::{Fault, planted};
use crate::time::Now;
use crate::topic::{
    EventName, IdempotencyKey, Message, Outcome, Position, Publishing, Ticket, TopicName, Topics,
};
use crate::wire::command::Draft;

/// How a publish ended, for its publisher.
pub(super) type Verdict = Result<Position, Problem>;

/// A message that is ready to be published.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) topic: TopicName,
    pub(super) message: Arc<Message>,
    pub(super) key: Option<IdempotencyKey>,
}

impl Ready {
    /// Checks everything that a line or command says.
    pub(super) fn check(draft: Draft, now: Now) -> Result<Self, Problem> {
        Self::check_members(draft, now).map_err(Problem::of_object)
    }

    fn check_members(draft: Draft, now: Now) -> Result<Self, Problem> {
        let Draft { topic, payload, content_type, event, key } = draft;
        let topic = TopicName::parse(topic.as_bytes())?;
        let event = event.map(|event| EventName::parse(event.as_bytes())).transpose()?;
        let key = key.map(|key| IdempotencyKey::parse(key.as_bytes())).transpose()?;
        let message = Message::new(payload, Some(content_type.as_bytes()), event, now.wall_ms)?;
        Ok(Self { topic, message: Arc::new(message), key })
    }

    /// Whether its topic takes it.
    pub(super) fn admit(&self, config: &Config) -> Result<(), Problem> {
        admit(config, &self.topic, self.message.payload().len())
    }
}

/// A queue of publishes, each with what its report needs to know.
#[derive(Debug)]
pub(super) struct Pending<L> {
    queue: VecDeque<(L, Option<Verdict>)>,
    /// The number of the first in the queue.
    first: u32,
    /// A message that found no room on its way to the topic's owner. Nothing is published before it.
    stalled: Option<(Ready, L)>,
}

impl<L> Default for Pending<L> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), first: 0, stalled: None }
    }
}

impl<L> Pending<L> {
    /// Whether another message may be published: none waits for room, and not too many for their outcomes.
    pub(super) fn has_room(&self) -> bool {
        self.stalled.is_none() && self.queue.len() < PUBLISHES_IN_FLIGHT_MAX
    }

    /// Publishes a message. False if it found no room: then it is kept, see [`Pending::retry`].
    pub(super) fn publish<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        ready: Ready,
        label: L,
    ) -> bool {
        self.stalled = Some((ready, label));
        self.retry(context)
    }

    /// Publishes the message that found no room, if there is one. Whether none is left.
    pub(super) fn retry<T: Topics>(&mut self, context: &mut Context<'_, T>) -> bool {
        let Some((Ready { topic, message, key }, _)) = &self.stalled else { return true };
        let ticket = Ticket { connection: context.key, number: self.next_number() };
        let verdict =
            match context.topics.publish(context.now, topic, message, key.as_ref(), ticket) {
                Publishing::Done(Ok(position))
                    if planted(Fault::AnswersWithIdBefore) && !self.queue.is_empty() =>
                {
                    Some(Ok(Position { sequence: position.sequence - 1, ..position }))
                }
                Publishing::Done(outcome) => Some(outcome.map_err(Problem::from)),
                Publishing::Pending => None,
                Publishing::Busy => return false,
            };
        if let Some((_, label)) = self.stalled.take() {
            self.queue.push_back((label, verdict));
        }
        true
    }

    /// Reports, in its turn, that something was not published at all.
    pub(super) fn refuse(&mut self, label: L, problem: Problem) {
        self.queue.push_back((label, Some(Err(problem))));
    }

    fn next_number(&self) -> u32 {
        self.first.wrapping_add(self.queue.len() as u32)
    }

    /// Notes how a publish ended.
    pub(super) fn settle(&mut self, number: u32, outcome: Outcome) {
        let index = number.wrapping_sub(self.first) as usize;
        if let Some((_, verdict)) = self.queue.get_mut(index) {
            *verdict = Some(outcome.map_err(Problem::from));
        }
    }

    /// The next one to report.
    pub(super) fn pop(&mut self) -> Option<(L, Verdict)> {
        self.queue.front()?.1.as_ref()?;
        let (label, verdict) = self.queue.pop_front()?;
        self.first = self.first.wrapping_add(1);
        Some((label, verdict?))
    }

    /// Whether everything is published and reported.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.stalled.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Epoch, Refusal};

    #[test]
    fn reports_come_in_the_order_of_the_requests() {
        let position = Position { epoch: Epoch::from_random(1), sequence: 7 };
        let mut pending = Pending::default();
        assert_eq!(pending.next_number(), 0);
        pending.queue.push_back(('a', None));
        pending.refuse('b', Problem::from(Refusal::LargerThanLog));
        pending.queue.push_back(('c', None));
        pending.settle(2, Err(Refusal::MemoryUsedUp));
        assert_eq!(pending.pop(), None);
        pending.settle(0, Ok(position));
        assert_eq!(pending.pop(), Some(('a', Ok(position))));
        assert!(matches!(pending.pop(), Some(('b', Err(_)))));
        assert!(matches!(pending.pop(), Some(('c', Err(_)))));
        assert_eq!((pending.is_empty(), pending.next_number()), (true, 3));
    }
}
