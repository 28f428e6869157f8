//! HTTP/1.1 answers, read as they arrive: heads, the parts of bodies, and where each answer ends.
//!
//! Just enough of RFC 9112 to follow any server's framing. Pull: feed bytes, take parts until there is none.

use super::fault::Fault;

/// Bytes of a head before it is taken for something else.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 64;

/// What a generator needs of an answer's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Where to go on from, as polls say it.
    pub(super) etag: Option<Box<str>>,
    /// As `etag`; servers that keep a cursor in two fields use it too (nchan).
    pub(super) last_modified: Option<Box<str>>,
    /// The connection ends with this answer.
    pub(super) closes: bool,
}

/// A piece of an answer, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Head(Head),
    /// Bytes of the body, without the chunks' framing.
    Body(&'a [u8]),
    /// The answer is whole. What follows is another one.
    End,
}

/// How far the answer has come that is being read.
#[derive(Debug)]
enum Stage {
    /// Of the head there is this much, and it is not whole.
    Head(Vec<u8>),
    /// So many bytes of the body are to come.
    Length(u64),
    /// The body ends with the connection.
    UntilClose,
    /// In the line that gives a chunk's size, so far; whether its digits are over.
    ChunkSize(u64, bool),
    /// So many bytes of the chunk are to come.
    Chunk(u64),
    /// Behind a chunk, before its line end is over.
    ChunkEnd,
    /// Behind the last chunk; so many bytes of the present line, CR and LF not counted.
    Trailers(u32),
}

/// The answers of one connection.
#[derive(Debug)]
pub(super) struct Answers {
    stage: Stage,
    /// Answers are to HEAD, whose length is not theirs.
    are_bodiless: bool,
}

impl Answers {
    /// To GET and POST.
    pub(super) const fn new() -> Self {
        Self { stage: Stage::Head(Vec::new()), are_bodiless: false }
    }

    /// To HEAD.
    pub(super) const fn to_head() -> Self {
        Self { stage: Stage::Head(Vec::new()), are_bodiless: true }
    }

    /// The next part in `input`, of which it takes what it has used; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not HTTP/1.1.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Fault> {
        loop {
            match &mut self.stage {
                Stage::Length(0) => return Ok(Some(self.end())),
                _ if input.is_empty() => return Ok(None),
                Stage::Head(_) => return self.head(input),
                Stage::Length(left) => return Ok(Some(Part::Body(take(input, left)))),
                Stage::UntilClose => return Ok(Some(Part::Body(std::mem::take(input)))),
                Stage::ChunkSize(size, is_over) => match (next_byte(input), *is_over) {
                    (b'\n', _) if *size == 0 => self.stage = Stage::Trailers(0),
                    (b'\n', _) => self.stage = Stage::Chunk(*size),
                    (b'\r' | b';' | b' ' | b'\t', _) => *is_over = true,
                    (_, true) => (),
                    (digit, false) => {
                        let digit = char::from(digit).to_digit(16).ok_or(Fault::NotHttp)?;
                        let more = size.checked_mul(16).ok_or(Fault::NotHttp)?;
                        *size = more + u64::from(digit);
                    }
                },
                Stage::Chunk(left) => {
                    let bytes = take(input, left);
                    if *left == 0 {
                        self.stage = Stage::ChunkEnd;
                    }
                    return Ok(Some(Part::Body(bytes)));
                }
                Stage::ChunkEnd => {
                    if next_byte(input) == b'\n' {
                        self.stage = Stage::ChunkSize(0, false);
                    }
                }
                Stage::Trailers(length) => match next_byte(input) {
                    b'\n' if *length == 0 => return Ok(Some(self.end())),
                    b'\n' => *length = 0,
                    b'\r' => (),
                    _ => *length += 1,
                },
            }
        }
    }

    /// Whether an end of the connection here is the end of an answer.
    pub(super) fn may_end(&self) -> bool {
        matches!(&self.stage, Stage::UntilClose)
            || matches!(&self.stage, Stage::Head(begun) if begun.is_empty())
    }

    /// Whether the answer that has begun is ended by the end of the connection (RFC 9112 §6.3).
    pub(super) const fn ends_with_connection(&self) -> bool {
        matches!(&self.stage, Stage::UntilClose)
    }

    fn end(&mut self) -> Part<'static> {
        self.stage = Stage::Head(Vec::new());
        Part::End
    }

    fn head<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, Fault> {
        let Stage::Head(begun) = &mut self.stage else { return Ok(None) };
        let before = begun.len();
        let parsed = if before == 0 {
            parse_head(input)?
        } else {
            begun.extend_from_slice(input);
            parse_head(begun)?
        };
        let Some((mut head, stage, length)) = parsed else {
            if before == 0 {
                begun.extend_from_slice(input);
            }
            if begun.len() > HEAD_BYTES_MAX {
                return Err(Fault::NotHttp);
            }
            *input = &[];
            return Ok(None);
        };
        *input = &input[length - before..];
        // Interim answers (RFC 9110 §15.2) are followed by the final one; 101 by another protocol.
        let is_interim = matches!(head.status, 100..=199);
        // RFC 9112 §6.3: these end with the head, whether they give a length or not.
        let has_body = !self.are_bodiless && !is_interim && !matches!(head.status, 204 | 304);
        head.closes |= has_body && matches!(stage, Stage::UntilClose);
        self.stage = match stage {
            _ if is_interim => Stage::Head(Vec::new()),
            stage if has_body => stage,
            _ => Stage::Length(0),
        };
        match head.status {
            100 | 102..=199 => self.next(input),
            _ => Ok(Some(Part::Head(head))),
        }
    }
}

