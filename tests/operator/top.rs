//! `tidings top`, without a terminal: what it says of a server, and how it ends. (The metrics suite has it on one.)

use std::process::{Command, Output, Stdio};

use crate::support::*;

fn top(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidings"))
        .env_clear()
        .arg("top")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn one_look_shows_rates_topics_and_who_is_slow() {
    for_workers(&["--outbox-bytes-max", "1K"], |server| {
        let mut slow = Client::connect_narrow(2_048, server.address());
        slow.send("GET /topics/slow HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n");
        server.await_metric("tidings_subscriptions{wire=\"sse\"}", 1);
        let large = "x".repeat(100_000);
        (0..40).for_each(|_| drop(server.publish("slow", &large)));
        server.publish("quick", "x");
        server.ask_until("it lags", || server.metric("tidings_lag_messages") > 5);
        let url = format!("http://{}", server.address());
        let output = top(&[&url, "--once", "--interval", "0.2"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        for word in ["connections 2", "sse 1", "published ", "loop lag ", "behind 1", "memory "] {
            assert!(said.contains(word), "{word}: {said}");
        }
        let lines: Vec<&str> = said.lines().collect();
        let at = |what: &str| lines.iter().position(|line| line.ends_with(what)).unwrap();
        assert!(lines[at("hottest topics") + 1].ends_with("slow"), "{said}");
        assert!(lines[at("hottest topics") + 2].ends_with("quick"), "{said}");
        let slowest = lines[at("slowest subscribers") + 1];
        assert!(slowest.contains("sse") && slowest.ends_with("slow"), "{said}");
        assert!(!said.contains('\x1b'), "no colours but on a terminal");
    });
}

#[test]
fn without_a_terminal_it_looks_once() {
    let server = Server::start(&["--admin-listen", "127.0.0.1:0"]);
    let url = format!("http://{}", server.admin_address());
    let output = top(&[&url, "--interval", "0.1"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("tidings 0.1.0 at "));
}

#[test]
fn what_cannot_be_had_is_said() {
    let server = Server::start(&["--admin-listen", "127.0.0.1:0"]);
    let public = format!("http://{}", server.address());
    let said = |output: &Output| String::from_utf8(output.stderr.clone()).unwrap();
    let refused = top(&[&public, "--once"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("--admin-listen"), "{}", said(&refused));
    drop(server);
    let gone = top(&[&public, "--once"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(said(&gone).contains("cannot reach"), "{}", said(&gone));
    for wrong in [&["ftp://a"][..], &["--interval", "0"], &["--interval", "x"]] {
        assert_eq!(top(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
