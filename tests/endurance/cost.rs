//! What hostile bytes cost: processor time of the server for each 64 KiB, script by script.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::support::{BINARY, CONTINUATION, FIN, PING, PONG, Server, TEXT, WebSocket};

/// What is measured against.
const BYTES: usize = 64 * 1024;
/// What it may cost.
const NS_MAX: u64 = 20_000_000;

/// How the bytes of a script leave its client.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Pace {
    /// As fast as they are taken.
    Whole,
    /// A segment each, as fast as they are taken: what waits is read together.
    Bytewise,
    /// A segment each, so far apart that each is read alone.
    Apart,
}

/// How far apart: longer than a segment's way to a reader that waits for it.
const APART: Duration = Duration::from_micros(25);

/// What an attacker sends: each piece on a connection of its own.
struct Script {
    name: &'static str,
    pace: Pace,
    pieces: Vec<Vec<u8>>,
    /// Whether somebody reads what is published.
    audience: bool,
}

fn script(name: &'static str, pieces: Vec<Vec<u8>>) -> Script {
    Script { name, pace: Pace::Whole, pieces, audience: false }
}

/// A request head with these lines in it.
fn head(line: &str, fields: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

/// As many connections, each with a prefix and `unit` over and over (`each` bytes at most), as make 64 KiB.
fn repeated(prefix: &[u8], unit: &[u8], each: usize, suffix: &[u8]) -> Vec<Vec<u8>> {
    let (mut pieces, mut total) = (Vec::new(), 0);
    while total < BYTES {
        let room = each.min(BYTES - total).saturating_sub(prefix.len() + suffix.len());
        let count = (room / unit.len()).max(1);
        let piece = [prefix, &unit.repeat(count), suffix].concat();
        total += piece.len();
        pieces.push(piece);
    }
    pieces
}

fn websocket(subprotocol: &str) -> Vec<u8> {
    let fields = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}"
    );
    head("GET /topics/w", &fields)
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const NDJSON: &str = "Transfer-Encoding: chunked\r\nContent-Type: application/x-ndjson\r\n";
const JSON_PROTOCOL: &str = "Sec-WebSocket-Protocol: tidings.json\r\n";

/// A body in one chunk.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat()
}

/// A batch of one line, over and over.
fn lines(line: &[u8]) -> Vec<Vec<u8>> {
    let text = line.repeat(BYTES / line.len());
    vec![[head("POST /topics", NDJSON), chunk(&text)].concat()]
}

/// A payload, published with this content type.
fn payload(content_type: &str, bytes: &[u8]) -> Vec<Vec<u8>> {
    let fields = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", bytes.len());
    vec![[head("POST /topics/p", &fields), bytes.to_vec()].concat()]
}

fn heads() -> Vec<Script> {
    let long = |bytes: usize| head("GET /healthz", &format!("A: {}\r\n", "a".repeat(bytes)));
    let names = "a:b\r\n".repeat(98);
    let encoded = "%41".repeat(2_600);
    let cursors = "7n2m4k8q-42.".repeat(640);
    let many: Vec<String> = (0..128).map(|number| format!("t{number}")).collect();
    let target = |target: String| repeated(b"", &head(&target, ""), 64 << 10, b"");
    vec![
        script("heads of 15 KiB", vec![long(15_000); 5]),
        Script {
            pace: Pace::Bytewise,
            ..script("heads of 15 KiB, byte by byte", vec![long(15_000); 5])
        },
        Script {
            pace: Pace::Apart,
            ..script("heads of 15 KiB, each byte read alone", vec![long(15_000); 5])
        },
        script(
            "a hundred fields with 1-byte names",
            repeated(b"", &head("GET /healthz", &names), 64 << 10, b""),
        ),
        script("pipelined tiny requests", repeated(b"", &head("GET /healthz", ""), 35_000, b"")),
        script("pipelined polls", repeated(b"", &head("GET /topics/p", ""), 35_000, b"")),
        script("percent-encoded target", target(format!("GET /topics/{encoded}"))),
        script(
            "percent-encoded names, 128 at a time",
            target(format!("GET /topics/{}", vec!["%41%42%43%44%45%46%47%48"; 128].join(","))),
        ),
        script("percent-encoded query", target(format!("GET /topics/p?after={encoded}"))),
        script("cursor list of 7 KiB", target(format!("GET /topics/p?wait=0&after={cursors}"))),
        script("polls of 128 topics", target(format!("GET /topics/{}?wait=0", many.join(",")))),
    ]
}

