//! The body of an HTTP/1.1 answer as a plain `Read`, whichever way its end is marked.
//!
//! A read gives what has arrived and never waits for more than that, so that a stream's events are
//! seen when they come. The end of input is the body's proper end; a connection that is cut before
//! it is `UnexpectedEof`.

use std::io::{self, BufRead, Read};

/// Longest chunk head or trailer field.
const CHUNK_LINE_BYTES_MAX: u64 = 4096;

/// Most trailer fields.
const TRAILERS_MAX: usize = 64;

/// How the end of a body is marked (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    ChunkHead,
    ChunkData(u64),
    ChunkEnd,
    Ended,
}

/// A body that is being read off a connection.
#[derive(Debug)]
pub(crate) struct Body<R> {
    reader: R,
    state: State,
}

impl<R: BufRead> Body<R> {
    pub(crate) fn new(reader: R, framing: Framing) -> Body<R> {
        let state = match framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkHead,
            Framing::UntilClose => State::UntilClose,
        };
        Body { reader, state }
    }

    /// Reads up to `remaining` bytes of data into `out`.
    fn read_part(&mut self, remaining: u64, out: &mut [u8]) -> io::Result<u64> {
        let room = usize::try_from(remaining).unwrap_or(usize::MAX).min(out.len());
        let taken = self.reader.read(&mut out[..room])?;
        if taken == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(taken as u64)
    }

    /// A chunk head, the CRLF behind a chunk, or a trailer field; without its line end.
    fn read_chunk_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        (&mut self.reader).take(CHUNK_LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            let kind = match line.len() as u64 {
                CHUNK_LINE_BYTES_MAX => io::ErrorKind::InvalidData,
                _ => io::ErrorKind::UnexpectedEof,
            };
            return Err(kind.into());
        }
        line.pop_if(|byte| *byte == b'\r');
        Ok(line)
    }

    fn read_trailers(&mut self) -> io::Result<()> {
        for _ in 0..TRAILERS_MAX {
            if self.read_chunk_line()?.is_empty() {
                return Ok(());
            }
        }
        Err(malformed("too many trailer fields"))
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state {
                State::Ended => return Ok(0),
                State::Length(0) => self.state = State::Ended,
                State::Length(remaining) => {
                    let taken = self.read_part(remaining, out)?;
                    self.state = State::Length(remaining - taken);
                    return Ok(taken as usize);
                }
                State::UntilClose => return self.reader.read(out),
                State::ChunkHead => {
                    let size = parse_chunk_size(&self.read_chunk_line()?)?;
                    if size == 0 {
                        self.read_trailers()?;
                        self.state = State::Ended;
                    } else {
                        self.state = State::ChunkData(size);
                    }
                }
                State::ChunkData(remaining) => {
                    let taken = self.read_part(remaining, out)?;
                    self.state = match remaining - taken {
                        0 => State::ChunkEnd,
                        remaining => State::ChunkData(remaining),
                    };
                    return Ok(taken as usize);
                }
                State::ChunkEnd => {
                    if !self.read_chunk_line()?.is_empty() {
                        return Err(malformed("a chunk does not end where it said"));
                    }
                    self.state = State::ChunkHead;
                }
            }
        }
    }
}

/// The size in a chunk head; extensions are ignored (RFC 9112 §7.1.1).
fn parse_chunk_size(line: &[u8]) -> io::Result<u64> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed("a chunk size is not a number"));
    }
    u64::from_str_radix(text, 16).map_err(|_| malformed("a chunk size is not a number"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed answer: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a read.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let room = out.len().min(1);
            self.0.read(&mut out[..room])
        }
    }

    fn read_both_ways(input: &[u8], framing: Framing) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        let outcome = Body::new(input, framing).read_to_end(&mut whole);
        let mut bytewise = Vec::new();
        let trickle = io::BufReader::new(Trickle(input));
        let again = Body::new(trickle, framing).read_to_end(&mut bytewise);
        assert_eq!(whole, bytewise);
        assert_eq!(
            outcome.as_ref().map_err(io::Error::kind),
            again.as_ref().map_err(io::Error::kind)
        );
        outcome.map(|_| whole)
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        let mut input: &[u8] = b"3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nT: 1\r\n\r\nHTTP/1.1";
        assert_eq!(read_both_ways(input, Framing::Chunked).unwrap(), b"abc0123456789");
        Body::new(&mut input, Framing::Chunked).read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(input, b"HTTP/1.1");
    }

    #[test]
    fn a_length_is_exact() {
        assert_eq!(read_both_ways(b"abcdef", Framing::Length(4)).unwrap(), b"abcd");
        assert_eq!(read_both_ways(b"abcdef", Framing::UntilClose).unwrap(), b"abcdef");
    }

    #[test]
    fn a_cut_body_is_told_from_a_whole_one() {
        for (input, framing) in [
            (&b"abc"[..], Framing::Length(4)),
            (b"3\r\nab", Framing::Chunked),
            (b"3\r\nabc\r\n", Framing::Chunked),
            (b"3\r\nabc\r\n0\r\n", Framing::Chunked),
        ] {
            let failure = read_both_ways(input, framing).unwrap_err();
            assert_eq!(failure.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn malformed_chunks_are_errors() {
        for input in [&b"+3\r\nabc\r\n"[..], b"\r\n", b"3\r\nabcd\r\n", b"11111111111111111\r\n"] {
            let failure = read_both_ways(input, Framing::Chunked).unwrap_err();
            assert_eq!(failure.kind(), io::ErrorKind::InvalidData);
        }
    }
}
