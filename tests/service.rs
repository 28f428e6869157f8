//! The server under a service manager: what it says to it, and the sockets that it takes over.
//!
//! The tests play the manager: they listen where `NOTIFY_SOCKET` points to, and hand over listening sockets as
//! sd_listen_fds(3) has it.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking; all of this crate is tests"
)]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use support::{PATIENCE, Server};

/// Where the server says how it is.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn listen(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidings-{name}-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command
            .env_clear()
            .env("RUST_LOG", "info")
            .env("NOTIFY_SOCKET", &self.path)
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", "2"])
            .args(flags)
            .stderr(Stdio::piped());
        command
    }

    /// The next that is said.
    fn hears(&self) -> String {
        let mut text = [0; 4096];
        let length = self.socket.recv(&mut text).expect("the server says nothing more");
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    /// Waits until something with this in it is said.
    fn hears_of(&self, what: &str) -> String {
        let mut said = (0..1_000).map(|_| self.hears());
        said.find(|said| said.contains(what)).unwrap_or_else(|| panic!("never {what:?}"))
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The command for a server that is handed these sockets over, from descriptor 3 on, under `names`.
fn activated(sockets: [OwnedFd; 2], names: &str, flags: &[&str]) -> Command {
    let run = "exec 3<&0 4<&1 </dev/null >/dev/null; \
               export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$0\" \"$@\"";
    let mut command = Command::new("/bin/sh");
    let [first, second] = sockets;
    command
        .env_clear()
        .envs([("RUST_LOG", "info"), ("LISTEN_FDNAMES", names)])
        .args(["-c", run, env!("CARGO_BIN_EXE_tidings"), "serve", "--workers", "4"])
        .args(flags)
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second))
        .stderr(Stdio::piped());
    command
}

/// A manager's sockets. It keeps them while the server is away.
struct Sockets([TcpListener; 2]);

impl Sockets {
    fn listen() -> Self {
        Self(["127.0.0.1:0", "127.0.0.1:0"].map(|address| TcpListener::bind(address).unwrap()))
    }

    fn address(&self, number: usize) -> SocketAddr {
        self.0[number].local_addr().unwrap()
    }

    fn start(&self, flags: &[&str]) -> Server {
        let sockets = [0, 1].map(|number| self.0[number].try_clone().unwrap().into());
        Server::started(activated(sockets, "web:web", flags).spawn().unwrap())
    }
}

/// One request on a connection of its own; the status line of its answer.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn a_manager_hears_when_the_server_is_ready_well_and_going_away() {
    let manager = Manager::listen("well");
    let mut command = manager.command(&["--drain-spread", "0.01", "--drain-max", "20"]);
    let mut server = Server::started(command.env("WATCHDOG_USEC", "200000").spawn().unwrap());
    let ready = manager.hears();
    assert!(ready.starts_with("READY=1\n"), "{ready:?}");
    assert!(ready.contains(&format!("STATUS=Listening on http://{}/", server.address())));
    let _stream = server.open_ndjson("/topics/a");
    manager.hears_of("; 1 connections\n");
    for _ in 0..3 {
        assert_eq!(manager.hears_of("WATCHDOG"), "WATCHDOG=1\n");
    }
    server.signal("-HUP");
    let reloading = manager.hears_of("RELOADING=1\n");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading:?}");
    manager.hears_of("READY=1\n");
    server.terminate();
    let stopping = manager.hears_of("STOPPING=1\n");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=25000000\n"), "{stopping:?}");
    assert!(server.exit_status(PATIENCE).success());
}