fn bodies() -> Vec<Script> {
    let post = head("POST /topics/p", CHUNKED);
    let extension = format!("1;{}\r\nx\r\n", "e".repeat(250));
    let nested = ["[".repeat(100), "]".repeat(100)].concat();
    let array = format!("[{}1]", format!("{nested},").repeat(BYTES / 201));
    let keys = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(BYTES / 6));
    vec![
        script("chunks of one byte", repeated(&post, b"1\r\nx\r\n", 80_000, b"0\r\n\r\n")),
        Script {
            pace: Pace::Bytewise,
            ..script(
                "chunks of one byte, byte by byte",
                repeated(&post, b"1\r\nx\r\n", 80_000, b"0\r\n\r\n"),
            )
        },
        script("chunk extensions", repeated(&post, extension.as_bytes(), 80_000, b"0\r\n\r\n")),
        script("empty lines of a batch", lines(b"\n")),
        script("wrong lines of a batch", lines(b"x\n")),
        script("small lines of a batch", lines(b"{\"topic\":\"p\",\"data\":1}\n")),
        script(
            "a batch in chunks of one byte",
            repeated(&head("POST /topics", NDJSON), b"1\r\n\n\r\n", 80_000, b"0\r\n\r\n"),
        ),
        script("deep JSON", payload("application/json", "[".repeat(BYTES).as_bytes())),
        script(
            "JSON nested 100 deep, again and again",
            payload("application/json", array.as_bytes()),
        ),
        script("JSON with one key, again and again", payload("application/json", keys.as_bytes())),
        Script {
            audience: true,
            ..script(
                "line ends, to event streams",
                payload("text/plain", "\r".repeat(BYTES).as_bytes()),
            )
        },
        Script {
            audience: true,
            ..script(
                "control characters, to lines of JSON",
                payload("text/plain", "\x01".repeat(BYTES).as_bytes()),
            )
        },
    ]
}

fn frames() -> Vec<Script> {
    let (raw, json) = (websocket(""), websocket(JSON_PROTOCOL));
    let fragments = |payload: &[u8]| {
        let middle = WebSocket::encode(CONTINUATION, payload).repeat(126);
        [WebSocket::encode(BINARY, payload), middle, WebSocket::encode(FIN | CONTINUATION, payload)]
            .concat()
    };
    let frames = |prefix: &[u8], frame: &[u8]| repeated(prefix, frame, 80_000, b"");
    let text = |text: &str| WebSocket::encode(FIN | TEXT, text.as_bytes());
    let deep = format!("{{\"type\":\"publish\",\"topic\":\"w\",\"data\":{}", "[".repeat(60_000));
    vec![
        script("fragments of one byte", frames(&raw, &fragments(b"x"))),
        Script {
            pace: Pace::Bytewise,
            ..script("fragments of one byte, byte by byte", frames(&raw, &fragments(b"x")))
        },
        script("empty fragments", frames(&raw, &fragments(b""))),
        script("empty messages", frames(&raw, &WebSocket::encode(FIN | BINARY, b""))),
        script("pings", frames(&raw, &WebSocket::encode(FIN | PING, b""))),
        script("pongs", frames(&raw, &WebSocket::encode(FIN | PONG, b""))),
        script("commands: ping", frames(&json, &text("{\"type\":\"ping\"}"))),
        script("commands: nonsense", frames(&json, &text("x"))),
        script(
            "commands: subscribe, again and again",
            frames(&json, &text("{\"type\":\"subscribe\",\"topics\":[\"a\",\"b\",\"c\"]}")),
        ),
        script("commands: deep JSON", frames(&json, &text(&deep))),
    ]
}

/// Sends a piece, whatever is answered, and waits until the server has ended the connection; returns how
/// many bytes it took.
fn attack(server: &Server, piece: &[u8], pace: Pace) -> usize {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    let reader = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut reader, mut buffer) = (reader, vec![0; 256 * 1024]);
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(_) => (),
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                    Err(error) => panic!("the server does not end the connection: {error}"),
                }
            }
        });
        let sent = send(&stream, piece, pace);
        let _ = stream.shutdown(Shutdown::Write);
        sent
    })
}

/// Sends a piece, as far as it is taken: a server that has refused may close while bytes are under way.
fn send(mut stream: &TcpStream, piece: &[u8], pace: Pace) -> usize {
    let parts = piece.chunks(if pace == Pace::Whole { piece.len() } else { 1 });
    let mut sent = 0;
    for part in parts {
        let Ok(count) = stream.write(part) else { break };
        sent += count;
        let began = Instant::now();
        while pace == Pace::Apart && began.elapsed() < APART {
            std::hint::spin_loop();
        }
    }
    sent
}

