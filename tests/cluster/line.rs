//! A connection of HTTP/1.1 that survives whatever happens to its server: everything ends in a result.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take. Longer than any server waits for Redis.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long one read waits, so that who reads can do something else in between.
const TICK: Duration = Duration::from_millis(50);

pub struct Line {
    stream: TcpStream,
    /// Read, not yet taken.
    pub buffer: Vec<u8>,
}

/// What is known of an answer before its body.
pub struct Head {
    pub status: u16,
    pub length: Option<usize>,
    pub closes: bool,
}

impl Line {
    pub fn dial(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub fn address(&self) -> Result<SocketAddr> {
        self.stream.peer_addr()
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads what comes within a tick, which may be nothing; an end is an error.
    pub fn fill(&mut self) -> Result<()> {
        let mut some = [0; 32 << 10];
        match self.stream.read(&mut some) {
            Ok(0) => Err(Error::new(ErrorKind::UnexpectedEof, "the server has closed")),
            Ok(count) => {
                self.buffer.extend_from_slice(&some[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// The head of an answer, if it is there.
    pub fn take_head(&mut self) -> Result<Option<Head>> {
        let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&text);
        let wrong = || Error::new(ErrorKind::InvalidData, format!("not a head: {text:?}"));
        let status = text.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
        let field = |name: &str| {
            text.lines().find_map(|line| {
                let (field, value) = line.split_once(": ")?;
                field.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let length = field("Content-Length").and_then(|length| length.parse().ok());
        Ok(Some(Head { status, length, closes: field("Connection") == Some("close") }))
    }

    /// Waits for a head.
    pub fn head(&mut self) -> Result<Head> {
        let began = Instant::now();
        loop {
            if let Some(head) = self.take_head()? {
                return Ok(head);
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::new(ErrorKind::TimedOut, "no answer"));
            }
            self.fill()?;
        }
    }

    /// The body of an answer with a length.
    pub fn body(&mut self, head: &Head) -> Result<Vec<u8>> {
        let wrong = || Error::new(ErrorKind::InvalidData, format!("{}, no length", head.status));
        let length = head.length.ok_or_else(wrong)?;
        let began = Instant::now();
        while self.buffer.len() < length {
            if began.elapsed() > PATIENCE {
                return Err(Error::new(ErrorKind::TimedOut, "half an answer"));
            }
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }
}

/// A path with this topic, or these.
pub fn path(topics: &[String]) -> String {
    let encode =
        |topic: &String| -> String {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            topic
                .bytes()
                .map(|byte| {
                    if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
                })
                .collect()
        };
    let names: Vec<String> = topics.iter().map(encode).collect();
    format!("/topics/{}", names.join(","))
}
