//! 208 to 233, what concerns the process as a whole: its log, its signals, its limits, its stalls.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::support::*;

/// A server whose standard error nobody reads but the test.
struct Process {
    child: Child,
    stderr: Option<BufReader<ChildStderr>>,
    address: SocketAddr,
}

impl Process {
    /// Starts it, and reads its log up to its address, with no byte in hand behind that.
    fn start(log: &str, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .env_clear()
            .env("RUST_LOG", log)
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", "1"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A line is longer than this: what the pipe holds stays there.
        let mut stderr = BufReader::with_capacity(64, child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended without an address");
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.split_once('/').unwrap().0.parse().unwrap();
            }
        };
        Self { child, stderr: Some(stderr), address }
    }

    fn metric(&self, name: &str) -> u64 {
        let answer = Client::connect(self.address).request("GET", "/metrics", &[], b"");
        family(&answer.text(), name).unwrap()
    }

    /// Makes connections, each of which is logged, and looks whether so many lines were dropped.
    fn make_it_drop(&self, lines: u64) {
        for _ in 0..400 {
            for _ in 0..50 {
                let answer = Client::connect(self.address).request("GET", "/healthz", &[], b"");
                assert_eq!(answer.status, 200);
            }
            if self.metric("tidings_log_lines_dropped_total") >= lines {
                return;
            }
        }
        panic!("nothing was dropped");
    }

    fn signal(&self, signal: &str) {
        send_signal(&self.child, signal);
    }

    /// How it ended, which it must within the patience of the tests.
    fn end(mut self) -> ExitStatus {
        self.stderr = None;
        end_of(&mut self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send_signal(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

fn end_of(child: &mut Child) -> ExitStatus {
    let (_silent, pause) = channel::<()>();
    for _ in 0..2_000 {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        // Nobody sends anything: a breath between two questions.
        let _ = pause.recv_timeout(Duration::from_millis(5));
    }
    panic!("it does not end");
}

#[test]
fn attack_229_a_log_that_nobody_reads_holds_up_nobody_and_is_counted() {
    let mut server = Process::start("trace", &[]);
    server.make_it_drop(100);
    // Now somebody reads: everything that was kept, and how much was not.
    let stderr = server.stderr.take().unwrap();
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            // The test may be over; the pipe is emptied all the same.
            let _ = sender.send(line);
        }
    });
    loop {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        if let Some((_, rest)) = line.split_once("WARN  tidings::cli::logging] ") {
            let count: u64 = rest.split(' ').next().unwrap().parse().unwrap();
            assert!(count >= 100 && rest.contains("log lines were dropped"), "{line}");
            break;
        }
    }
    // What was queued is written before the end, and nothing else goes missing.
    server.signal("-TERM");
    let mut last = String::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => last = line,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
        }
    }
    assert!(last.ends_with("drained"), "{last}");
    assert!(server.end().success());
}

#[test]
fn attack_229_an_exit_does_not_wait_for_a_log_that_nobody_reads() {
    let server = Process::start("trace", &["--drain-spread", "0.05"]);
    server.make_it_drop(1);
    server.signal("-TERM");
    let mut server = server;
    assert!(end_of(&mut server.child).success(), "its log is still unread");
}

#[test]
fn attack_229_a_log_that_is_closed_or_a_full_disk_changes_nothing() {
    let mut closed = Process::start("trace", &[]);
    closed.stderr = None;
    closed.make_it_drop(100);
    closed.signal("-TERM");
    assert!(closed.end().success());
    // /dev/full is a disk without room. There is no address to be read: that it drains is all there is to
    // see.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(full)
        .spawn()
        .unwrap();
    let status = Path::new("/proc").join(child.id().to_string()).join("status");
    let (_silent, pause) = channel::<()>();
    // Bit 14 of the signals that are caught: SIGTERM.
    let is_ready = || caught_signals(&status).is_some_and(|caught| caught & (1 << 14) != 0);
    let began = (0..2_000).any(|_| {
        let _ = pause.recv_timeout(Duration::from_millis(5));
        is_ready()
    });
    assert!(began, "it never catches SIGTERM");
    send_signal(&child, "-TERM");
    assert!(end_of(&mut child).success());
}

fn caught_signals(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    u64::from_str_radix(caught.trim(), 16).ok()
}

#[test]
fn attack_228_signals_other_than_those_that_end_it_change_nothing() {
    let mut server = Server::start(&["--drain-spread", "0.05"]);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    for signal in ["-PIPE", "-HUP", "-WINCH", "-CONT"] {
        server.signal(signal);
        server.publish("a", signal);
        assert_eq!(stream.json_line()["data"], signal);
    }
    server.await_log("reload: 0 changed");
    // A peer that is gone while it is written to is EPIPE, and no signal.
    for _ in 0..20 {
        let mut gone = server.client();
        gone.send_request("GET", "/topics/a", &[("Accept", "text/event-stream")], b"");
        drop(gone);
        server.publish("a", "x");
    }
    server.terminate();
    assert_eq!(server.exit_status(PATIENCE).code(), Some(0));
}