/// What the kernel alone costs: a loop that does nothing but wait for these segments and read them.
fn floor_ns(script: &Script) -> u64 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut stream = mio::net::TcpStream::from_std(stream);
            let mut poll = mio::Poll::new().unwrap();
            let mut events = mio::Events::with_capacity(16);
            let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
            poll.registry().register(&mut stream, mio::Token(0), interest).unwrap();
            let (mut buffer, mut bytes) = (vec![0; BYTES], 0);
            let before = thread_ns();
            let mut hung_up = false;
            loop {
                if !hung_up {
                    poll.poll(&mut events, None).unwrap();
                    hung_up = events.iter().any(mio::event::Event::is_read_closed);
                }
                match stream.read(&mut buffer) {
                    Ok(0) => return (thread_ns() - before) * BYTES as u64 / bytes as u64,
                    Ok(count) => bytes += count,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        });
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in &script.pieces {
            send(&stream, piece, script.pace);
        }
        drop(stream);
        reader.join().unwrap()
    })
}

/// Nanoseconds that this thread has run.
fn thread_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// A row of the table.
struct Cost {
    name: &'static str,
    ns: u64,
    /// What the kernel alone costs, where it may be more than that.
    floor_ns: Option<u64>,
    ticks: (u64, u64),
    rounds: u64,
}

fn measure(server: &Server, script: &Script, rounds: u64) -> Cost {
    let process = Process(server.id());
    let (before, ticks_before) = (process.processor_ns(), process.user_and_system_ticks());
    let mut bytes = 0;
    for _ in 0..rounds {
        for piece in &script.pieces {
            bytes += attack(server, piece, script.pace);
        }
    }
    server.await_metric("tidings_connections", 1 + u64::from(script.audience) * 2);
    let (after, ticks) = (process.processor_ns(), process.user_and_system_ticks());
    let rounds = (bytes / BYTES) as u64;
    assert!(rounds > 0, "{}: only {bytes} bytes were taken", script.name);
    Cost {
        name: script.name,
        ns: (after - before) / rounds,
        floor_ns: (script.pace != Pace::Whole).then(|| floor_ns(script)),
        ticks: (ticks.0 - ticks_before.0, ticks.1 - ticks_before.1),
        rounds,
    }
}

fn measure_all(rounds: u64, bytewise_rounds: u64) -> Vec<Cost> {
    println!();
    let scripts = heads().into_iter().chain(bodies()).chain(frames());
    scripts
        .map(|script| {
            let server = Server::start(&["--log-messages", "1000"]);
            let audience = script.audience.then(|| {
                let (stream, _) = server.open_event_stream("/topics/p");
                let (lines, _) = server.open_ndjson("/topics/p");
                (drain(stream.client), drain(lines.client))
            });
            let rounds = match script.pace {
                Pace::Whole => rounds,
                Pace::Bytewise => bytewise_rounds,
                Pace::Apart => 1,
            };
            let cost = measure(&server, &script, rounds);
            drop(server);
            if let Some((stream, lines)) = audience {
                stream.join().unwrap();
                lines.join().unwrap();
            }
            show(&cost);
            cost
        })
        .collect()
}

/// Reads until the server is gone.
fn drain(mut client: crate::support::Client) -> thread::JoinHandle<()> {
    thread::spawn(move || while client.discard() {})
}

fn show(cost: &Cost) {
    let ticks = (cost.ticks.0 + cost.ticks.1).max(1);
    let ms = |ns: u64| ns as f64 / 1e6;
    let floor = cost
        .floor_ns
        .map_or_else(String::new, |floor| format!("; only reading them costs {:.2} ms", ms(floor)));
    println!(
        "{:<45} {:>8.2} ms for 64 KiB, {:>3}% of it in the kernel ({} rounds){floor}",
        cost.name,
        ms(cost.ns),
        cost.ticks.1 * 100 / ticks,
        cost.rounds
    );
}

#[test]
#[ignore = "measures a release build: tests/run --only endurance"]
fn hostile_bytes_cost_at_most_20_ms_for_each_64_kib() {
    let costs = measure_all(32, 4);
    // Three times what it takes to read every byte alone and do nothing, for what comes byte by byte.
    let alone = 3 * costs.iter().filter_map(|cost| cost.floor_ns).max().unwrap_or(0);
    for cost in &costs {
        match cost.floor_ns {
            None => assert!(cost.ns <= NS_MAX, "{} costs {} ns", cost.name, cost.ns),
            // How many bytes each read finds is up to the scheduler, here and in the loop.
            Some(_) => assert!(cost.ns <= NS_MAX.max(alone), "{} costs {} ns", cost.name, cost.ns),
        }
    }
}

#[test]
fn hostile_bytes_of_every_kind_come_to_an_end() {
    for cost in measure_all(1, 1) {
        assert!(cost.rounds > 0, "{}", cost.name);
    }
}
