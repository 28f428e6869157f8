//! The answers on one connection, in the order of its requests.

use std::collections::VecDeque;

use super::Asked;
use super::head::{Delimited, Head};
use crate::wires::received::Received;

/// A chunk has no more bytes: a message in its envelope, escaped at its worst, and some more.
const CHUNK_BYTES_MAX: u64 = 16 << 20;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Head(Head),
    /// Never empty.
    Body(Vec<u8>),
    End,
}

#[derive(Debug)]
enum State {
    /// Within a head: its lines so far.
    Head(Vec<String>),
    /// Within a body of known length.
    Sized(u64),
    /// Before the size of a chunk.
    ChunkSize,
    /// Within a chunk.
    Chunk(u64),
    /// Behind the last chunk: the empty line.
    Trailer,
    /// Another protocol has begun.
    Upgraded,
    /// The last answer has ended.
    Closing,
}

/// Reads answers from pieces of any size.
#[derive(Debug)]
pub(crate) struct Answers {
    received: Received,
    /// Requests that are not answered yet, and behind them those to come.
    asked: VecDeque<Asked>,
    state: State,
    /// A 100 has come, for the request that is the next to be answered.
    continued: bool,
    /// The answer that is being read is the last.
    closes: bool,
}

impl Answers {
    pub(crate) fn new() -> Self {
        Self {
            received: Received::default(),
            asked: VecDeque::new(),
            state: State::Head(Vec::new()),
            continued: false,
            closes: false,
        }
    }

    /// A request is sent, behind those before.
    pub(crate) fn expect(&mut self, asked: Asked) {
        self.asked.push_back(asked);
    }

    /// Requests whose answers have not ended.
    pub(crate) fn owed(&self) -> usize {
        let is_answering = !matches!(self.state, State::Head(_) | State::Closing | State::Upgraded);
        self.asked.len() + usize::from(is_answering)
    }

    /// Whether a 100 has come for the request that is the next to be answered.
    pub(crate) fn may_continue(&self) -> bool {
        self.continued
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let is_over = matches!(self.state, State::Closing);
        assert!(!is_over || bytes.is_empty(), "bytes behind the last answer: {}", shown(bytes));
        self.received.push(bytes);
    }

    pub(crate) fn next(&mut self) -> Option<Part> {
        loop {
            match &mut self.state {
                State::Head(_) => {
                    if let Some(head) = self.head()? {
                        return Some(Part::Head(head));
                    }
                }
                State::Sized(0) => return Some(self.end()),
                State::Sized(left) | State::Chunk(left @ 1..) => {
                    let most = usize::try_from(*left).expect("bodies fit into memory");
                    let content = self.received.take(most);
                    *left -= content.len() as u64;
                    return (!content.is_empty()).then_some(Part::Body(content));
                }
                State::Chunk(_) => {
                    assert_eq!(self.line()?, "", "the end of a chunk");
                    self.state = State::ChunkSize;
                }
                State::ChunkSize => {
                    self.state = match chunk_size(&self.line()?) {
                        0 => State::Trailer,
                        size => State::Chunk(size),
                    };
                }
                State::Trailer => {
                    assert_eq!(self.line()?, "", "trailer fields, that nobody has a use for");
                    return Some(self.end());
                }
                State::Upgraded | State::Closing => return None,
            }
        }
    }

