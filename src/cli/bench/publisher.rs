//! One publisher's side of its connection, without the connection: requests out, answers in.

use std::collections::VecDeque;

use super::answer::{Answers, Head, Part};
use super::fault::Fault;

/// Sent bytes that are kept before the buffer is moved together.
const KEPT_BYTES: usize = 256 * 1024;

/// A request without its answer.
#[derive(Debug)]
struct Request {
    /// The number of its first message, and how many it has.
    first: u32,
    count: u32,
    sent: u64,
    /// Bytes of the request.
    length: usize,
}

/// A request that was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) sent: u64,
    /// The status, unless it is one of success and no line of a batch was refused.
    pub(super) refusal: Option<u16>,
}

/// A publisher on one connection.
///
/// Invariant: `bytes[start..]` are the requests in `waiting`, in order; of them the first `written - start`
/// bytes are on their way.
#[derive(Debug)]
pub(super) struct Publisher {
    answers: Answers,
    waiting: VecDeque<Request>,
    bytes: Vec<u8>,
    start: usize,
    written: usize,
    status: u16,
    closes: bool,
    has_error: bool,
}

impl Publisher {
    pub(super) fn new(answers: Answers) -> Self {
        Self {
            answers,
            waiting: VecDeque::new(),
            bytes: Vec::new(),
            start: 0,
            written: 0,
            status: 0,
            closes: false,
            has_error: false,
        }
    }

    /// Requests without answers.
    pub(super) fn outstanding(&self) -> usize {
        self.waiting.len()
    }

    /// Their bytes.
    pub(super) fn backlog_bytes(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Queues a request, which `encode` appends, of `count` messages from `first` on.
    pub(super) fn push(
        &mut self,
        first: u32,
        count: u32,
        now: u64,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.start > KEPT_BYTES || self.start == self.bytes.len() {
            self.bytes.drain(..self.start);
            self.written -= self.start;
            self.start = 0;
        }
        let before = self.bytes.len();
        encode(&mut self.bytes);
        let length = self.bytes.len() - before;
        self.waiting.push_back(Request { first, count, sent: now, length });
    }

    /// What is to be written next.
    pub(super) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So much of it was written.
    pub(super) fn wrote(&mut self, count: usize) {
        self.written += count;
    }

    /// A new connection: what was not answered is written again.
    pub(super) fn reconnect(&mut self, answers: Answers) {
        self.answers = answers;
        self.written = self.start;
        self.closes = false;
    }

    /// Takes what the server sent; `answered` is told of every answer. Whether the connection ends now.
    ///
    /// # Errors
    /// When the connection is of no use any more.
    pub(super) fn receive(
        &mut self,
        mut bytes: &[u8],
        mut answered: impl FnMut(Answered),
    ) -> Result<bool, Fault> {
        while let Some(part) = self.answers.next(&mut bytes)? {
            match part {
                Part::Head(Head { status, closes, .. }) => {
                    (self.status, self.closes, self.has_error) = (status, closes, false);
                }
                // A line of a batch's answer (docs/protocol.md 5.3). Cut in two it would be missed; the
                // messages would then be missed too.
                Part::Body(body) => {
                    self.has_error |= body.len() >= 8
                        && self.waiting.front().is_some_and(|request| request.count > 1)
                        && body.windows(8).any(|window| window == b"\"error\":");
                }
                Part::End => {
                    answered(self.answered().ok_or(Fault::NotHttp)?);
                    if self.closes {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// The connection has ended: the request whose answer ends with it, if one does.
    pub(super) fn ended(&mut self) -> Option<Answered> {
        if self.answers.ends_with_connection() { self.answered() } else { None }
    }

    /// The answer to the oldest request is whole.
    fn answered(&mut self) -> Option<Answered> {
        let Request { first, count, sent, length } = self.waiting.pop_front()?;
        self.start += length;
        let is_good = matches!(self.status, 200..=299) && !self.has_error;
        Some(Answered { first, count, sent, refusal: (!is_good).then_some(self.status) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher(requests: &[(u32, u32, &[u8])]) -> Publisher {
        let mut publisher = Publisher::new(Answers::new());
        for &(first, count, bytes) in requests {
            publisher.push(first, count, u64::from(first), |out| out.extend_from_slice(bytes));
        }
        publisher
    }

    fn receive(publisher: &mut Publisher, bytes: &[u8]) -> (Vec<(u32, bool)>, bool) {
        let mut answers = Vec::new();
        let ends = publisher.receive(bytes, |one| answers.push((one.first, one.refusal.is_none())));
        (answers, ends.unwrap())
    }

    #[test]
    fn answers_belong_to_requests_in_order() {
        let mut publisher = publisher(&[(0, 1, b"one"), (1, 1, b"two"), (2, 3, b"three")]);
        assert_eq!(publisher.unwritten(), b"onetwothree");
        publisher.wrote(11);
        let stream = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}\
            HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"line\":1,\"error\":{}}";
        for cut in 0..stream.len() {
            let mut publisher = self::publisher(&[(0, 1, b"one"), (1, 1, b"two"), (2, 3, b"3")]);
            let (mut answers, _) = receive(&mut publisher, &stream[..cut]);
            answers.extend(receive(&mut publisher, &stream[cut..]).0);
            assert_eq!(answers.len(), 3, "cut at {cut}");
            assert_eq!(answers[..2], [(0, true), (1, false)]);
        }
        let (answers, ends) = receive(&mut publisher, stream);
        assert_eq!((answers.as_slice(), ends), (&[(0, true), (1, false), (2, false)][..], false));
        assert_eq!(publisher.outstanding(), 0);
    }

    #[test]
    fn what_was_not_answered_is_written_again_on_a_new_connection() {
        let mut publisher = publisher(&[(0, 1, b"one"), (1, 1, b"two")]);
        publisher.wrote(5);
        assert_eq!(publisher.unwritten(), b"o");
        let last = b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(receive(&mut publisher, last), (vec![(0, true)], true));
        publisher.reconnect(Answers::new());
        assert_eq!(publisher.unwritten(), b"two");
        publisher.wrote(3);
        publisher.push(2, 1, 2, |out| out.extend_from_slice(b"three"));
        assert_eq!(publisher.unwritten(), b"three");
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let mut publisher = publisher(&[(0, 1, b"one"), (1, 1, b"two")]);
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok";
        assert_eq!(receive(&mut publisher, answer), (vec![], false));
        assert_eq!(publisher.ended().map(|one| (one.first, one.refusal)), Some((0, None)));
        publisher.reconnect(Answers::new());
        assert_eq!(publisher.unwritten(), b"two");
        assert_eq!(publisher.ended(), None);
    }

    #[test]
    fn an_answer_to_nothing_is_a_fault() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(publisher(&[]).receive(bytes, |_| ()), Err(Fault::NotHttp));
    }
}
