//! The commands against the real server: `tidings publish` and `tidings subscribe`, on every wire.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

const WIRES: [&str; 5] = ["sse", "ndjson", "websocket", "long-poll", "poll"];

/// A command that ends with this value. Every read of its output ends when it does; the commands bound
/// themselves with `--count`, and the runner bounds the test.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(arguments)
            .env("TIDINGS_CONFIG", "none")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let errors = BufReader::new(child.stderr.take().unwrap());
        Self { child, input, output, errors }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn rest(&mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        text
    }

    fn code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server on an address of the system's choice, or on one that it had before.
struct Server {
    running: Running,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        Self::on("127.0.0.1:0")
    }

    fn on(address: &str) -> Self {
        let mut running = Running::start(&["serve", "--listen", address, "--workers", "2"]);
        let mut line = String::new();
        while !line.contains("listening on http://") {
            line.clear();
            assert!(running.errors.read_line(&mut line).unwrap() > 0, "it ended");
        }
        let (_, rest) = line.split_once("listening on http://").unwrap();
        let address = rest.split_once('/').unwrap().0.parse().unwrap();
        Self { running, address }
    }

    /// Runs a command against this server.
    fn command(&self, arguments: &[&str]) -> Running {
        let url = format!("http://{}", self.address);
        let mut all = arguments.to_vec();
        all.extend(["--url", &url]);
        Running::start(&all)
    }

    fn publish(&self, topic: &str, text: &str) -> String {
        let mut publish = self.command(&["publish", topic, text]);
        let id = publish.line();
        assert_eq!(publish.code(), Some(0));
        id
    }
}

#[test]
fn every_wire_prints_what_is_published() {
    let server = Server::start();
    for wire in WIRES {
        let first = server.publish(wire, "before");
        let arguments = ["subscribe", wire, "--via", wire, "--after", &first, "--count", "2"];
        let mut subscribe = server.command(&arguments);
        server.publish(wire, "hello");
        server.publish(wire, "two\nlines");
        assert_eq!(subscribe.rest(), "hello\ntwo\nlines\n", "{wire}");
        assert_eq!(subscribe.code(), Some(0), "{wire}");
    }
}

#[test]
fn every_wire_prints_envelopes_with_their_ids() {
    let server = Server::start();
    for wire in WIRES {
        let id = server.publish(wire, "hello");
        let arguments =
            ["subscribe", wire, "--via", wire, "--after", "earliest", "--count", "1", "--json"];
        let line = server.command(&arguments).line();
        let envelope: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(envelope["id"], id.as_str(), "{wire}: {line}");
        assert_eq!(envelope["data"], "hello", "{wire}: {line}");
    }
}

#[test]
fn a_subscriber_comes_back_after_a_restart_and_says_that_messages_are_gone() {
    for wire in WIRES {
        let mut server = Server::start();
        server.publish("news", "first");
        let arguments = ["subscribe", "news", "--via", wire, "--after", "earliest", "--count", "2"];
        let mut subscribe = server.command(&arguments);
        assert_eq!(subscribe.line(), "first", "{wire}");
        let address = server.address.to_string();
        server.running.child.kill().unwrap();
        server.running.child.wait().unwrap();
        let server = Server::on(&address);
        server.publish("news", "second");
        assert_eq!(subscribe.line(), "second", "{wire}");
        assert_eq!(subscribe.code(), Some(0), "{wire}");
        let mut errors = String::new();
        subscribe.errors.read_to_string(&mut errors).unwrap();
        assert!(errors.contains("gap: messages of \"news\" are gone"), "{wire}: {errors}");
    }
}

#[test]
fn lines_of_standard_input_are_published_as_they_come() {
    let server = Server::start();
    let mut subscribe = server.command(&["subscribe", "log", "--after", "earliest"]);
    let mut publish = server.command(&["publish", "log", "--lines"]);
    let mut input = publish.input.take().unwrap();
    for number in 0..100 {
        writeln!(input, "line {number}").unwrap();
        // It arrives although the input stays open.
        assert_eq!(subscribe.line(), format!("line {number}"));
    }
    drop(input);
    assert_eq!(publish.code(), Some(0));
}

#[test]
fn what_can_not_be_published_is_an_error_and_exit_code_1() {
    let server = Server::start();
    let mut publish = server.command(&["publish", "a,b", "x"]);
    assert_eq!(publish.code(), Some(1));
    let mut publish = server.command(&["publish", "json", "--json", "{"]);
    assert_eq!(publish.code(), Some(1));
    let mut errors = String::new();
    publish.errors.read_to_string(&mut errors).unwrap();
    assert!(errors.contains("not valid JSON"), "{errors}");
}

#[test]
fn bad_configuration_refuses_to_start_and_names_the_flag() {
    for (arguments, code, word) in [
        (&["serve", "--log-age", "soon"][..], 2, "--log-age"),
        (&["serve", "--workers", "0"], 2, "--workers"),
        (&["serve", "--listen", "nowhere"], 2, "--listen"),
        (&["serve", "--allow-origin", "example.org"], 2, "--allow-origin"),
        (
            &["serve", "--listen", "127.0.0.1:0", "--connections-max", "4000000000"],
            1,
            "--connections-max",
        ),
        (&["serve", "--listen", "127.0.0.1:0", "--memory", "1M"], 1, "--log-bytes"),
    ] {
        let mut serve = Running::start(arguments);
        let mut errors = String::new();
        serve.errors.read_to_string(&mut errors).unwrap();
        assert_eq!(serve.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(word), "{arguments:?}: {errors}");
    }
    let server = Server::start();
    let mut second = Running::start(&["serve", "--listen", &server.address.to_string()]);
    assert_eq!(second.code(), Some(1), "the address is taken");
}
