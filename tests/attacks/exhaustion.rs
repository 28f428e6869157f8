//! What the operating system does not give: descriptors and memory (rows 215, 218).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::{Client, PATIENCE, Server};

/// Processor time that a process has used so far, in clock ticks (a hundredth of a second each).
fn processor_ticks(server: &Server) -> u64 {
    let path = format!("/proc/{}/stat", server.id());
    let stat = std::fs::read_to_string(&path).expect("this test needs Linux's /proc");
    // The name of the command, in parentheses, may contain anything; utime and stime are fields 14 and 15.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Whether a new connection is answered with 200, rather than closed or refused.
fn is_served(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    let _ = stream.write_all(request).and_then(|()| stream.read_to_end(&mut answer));
    answer.starts_with(b"HTTP/1.1 200")
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count()
}

#[test]
fn attack_215_without_descriptors_it_keeps_serving_does_not_spin_and_accepts_when_one_comes_free() {
    for workers in [1, 2] {
        let limit = 80;
        let flags = ["--first-byte", "600", "--log-messages", "10"];
        let server = Server::start_limited(&format!("-n {limit}"), workers, &flags);
        let mut early = server.client();
        assert_eq!(early.request("GET", "/healthz", &[], b"").status, 200);
        // More than it has descriptors for; those that are not accepted wait in the kernel's queue, or are
        // turned away one at a time.
        let hogs: Vec<TcpStream> =
            (0..2 * limit).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        server.await_log("cannot accept connections");
        assert!(descriptors(&server) >= limit - 2, "{} are used", descriptors(&server));
        let before = processor_ticks(&server);
        // The attack goes on for three seconds: nobody sends anything here.
        let (_silent, pause) = channel::<()>();
        for _ in 0..30 {
            assert_eq!(early.request("POST", "/topics/t", &[], b"x").status, 201);
            assert_eq!(early.request("GET", "/topics/t", &[], b"").status, 200);
            let _ = pause.recv_timeout(Duration::from_millis(100));
        }
        // The sixty requests take one or two hundredths; a loop that tries to accept without a pause, all of it.
        let used = processor_ticks(&server) - before;
        assert!(used < 30, "{used} hundredths of a second in 3 s");
        // They leave: whoever comes next is served.
        let mut turned_away = 0;
        for mut hog in hogs {
            hog.set_nonblocking(true).unwrap();
            turned_away += usize::from(matches!(hog.read(&mut [0]), Ok(0)));
        }
        assert!(turned_away > 0, "some were turned away, so that they know");
        server.ask_until("a new client is served", || is_served(server.address()));
        assert_eq!(early.request("GET", "/healthz", &[], b"").status, 200);
    }
}

#[test]
fn attack_218_a_flood_within_a_small_address_space_is_refused_and_never_aborts_the_process() {
    // 320 MiB of address space; threads, their stacks and allocator arenas take some of it.
    let flags = ["--memory", "16M", "--log-bytes", "8M", "--body-bytes-max", "4M"];
    let server = Server::start_limited("-v 327680", 2, &flags);
    // As much as a server that refuses it reads and drops, so that its answer is not lost.
    let body = vec![b'x'; 3 << 19];
    let (mut taken, mut refused) = (0, 0);
    for number in 0..120 {
        let target = format!("/topics/t{}", number % 10);
        match server.request("POST", &target, &[], &body).status {
            201 => taken += 1,
            503 => refused += 1,
            status => panic!("{status}"),
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} were taken, {refused} refused");
    // Bodies that announce much and stop half-way, all at once.
    let begun: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = server.client();
            client.send("POST /topics/u HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n");
            client.try_send(&body[..1 << 20]);
            client
        })
        .collect();
    assert_eq!(server.get("/healthz").status, 200);
    drop(begun);
    server.ask_until("all memory of bodies is given back", || {
        server.metric("tidings_body_bytes") == 0
    });
    for topic in 0..10 {
        server.request("DELETE", &format!("/topics/t{topic}"), &[], b"");
    }
    assert_eq!(server.request("POST", "/topics/t0", &[], b"x").status, 201);
}
