//! A server as a process, and small clients that see exact bytes.

#![allow(dead_code, unused_imports, reason = "each test crate uses its part")]

mod event_source;
mod http;
pub mod redis_peer;
mod stream;
mod websocket;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

pub use self::event_source::{EventSource, Heard};
pub use self::http::{Answer, Client};
pub use self::stream::Stream;
pub use self::websocket::{
    BINARY, CLOSE, CONTINUATION, FIN, Frame, PING, PONG, TEXT, WebSocket, handshake,
};

/// How long anything is waited for. Far longer than it takes: a test that meets it has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Names that live, between them, on every worker of a server with few.
pub const TOPICS: [&str; 6] = ["north", "south", "east", "west", "up", "down"];

/// A server that runs as its own process and ends with this value.
pub struct Server {
    child: Child,
    address: SocketAddr,
    log: Receiver<String>,
    /// All that it has said.
    said: Arc<Mutex<Vec<String>>>,
    /// What the log said before the server listened.
    pub said_first: String,
}

impl Server {
    /// A server with one worker.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_with_workers(1, flags)
    }

    /// A server that listens on a port of the system's choice.
    pub fn start_with_workers(workers: usize, flags: &[&str]) -> Self {
        Self::start_logging(workers, flags, "info")
    }

    /// The same, with a log at this level.
    pub fn start_logging(workers: usize, flags: &[&str], level: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.env_clear().env("RUST_LOG", level).env("TIDINGS_CONFIG", "none");
        Self::spawn(command, workers, flags)
    }

    /// A server under a limit of the shell's, such as `-n 64`.
    pub fn start_limited(limit: &str, workers: usize, flags: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        let run = format!("ulimit {limit} && exec \"$0\" \"$@\"");
        command.env_clear().args(["-c", &run, env!("CARGO_BIN_EXE_tidings")]);
        Self::spawn(command, workers, flags)
    }

    fn spawn(mut command: Command, workers: usize, flags: &[&str]) -> Self {
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", &workers.to_string()])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Self::started(command.spawn().unwrap())
    }

    /// A server that was just started; its standard error is a pipe.
    pub fn started(mut child: Child) -> Self {
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                kept.lock().unwrap().push(line.clone());
                // The test may be over; the pipe is emptied all the same.
                let _ = sender.send(line);
            }
        });
        let mut said_first = String::new();
        loop {
            match log.recv_timeout(PATIENCE) {
                Ok(line) => match line.split_once("listening on http://") {
                    Some((_, rest)) => {
                        let address = rest.split_once('/').unwrap().0.parse().unwrap();
                        return Self { child, address, log, said, said_first };
                    }
                    None => said_first += &line,
                },
                Err(error) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    panic!("the server does not start: {error}; it said {said_first:?}");
                }
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The operator's address, of a server that was started with `--admin-listen`.
    pub fn admin_address(&self) -> SocketAddr {
        let (_, rest) = self.said_first.split_once("for the operator: http://").unwrap();
        rest.split_once('/').unwrap().0.parse().unwrap()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request on a connection of its own.
    pub fn request(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.client().request(method, target, fields, body)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }

    /// The body of a poll, which must succeed.
    pub fn poll(&self, target: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        answer.json()
    }

    /// Publishes a text; returns its id.
    pub fn publish(&self, topic: &str, text: &str) -> String {
        let fields = [("Content-Type", "text/plain")];
        let answer = self.request("POST", &format!("/topics/{topic}"), &fields, text.as_bytes());
        assert_eq!(answer.status, 201, "{topic}: {answer:?}");
        string(&answer.json()["id"])
    }

    /// The cursor at the head.
    pub fn head_cursor(&self, topics: &str) -> String {
        let answer = self.request("HEAD", &format!("/topics/{topics}"), &[], b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        unquoted(answer.field("ETag").unwrap()).to_owned()
    }

    /// An open event stream; its opening event is still to be read.
    pub fn event_stream(&self, target: &str) -> Stream {
        self.stream(target, &[("Accept", "text/event-stream")])
    }

    /// An open NDJSON stream; its opening line is still to be read.
    pub fn ndjson(&self, target: &str) -> Stream {
        self.stream(target, &[("Accept", "application/x-ndjson")])
    }

    pub fn stream(&self, target: &str, fields: &[(&str, &str)]) -> Stream {
        let mut client = self.client();
        client.send_request("GET", target, fields, b"");
        let head = client.head();
        assert_eq!(head.status, 200, "{head:?}");
        Stream::new(client, head)
    }

    /// An NDJSON stream whose opening line was read; with it the cursor that it said.
    pub fn open_ndjson(&self, target: &str) -> (Stream, String) {
        let mut stream = self.ndjson(target);
        let cursor = string(&stream.json_line()["cursor"]);
        (stream, cursor)
    }

    /// An event stream whose opening event was read; with it the cursor that it said.
    pub fn open_event_stream(&self, target: &str) -> (Stream, String) {
        let mut stream = self.event_stream(target);
        let cursor = stream.event().id.unwrap();
        (stream, cursor)
    }

    /// A WebSocket without a subprotocol, on topics that have begun.
    pub fn raw_websocket(&self, target: &str) -> WebSocket {
        WebSocket::open(self, target, &[])
    }

    /// A WebSocket with the subprotocol `tidings.json`, and its opening line.
    pub fn json_websocket(&self, target: &str) -> (WebSocket, Value) {
        let mut websocket =
            WebSocket::open(self, target, &[("Sec-WebSocket-Protocol", "tidings.json")]);
        let open = websocket.json();
        assert_eq!(open["type"], "open");
        (websocket, open)
    }

    /// Listens to so many topics that every worker of a server with few `--topics-max` has its share of
    /// them, as long as the sockets live. New connections are spread over the workers, though not evenly when there
    /// are others: so there are more of them than would do.
    pub fn listen_to_all(&self) -> Vec<WebSocket> {
        let listen = |_| {
            let (mut socket, _) = self.json_websocket("/topics");
            for number in 0..60 {
                socket.command(&format!(r#"{{"type":"subscribe","topic":"listened{number}"}}"#));
            }
            socket
        };
        (0..20).map(listen).collect()
    }

    /// A number of the server's own; `name` is what stands before the value. Where only the family is
    /// named, the sum of its lines.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").text();
        family(&text, name).unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Asks until a number of the server's own has this value.
    pub fn await_metric(&self, name: &str, value: u64) {
        self.ask_until(&format!("{name} is {value}"), || self.metric(name) == value);
    }

    /// Asks a question, again and again, until the answer is yes.
    pub fn ask_until(&self, what: &str, mut question: impl FnMut() -> bool) {
        let (_silent, pause) = channel::<()>();
        for _ in 0..8_000 {
            if question() {
                return;
            }
            // Nobody sends anything: a breath between two questions.
            let _ = pause.recv_timeout(Duration::from_millis(5));
        }
        panic!("never: {what}");
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that the process has resident.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Asks the process to go away.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Waits for a line of the log that contains `text`.
    pub fn await_log(&self, text: &str) {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return,
                Ok(_) => (),
                Err(error) => panic!("the log never says {text:?}: {error}"),
            }
        }
    }

    /// All that the log has said, whether it was waited for or not.
    pub fn log_so_far(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// All that the log says from now to its end, which must come within `deadline`.
    pub fn log_to_its_end(&self, deadline: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.log.recv_timeout(deadline) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return lines,
                Err(RecvTimeoutError::Timeout) => panic!("the log does not end: {lines:?}"),
            }
        }
    }

    /// How the process ended, which it must within `deadline`.
    pub fn exit_status(&mut self, deadline: Duration) -> ExitStatus {
        loop {
            match self.log.recv_timeout(deadline) {
                Ok(_) => (),
                // Its standard error is closed: it is gone, or as good as gone.
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("the server does not end"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // It survives a panic; no test does.
        let panicked = self.log.iter().find(|line| line.contains("panicked"));
        assert!(panicked.is_none() || thread::panicking(), "{panicked:?}");
    }
}

/// The sum of the lines of a metric family, or of its one line that is named with its labels.
pub fn family(metrics: &str, name: &str) -> Option<u64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with([' ', '{']);
        is_it.then(|| rest.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0) + value))
}

/// Runs a scenario against servers with 1, 2 and 4 workers.
pub fn for_workers(flags: &[&str], scenario: impl Fn(&Server)) {
    for workers in [1, 2, 4] {
        // Seen only when the scenario fails.
        eprintln!("with {workers} workers:");
        scenario(&Server::start_with_workers(workers, flags));
    }
}

/// The text of a JSON string.
pub fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}

/// An entity-tag without its quotes.
pub fn unquoted(tag: &str) -> &str {
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap()
}

/// The `data` of every message of a poll, in order.
pub fn data(poll: &Value) -> Vec<String> {
    poll["messages"].as_array().unwrap().iter().map(|message| string(&message["data"])).collect()
}

/// The sequence number at the end of a cursor on one topic. Clients may not look; tests of density do.
pub fn sequence(cursor: &str) -> u64 {
    cursor.rsplit_once('-').unwrap().1.parse().unwrap()
}
