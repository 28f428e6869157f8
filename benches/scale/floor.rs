//! The floor: the least work that any server on these system calls can do, as a server of its own.
//!
//! One thread, one epoll, sockets edge-triggered and registered once. A connection is `accept`,
//! `epoll_ctl`, one `read` of its request, one `write` of a ready head. A publish is one `read`, one
//! `write` of a ready answer, and one `write` of ready bytes to each subscriber. Requests are told apart
//! by their first byte; of publishes the first on a connection is measured, and all others are taken to
//! be as long. Nothing else is parsed, kept, checked, timed or counted.

use std::io::{self, Read, Write};
use std::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use sha1::{Digest, Sha1};
use slab::Slab;

/// As many as the kernel allows may wait to be accepted.
const BACKLOG: i32 = 4096;
const EVENTS_PER_POLL: usize = 1024;
const READ_BYTES: usize = 64 * 1024;
const LISTENER: Token = Token(usize::MAX);

/// An answer as long as that of tidings to a publish to a topic with a short name.
const PUBLISHED: &[u8] = b"HTTP/1.1 201 Created\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: application/json\r\n\
    Cache-Control: no-cache\r\n\
    Vary: Accept, Origin\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Content-Length: 35\r\n\r\n\
    {\"topic\":\"bench\",\"id\":\"00000000-1\"}";
/// A stream's head and its opening, as long as those of tidings.
const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: text/event-stream\r\n\
    Cache-Control: no-cache, no-transform\r\n\
    Vary: Accept, Origin\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Accel-Buffering: no\r\n\
    Transfer-Encoding: chunked\r\n\r\n\
    27\r\nretry: 1000\nid: 00000000-0\n\n: tidings\n\n\r\n";

/// What subscribers speak.
#[derive(Copy, Clone, Debug)]
enum Wire {
    EventStream,
    WebSocket,
}

/// A client, whoever it is.
struct Connection {
    socket: TcpStream,
    is_subscribed: bool,
    /// How long a publish is on this connection, and its body; 0 before the first one.
    publish_bytes: usize,
    body_bytes: usize,
    /// What a full socket did not take.
    owed: Vec<u8>,
}

struct Floor {
    poll: Poll,
    listener: mio::net::TcpListener,
    wire: Wire,
    connections: Slab<Connection>,
    buffer: Vec<u8>,
}

/// Serves until it is killed. `wire` is `sse` or `websocket`.
pub(crate) fn serve(wire: &str) -> ! {
    let wire = match wire {
        "sse" => Wire::EventStream,
        "websocket" => Wire::WebSocket,
        _ => panic!("the floor speaks sse or websocket, not {wire:?}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = socket2::SockRef::from(&listener);
    socket.listen(BACKLOG).unwrap();
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true).unwrap();
    listener.set_nonblocking(true).unwrap();
    eprintln!("listening on http://{}/", listener.local_addr().unwrap());
    let mut listener = mio::net::TcpListener::from_std(listener);
    let poll = Poll::new().unwrap();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
    let buffer = vec![0; READ_BYTES];
    let mut floor = Floor { poll, listener, wire, connections: Slab::new(), buffer };
    let mut events = Events::with_capacity(EVENTS_PER_POLL);
    loop {
        floor.poll.poll(&mut events, None).unwrap();
        for event in &events {
            let slot = event.token().0;
            if event.token() == LISTENER {
                floor.accept();
            } else if floor.connections.contains(slot) {
                if event.is_writable() {
                    floor.connections[slot].settle();
                }
                if event.is_readable() {
                    floor.read(slot);
                }
            }
        }
    }
}

impl Floor {
    fn accept(&mut self) {
        while let Ok((mut socket, _)) = self.listener.accept() {
            let entry = self.connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(entry.key()), interest).unwrap();
            entry.insert(Connection {
                socket,
                is_subscribed: false,
                publish_bytes: 0,
                body_bytes: 0,
                owed: Vec::new(),
            });
        }
    }

    /// Reads until the socket has no more, which a read that did not fill the buffer says too.
    fn read(&mut self, slot: usize) {
        let mut filled = 0;
        loop {
            match self.connections[slot].socket.read(&mut self.buffer[filled..]) {
                Ok(0) => return drop(self.connections.remove(slot)),
                Ok(count) => {
                    let is_drained = filled + count < self.buffer.len();
                    filled = self.take(slot, filled + count);
                    if is_drained && filled == 0 {
                        return;
                    }
                }
                // The rest of a publish comes with another event; this server does not keep its
                // beginning, as its generator sends publishes whole.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return assert!(filled == 0, "a publish came in pieces");
                }
                Err(_) => return drop(self.connections.remove(slot)),
            }
        }
    }

    /// Serves what was read, and says how much of it is the beginning of another publish.
    fn take(&mut self, slot: usize, filled: usize) -> usize {
        let connection = &mut self.connections[slot];
        match self.buffer[0] {
            b'G' => {
                connection.is_subscribed = true;
                match self.wire {
                    Wire::EventStream => connection.send(STREAM_HEAD),
                    Wire::WebSocket => connection.send(&handshake(&self.buffer[..filled])),
                }
                0
            }
            b'P' => {
                if connection.publish_bytes == 0 {
                    connection.measure(&self.buffer[..filled]);
                }
                let (length, body) = (connection.publish_bytes, connection.body_bytes);
                let count = filled / length;
                connection.send(&PUBLISHED.repeat(count));
                for end in (1..=count).map(|number| number * length) {
                    let message = frame(self.wire, &self.buffer[end - body..end]);
                    for (_, connection) in &mut self.connections {
                        if connection.is_subscribed {
                            connection.send(&message);
                        }
                    }
                }
                self.buffer.copy_within(count * length..filled, 0);
                filled % length
            }
            // A pong, or a close.
            _ => 0,
        }
    }
}