/// Takes from `input` at most `left` bytes, which become fewer.
fn take<'a>(input: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    let (bytes, rest) = input.split_at(count);
    *left -= count as u64;
    *input = rest;
    bytes
}

/// Takes one byte of an input that has one.
fn next_byte(input: &mut &[u8]) -> u8 {
    let byte = input[0];
    *input = &input[1..];
    byte
}

/// The head at the beginning of `bytes`, what follows it, and its length; `None` if it is not whole.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, Stage, usize)>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Fault::NotHttp),
    };
    let mut head = Head {
        status: response.code.unwrap_or_default(),
        closes: response.version != Some(1),
        ..Head::default()
    };
    let mut stage = Stage::UntilClose;
    for field in response.headers.iter() {
        let value = || std::str::from_utf8(field.value).unwrap_or_default().trim();
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            4 if is("etag") => head.etag = Some(value().into()),
            10 if is("connection") => head.closes |= value().eq_ignore_ascii_case("close"),
            13 if is("last-modified") => head.last_modified = Some(value().into()),
            // RFC 9112 §6.3: a transfer coding overrides a length.
            14 if is("content-length") && matches!(stage, Stage::UntilClose) => {
                stage = Stage::Length(value().parse().map_err(|_| Fault::NotHttp)?);
            }
            17 if is("transfer-encoding") => stage = Stage::ChunkSize(0, false),
            _ => (),
        }
    }
    Ok(Some((head, stage, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statuses, bodies (None where one has not ended) of what the pieces say.
    fn read(answers: &mut Answers, pieces: &[&[u8]]) -> Vec<(u16, String, bool)> {
        let mut out = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(part) = answers.next(&mut input).unwrap() {
                match part {
                    Part::Head(head) => out.push((head.status, String::new(), false)),
                    Part::Body(bytes) => {
                        out.last_mut().unwrap().1.push_str(std::str::from_utf8(bytes).unwrap());
                    }
                    Part::End => out.last_mut().unwrap().2 = true,
                }
            }
            assert!(input.is_empty());
        }
        out
    }

    #[test]
    fn answers_end_where_their_framing_says_however_they_are_cut() {
        let stream: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
            HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1a;x=y\r\n\
            abcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: x\r\n\r\n\
            HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n\
            HTTP/1.1 200 OK\r\n\r\nto the end";
        let expected = [
            (200, "hello".to_owned(), true),
            (201, String::new(), true),
            (200, "abcabcdefghijklmnopqrstuvwxyz".to_owned(), true),
            (304, String::new(), true),
            (200, "to the end".to_owned(), false),
        ];
        assert_eq!(read(&mut Answers::new(), &[stream]), expected);
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(read(&mut Answers::new(), &[left, right]), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&mut Answers::new(), &bytes), expected);
    }

    #[test]
    fn what_a_head_says_of_cursors_and_the_connection_is_kept() {
        let mut input: &[u8] = b"HTTP/1.1 200 OK\r\nETag: \"a-1\"\r\nLast-Modified: x\r\n\
            Connection: close\r\nContent-Length: 0\r\n\r\n";
        let Some(Part::Head(head)) = Answers::new().next(&mut input).unwrap() else { panic!() };
        assert_eq!(head.etag.as_deref(), Some("\"a-1\""));
        assert_eq!(head.last_modified.as_deref(), Some("x"));
        assert!(head.closes);
    }

    #[test]
    fn the_answer_to_head_has_no_body_whatever_its_length_says() {
        let stream = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 404 No\r\n\r\n";
        let read = read(&mut Answers::to_head(), &[stream]);
        assert_eq!(read, [(200, String::new(), true), (404, String::new(), true)]);
    }

    #[test]
    fn an_answer_that_has_no_body_leaves_the_connection_open_without_a_length() {
        let closes = |mut input: &[u8]| match Answers::new().next(&mut input) {
            Ok(Some(Part::Head(head))) => head.closes,
            other => panic!("{other:?}"),
        };
        assert!(!closes(b"HTTP/1.1 204 No Content\r\n\r\n"));
        assert!(!closes(b"HTTP/1.1 304 Not Modified\r\n\r\n"));
        assert!(!closes(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"));
        assert!(closes(b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(closes(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"));
    }

    #[test]
    fn a_protocol_handed_over_to_leaves_its_bytes_alone() {
        let mut input: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x01a";
        let part = Answers::new().next(&mut input).unwrap();
        assert!(matches!(part, Some(Part::Head(Head { status: 101, .. }))));
        assert_eq!(input, b"\x81\x01a");
    }

    #[test]
    fn other_bytes_are_no_answer() {
        for bytes in [&b"SSH-2.0\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] {
            let mut input = bytes;
            assert_eq!(Answers::new().next(&mut input), Err(Fault::NotHttp));
        }
    }
}