    /// Everything behind a 101.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        assert!(matches!(self.state, State::Upgraded), "nothing but HTTP here");
        self.received.take(usize::MAX)
    }

    /// The connection has ended. Whether that was in the middle of an answer.
    pub(crate) fn finish(&self) -> bool {
        match &self.state {
            State::Head(lines) => !lines.is_empty() || !self.received.is_empty(),
            State::Upgraded | State::Closing => false,
            _ => true,
        }
    }

    /// Reads lines up to the end of a head. `None` if there are not enough, `Some(None)` for a 100.
    fn head(&mut self) -> Option<Option<Head>> {
        loop {
            if self.received.is_empty() {
                return None;
            }
            let Some(&asked) = self.asked.front() else {
                panic!("an answer to no request: {}", shown(self.received.as_slice()))
            };
            let line = self.line()?;
            let State::Head(lines) = &mut self.state else { unreachable!("the caller looked") };
            if !line.is_empty() {
                lines.push(line);
                continue;
            }
            let head = Head::read(lines, asked);
            if head.status == 100 {
                let was_wanted = asked == Asked::PostExpecting && !self.continued;
                assert!(was_wanted, "a 100 that nobody asked for");
                (self.continued, self.state) = (true, State::Head(Vec::new()));
                return Some(None);
            }
            self.asked.pop_front();
            (self.continued, self.closes) = (false, head.closes());
            self.state = match head.delimited() {
                Delimited::Length(length) => State::Sized(length),
                Delimited::Chunked => State::ChunkSize,
                Delimited::Upgraded => State::Upgraded,
            };
            return Some(Some(head));
        }
    }

    fn end(&mut self) -> Part {
        self.state = if self.closes { State::Closing } else { State::Head(Vec::new()) };
        if self.closes {
            let rest = self.received.as_slice();
            assert!(rest.is_empty(), "bytes behind the last answer: {}", shown(rest));
        }
        Part::End
    }

    /// A line, ended by CRLF; a CR or LF alone ends nothing.
    fn line(&mut self) -> Option<String> {
        let (mut line, _) = self.received.take_until(b"\n")?;
        assert_eq!(line.pop(), Some(b'\r'), "a line ends with LF alone: {}", shown(&line));
        assert!(!line.contains(&b'\r'), "a CR within a line: {}", shown(&line));
        Some(String::from_utf8(line).expect("a line of a head is ASCII"))
    }
}

/// RFC 9112 §7.1, without extensions.
fn chunk_size(line: &str) -> u64 {
    let is_size =
        (1..=16).contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_size, "no size of a chunk: {line:?}");
    let size = u64::from_str_radix(line, 16).expect("sixteen digits at most");
    assert!(size <= CHUNK_BYTES_MAX, "a chunk of {size} bytes");
    size
}