impl Connection {
    /// Learns from the first publish how long all of them are.
    fn measure(&mut self, request: &[u8]) {
        let end = find(request, b"\r\n\r\n").expect("a publish comes whole") + 4;
        let name = b"content-length:";
        let field =
            find(&request[..end].to_ascii_lowercase(), name).expect("its length") + name.len();
        let value =
            request[field..].trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit());
        self.body_bytes = value.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        self.publish_bytes = end + self.body_bytes;
    }

    fn send(&mut self, bytes: &[u8]) {
        let sent = if self.owed.is_empty() { self.socket.write(bytes).unwrap_or(0) } else { 0 };
        if sent < bytes.len() {
            self.owed.extend_from_slice(&bytes[sent..]);
        }
    }

    /// Sends what is owed, as the socket takes bytes again.
    fn settle(&mut self) {
        if !self.owed.is_empty() {
            let sent = self.socket.write(&self.owed).unwrap_or(0);
            self.owed.drain(..sent);
        }
    }
}

/// A message as the wire has it, made once for all subscribers.
fn frame(wire: Wire, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    match wire {
        Wire::EventStream => {
            let before = b"id: 00000000-1\ndata: ";
            let mut bytes = format!("{:x}\r\n", before.len() + length + 2).into_bytes();
            bytes.extend_from_slice(before);
            bytes.extend_from_slice(payload);
            bytes.extend_from_slice(b"\n\n\r\n");
            bytes
        }
        Wire::WebSocket => {
            let mut bytes = vec![0x81];
            match u16::try_from(length) {
                Ok(short @ 0..126) => bytes.push(short as u8),
                Ok(long) => {
                    bytes.push(126);
                    bytes.extend_from_slice(&long.to_be_bytes());
                }
                Err(_) => {
                    bytes.push(127);
                    bytes.extend_from_slice(&(length as u64).to_be_bytes());
                }
            }
            bytes.extend_from_slice(payload);
            bytes
        }
    }
}

/// RFC 6455 §4.2.2: the answer proves that the key was read; clients check it.
fn handshake(request: &[u8]) -> Vec<u8> {
    let name = b"sec-websocket-key:";
    let field = find(&request.to_ascii_lowercase(), name).expect("a handshake") + name.len();
    let rest = request[field..].trim_ascii_start();
    let key = &rest[..find(rest, b"\r\n").expect("a whole handshake")];
    let mut digest = Sha1::new();
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = BASE64.encode(digest.finalize());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
