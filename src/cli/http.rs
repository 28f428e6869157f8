//! A small blocking HTTP/1.1 client: requests written whole, answers read as they come.
//!
//! By hand because a stream has to be read without buffering ahead, with a time limit on silence
//! rather than on the whole, and because a streamed publish writes its request while it reads the
//! answer. Deliberately absent: redirects, compression, cookies, proxies, TLS.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Deserialize;

use super::base_url::BaseUrl;
use super::coming_back::{Failure, parse_retry_after};
use super::http_body::{Body, Framing};

const CONNECT_WAIT: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: u64 = 64 << 10;
const FIELDS_MAX: usize = 100;

/// Largest body that is read whole: a page of polls or a problem.
const BODY_BYTES_MAX: u64 = 256 << 20;

/// One connection to the server.
#[derive(Debug)]
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

/// Connects to the first address that answers.
pub(crate) fn connect(base: &BaseUrl) -> Result<TcpStream, Failure> {
    let unreachable = |why: io::Error| Failure::lost(format!("cannot reach {base}: {why}"));
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in base.address().to_socket_addrs().map_err(unreachable)? {
        match TcpStream::connect_timeout(&address, CONNECT_WAIT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

impl Connection {
    /// Connects; a read or write that makes no progress for `silence_max` fails.
    pub(crate) fn open(base: &BaseUrl, silence_max: Duration) -> Result<Connection, Failure> {
        let stream = connect(base)?;
        stream.set_read_timeout(Some(silence_max))?;
        stream.set_write_timeout(Some(silence_max))?;
        Ok(Connection::over(stream))
    }

    /// A connection over a stream whose time limits the caller has chosen.
    pub(crate) fn over(stream: TcpStream) -> Connection {
        Connection { reader: BufReader::with_capacity(16 << 10, stream) }
    }

    /// Sends a GET of `target` and reads the head of the answer.
    pub(crate) fn get(
        &mut self,
        base: &BaseUrl,
        target: &str,
        accept: &str,
    ) -> Result<Head, Failure> {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\n{}Accept: {accept}\r\n\r\n",
            base.authority(),
            USER_AGENT
        );
        self.reader.get_ref().write_all(head.as_bytes())?;
        self.read_head()
    }

    /// Sends a request that has a body and reads the head of the answer.
    pub(crate) fn post(&mut self, head: &str, body: &[u8]) -> Result<Head, Failure> {
        let mut stream = self.reader.get_ref();
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        match (sent, self.read_head()) {
            // A refusal may have come before the whole body was sent: it says more than the error.
            (_, Ok(head)) => Ok(head),
            (Err(error), Err(_)) => Err(error.into()),
            (Ok(()), Err(failure)) => Err(failure),
        }
    }

    /// Reads the head of an answer, past interim ones (1xx).
    pub(crate) fn read_head(&mut self) -> Result<Head, Failure> {
        loop {
            let head = read_head(&mut self.reader)?;
            // 101 was not asked for here and ends like a final answer.
            if !matches!(head.status, 100 | 102..=199) {
                return Ok(head);
            }
        }
    }

    /// The body that follows `head`, to be read as it comes.
    pub(crate) fn body(&mut self, head: &Head) -> Body<&mut BufReader<TcpStream>> {
        Body::new(&mut self.reader, head.framing)
    }

    /// Reads the body that follows `head` to its end.
    pub(crate) fn read_body(&mut self, head: &Head) -> Result<Vec<u8>, Failure> {
        let mut whole = Vec::new();
        self.body(head).take(BODY_BYTES_MAX).read_to_end(&mut whole)?;
        Ok(whole)
    }

    /// The failure that an answer other than the expected one stands for.
    pub(crate) fn refusal(&mut self, head: &Head) -> Failure {
        // Without its text the status alone has to do.
        let body = self.read_body(head).unwrap_or_default();
        Failure::refused(head.status, problem_text(head.status, &body), head.retry_after)
    }
}

/// The field that every request carries.
pub(crate) const USER_AGENT: &str =
    concat!("User-Agent: tidings/", env!("CARGO_PKG_VERSION"), "\r\n");

/// What the clients need of the head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    /// Whether the connection can carry another request after this answer.
    pub(crate) persists: bool,
    /// Without parameters, in lower case; empty if there was none.
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<Duration>,
}

/// Reads the head of one answer, its empty line included and nothing behind it.
fn read_head(reader: &mut impl BufRead) -> io::Result<Head> {
    let mut bytes = Vec::new();
    let mut reader = reader.take(HEAD_BYTES_MAX);
    loop {
        let before = bytes.len();
        reader.read_until(b'\n', &mut bytes)?;
        match &bytes[before..] {
            b"\r\n" | b"\n" if before > 0 => return parse_head(&bytes),
            [.., b'\n'] => {}
            _ if reader.limit() == 0 => return Err(malformed("its head is too long")),
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Head> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(malformed("its head is cut")),
        Err(error) => return Err(malformed(&error.to_string())),
    }
    let status = response.code.unwrap_or_default();
    let mut persists = response.version == Some(1);
    let mut framing = Framing::UntilClose;
    let mut content_type = String::new();
    let mut retry_after = None;
    for field in response.headers.iter() {
        let value = String::from_utf8_lossy(field.value).trim().to_ascii_lowercase();
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if value != "chunked" {
                return Err(malformed("its transfer encoding is not known"));
            }
            framing = Framing::Chunked;
        } else if field.name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| malformed("its length is not a number"))?;
            // RFC 9112 §6.3: a transfer encoding overrides a length.
            if framing != Framing::Chunked {
                framing = Framing::Length(length);
            }
        } else if field.name.eq_ignore_ascii_case("connection") {
            persists &= !value.split(',').any(|option| option.trim() == "close");
        } else if field.name.eq_ignore_ascii_case("content-type") {
            value.split(';').next().unwrap_or_default().trim().clone_into(&mut content_type);
        } else if field.name.eq_ignore_ascii_case("retry-after") {
            retry_after = parse_retry_after(&String::from_utf8_lossy(field.value));
        }
    }
    if matches!(status, 100..=199 | 204 | 304) {
        framing = Framing::Length(0);
    }
    persists &= framing != Framing::UntilClose;
    Ok(Head { status, framing, persists, content_type, retry_after })
}