#[test]
fn attack_228_a_second_signal_to_stop_ends_it_at_once() {
    for (second, code) in [("-TERM", 128 + 15), ("-INT", 128 + 2)] {
        let mut server = Server::start(&["--drain-spread", "60", "--drain-max", "120"]);
        let streams: Vec<_> = (0..20).map(|_| server.event_stream("/topics/a")).collect();
        server.terminate();
        server.await_log("draining");
        server.signal(second);
        assert_eq!(server.exit_status(PATIENCE).code(), Some(code));
        drop(streams);
    }
}

#[test]
fn attack_228_a_signal_during_the_start_is_not_lost() {
    let (_silent, pause) = channel::<()>();
    for number in 0..24 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", "4"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // At all moments of its start.
        let _ = pause.recv_timeout(Duration::from_micros(500 * number));
        send_signal(&child, "-TERM");
        let status = end_of(&mut child);
        // Before it had begun anything, the system ended it; from then on it drained.
        assert!(status.success() || status.code().is_none(), "{status}");
    }
}

#[test]
fn attack_225_far_deadlines_neither_overflow_nor_spin() {
    // 25 days and more do not fit the milliseconds of a poll.
    let mut flags = Vec::new();
    for flag in ["--keep-alive", "--first-byte", "--heartbeat", "--log-age", "--write-progress"] {
        flags.extend([flag, "3000000"]);
    }
    let server = Server::start(&flags);
    let (mut stream, _) = server.open_ndjson("/topics/a");
    let mut idle = server.client();
    assert_eq!(idle.request("GET", "/healthz", &[], b"").status, 200);
    let mut new = server.client();
    let ticks = server.metric("tidings_ticks_total");
    for _ in 0..5 {
        new.assert_silent();
    }
    // Two for the questions, one for each second that went by; a poll that spun would have had thousands.
    let more = server.metric("tidings_ticks_total") - ticks;
    assert!(more < 50, "{more}");
    server.publish("a", "x");
    assert_eq!(stream.json_line()["data"], "x");
    assert_eq!(idle.request("GET", "/healthz", &[], b"").status, 200);
    assert_eq!(new.request("GET", "/healthz", &[], b"").status, 200);
}

#[test]
fn attack_231_a_process_that_was_stopped_gives_up_nobody_when_it_goes_on() {
    const WEBSOCKETS: usize = 600;
    let time = ["--ping", "1", "--pong-wait", "3", "--head-time", "3", "--first-byte", "3"];
    let server = Server::start(&time);
    let mut websockets: Vec<WebSocket> =
        (0..WEBSOCKETS).map(|_| server.raw_websocket("/topics/a")).collect();
    for websocket in &mut websockets {
        assert_eq!(websocket.frame().opcode, PING);
    }
    let mut slow = server.client();
    slow.send("GET /healthz HTTP/1.1\r\nHost: h\r\n");
    server.signal("-STOP");
    // More of them answer while it stands still than are read in one tick.
    let (during, after) = websockets.split_at_mut(WEBSOCKETS * 2 / 3);
    during.iter_mut().for_each(|one| one.send_frame(FIN | PONG, b""));
    let (_silent, pause) = channel::<()>();
    // The attack: it stands still for longer than anybody has.
    let _ = pause.recv_timeout(Duration::from_secs(5));
    server.signal("-CONT");
    after.iter_mut().for_each(|one| one.send_frame(FIN | PONG, b""));
    slow.send("\r\n");
    assert_eq!(slow.answer().status, 200);
    // All are pinged again, and are still there.
    for websocket in &mut websockets {
        assert_eq!(websocket.frame().opcode, PING);
        websocket.send_frame(FIN | PONG, b"");
    }
    for name in ["pong_timeout", "head_timeout"] {
        let name = format!("tidings_connections_closed_total{{reason=\"{name}\"}}");
        assert_eq!(server.metric(&name), 0, "{name}");
    }
}

#[test]
fn attack_232_a_descriptor_limit_that_is_too_low_is_refused_at_the_start() {
    let binary = env!("CARGO_BIN_EXE_tidings");
    let start = |limit: u32, flags: &str| {
        let script =
            format!("ulimit -n {limit} && exec {binary} serve --listen 127.0.0.1:0 {flags}");
        Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap()
    };
    for (limit, flags, said) in [
        (200, "--workers 1 --connections-max 1000", "leaves room for 152 connections"),
        (40, "--workers 1", "leaves no room for connections"),
    ] {
        let output = start(limit, flags);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(said) && stderr.contains("ulimit -n"), "{stderr}");
    }
}

#[test]
fn attack_232_descriptors_beyond_1024_are_as_good_as_others() {
    let limit = rlimit::increase_nofile_limit(4_096).unwrap();
    assert!(limit >= 3_000, "the descriptor limit is {limit}: raise it (ulimit -Hn)");
    let server = Server::start(&[]);
    let mut clients: Vec<Client> = (0..1_200).map(|_| server.client()).collect();
    for client in clients.iter_mut().rev() {
        assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
    }
    assert!(server.metric("tidings_connections") > 1_200);
}

#[test]
fn attack_230_a_name_is_no_address_and_is_never_looked_up() {
    for name in ["localhost:0", "example.org:80"] {
        let output = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(["serve", "--listen", name])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
}
