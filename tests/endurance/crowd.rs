//! Clients by the thousand in one thread, and an honest one beside them.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::process::Process;
use crate::support::{Client, PATIENCE, Server, Stream, family, handshake};

/// As many descriptors as this process may have.
pub fn raise_descriptor_limit() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
}

/// A connection that never waits.
pub fn connect(address: SocketAddr, receive_buffer: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.connect_timeout(&address.into(), PATIENCE).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

/// A connection that has sent these bytes.
pub fn connect_and_send(
    address: SocketAddr,
    receive_buffer: Option<usize>,
    bytes: &[u8],
) -> TcpStream {
    let mut stream = connect(address, receive_buffer);
    let sent = stream.write(bytes).unwrap();
    assert_eq!(sent, bytes.len(), "a new connection takes a request");
    stream
}

/// Sends a byte on each connection that still takes one.
pub fn dribble(crowd: &[TcpStream]) {
    for mut stream in crowd {
        let _ = stream.write(b"a");
    }
}

/// Reads what is there, up to `most` bytes; `None` when the connection has ended.
pub fn read_some(mut stream: &TcpStream, most: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0; most];
    match stream.read(&mut buffer) {
        Ok(0) => None,
        Ok(count) => {
            buffer.truncate(count);
            Some(buffer)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(Vec::new()),
        Err(_) => None,
    }
}

pub fn half_close(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Ends a connection with a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// A way of waiting, and what asks for it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    Sse,
    Ndjson,
    Raw,
    Json,
    LongPoll,
}

impl Wire {
    pub const ALL: [Self; 5] = [Self::Sse, Self::Ndjson, Self::Raw, Self::Json, Self::LongPoll];

    /// A request that subscribes to `topic`; `cursor` is none or a whole query parameter.
    pub fn request(self, topic: &str, cursor: &str) -> Vec<u8> {
        let target = match (self, cursor) {
            (Self::LongPoll, "") => format!("/topics/{topic}?wait=60"),
            (Self::LongPoll, cursor) => format!("/topics/{topic}?wait=60&{cursor}"),
            (_, "") => format!("/topics/{topic}"),
            (_, cursor) => format!("/topics/{topic}?{cursor}"),
        };
        let fields: Vec<(&str, &str)> = match self {
            Self::Sse => vec![("Accept", "text/event-stream")],
            Self::Ndjson => vec![("Accept", "application/x-ndjson")],
            Self::Raw => handshake(&[]),
            Self::Json => handshake(&[("Sec-WebSocket-Protocol", "tidings.json")]),
            Self::LongPoll => vec![],
        };
        let mut text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n");
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        (text + "\r\n").into_bytes()
    }
}

/// The numbers of a server, all at one time.
pub struct Metrics(pub String);

impl Metrics {
    pub fn of(server: &Server) -> Self {
        Self(server.get("/metrics").text())
    }

    pub fn value(&self, name: &str) -> u64 {
        family(&self.0, name).unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    pub fn closed(&self, reason: &str) -> u64 {
        self.value(&format!("tidings_connections_closed_total{{reason=\"{reason}\"}}"))
    }
}

/// Asks until the answer is yes, or fails after `deadline`; returns how long it took.
pub fn within(what: &str, deadline: Duration, mut question: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !question() {
        assert!(began.elapsed() < deadline, "not within {deadline:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}

/// A client that publishes, polls and listens the whole time, and must never notice anything.
pub struct Honest {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Duration)>,
}

impl Honest {
    pub fn start(address: SocketAddr) -> Self {
        Self::start_from(IpAddr::V4(Ipv4Addr::LOCALHOST), address)
    }

    /// The same at an address of its own.
    pub fn start_from(source: IpAddr, address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || Self::work(source, address, &told));
        Self { stop, thread }
    }

    fn work(source: IpAddr, address: SocketAddr, stop: &AtomicBool) -> (u64, Duration) {
        let connect = || Client::connect_from(source, address);
        let mut reader = connect();
        reader.send_request("GET", "/topics/honest", &[("Accept", "text/event-stream")], b"");
        let head = reader.head();
        let mut stream = Stream::new(reader, head);
        stream.event();
        let mut publisher = connect();
        let (mut rounds, mut slowest) = (0, Duration::ZERO);
        while rounds == 0 || !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let text = format!("round {rounds}");
            if rounds % 500 == 499 {
                // A connection takes a thousand requests.
                publisher = connect();
            }
            let answer = publisher.request("POST", "/topics/honest", &[], text.as_bytes());
            assert_eq!(answer.status, 201, "{answer:?}");
            assert_eq!(stream.dispatched().data.as_deref(), Some(&*text));
            let fresh = connect().request("GET", "/topics/honest?last=1", &[], b"");
            assert_eq!(fresh.status, 200, "{fresh:?}");
            slowest = slowest.max(began.elapsed());
            rounds += 1;
            thread::sleep(Duration::from_millis(5));
        }
        (rounds, slowest)
    }

    /// Ends it; it has noticed nothing, or this fails. Returns how many rounds it made.
    pub fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let (rounds, slowest) = self.thread.join().unwrap();
        println!("  the honest client: {rounds} rounds, the slowest took {slowest:?}");
        assert!(rounds > 0, "it was served");
        rounds
    }
}

/// What a crowd costs in resident memory.
pub struct Weighing {
    process: Process,
    before: u64,
}

impl Weighing {
    pub fn begin(server: &Server) -> Self {
        let process = Process(server.id());
        Self { process, before: process.resident_bytes() }
    }

    /// Bytes more than at the beginning.
    pub fn grown(&self) -> u64 {
        self.process.resident_bytes().saturating_sub(self.before)
    }
}

/// Fails if each of `count` cost more than `bytes`, beside what the server may use once.
pub fn check_weight(what: &str, grown: u64, count: usize, bytes: u64) {
    let once = 8 << 20;
    println!("  {what}: {} bytes for each of {count}, at most {bytes}", grown / count as u64);
    assert!(grown <= once + bytes * count as u64, "{what}: grown by {grown} for {count}");
}
