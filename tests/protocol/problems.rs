//! Clause 15.1: every kind of refusal is what docs/errors.md says of it, and nothing else is.
//!
//! A section's `http` block is sent as it stands. Where that is not enough (bytes that a page cannot show,
//! bounds, a server in trouble) [`provoke`] does what the section's `text` block tells.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tidings::problem_kind::ProblemKind;

use crate::support::*;

const PAGE: &str = include_str!("../../docs/errors.md");

/// Kinds that no client of a test can bring about, and where they are brought about instead.
const ELSEWHERE: [(&str, &str); 5] = [
    ("redis-away", "tests/cluster: it takes a Redis server, and a fault of it"),
    ("outcome-unknown", "tests/cluster: it takes a Redis server, and a fault of it"),
    ("too-few-replicas", "tests/cluster: it takes a Redis server, and a fault of it"),
    ("worker-failed", "tests/invariants/panics.rs: a bug in the server, which has to be planted"),
    ("too-many-listings", "tests/operator/topics.rs: takes a listing that lasts"),
];

/// What the page says of one kind.
struct Section<'a> {
    slug: &'a str,
    text: &'a str,
}

impl<'a> Section<'a> {
    fn all() -> Vec<Self> {
        let sections = PAGE.split("\n### ").skip(1);
        sections
            .map(|section| {
                let section = section.split("\n## ").next().unwrap();
                let (slug, text) = section.split_once('\n').unwrap();
                Section { slug, text }
            })
            .collect()
    }

    /// The inside of its one block in this language.
    fn block(&self, language: &str) -> Option<&'a str> {
        let (_, rest) = self.text.split_once(&format!("```{language}\n"))?;
        let (block, rest) = rest.split_once("\n```").unwrap();
        assert!(!rest.contains(&format!("```{language}\n")), "{} has two", self.slug);
        Some(block)
    }

    /// The request that it shows.
    fn request(&self) -> Option<String> {
        let block = self.block("http")?;
        let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
        let mut request = head.replace('\n', "\r\n") + "\r\n\r\n" + &body.replace('\n', "\r\n");
        if head.contains("chunked") {
            request += "\r\n\r\n";
        }
        Some(request)
    }
}

#[test]
fn clause_15_1_every_kind_has_its_section_and_every_section_its_kind() {
    let mut sections: Vec<_> = Section::all().iter().map(|section| section.slug).collect();
    let mut kinds: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.slug()).collect();
    sections.sort_unstable();
    kinds.sort_unstable();
    assert_eq!(sections, kinds);
    for section in Section::all() {
        let kind = ProblemKind::from_slug(section.slug).unwrap();
        let first = format!("\n**{}** {}.\n", kind.status_code(), kind.title());
        assert!(section.text.starts_with(&first), "{} begins with {first:?}", section.slug);
        for part in ["\n- Client: ", "\n- Operator: ", "```json\n"] {
            assert!(section.text.contains(part), "{} has {part:?}", section.slug);
        }
        let shows = section.block("http").or(section.block("text"));
        assert!(shows.is_some(), "{} shows a request", section.slug);
    }
}

