//! A connection on which requests are answered whole, in their order.

use super::Hands;
use super::line::{Leaving, Line, Pace};
use crate::wires::http::{Answers, Asked, Head, Part};
use crate::world::World;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) line: Line,
    answers: Answers,
    head: Option<Head>,
    body: Vec<u8>,
}

impl Asking {
    pub(crate) fn open(hands: &mut Hands<'_>, pace: Pace) -> Self {
        let line = Line::open(hands, pace);
        Self { line, answers: Answers::new(), head: None, body: Vec::new() }
    }

    /// Sends a request, behind those before.
    pub(crate) fn ask(&mut self, hands: &mut Hands<'_>, asked: Asked, request: &[u8]) {
        self.line.send(hands, request);
        self.answers.expect(asked);
    }

    /// The answers that are whole by now.
    pub(crate) fn take(&mut self, hands: &mut Hands<'_>) -> Vec<Answer> {
        let bytes = self.line.take(hands);
        self.answers.push(&bytes);
        let mut whole = Vec::new();
        while let Some(part) = self.answers.next() {
            match part {
                Part::Head(head) => self.head = Some(head),
                Part::Body(content) => self.body.extend(content),
                Part::End => {
                    let head = self.head.take().expect("a head comes first");
                    let body = std::mem::take(&mut self.body);
                    hands.coverage.note_status(head.status);
                    whole.push(Answer { head, body });
                }
            }
        }
        whole
    }

    /// When there is something to take, or, if an answer `is_owed`, patience ends; never: `u64::MAX`.
    pub(crate) fn wakes_at_ms(&self, world: &World, is_owed: bool, patience_ms: u64) -> u64 {
        let ends_ms = if is_owed { self.line.used_ms + patience_ms } else { u64::MAX };
        self.line.wakes_at_ms(world).min(ends_ms)
    }

    /// How to leave it, if it has ended or an answer that `is_owed` was waited for too long.
    pub(crate) fn over(&self, world: &World, is_owed: bool, patience_ms: u64) -> Option<Leaving> {
        if self.line.ended(world).is_some() {
            return Some(Leaving::Close);
        }
        let is_late = is_owed && self.line.used_ms + patience_ms <= world.now_ms();
        is_late.then_some(Leaving::Reset)
    }

    /// Whether a 100 has come for the request that is the next to be answered.
    pub(crate) fn may_continue(&self) -> bool {
        self.answers.may_continue()
    }
}
