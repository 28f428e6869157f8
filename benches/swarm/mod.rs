//! Many connections from one thread, their addresses spread over 127.0.0.0/8.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

/// Connections from one address, so that the ephemeral ports suffice.
const PER_ADDRESS: usize = 500;
/// Silence after which everything is taken to have arrived.
const QUIET: Duration = Duration::from_millis(300);
/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// An idle WebSocket's ping, and the answer: masked with nothing.
const PING: [u8; 2] = [0x89, 0];
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// Open connections to one server.
pub(crate) struct Swarm {
    server: SocketAddr,
    poll: Poll,
    events: Events,
    streams: Vec<mio::net::TcpStream>,
    buffer: Vec<u8>,
}

impl Swarm {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self {
            server,
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(4096),
            streams: Vec::new(),
            buffer: vec![0; 256 * 1024],
        }
    }

    /// Opens `count` more connections, each of which sends `request`.
    pub(crate) fn open(&mut self, count: usize, request: &str) {
        for _ in 0..count {
            let number = self.streams.len() / PER_ADDRESS;
            let own = Ipv4Addr::new(127, 1, (number / 250) as u8, 1 + (number % 250) as u8);
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from((own, 0)).into()).unwrap();
            socket.connect(&self.server.into()).unwrap();
            let mut stream: TcpStream = socket.into();
            stream.write_all(request.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut stream = mio::net::TcpStream::from_std(stream);
            let token = Token(self.streams.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE).unwrap();
            self.streams.push(stream);
        }
    }

    /// Reads whatever comes until `done` says so after a turn, with the bytes that came in it.
    fn read_while(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(&[u8]),
        mut go_on: impl FnMut(bool) -> bool,
    ) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "the server did not send what it should");
            self.poll.poll(&mut self.events, Some(wait)).unwrap();
            let quiet = self.events.is_empty();
            for event in &self.events {
                let stream = &mut self.streams[event.token().0];
                loop {
                    match stream.read(&mut self.buffer) {
                        Ok(0) => panic!("the server closed a connection"),
                        Ok(count) => {
                            take(&self.buffer[..count]);
                            if self.buffer[..count] == PING {
                                stream.write_all(&PONG).unwrap();
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            if !go_on(quiet) {
                return;
            }
        }
    }

    /// Reads until nothing comes any more.
    pub(crate) fn read_until_quiet(&mut self) {
        self.read_while(QUIET, |_| (), |quiet| !quiet);
    }

    /// Reads for a while.
    pub(crate) fn read_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        self.read_while(Duration::from_millis(100), |_| (), |_| Instant::now() < until);
    }

    /// Reads until `count` payloads of `length` bytes, which are all `byte`, have come.
    pub(crate) fn read_payloads(&mut self, count: usize, byte: u8, length: usize) {
        let left = std::cell::Cell::new(count * length);
        self.read_while(
            QUIET,
            |bytes| {
                let found = bytes.iter().filter(|&&one| one == byte).count();
                left.set(left.get().saturating_sub(found));
            },
            |_| left.get() > 0,
        );
    }
}
