//! Peers that vanish without a word, in a network of the test's own: two network namespaces, a cable
//! between them, and an address that is taken away from under its clients. What the server then sends
//! them is dropped, and nothing comes back.
//!
//! The namespaces have no names and end with the processes in them. Making them needs root; where it
//! cannot be done, the test says so and proves nothing.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::crowd::*;
use crate::support::{Client, Server};

/// Set in the process that runs inside.
const INSIDE: &str = "TIDINGS_TEST_IS_INSIDE";
const TEST: &str = "namespace::attack_107_peers_that_vanish_are_found_by_their_deadline";
/// Addresses of the cable's ends: the server, those who vanish, the honest client.
const SERVER: &str = "10.77.0.1";
const VANISHING: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const HONEST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?}");
}

/// A server in a namespace of its own, at the far end of a cable.
fn server_at_the_far_end(flags: &[&str]) -> Server {
    run("ip", &["link", "set", "lo", "up"]);
    run("ip", &["link", "add", "near", "type", "veth", "peer", "name", "far"]);
    let script = format!(
        "echo ready; read go; ip addr add {SERVER}/24 dev far && ip link set far up && exec \"$0\" \"$@\""
    );
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", &script, env!("CARGO_BIN_EXE_tidings"), "serve"])
        .args(["--listen", &format!("{SERVER}:0"), "--workers", "2"])
        .args(["--admin-listen", &format!("{SERVER}:0")])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    run("ip", &["link", "set", "far", "netns", &child.id().to_string()]);
    // The first is the primary one: it stays when the other goes.
    for address in [HONEST, VANISHING] {
        run("ip", &["addr", "add", &format!("{address}/24"), "dev", "near"]);
    }
    run("ip", &["link", "set", "near", "up"]);
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    Server::started(child)
}

/// A subscriber that reads, until it vanishes.
fn subscribe(address: SocketAddr, wire: Wire) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::V4(VANISHING), 0).into()).unwrap();
    socket.connect_timeout(&address.into(), Duration::from_secs(5)).unwrap();
    let mut stream: TcpStream = socket.into();
    stream.write_all(&wire.request("t", "")).unwrap();
    stream
}

fn inside() {
    let flags = [
        "--connections-per-address",
        "10000",
        "--reads-per-second",
        "100000",
        "--heartbeat",
        "1",
        "--ping",
        "1",
        "--pong-wait",
        "2",
        "--user-timeout",
        "3",
        "--write-progress",
        "3",
        "--wait-max",
        "2",
        "--linger",
        "0.5",
        "--keep-alive",
        "3",
    ];
    let server = server_at_the_far_end(&flags);
    let address = server.address();
    let honest = Honest::start_from(IpAddr::V4(HONEST), address);
    let on_each = 200;
    let crowd: Vec<TcpStream> = Wire::ALL
        .iter()
        .flat_map(|&wire| (0..on_each).map(move |_| wire))
        .map(|wire| subscribe(address, wire))
        .collect();
    // A server at a private address shows its numbers nowhere but at an address of the operator's own.
    let admin = server.admin_address();
    let metrics = || {
        let mut client = Client::connect_from(IpAddr::V4(HONEST), admin);
        Metrics(client.request("GET", "/metrics", &[], b"").text())
    };
    let subscribed = |metrics: &Metrics| metrics.value("tidings_subscriptions") as usize;
    within("they are subscribed", Duration::from_secs(5), || {
        subscribed(&metrics()) == crowd.len() + 1
    });
    run("ip", &["addr", "del", &format!("{VANISHING}/24"), "dev", "near"]);
    let vanished = Instant::now();
    // A heartbeat or ping, then the time in which a peer must take something or answer; and a little.
    within("those who vanished are found", Duration::from_secs(1 + 3 + 8), || {
        subscribed(&metrics()) == 1
    });
    println!("  {} who vanished were found within {:?}", crowd.len(), vanished.elapsed());
    within("nothing is left of them", Duration::from_secs(10), || {
        metrics().value("tidings_connections") <= 3
    });
    let now = metrics();
    // A long poll is answered when its time is up, and its client asks for nothing more.
    let reasons = ["write_timeout", "pong_timeout", "socket_error", "idle_timeout"];
    let found: u64 = reasons.iter().map(|reason| now.closed(reason)).sum();
    let counted: Vec<_> = reasons.iter().map(|reason| (reason, now.closed(reason))).collect();
    println!("  {counted:?}");
    assert_eq!(found as usize, crowd.len(), "each is counted as one that was lost");
    honest.finish();
    drop(crowd);
}

#[test]
#[ignore = "needs root, for network namespaces: tests/run --only endurance"]
fn attack_107_peers_that_vanish_are_found_by_their_deadline() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let may = Command::new("unshare")
        .args(["--net", "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"])
        .stderr(Stdio::null())
        .status();
    if !may.is_ok_and(|status| status.success()) {
        println!(
            "NOT TESTED: no network namespace can be made here (unshare --net, ip; needs root)"
        );
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .arg("--net")
        .arg(program)
        .args(["--exact", TEST, "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (said, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // What it measured, but not the verdict of a test run of its own.
    said.lines().filter(|line| line.starts_with("  ")).for_each(|line| println!("{line}"));
    assert!(output.status.success(), "inside the namespace: {complaints}");
}
