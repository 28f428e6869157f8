//! The real binary, on a port that the system chooses, ended with its test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::client::{Answer, take_answers};

/// A server that runs.
pub(crate) struct Binary {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Binary {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Binary {
    /// Starts `tidings serve` with these flags.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .env("RUST_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("listening on http://") {
            line.clear();
            assert!(log.read_line(&mut line).expect("a log") > 0, "it ended before it listened");
        }
        let (_, rest) = line.split_once("http://").expect("an address");
        let address = rest.split('/').next().and_then(|text| text.parse().ok());
        // What else it says is read, so that it never waits to say it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address: address.expect("an address") }
    }

    /// Bytes of memory that it has at present.
    pub(crate) fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).expect("this test needs Linux's /proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream.set_nodelay(true).expect("an option");
        let time = Some(Duration::from_secs(30));
        stream.set_read_timeout(time).and(stream.set_write_timeout(time)).expect("an option");
        Connection { stream, bytes: Vec::new() }
    }
}

/// A client of the real server.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    bytes: Vec<u8>,
}

impl Connection {
    pub(crate) fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).expect("the server reads");
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, request: &str) -> Answer {
        self.send(request);
        self.answers(1).remove(0)
    }

    /// Waits for so many answers.
    pub(crate) fn answers(&mut self, count: usize) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut buffer = [0; 64 * 1024];
        while answers.len() < count {
            let read = self.stream.read(&mut buffer).expect("an answer within the time");
            assert_ne!(read, 0, "the server has closed");
            self.bytes.extend_from_slice(&buffer[..read]);
            answers.extend(take_answers(&mut self.bytes));
        }
        answers
    }
}
