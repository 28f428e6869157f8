//! Clause 19.1: where the operator's resources are, and for whom.

use std::process::{Command, Stdio};

use crate::support::*;

/// The operator's resources, by method and target.
const RESOURCES: [(&str, &str); 6] = [
    ("GET", "/metrics"),
    ("HEAD", "/metrics"),
    ("GET", "/topics"),
    ("HEAD", "/topics"),
    ("GET", "/connections"),
    ("DELETE", "/connections/0-7-4000000000"),
];

/// A server with these addresses; its public one is asked under 127.0.0.1.
fn server_at(arguments: &[&str]) -> (Server, u16) {
    let child = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .env_clear()
        .arg("serve")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let server = Server::started(child);
    let port = server.address().port();
    (server, port)
}

fn local(port: u16) -> Client {
    Client::connect(([127, 0, 0, 1], port).into())
}

#[test]
fn clause_19_1_a_loopback_address_serves_the_operator_without_being_told() {
    for_workers(&[], |server| {
        for (method, target) in RESOURCES {
            let answer = server.request(method, target, &[], b"");
            let wanted = if method == "DELETE" { 404 } else { 200 };
            assert_eq!(answer.status, wanted, "{method} {target}: {answer:?}");
        }
    });
}

#[test]
fn clause_19_1_an_address_that_others_can_reach_refuses_and_says_what_to_set() {
    let (_server, port) = server_at(&["--listen", "0.0.0.0:0", "--workers", "2"]);
    for (method, target) in RESOURCES {
        let answer = local(port).request(method, target, &[], b"");
        assert_eq!(answer.status, 403, "{method} {target}: {answer:?}");
        if method != "HEAD" {
            let detail = answer.problem(403);
            assert!(detail.contains("--admin-listen"), "{detail}");
        }
    }
    for (target, status) in [("/healthz", 200), ("/readyz", 200), ("/topics/a", 200), ("/", 200)] {
        assert_eq!(local(port).request("GET", target, &[], b"").status, status, "{target}");
    }
}

#[test]
fn clause_19_1_each_listen_address_is_looked_at_by_itself() {
    let (server, port) =
        server_at(&["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0", "--workers", "1"]);
    // The first address is the one that the server says first.
    assert_eq!(local(port).request("GET", "/metrics", &[], b"").status, 200);
    assert_eq!(server.address().port(), port);
}

#[test]
fn clause_19_1_with_an_address_of_its_own_the_operator_is_served_there_and_nowhere_else() {
    for_workers(&["--admin-listen", "127.0.0.1:0"], |server| {
        let admin = server.admin_address();
        for (method, target) in RESOURCES {
            let wanted = if method == "DELETE" { 404 } else { 200 };
            let answer = Client::connect(admin).request(method, target, &[], b"");
            assert_eq!(answer.status, wanted, "{method} {target}: {answer:?}");
            assert_eq!(server.request(method, target, &[], b"").status, 403, "{method} {target}");
        }
        for target in ["/healthz", "/readyz"] {
            assert_eq!(Client::connect(admin).request("GET", target, &[], b"").status, 200);
            assert_eq!(server.get(target).status, 200);
        }
        for (method, target) in [
            ("GET", "/topics/news"),
            ("POST", "/topics/news"),
            ("POST", "/topics"),
            ("DELETE", "/topics/news"),
            ("GET", "/"),
            ("GET", "/tidings.js"),
        ] {
            let answer = Client::connect(admin).request(method, target, &[], b"");
            assert!(answer.problem(404).contains("--listen"), "{method} {target}");
        }
        let mut client = Client::connect(admin);
        client.send_request(
            "GET",
            "/topics",
            &handshake(&[("Sec-WebSocket-Protocol", "tidings.json")]),
            b"",
        );
        assert_eq!(client.answer().status, 404, "a WebSocket is for clients");
    });
}

#[test]
fn clause_19_1_the_operator_gets_in_when_the_server_is_full() {
    let flags = ["--admin-listen", "127.0.0.1:0", "--connections-max", "2"];
    let server = Server::start(&flags);
    let streams = [server.open_ndjson("/topics/a"), server.open_ndjson("/topics/a")];
    assert_eq!(server.get("/topics/a").status, 503, "nobody else gets in");
    let mut operators: Vec<Client> =
        (0..16).map(|_| Client::connect(server.admin_address())).collect();
    for operator in &mut operators {
        assert_eq!(operator.request("GET", "/metrics", &[], b"").status, 200);
    }
    let mut one_too_many = Client::connect(server.admin_address());
    assert_eq!(one_too_many.request("GET", "/metrics", &[], b"").status, 503);
    drop(one_too_many);
    drop(operators);
    drop(streams);
    // Those who come and go at the operator's address take nobody's place, and give none.
    server.ask_until("there is room again", || server.get("/topics/a").status == 200);
    let _streams = [server.open_ndjson("/topics/a"), server.open_ndjson("/topics/a")];
    assert_eq!(server.get("/topics/a").status, 503);
}

#[test]
fn clause_19_2_a_page_of_another_origin_is_refused_whatever_it_may_read() {
    let server = Server::start(&["--allow-origin", "*"]);
    for (method, target) in RESOURCES {
        let origin = [("Origin", "https://example.org")];
        let answer = server.request(method, target, &origin, b"");
        assert_eq!(answer.status, 403, "{method} {target}");
        assert_eq!(answer.field("Access-Control-Allow-Origin"), None);
    }
    let own = format!("http://{}", server.address());
    let host = server.address().to_string();
    let fields = [("Origin", own.as_str()), ("Host", host.as_str())];
    assert_eq!(server.client().request("GET", "/connections", &fields, b"").status, 200);
    let preflight =
        [("Origin", "https://example.org"), ("Access-Control-Request-Method", "DELETE")];
    assert_eq!(server.request("OPTIONS", "/connections/0-0-0", &preflight, b"").status, 403);
}

#[test]
fn an_admin_address_that_cannot_be_had_is_named_with_its_flag() {
    let server = Server::start(&[]);
    let taken = server.address().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .env_clear()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", &taken])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on {taken} (--admin-listen)")), "{said}");
}
