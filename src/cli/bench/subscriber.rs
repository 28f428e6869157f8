//! One subscriber's side of its connection, without the connection: bytes in, what they say out.

use super::answer::{Answers, Part};
use super::fault::Fault;
use super::frames::{FramePart, Frames, pong};
use super::payload::{Marker, Scanner};
use super::wire::Wire;

/// Where a subscriber goes on from when it asks again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resume {
    /// What the last answer's `ETag` was.
    pub(super) etag: Option<Box<str>>,
    /// What the last answer's `Last-Modified` was.
    pub(super) last_modified: Option<Box<str>>,
}

/// What bytes from the server mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is subscribed: the stream or the WebSocket has begun.
    Opened,
    /// A message.
    Message(Marker),
    /// A poll was answered; whether the connection ends with that.
    Answered { closes: bool },
    /// To be sent back.
    Reply(Vec<u8>),
}

/// A subscriber on one connection.
#[derive(Debug)]
pub(super) struct Subscriber {
    wire: Wire,
    answers: Answers,
    /// Once a WebSocket is open.
    frames: Option<Box<Frames>>,
    scanner: Scanner,
    /// Polls only.
    resume: Resume,
    closes: bool,
}

impl Subscriber {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            answers: Answers::new(),
            frames: None,
            scanner: Scanner::default(),
            resume: Resume::default(),
            closes: false,
        }
    }

    pub(super) const fn wire(&self) -> Wire {
        self.wire
    }

    /// What the next poll says of what was received.
    pub(super) const fn resume(&self) -> &Resume {
        &self.resume
    }

    /// A new connection: what was half received is void, the cursor is kept.
    pub(super) fn reconnect(&mut self) {
        let resume = std::mem::take(&mut self.resume);
        *self = Self { resume, ..Self::new(self.wire) };
    }

    /// Whether the server may end the connection now: between polls.
    pub(super) fn may_end(&self) -> bool {
        self.wire.is_poll() && self.answers.may_end()
    }

    /// Whether an end of the connection is the end of the poll's answer, which gives no length.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.wire.is_poll() && self.answers.ends_with_connection()
    }

    /// Takes what the server sent; `heard` is told what it says, in order.
    ///
    /// # Errors
    /// When the connection is of no use any more.
    pub(super) fn receive(
        &mut self,
        mut bytes: &[u8],
        heard: &mut impl FnMut(Heard),
    ) -> Result<(), Fault> {
        while self.frames.is_none() {
            let Some(part) = self.answers.next(&mut bytes)? else { return Ok(()) };
            match part {
                Part::Body(body) => {
                    self.scanner.scan(body, |marker| heard(Heard::Message(marker)));
                }
                Part::Head(head) => {
                    match (self.wire, head.status) {
                        (Wire::Websocket, 101) => {
                            self.frames = Some(Box::default());
                            heard(Heard::Opened);
                        }
                        (Wire::Sse | Wire::Ndjson, 200) => heard(Heard::Opened),
                        // Whatever a server says when there is nothing.
                        (Wire::LongPoll | Wire::ShortPoll, 200 | 204 | 304 | 408) => {
                            self.resume.etag = head.etag.or(self.resume.etag.take());
                            let modified = self.resume.last_modified.take();
                            self.resume.last_modified = head.last_modified.or(modified);
                        }
                        (_, status) => return Err(Fault::Refused(status)),
                    }
                    self.closes = head.closes;
                }
                Part::End if self.wire.is_poll() => {
                    heard(Heard::Answered { closes: self.closes });
                }
                Part::End => return Err(Fault::Ended),
            }
        }
        let Some(frames) = &mut self.frames else { return Ok(()) };
        while let Some(part) = frames.next(&mut bytes)? {
            match part {
                FramePart::Payload(payload) => {
                    self.scanner.scan(payload, |marker| heard(Heard::Message(marker)));
                }
                FramePart::Ping(ping) => heard(Heard::Reply(pong(&ping))),
                FramePart::Close => return Err(Fault::Ended),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::payload::MARKER_BYTES;

    fn marker(number: u32) -> Marker {
        Marker { run: 1, number, intended: 99 }
    }

    fn payload(number: u32) -> String {
        let mut bytes = Vec::new();
        marker(number).encode(MARKER_BYTES + 8, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    fn heard(wire: Wire, pieces: &[&[u8]]) -> (Vec<Heard>, Result<(), Fault>, Subscriber) {
        let (mut subscriber, mut heard) = (Subscriber::new(wire), Vec::new());
        for piece in pieces {
            if let Err(fault) = subscriber.receive(piece, &mut |one| heard.push(one)) {
                return (heard, Err(fault), subscriber);
            }
        }
        (heard, Ok(()), subscriber)
    }

    /// The same is heard whatever the pieces.
    fn hears(wire: Wire, stream: &[u8], expected: &[Heard]) {
        assert_eq!(heard(wire, &[stream]).0, expected);
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(heard(wire, &[left, right]).0, expected, "cut at {cut}");
        }
    }

    fn chunk(data: &str) -> String {
        format!("{:x}\r\n{data}\r\n", data.len())
    }

    #[test]
    fn an_event_stream_opens_and_brings_messages() {
        let stream = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}{}{}",
            chunk("retry: 1000\nid: a-0\n\n:\n\n"),
            chunk(&format!("id: a-1\ndata: {}\n\n", payload(1))),
            chunk(&format!("id: a-2\ndata: {}\n\n", payload(2))),
        );
        let expected = [Heard::Opened, Heard::Message(marker(1)), Heard::Message(marker(2))];
        hears(Wire::Sse, stream.as_bytes(), &expected);
    }

    #[test]
    fn a_marker_that_chunks_divide_is_found() {
        let payload = payload(3);
        let (left, right) = payload.split_at(9);
        let stream = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}{}",
            chunk(left),
            chunk(right)
        );
        hears(Wire::Ndjson, stream.as_bytes(), &[Heard::Opened, Heard::Message(marker(3))]);
    }

    #[test]
    fn a_websocket_opens_brings_messages_and_has_its_pings_answered() {
        let mut stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        stream.extend_from_slice(&[0x81, payload(4).len() as u8]);
        stream.extend_from_slice(payload(4).as_bytes());
        stream.extend_from_slice(&[0x89, 1, 7]);
        let expected = [
            Heard::Opened,
            Heard::Message(marker(4)),
            Heard::Reply(vec![0x8a, 0x81, 0, 0, 0, 0, 7]),
        ];
        hears(Wire::Websocket, &stream, &expected);
    }

    #[test]
    fn a_poll_ends_with_its_answer_and_keeps_where_to_go_on_from() {
        let body = format!("{{\"messages\":[{{\"data\":\"{}\"}}]}}", payload(5));
        let answer = format!(
            "HTTP/1.1 200 OK\r\nETag: \"a-5\"\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let nothing = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n";
        let stream = format!("{answer}{nothing}");
        let expected = [
            Heard::Message(marker(5)),
            Heard::Answered { closes: false },
            Heard::Answered { closes: true },
        ];
        hears(Wire::LongPoll, stream.as_bytes(), &expected);
        let (_, _, mut subscriber) = heard(Wire::LongPoll, &[stream.as_bytes()]);
        assert!(subscriber.may_end());
        subscriber.reconnect();
        assert_eq!(subscriber.resume().etag.as_deref(), Some("\"a-5\""));
    }

    #[test]
    fn only_the_answer_to_a_poll_may_end_with_the_connection() {
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}";
        for (wire, ends) in [(Wire::ShortPoll, true), (Wire::LongPoll, true), (Wire::Sse, false)] {
            let (_, _, subscriber) = heard(wire, &[answer]);
            assert_eq!(subscriber.ends_with_connection(), ends, "{wire}");
        }
        let (_, _, subscriber) = heard(Wire::LongPoll, &[b"HTTP/1.1 200 OK\r\nContent-Le"]);
        assert!(!subscriber.ends_with_connection());
    }

    #[test]
    fn a_refusal_and_an_end_are_faults() {
        let refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        for wire in Wire::ALL {
            assert_eq!(heard(wire, &[refusal]).1, Err(Fault::Refused(503)));
        }
        let ended = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(heard(Wire::Sse, &[ended]).1, Err(Fault::Ended));
        let closed = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x88\x00";
        assert_eq!(heard(Wire::Websocket, &[closed]).1, Err(Fault::Ended));
    }
}