#[test]
fn clause_15_1_every_kind_is_answered_as_its_section_says() {
    let server = Server::start(&[]);
    let mut complaints = String::new();
    for section in Section::all() {
        let slug = section.slug;
        if ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == slug) {
            continue;
        }
        let said = match section.request() {
            Some(request) => object(&server.client().exchange(request)),
            None => provoke(&server, slug),
        };
        let kind = ProblemKind::from_slug(slug).unwrap();
        let problem = if said["error"].is_object() { &said["error"] } else { &said };
        let reference = json!(format!("/errors#{slug}"));
        let is_named = problem["type"] == reference || problem["problem"] == reference;
        let is_of_kind =
            problem["status"] == kind.status_code() && problem["title"] == kind.title();
        let shown: Value = serde_json::from_str(section.block("json").unwrap()).unwrap();
        if !is_named || !is_of_kind || plain(&said) != plain(&shown) {
            writeln!(complaints, "{slug} is answered with\n{said}").unwrap();
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn clause_15_1_the_page_of_errors_is_served() {
    let server = Server::start(&[]);
    let answer = server.get("/errors");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("Content-Type"), Some("text/markdown; charset=utf-8"));
    assert_eq!(answer.text(), PAGE);
}

#[test]
fn refusals_are_counted_by_their_kind() {
    let server = Server::start(&[]);
    server.get("/topics/a?wait=x").problem(400);
    server.get("/topics/a?wait=x").problem(400);
    let batch = [("Content-Type", "application/x-ndjson")];
    server.request("POST", "/topics", &batch, b"nonsense\n");
    let (mut socket, _) = server.json_websocket("/topics");
    socket.command(r#"{"type":"dance"}"#);
    let count = |slug: &str| server.metric(&format!("tidings_refusals_total{{reason=\"{slug}\"}}"));
    assert_eq!((count("malformed-wait"), count("malformed-object")), (2, 1));
    assert_eq!((count("unknown-command"), count("foreign-origin")), (1, 0));
}

/// The object that an answer consists of: the body of a refusal, or the first line of a batch's reports.
fn object(answer: &Answer) -> Value {
    if answer.status == 200 {
        return serde_json::from_str(answer.text().lines().next().unwrap()).unwrap();
    }
    assert_eq!(answer.field("Content-Type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status, "{answer:?}");
    problem
}

/// Without the numbers: a test does not wait for the bounds that a server has by default.
fn plain(object: &Value) -> Value {
    let mut text = String::new();
    for character in object.to_string().chars() {
        match character {
            '0'..='9' | '.' if text.ends_with('#') => (),
            '0'..='9' => text.push('#'),
            _ => text.push(character),
        }
    }
    Value::String(text)
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: example.org\r\n{fields}\r\n")
}

fn post(fields: &str) -> String {
    format!("POST /topics/news HTTP/1.1\r\nHost: example.org\r\n{fields}\r\n")
}

/// What the section tells in words.
fn provoke(server: &Server, slug: &str) -> Value {
    let ask = |bytes: String| object(&server.client().exchange(bytes));
    let numbered = |count: usize, separator: &str| {
        let names: Vec<_> = (0..count).map(|number| format!("a{number}")).collect();
        names.join(separator)
    };
    match slug {
        "malformed-line-end" => {
            ask("GET /topics/news HTTP/1.1\nHost: example.org\r\n\r\n".to_owned())
        }
        "malformed-head" => ask(get("/topics/news", "X-Name: a\0b\r\n")),
        "target-too-long" => ask(get(&format!("/topics/{}", "a".repeat(9_000)), "")),
        "head-too-large" => {
            ask(get("/topics/news", &format!("Cookie: {}\r\n", "c".repeat(20_000))))
        }
        "too-many-fields" => ask(get("/topics/news", &"X: a\r\n".repeat(200))),
        "topic-name-too-long" => ask(get(&format!("/topics/{}", "a".repeat(201)), "")),
        "too-many-topics" => ask(get(&format!("/topics/{}", numbered(200, ",")), "")),
        "too-many-parameters" => ask(get(&format!("/topics/news?{}", numbered(65, "&")), "")),
        "body-too-large" => ask(post("Content-Length: 2000000\r\n")),
        "unwanted-body-too-large" => ask(get("/topics/news", "Content-Length: 100000\r\n")),
        "chunks-too-small" => {
            let chunk = format!("1;{}\r\nh\r\n", "e".repeat(200));
            ask(post("Transfer-Encoding: chunked\r\n") + &chunk.repeat(200))
        }
        "trailers-too-large" => {
            ask(post("Transfer-Encoding: chunked\r\n") + "0\r\n" + &"X: a\r\n".repeat(17))
        }
        "payload-not-utf8" => {
            let text = [("Content-Type", "text/plain")];
            object(&server.request("POST", "/topics/news", &text, b"\xe9t\xe9"))
        }
        "too-many-wrong-lines" => {
            let batch = [("Content-Type", "application/x-ndjson")];
            let lines = "nonsense\n".repeat(1_002);
            let answer = server.request("POST", "/topics", &batch, lines.as_bytes());
            serde_json::from_str(answer.text().lines().last().unwrap()).unwrap()
        }
        "unknown-command" => command(server, r#"{"type":"join","topic":"news","request":1}"#),
        "malformed-request-member" => command(server, r#"{"type":"ping","request":{"number":1}}"#),
        _ => provoke_in_trouble(slug),
    }
}

fn command(server: &Server, text: &str) -> Value {
    server.json_websocket("/topics").0.command(text)
}

/// What becomes of a publish of 5,000 bytes to a topic with this rule.
fn ruled(rule: &str) -> Value {
    let name = format!("tidings-problems-{}.toml", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, format!("[[topic]]\nname = 'announcements'\n{rule}\n")).unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    object(&server.request("POST", "/topics/announcements", &[], &[b'x'; 5_000]))
}

/// What takes a server with narrow bounds.
fn provoke_in_trouble(slug: &str) -> Value {
    let from = |last: u8, server: &Server| {
        Client::connect_from(Ipv4Addr::new(127, 0, 0, last).into(), server.address())
    };
    let publish = |server: &Server, topic: &str, bytes: usize| {
        server.request("POST", &format!("/topics/{topic}"), &[], &vec![b'x'; bytes])
    };
    match slug {
        "head-too-slow" => {
            let server = Server::start(&["--head-time", "0.1"]);
            let mut client = server.client();
            client.send("GET /topics/news HTTP/1.1\r\n");
            object(&client.answer())
        }
        "body-too-slow" => {
            let server = Server::start(&["--body-grace", "0.1", "--body-rate-min", "100K"]);
            let mut client = server.client();
            client.send(post("Content-Length: 100000\r\n"));
            object(&client.answer())
        }
        "line-too-long" => {
            let server = Server::start(&["--body-bytes-max", "100"]);
            let batch = [("Content-Type", "application/x-ndjson")];
            object(&server.request("POST", "/topics", &batch, &[b'x'; 200]))
        }
        "larger-than-log" => {
            object(&publish(&Server::start(&["--log-bytes", "1000"]), "news", 2_000))
        }
        "memory-used-up" => {
            let server = Server::start(&["--memory", "64K", "--log-bytes", "64K"]);
            object(&publish(&server, "news", 500_000))
        }
        "topics-used-up" => {
            let server = Server::start(&["--topics-max", "1"]);
            server.publish("news", "x");
            object(&publish(&server, "brand-new", 5))
        }
        "page-turned-off" => object(&Server::start(&["--no-page"]).get("/")),
        "publishing-closed" => ruled("publish = 'nobody'"),
        "too-large-for-topic" => ruled("message-bytes-max = 1000"),
        "operator-only" => {
            let server = Server::start(&["--admin-listen", "127.0.0.1:0"]);
            object(&server.get("/metrics"))
        }
        "outboxes-used-up" => {
            let server = Server::start(&["--outboxes-bytes-max", "1K", "--outbox-bytes-max", "1K"]);
            for number in 0..10 {
                server.publish(&format!("topic-{number}-of-some"), "x");
            }
            assert_eq!(server.get("/metrics").status, 200, "these are given always");
            object(&server.get("/topics"))
        }
        "ended-by-operator" => {
            let server = Server::start(&[]);
            let mut poll = server.client();
            poll.send_request("GET", "/topics/news?wait=25", &[], b"");
            server.await_metric("tidings_subscriptions{wire=\"poll\"}", 1);
            let listed = server.get("/connections?topic=news").json();
            let id = string(&listed["connections"][0]["id"]);
            assert_eq!(
                server.request("DELETE", &format!("/connections/{id}"), &[], b"").status,
                204
            );
            object(&poll.answer())
        }
        "too-many-reads" => {
            let server = Server::start(&["--reads-per-second", "1"]);
            let mut client = from(2, &server);
            loop {
                let answer = client.request("GET", "/topics/news", &[], b"");
                if answer.status != 200 {
                    return object(&answer);
                }
            }
        }
        "too-many-connections-from-address" => {
            let server = Server::start(&["--connections-per-address", "1"]);
            let mut first = from(2, &server);
            assert_eq!(first.request("GET", "/healthz", &[], b"").status, 200);
            object(&from(2, &server).request("GET", "/topics/news", &[], b""))
        }
        "too-many-connections" => {
            let server = Server::start(&["--connections-max", "1"]);
            let mut first = server.client();
            assert_eq!(first.request("GET", "/healthz", &[], b"").status, 200);
            object(&server.get("/topics/news"))
        }
        "draining" => {
            let server = Server::start(&["--drain-spread", "60", "--drain-max", "60"]);
            let mut client = server.client();
            // Half a request: the connection is not ended while it is in the middle of something.
            client.send("GET /readyz HTTP/1.1\r\n");
            server.ask_until("it has arrived", || server.metric("tidings_connections") == 2);
            server.signal("-TERM");
            server.await_log("draining");
            // The listener is closed in the same tick in which the drain begins.
            server.ask_until("no connection is accepted", || {
                std::net::TcpStream::connect(server.address()).is_err()
            });
            client.send("Host: example.org\r\n\r\n");
            object(&client.answer())
        }
        _ => panic!("{slug} is neither shown, nor provoked, nor said to be elsewhere"),
    }
}