/// A refusal in words: status, title and detail of its problem (protocol 15.1), or only the status.
pub(crate) fn problem_text(status: u16, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        title: String,
        #[serde(default)]
        detail: String,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { title, detail }) if detail.is_empty() => format!("{status} {title}"),
        Ok(Problem { title, detail }) => format!("{status} {title}: {detail}"),
        Err(_) => format!("status {status}"),
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed answer: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_nothing_behind_it() {
        let mut input: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\
            Content-Type: Application/Problem+JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}";
        let head = read_head(&mut input).unwrap();
        assert_eq!((head.status, head.framing), (503, Framing::Length(2)));
        assert_eq!(head.content_type, "application/problem+json");
        assert_eq!(head.retry_after, Some(Duration::from_secs(3)));
        assert!(head.persists);
        assert_eq!(input, b"{}");
    }

    #[test]
    fn the_end_of_a_body_is_where_the_head_says() {
        let head = |fields: &str| parse_head(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes());
        let chunked = head("Transfer-Encoding: chunked\r\nContent-Length: 9\r\n").unwrap();
        assert_eq!(chunked.framing, Framing::Chunked);
        let closing = head("Content-Length: 1\r\nConnection: Close\r\n").unwrap();
        assert!(!closing.persists);
        assert_eq!(head("").unwrap().framing, Framing::UntilClose);
        assert!(head("Transfer-Encoding: gzip, chunked\r\n").is_err());
        assert!(head("Content-Length: x\r\n").is_err());
    }

    #[test]
    fn a_cut_or_endless_head_is_an_error() {
        let cut = read_head(&mut &b"HTTP/1.1 200 OK\r\nA: b\r\n"[..]).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        let endless = [&b"HTTP/1.1 200 OK\r\nA: "[..], &[b'x'; 70_000]].concat();
        assert_eq!(read_head(&mut &endless[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_problem_becomes_one_sentence() {
        let body = br#"{"title":"Bad Request","status":400,"detail":"Give a topic."}"#;
        assert_eq!(problem_text(400, body), "400 Bad Request: Give a topic.");
        assert_eq!(problem_text(502, b"<html>"), "status 502");
    }
}
