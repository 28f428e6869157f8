//! What a connection and a delivery cost, beside the least that any server could do.
//!
//! `cargo bench --bench scale` prints a table; `-- idle`, `-- connect` or `-- fanout` runs one part. The
//! server is the real binary in a process of its own; what it used is read from /proc, which load on the
//! machine disturbs less than wall-clock time. The *floor* is this program again, as a server that only
//! accepts and sends ready bytes: figures are ratios to it, from the same run.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program: it reads clocks, and stops at the first surprise"
)]

mod swarm;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use swarm::Swarm;

const FEW: usize = 2_000;
const MANY: usize = 15_000;
const SUBSCRIBERS: usize = 10_000;
const ROUNDS: usize = 20;
const REPEATS: usize = 3;
const MESSAGE_BYTES: usize = 200;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    match arguments.first().map(String::as_str) {
        Some("floor-server") => floor_server(),
        part => {
            let wanted = |name: &str| part.is_none_or(|part| part == name);
            if wanted("idle") {
                idle();
            }
            if wanted("connect") {
                connect();
            }
            if wanted("fanout") {
                fanout();
            }
        }
    }
}

/// A server in a process of its own.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn tidings(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--connections-per-address", "1000000"]);
        Self::start(command.args(flags))
    }

    fn floor() -> Self {
        Self::start(Command::new(std::env::current_exe().unwrap()).arg("floor-server"))
    }

    /// Starts it and reads the address from its first line.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let rest = line.split("http://").nth(1).unwrap_or_else(|| panic!("no address in {line:?}"));
        let address = rest[..rest.find('/').unwrap()].parse().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, address }
    }

    /// Seconds of CPU that all its threads have used.
    fn cpu(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanoseconds: u64 = tasks
            .map(|task| {
                let path = task.unwrap().path().join("schedstat");
                let text = std::fs::read_to_string(path).unwrap_or_default();
                text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
            })
            .sum();
        nanoseconds as f64 / 1e9
    }

    /// Resident bytes of its own memory (not of files).
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    }

    /// Waits until `count` subscriptions are open.
    fn wait_for_subscriptions(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let mut stream = TcpStream::connect(self.address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            let open: usize = text
                .lines()
                .filter(|line| line.starts_with("tidings_subscriptions{"))
                .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
                .sum();
            if open == count {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the subscriptions were not opened in time");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const WIRES: [(&str, &str); 4] = [
    ("SSE", "GET /topics/t HTTP/1.1\r\nHost: t\r\nAccept: text/event-stream\r\n\r\n"),
    ("NDJSON", "GET /topics/t HTTP/1.1\r\nHost: t\r\nAccept: application/x-ndjson\r\n\r\n"),
    (
        "WebSocket",
        "GET /topics/t HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    ),
    ("parked long poll", "GET /topics/t?wait=60 HTTP/1.1\r\nHost: t\r\n\r\n"),
];

/// User-space bytes per idle connection: the slope of resident memory. And the CPU of doing nothing.
fn idle() {
    println!("\n| idle connections | bytes each ({FEW} to {MANY}) | CPU at rest with {MANY} |");
    println!("|---|---:|---:|");
    for (wire, request) in WIRES {
        let server = Server::tidings(&["--keep-alive", "600"]);
        let mut swarm = Swarm::new(server.address);
        swarm.open(FEW, request);
        server.wait_for_subscriptions(FEW);
        let few = server.resident();
        swarm.open(MANY - FEW, request);
        server.wait_for_subscriptions(MANY);
        let many = server.resident();
        let (cpu, began) = (server.cpu(), Instant::now());
        swarm.read_for(Duration::from_secs(30));
        let share = (server.cpu() - cpu) / began.elapsed().as_secs_f64() * 100.0;
        println!("| {wire} | {:.0} | {share:.2} % |", (many - few) / (MANY - FEW) as f64);
    }
    let server = Server::tidings(&[]);
    let (cpu, began) = (server.cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let share = (server.cpu() - cpu) / began.elapsed().as_secs_f64() * 100.0;
    println!("| none | | {share:.3} % |");
}

/// CPU per connection that is accepted and subscribed.
fn connect() {
    println!("\n| accepted and subscribed | µs of CPU each | per CPU-second | against the floor |");
    println!("|---|---:|---:|---:|");
    let request = WIRES[0].1;
    let mut floor_us = Vec::new();
    let mut own_us = Vec::new();
    for _ in 0..REPEATS {
        for (server, figures) in
            [(Server::floor(), &mut floor_us), (Server::tidings(&["--workers", "1"]), &mut own_us)]
        {
            let mut swarm = Swarm::new(server.address);
            let cpu = server.cpu();
            swarm.open(SUBSCRIBERS, request);
            swarm.read_until_quiet();
            figures.push((server.cpu() - cpu) * 1e6 / SUBSCRIBERS as f64);
        }
    }
    let (floor, own) = (median(&mut floor_us), median(&mut own_us));
    println!("| floor: accept, read, write | {floor:.1} | {:.0} | 1 |", 1e6 / floor);
    println!("| tidings: SSE, 1 worker | {own:.1} | {:.0} | {:.2} |", 1e6 / own, own / floor);
}

/// CPU per delivery of a message to many subscribers.
fn fanout() {
    println!(
        "\n| {SUBSCRIBERS} subscribers, {MESSAGE_BYTES} B | µs of CPU per delivery | deliveries per CPU-second | against the floor's |"
    );
    println!("|---|---:|---:|---:|");
    let mut floor = Vec::new();
    let mut one = Vec::new();
    let mut websocket = Vec::new();
    let mut sixteen = Vec::new();
    for _ in 0..REPEATS {
        floor.push(deliveries(&Server::floor(), WIRES[0].1, 1));
        one.push(deliveries(&Server::tidings(&["--workers", "1"]), WIRES[0].1, 1));
        websocket.push(deliveries(&Server::tidings(&["--workers", "1"]), WIRES[2].1, 1));
        sixteen.push(deliveries(&Server::tidings(&["--workers", "1"]), WIRES[0].1, 16));
    }
    let floor = median(&mut floor);
    let rows = [
        ("floor: send to each", floor),
        ("tidings: SSE, one outstanding", median(&mut one)),
        ("tidings: WebSocket, one outstanding", median(&mut websocket)),
        ("tidings: SSE, sixteen outstanding", median(&mut sixteen)),
    ];
    for (name, us) in rows {
        println!("| {name} | {us:.2} | {:.0} | {:.2} |", 1e6 / us, floor / us);
    }
}

/// Microseconds of the server's CPU for each delivery, `outstanding` publishes at a time.
fn deliveries(server: &Server, request: &str, outstanding: usize) -> f64 {
    let mut swarm = Swarm::new(server.address);
    swarm.open(SUBSCRIBERS, request);
    swarm.read_until_quiet();
    let payload = "x".repeat(MESSAGE_BYTES);
    let publish = format!(
        "POST /topics/t HTTP/1.1\r\nHost: t\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{payload}",
        payload.len()
    );
    let batch = publish.repeat(outstanding);
    let mut publisher = TcpStream::connect(server.address).unwrap();
    publisher.set_nodelay(true).unwrap();
    let mut used = 0.0;
    for round in 0..=ROUNDS {
        let cpu = server.cpu();
        publisher.write_all(batch.as_bytes()).unwrap();
        swarm.read_payloads(SUBSCRIBERS * outstanding, payload.as_bytes()[0], payload.len());
        // The first round encodes and warms up.
        if round > 0 {
            used += server.cpu() - cpu;
        }
        let mut answers = [0; 64 * 1024];
        publisher.set_nonblocking(true).unwrap();
        while matches!(publisher.read(&mut answers), Ok(count) if count > 0) {}
        publisher.set_nonblocking(false).unwrap();
    }
    used * 1e6 / (ROUNDS * SUBSCRIBERS * outstanding) as f64
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The floor: accepts, reads a request, writes a head; and sends ready bytes to everybody whenever
/// somebody posts. Nothing is parsed, kept or checked.
fn floor_server() {
    use mio::{Events, Interest, Poll, Token};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = socket2::SockRef::from(&listener);
    socket.listen(4096).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    listener.set_nonblocking(true).unwrap();
    eprintln!("listening on http://{}/", listener.local_addr().unwrap());
    let mut listener = mio::net::TcpListener::from_std(listener);
    let mut poll = Poll::new().unwrap();
    poll.registry().register(&mut listener, Token(usize::MAX), Interest::READABLE).unwrap();
    let mut events = Events::with_capacity(1024);
    let mut sockets: Vec<mio::net::TcpStream> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let message = format!("e1\r\nid: 00000000-1\ndata: {}\n\n\r\n", "x".repeat(MESSAGE_BYTES));
    loop {
        poll.poll(&mut events, None).unwrap();
        for event in &events {
            if event.token() == Token(usize::MAX) {
                while let Ok((mut stream, _)) = listener.accept() {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(sockets.len()), interest).unwrap();
                    sockets.push(stream);
                }
            } else if event.is_readable() {
                match sockets[event.token().0].read(&mut buffer) {
                    Ok(0) | Err(_) => (),
                    Ok(_) if buffer.starts_with(b"GET") => {
                        sockets[event.token().0].write_all(head).unwrap();
                    }
                    Ok(_) => {
                        for socket in &mut sockets[..SUBSCRIBERS] {
                            socket.write_all(message.as_bytes()).unwrap();
                        }
                    }
                }
            }
        }
    }
}
