//! Publishes whose outcomes are reported in the order in which they were asked for.

use std::collections::VecDeque;

use crate::topic::{Outcome, Position};

use super::problem::Problem;

/// How a publish ended, for its publisher.
pub(super) type Verdict = Result<Position, Problem>;

/// A queue of publishes, each with what its report needs to know.
#[derive(Debug)]
pub(super) struct Pending<L> {
    queue: VecDeque<(L, Option<Verdict>)>,
    /// The number of the first in the queue.
    first: u32,
}

impl<L> Default for Pending<L> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), first: 0 }
    }
}

impl<L> Pending<L> {
    /// The number that the next publish will have.
    pub(super) fn next_number(&self) -> u32 {
        self.first.wrapping_add(self.queue.len() as u32)
    }

    /// Queues a publish, with its verdict if that is known already.
    pub(super) fn push(&mut self, label: L, verdict: Option<Verdict>) {
        self.queue.push_back((label, verdict));
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

    /// How many are not reported.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether everything is reported.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
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
        pending.push('a', None);
        pending.push('b', Some(Err(Problem::bad_request("x"))));
        pending.push('c', None);
        pending.settle(2, Err(Refusal::MemoryUsedUp));
        assert_eq!(pending.pop(), None);
        pending.settle(0, Ok(position));
        assert_eq!(pending.pop(), Some(('a', Ok(position))));
        assert!(matches!(pending.pop(), Some(('b', Err(_)))));
        assert!(matches!(pending.pop(), Some(('c', Err(_)))));
        assert_eq!((pending.len(), pending.next_number()), (0, 3));
    }
}