/// The beginning of some bytes, to be read by people.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::splits::{panic_of, same_for_every_split};

    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    const TOPIC: &str = "Content-Type: application/json\r\nCache-Control: no-cache\r\n\
        Vary: Accept, Origin\r\nX-Content-Type-Options: nosniff\r\n";

    /// An answer from a topic with these fields too.
    fn answer(status: &str, fields: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{DATE}{TOPIC}{fields}\r\n{body}")
    }

    /// Statuses and bodies of the answers, and whether the end was in the middle of one.
    fn read(asked: &[Asked], pieces: &[&[u8]]) -> (Vec<(u16, String)>, bool) {
        let mut answers = Answers::new();
        asked.iter().for_each(|asked| answers.expect(*asked));
        let (mut read, mut body) = (Vec::new(), Vec::new());
        let mut status = 0;
        for piece in pieces {
            answers.push(piece);
            while let Some(part) = answers.next() {
                match part {
                    Part::Head(head) => status = head.status,
                    Part::Body(bytes) => body.extend(bytes),
                    Part::End => {
                        let body = String::from_utf8(std::mem::take(&mut body)).unwrap();
                        read.push((status, body));
                    }
                }
            }
        }
        (read, answers.finish())
    }

    fn complaint(asked: Asked, text: &str) -> String {
        panic_of(|| drop(read(&[asked], &[text.as_bytes()])))
    }

    #[test]
    fn pipelined_answers_of_every_shape_read_the_same_however_they_are_cut() {
        let text = [
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
            answer("201 Created", "Content-Length: 2\r\n", "{}"),
            answer("200 OK", "Content-Length: 5\r\n", ""),
            answer(
                "200 OK",
                "Transfer-Encoding: chunked\r\n",
                "2\r\n{\n\r\n0A\r\n0123456789\r\n0\r\n\r\n",
            ),
            answer("200 OK", "Connection: close\r\nContent-Length: 0\r\n", ""),
        ];
        let asked = [Asked::PostExpecting, Asked::Head, Asked::Get, Asked::Get];
        let (answers, is_cut) =
            same_for_every_split(text.concat().as_bytes(), |pieces| read(&asked, pieces));
        let of = |status, body: &str| (status, body.to_owned());
        assert_eq!(answers, [of(201, "{}"), of(200, ""), of(200, "{\n0123456789"), of(200, "")]);
        assert!(!is_cut);
    }

    #[test]
    fn a_connection_that_is_cut_within_an_answer_is_known() {
        let text = answer("200 OK", "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n");
        for at in 0..=text.len() {
            let is_cut = read(&[Asked::Get], &[&text.as_bytes()[..at]]).1;
            assert_eq!(is_cut, at > 0 && at < text.len(), "cut at {at}");
        }
    }

    #[test]
    fn behind_101_everything_is_kept() {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\n{DATE}Upgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLBmTxQaR\r\n\r\nrest"
        );
        let rest = same_for_every_split(head.as_bytes(), |pieces| {
            let mut answers = Answers::new();
            answers.expect(Asked::Upgrade);
            for piece in pieces {
                answers.push(piece);
                while answers.next().is_some() {}
            }
            answers.take_rest()
        });
        assert_eq!(rest, b"rest");
        assert!(complaint(Asked::Get, &head).contains("another protocol"));
    }

    #[test]
    fn what_a_server_must_not_answer_is_a_panic() {
        let (ok, none) = ("200 OK", "Content-Length: 0\r\n");
        let good = answer(ok, none, "");
        let without = |line: &str| good.replace(line, "");
        for (text, wanted) in [
            (answer(ok, "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", ""), "both lengths"),
            (answer(ok, "Content-Length: 0\r\nContent-Length: 0\r\n", ""), "twice"),
            (answer(ok, "", ""), "without a length"),
            (answer(ok, "Content-Length: +1\r\n", ""), "no number"),
            (answer(ok, "Transfer-Encoding: chunked\r\n", "2;x\r\n"), "no size"),
            (answer(ok, "Transfer-Encoding: chunked\r\n", "1\r\nab\r\n"), "end of a chunk"),
            (answer(ok, "Transfer-Encoding: chunked\r\n", "0\r\nA: b\r\n\r\n"), "trailer"),
            (answer(ok, "Content-Length : 0\r\n", ""), "no field name"),
            (answer(ok, "A: b\r\n c\r\nContent-Length: 0\r\n", ""), "without a colon"),
            (answer(ok, "A: b\rc\r\n", ""), "a CR within"),
            (answer(ok, "A: b\nContent-Length: 0\r\n", ""), "LF alone"),
            (answer(ok, "A: \u{7f}\r\n", ""), "no field value"),
            (answer("200", none, ""), "no space"),
            (answer("302 Found", none, ""), "not in the contract"),
            (answer("404 Not Found", none, ""), "a refusal (15.1)"),
            (answer("503 Service Unavailable", none, ""), "no retry-after"),
            (answer("204 No Content", none, ""), "where there can be none"),
            (good.replace("1.1", "1.0"), "no status line"),
            (without(DATE), "no Date"),
            (good.replace("Sun, 06", "Sun, 6"), "no date"),
            (without("X-Content-Type-Options: nosniff\r\n"), "X-Content-Type-Options"),
            (good.replace("no-cache", "max-age=1"), "Cache-Control"),
            (without("Vary: Accept, Origin\r\n"), "Vary"),
            (good.repeat(2), "an answer to no request"),
            (answer(ok, "Connection: close\r\nContent-Length: 0\r\n", "x"), "behind the last"),
            ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), "nobody asked for"),
        ] {
            let complaint = complaint(Asked::Get, &text);
            assert!(complaint.contains(wanted), "{wanted}: {complaint}");
        }
    }
}
