//! Many subscribers that sleep while a message is sent: what comes waits in their receive buffers.
//!
//! With two cores and two workers there is no third core for a load generator. This one uses none: nobody
//! reads until the server has come to rest, and no socket is polled, so that nobody is woken either.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::server::{Meter, Server};

/// Connections from one address, so that the ephemeral ports suffice.
const PER_ADDRESS: usize = 500;
/// How often the servers' CPU is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// CPU since the last that was seen that is work; a worker that looks at its timers uses less.
const WORK_SECONDS: f64 = 0.000_2;
/// A thread that used less CPU had no part in it.
const PART_SECONDS: f64 = 0.002;
/// No work for so long: at rest.
const REST: Duration = Duration::from_millis(60);
/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Open subscriptions of one server or several.
pub(crate) struct Sleepers {
    streams: Vec<TcpStream>,
    buffer: Vec<u8>,
}

/// What a burst cost.
#[derive(Clone, Debug)]
pub(crate) struct Burst {
    /// Whether all of it had arrived by then; the rest of what is known of it is of no use otherwise.
    pub(crate) was_there: bool,
    /// From its publish until the last server had come to rest.
    pub(crate) seconds: f64,
    /// CPU of each thread that took part.
    pub(crate) threads: Vec<f64>,
}

impl Sleepers {
    /// Opens `count` subscriptions, in turn with each of `servers`.
    pub(crate) fn open(servers: &[&Server], count: usize) -> Self {
        let request =
            "GET /topics/bench HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n";
        let connect = |number: usize| {
            let block = number / PER_ADDRESS;
            let own = Ipv4Addr::new(127, 1, (block / 250) as u8, 1 + (block % 250) as u8);
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from((own, 0)).into()).unwrap();
            socket.connect(&servers[number % servers.len()].address.into()).unwrap();
            let mut stream: TcpStream = socket.into();
            stream.write_all(request.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        };
        let mut sleepers =
            Self { streams: (0..count).map(connect).collect(), buffer: vec![0; 1 << 18] };
        let meters: Vec<Meter> = servers.iter().map(|server| server.meter()).collect();
        rest(&meters, Instant::now());
        sleepers.read(0);
        sleepers
    }

    /// Has each server send the messages of `publish` to its subscribers, and waits until they rest.
    pub(crate) fn burst(&mut self, servers: &[&Server], publish: &[u8], messages: usize) -> Burst {
        let mut publishers: Vec<TcpStream> =
            servers.iter().map(|server| TcpStream::connect(server.address).unwrap()).collect();
        let meters: Vec<Meter> = servers.iter().map(|server| server.meter()).collect();
        rest(&meters, Instant::now());
        let used = || meters.iter().flat_map(Meter::threads).collect::<Vec<_>>();
        let (before, began) = (used(), Instant::now());
        for publisher in &mut publishers {
            publisher.write_all(publish).unwrap();
        }
        let ended = rest(&meters, began);
        let threads = used().into_iter().zip(&before).map(|(after, before)| after - before);
        let threads = threads.filter(|seconds| *seconds > PART_SECONDS).collect();
        let was_there = self.read(messages);
        Burst { was_there, seconds: (ended - began).as_secs_f64(), threads }
    }

    /// Reads `messages` for each subscriber, whose payloads are all `~`. False when something had yet to come:
    /// on a busy machine the kernel may deliver later than it took what was sent.
    fn read(&mut self, messages: usize) -> bool {
        let expected = messages * super::MESSAGE_BYTES;
        let (began, mut was_there) = (Instant::now(), true);
        for stream in &mut self.streams {
            let mut payload_bytes = 0;
            loop {
                match stream.read(&mut self.buffer) {
                    Ok(0) => panic!("the server closed a connection"),
                    Ok(count) => {
                        let bytes = &self.buffer[..count];
                        payload_bytes += bytes.iter().filter(|byte| **byte == b'~').count();
                    }
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => panic!("{error}"),
                    Err(_) if payload_bytes >= expected => break,
                    Err(_) => {
                        was_there = false;
                        assert!(began.elapsed() < PATIENCE, "a subscriber was not sent everything");
                        std::thread::sleep(LOOK);
                    }
                }
            }
            assert_eq!(payload_bytes, expected, "a subscriber was sent too much");
        }
        was_there
    }
}

/// Waits until none of the servers works any more; says when the last work was seen.
fn rest(meters: &[Meter], began: Instant) -> Instant {
    let used = || meters.iter().map(Meter::sum).sum::<f64>();
    let (mut known, mut worked) = (used(), began);
    while worked.elapsed() < REST {
        assert!(began.elapsed() < PATIENCE, "the server does not come to rest");
        std::thread::sleep(LOOK);
        let now = used();
        if now - known >= WORK_SECONDS {
            (known, worked) = (now, Instant::now());
        }
    }
    worked
}