#[test]
fn a_manager_that_does_not_watch_is_not_fed() {
    let manager = Manager::listen("unwatched");
    let mut command = manager.command(&["--drain-spread", "0.01"]);
    // It is another process that is watched.
    command.envs([("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]);
    let mut server = Server::started(command.spawn().unwrap());
    server.terminate();
    assert!(server.exit_status(PATIENCE).success());
    manager.socket.set_nonblocking(true).unwrap();
    let mut text = [0; 4096];
    while let Ok(length) = manager.socket.recv(&mut text) {
        let said = String::from_utf8_lossy(&text[..length]);
        assert!(!said.contains("WATCHDOG"), "{said}");
    }
}

#[test]
fn a_manager_that_is_gone_is_said_and_changes_nothing() {
    let manager = Manager::listen("gone");
    let mut command = manager.command(&[]);
    drop(manager);
    let server = Server::started(command.spawn().unwrap());
    server.await_log("cannot reach the service manager");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn sockets_that_are_handed_over_are_what_is_listened_on() {
    let sockets = Sockets::listen();
    let server = sockets.start(&["--listen", "127.0.0.1:1"]);
    assert!(server.said_first.contains("--listen is not used"), "{}", server.said_first);
    assert_eq!(server.address(), sockets.address(0));
    for number in [0, 1] {
        let answers: Vec<_> = (0..20).map(|_| ask(sockets.address(number)).unwrap()).collect();
        assert!(answers.iter().all(|answer| answer == "HTTP/1.1 200 OK"), "{answers:?}");
    }
}

#[test]
fn a_socket_named_admin_is_the_operators_and_stays_so_over_a_reload() {
    let sockets = Sockets::listen();
    let both = [0, 1].map(|number| sockets.0[number].try_clone().unwrap().into());
    let mut command = activated(both, "admin:web", &[]);
    let server = Server::started(command.spawn().unwrap());
    assert_eq!(server.address(), sockets.address(1));
    for _ in 0..3 {
        assert_eq!(server.get("/metrics").status, 403, "loopback, but not the operator's");
        let mut operator = support::Client::connect(sockets.address(0));
        assert_eq!(operator.request("GET", "/metrics", &[], b"").status, 200);
        server.signal("-HUP");
        server.await_log("reload:");
    }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command
        .env_clear()
        .envs([("RUST_LOG", "info"), ("LISTEN_FDS", "1"), ("LISTEN_PID", "1")])
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped());
    let server = Server::started(command.spawn().unwrap());
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn what_is_handed_over_and_is_no_listener_refuses_to_start() {
    let file = || OwnedFd::from(File::open("/dev/null").unwrap());
    let output = activated([file(), file()], "web:web", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot take over the service manager's sockets: web"), "{said}");
}

/// Clients that connect, ask and go, one after the other, until they are told to stop.
struct Visitors {
    answered: Receiver<()>,
    is_over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<usize>>,
}

impl Visitors {
    fn come_to(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        // Whoever is answered waits until that is noticed: the queue of the socket is never full.
        let (answer, answered) = sync_channel(0);
        let visit = |_| {
            let (answer, is_over) = (answer.clone(), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut visits = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let line = ask(address).expect("nobody is refused or reset");
                    assert_eq!(line, "HTTP/1.1 200 OK");
                    visits += 1;
                    // The test may be over.
                    let _ = answer.send(());
                }
                visits
            })
        };
        let threads = (0..8).map(visit).collect();
        Self { answered, is_over, threads }
    }

    fn await_answers(&self, count: usize) {
        for _ in 0..count {
            self.answered.recv_timeout(PATIENCE).expect("an answer");
        }
    }

    /// How many visits there were, all of them answered.
    fn end(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.answered);
        self.threads.into_iter().map(|visitor| visitor.join().unwrap()).sum()
    }
}

#[test]
fn a_restart_with_a_socket_that_stays_loses_no_connection_attempt() {
    let sockets = Sockets::listen();
    let flags = ["--drain-spread", "0.05"];
    let mut server = sockets.start(&flags);
    let visitors = Visitors::come_to(sockets.address(0));
    let mut awaited = 0;
    for _ in 0..3 {
        visitors.await_answers(100);
        server.terminate();
        assert!(server.exit_status(PATIENCE).success());
        // Whoever comes now waits in the socket.
        server = sockets.start(&flags);
        visitors.await_answers(100);
        awaited += 200;
    }
    assert!(visitors.end() >= awaited);
}

#[test]
fn who_waits_in_a_socket_that_stays_outlives_a_server_that_is_killed() {
    let sockets = Sockets::listen();
    let mut server = sockets.start(&[]);
    server.signal("-KILL");
    server.exit_status(PATIENCE);
    let mut waiting = TcpStream::connect(sockets.address(1)).unwrap();
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let _server = sockets.start(&[]);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}
