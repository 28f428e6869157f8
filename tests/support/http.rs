//! A client of HTTP/1.1 that writes what it is told and reads what is there.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tidings::problem_kind::ProblemKind;

use super::PATIENCE;

/// One connection.
pub struct Client {
    stream: TcpStream,
    host: String,
    /// Read, not yet taken.
    buffer: Vec<u8>,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    pub version: String,
    pub status: u16,
    pub fields: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect_timeout(&address, PATIENCE).unwrap(), address)
    }

    /// Connects from a given address of this machine.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        Self::new(socket.into(), address)
    }

    /// Connects with a receive buffer of `bytes`: a reader that is soon full.
    pub fn connect_narrow(bytes: usize, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        Self::new(socket.into(), address)
    }

    fn new(stream: TcpStream, address: SocketAddr) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, host: address.to_string(), buffer: Vec::new() }
    }

    /// The same connection once more, for a thread that only writes.
    pub fn another_handle(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Writes, unless the server has closed already.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Closes the sending side.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The bytes of a request, with `Host`, and a `Content-Length` if there is a body or must be one.
    pub fn encode_request(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let given = |name: &str| fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        if !given("Host") {
            text += &format!("Host: {}\r\n", self.host);
        }
        let may_have_body = matches!(method, "POST" | "PUT") || !body.is_empty();
        if may_have_body && !given("Content-Length") && !given("Transfer-Encoding") {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        [text.as_bytes(), body].concat()
    }

    pub fn send_request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) {
        let request = self.encode_request(method, target, fields, body);
        self.send(request);
    }

    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.send_request(method, target, fields, body);
        self.answer_to(method)
    }

    /// Sends bytes as they are and reads one answer.
    pub fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes);
        self.answer()
    }

    /// Reads an answer to anything but HEAD.
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// Reads an answer by its framing.
    pub fn answer_to(&mut self, method: &str) -> Answer {
        let head = self.head();
        let length = head.field("Content-Length").map(|length| length.parse::<usize>().unwrap());
        let is_chunked = head.field("Transfer-Encoding") == Some("chunked");
        assert!(!(length.is_some() && is_chunked), "one framing: {head:?}");
        let body = if method == "HEAD" || head.status < 200 || head.status == 204 {
            Vec::new()
        } else if is_chunked {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk() {
                body.extend_from_slice(&chunk);
            }
            body
        } else if let Some(length) = length {
            self.take(length)
        } else {
            self.rest()
        };
        Answer { status: head.status, head, body }
    }

    /// Reads the head of an answer.
    pub fn head(&mut self) -> Head {
        let end = self.find(b"\r\n\r\n");
        let bytes = self.take(end);
        self.take(4);
        let text = String::from_utf8(bytes).unwrap();
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap();
        let (version, rest) = status_line.split_once(' ').unwrap();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        });
        Head {
            version: version.to_owned(),
            status: rest[..3].parse().unwrap(),
            fields: fields.collect(),
        }
    }

    /// Reads a chunk; `None` is the last one.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line();
        let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("size {line:?}"));
        let chunk = self.take(size);
        assert_eq!(self.line(), "", "a chunk ends with CRLF");
        (size > 0).then_some(chunk)
    }

    /// Reads a line that ends with CRLF.
    pub fn line(&mut self) -> String {
        let end = self.find(b"\r\n");
        let line = self.take(end);
        self.take(2);
        String::from_utf8(line).unwrap()
    }

    /// Takes exactly `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            self.fill_or_fail();
        }
        self.buffer.drain(..count).collect()
    }

    /// Takes one byte; `None` when the server has closed.
    pub fn byte(&mut self) -> Option<u8> {
        while self.buffer.is_empty() {
            if !self.fill() {
                return None;
            }
        }
        Some(self.buffer.remove(0))
    }

    /// Everything up to the end that the server makes, which it must.
    pub fn rest(&mut self) -> Vec<u8> {
        for _ in 0..1_000 {
            if !self.fill() {
                return std::mem::take(&mut self.buffer);
            }
        }
        panic!("it never ends, after {:?}", String::from_utf8_lossy(&self.buffer));
    }

    /// Reads something and forgets it; false at the end.
    pub fn discard(&mut self) -> bool {
        self.buffer.clear();
        self.fill()
    }

    /// The server sends nothing more and closes.
    pub fn assert_closed(&mut self) {
        let is_closed = self.buffer.is_empty() && !self.fill();
        assert!(is_closed, "not closed, but {:?}", String::from_utf8_lossy(&self.buffer));
    }

    /// Nothing comes for a short while. Only for what cannot be shown by the order of answers.
    pub fn assert_silent(&mut self) {
        self.stream.set_read_timeout(Some(Duration::from_millis(120))).unwrap();
        let mut byte = [0];
        let result = self.stream.read(&mut byte);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(self.buffer.is_empty(), "{:?}", String::from_utf8_lossy(&self.buffer));
        let error = result.expect_err("something came");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }

    fn find(&mut self, pattern: &[u8]) -> usize {
        loop {
            let found = self.buffer.windows(pattern.len()).position(|window| window == pattern);
            match found {
                Some(place) => return place,
                None => self.fill_or_fail(),
            }
        }
    }

    fn fill_or_fail(&mut self) {
        let buffered = self.buffer.len();
        assert!(
            self.fill(),
            "the server closed too early, after {:?}",
            String::from_utf8_lossy(&self.buffer[..buffered])
        );
    }

    /// Reads some; false at the end.
    fn fill(&mut self) -> bool {
        let mut some = [0; 16 * 1024];
        match self.stream.read(&mut some) {
            Ok(count) => {
                self.buffer.extend_from_slice(&some[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            // The test itself stood still for a moment: a read with a time-out is not begun again by itself.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.fill(),
            Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&self.buffer)),
        }
    }
}

impl Head {
    /// The value of a field that is there at most once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self
            .fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice");
        value
    }
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it is a refusal with this status, as clause 15.1 wants it; returns the detail.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.field("Content-Type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        let members: Vec<&str> = problem.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(["type", "title", "status", "detail"].iter().all(|name| members.contains(name)));
        assert_eq!(problem["status"], status, "{self:?}");
        let kind = problem["type"].as_str().unwrap().strip_prefix("/errors#").unwrap();
        let kind = ProblemKind::from_slug(kind).unwrap();
        assert_eq!(
            (kind.status_code(), kind.title()),
            (status, problem["title"].as_str().unwrap())
        );
        let detail = problem["detail"].as_str().unwrap().to_owned();
        assert!(!detail.is_empty() && !detail.contains(['{', '}']), "{self:?}");
        detail
    }
}
