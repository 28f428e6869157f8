//! 132 to 150: event streams, read by a parser that was written to the WHATWG text.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::afterwards::{assert_nothing_is_left, closed, subscriptions};
use crate::support::*;

const ACCEPT: (&str, &str) = ("Accept", "text/event-stream");

/// An open event stream with the parser at its end.
struct Listener {
    client: Client,
    source: EventSource,
    heard: std::collections::VecDeque<Heard>,
    /// Everything so far.
    raw: Vec<u8>,
}

impl Listener {
    fn open(server: &Server, target: &str, fields: &[(&str, &str)]) -> Self {
        let mut client = server.client();
        let fields: Vec<_> = fields.iter().copied().chain([ACCEPT]).collect();
        client.send_request("GET", target, &fields, b"");
        Self::read_head(client)
    }

    fn read_head(mut client: Client) -> Self {
        let head = client.head();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.field("Content-Type"), Some("text/event-stream"));
        let (source, heard, raw) = Default::default();
        Self { client, source, heard, raw }
    }

    /// Reads a chunk. False at the end.
    fn read(&mut self) -> bool {
        let chunk = self.client.chunk();
        let bytes = chunk.as_deref().unwrap_or_default();
        self.raw.extend_from_slice(bytes);
        self.heard.extend(self.source.take(bytes));
        chunk.is_some()
    }

    /// The next event.
    fn event(&mut self) -> Heard {
        while self.heard.is_empty() {
            assert!(self.read(), "an event, not the end");
        }
        self.heard.pop_front().unwrap()
    }

    /// Everything up to the end.
    fn rest(mut self) -> (Vec<Heard>, EventSource, Vec<u8>) {
        while self.read() {}
        self.client.assert_closed();
        (self.heard.into(), self.source, self.raw)
    }
}

/// What is left of a text when a browser has put its lines together again.
fn normalized(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Texts made of what is special to somebody.
fn nasty_texts(random: &mut fastrand::Rng, count: usize) -> Vec<String> {
    let parts = [
        "\r",
        "\n",
        "\r\n",
        "\n\n",
        " ",
        "  ",
        ":",
        "data: x",
        "id: 1",
        "event: e",
        "retry: 9",
        "\0",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "é",
        "漢",
        "𝄞",
        "\t",
        "\u{b}",
        "\u{7f}",
        "a",
        "\"",
        "\\",
        "\\ud800",
        "]]>",
        "0\r\n\r\n",
    ];
    let fixed = ["", "\n", "\r", " ", ":", "\u{feff}", "\0", "\n\n\n", " \n ", "a\n", "\na"];
    let random_text = |_| {
        let count = random.usize(0..12);
        (0..count).map(|_| parts[random.usize(..parts.len())]).collect()
    };
    fixed.map(str::to_owned).into_iter().chain((0..count).map(random_text)).collect()
}

#[test]
fn attack_132_133_134_any_text_is_read_back_by_a_parser_of_the_standard() {
    let mut random = fastrand::Rng::with_seed(132);
    let server = Server::start(&["--requests-max", "1000000"]);
    let mut plain = Listener::open(&server, "/topics/texts", &[]);
    let mut envelopes = Listener::open(&server, "/topics/texts?envelope", &[]);
    let mut replayed = Vec::new();
    let mut publisher = server.client();
    for text in nasty_texts(&mut random, 600) {
        let fields = [("Content-Type", "text/plain")];
        let answer = publisher.request("POST", "/topics/texts", &fields, text.as_bytes());
        assert_eq!(answer.status, 201, "{text:?}");
        let id = string(&answer.json()["id"]);
        let heard = Heard { event: "message".to_owned(), data: normalized(&text), id };
        assert_eq!(plain.event(), heard, "{text:?}");
        replayed.push(heard);
        // What lines cannot tell apart, the envelope does: byte for byte.
        let envelope: Value = serde_json::from_str(&envelopes.event().data).unwrap();
        assert_eq!(envelope["data"], text, "{text:?}");
    }
    let mut again = Listener::open(&server, "/topics/texts?after=earliest", &[]);
    for heard in replayed {
        assert_eq!(again.event(), heard, "in a replay too");
    }
    drop((plain, envelopes, again, publisher));
    assert_nothing_is_left(&server);
}

#[test]
fn attack_134_nul_separators_and_marks_pass_and_the_first_bytes_are_never_payload() {
    for_workers(&[], |server| {
        server.publish("marks", "\u{feff}first");
        let json = [("Content-Type", "application/json")];
        let post =
            |body: &str| server.request("POST", "/topics/marks", &json, body.as_bytes()).status;
        // Half a surrogate pair is no text, and some parsers fail at it (RFC 8259 §8.2).
        assert_eq!(post(r#"{"lone":"\ud800"}"#), 400);
        assert_eq!(post(r#"{"pair":"\ud83d\ude00","nul":"\u0000"}"#), 201);
        for query in ["?after=earliest", "?after=earliest&envelope"] {
            let mut listener = Listener::open(server, &format!("/topics/marks{query}"), &[]);
            let first = listener.event().data;
            assert!(first.contains("\u{feff}first"), "the mark is not eaten: {first:?}");
            assert!(listener.event().data.contains(r#"{"pair":"\ud83d\ude00","nul":"\u0000"}"#));
            assert!(listener.raw.starts_with(b"retry: "), "the server's own bytes come first");
        }
    });
}

#[test]
fn attack_135_136_ids_are_the_servers_own_and_never_empty() {
    for_workers(
        &["--heartbeat", "0.2", "--log-messages", "2", "--drain-spread", "0.05"],
        |server| {
            // A publisher has no way to say an id.
            let line = b"{\"topic\":\"ids\",\"data\":\"x\",\"id\":\"a\\nb\"}\n";
            let fields = [("Content-Type", "application/x-ndjson")];
            let answer = server.request("POST", "/topics", &fields, line);
            assert!(answer.text().contains("\"status\":400"), "{}", answer.text());
            for key in ["a\rb", "a\nb", "a\0b", "é"] {
                let line = json!({"topic": "ids", "data": "x", "key": key}).to_string() + "\n";
                let answer = server.request("POST", "/topics", &fields, line.as_bytes());
                assert!(answer.text().contains("\"status\":400"), "{key:?}: {}", answer.text());
            }
            let cursor = server.publish("ids", "1");
            let listeners = ["", "?after=earliest", "?after=nonsense", &format!("?after={cursor}")]
                .map(|query| Listener::open(server, &format!("/topics/ids{query}"), &[]));
            let several = Listener::open(server, "/topics/ids,fresh,other", &[]);
            let fresh = Listener::open(server, "/topics/fresh", &[]);
            for number in 2..=6 {
                server.publish("ids", &number.to_string());
            }
            // Heartbeats too.
            let mut quiet = Listener::open(server, "/topics/quiet", &[]);
            while quiet.source.comments < 3 {
                quiet.read();
            }
            server.terminate();
            for listener in listeners.into_iter().chain([several, fresh, quiet]) {
                let (heard, source, raw) = listener.rest();
                let text = String::from_utf8(raw).unwrap();
                for line in text.lines().filter_map(|line| line.strip_prefix("id:")) {
                    let id = line.strip_prefix(' ').unwrap();
                    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
                    assert!(!id.is_empty() && id.bytes().all(is_safe), "{id:?}");
                    assert!(id.split('.').all(|one| one.len() <= 32), "{id:?}");
                }
                assert!(source.ids > 0 && !source.last_id().is_empty());
                assert_eq!(heard.last().unwrap().event, "tidings:drain");
            }
        },
    );
}

#[test]
fn attack_137_an_event_name_with_a_control_character_is_refused_and_retry_is_digits() {
    let server = Server::start(&[]);
    for bad in ["%0A", "a%0Ab", "a%0Db", "a%00b", "a%7Fb", "a%09b", "%C2%85", "tidings:gap", ""] {
        let target = format!("/topics/named?event={bad}");
        server.request("POST", &target, &[], b"x").problem(400);
    }
    for bad in ["\t", "a\tb", "a\u{85}b", "tidings:drain"] {
        let answer = server.request("POST", "/topics/named", &[("Event-Type", bad)], b"x");
        // White space around a value is not part of it, and a value of nothing is no name.
        assert_eq!(answer.status, 400, "{bad:?}");
    }
    let fields = [("Content-Type", "application/x-ndjson")];
    for bad in ["a\nb", "a\rb", "a\0b", "tidings:x"] {
        let line = json!({"topic": "named", "data": "x", "event": bad}).to_string() + "\n";
        let answer = server.request("POST", "/topics", &fields, line.as_bytes());
        assert!(answer.text().contains("\"status\":400"), "{bad:?}: {}", answer.text());
    }
    let mut listener = Listener::open(&server, "/topics/named?after=earliest", &[]);
    let good = "é: data: x";
    let answer = server.request("POST", "/topics/named", &[("Event-Type", good)], b"y");
    assert_eq!(answer.status, 201);
    let heard = listener.event();
    assert_eq!((heard.event.as_str(), heard.data.as_str()), (good, "y"), "and nothing before it");
    // The parser takes digits only.
    assert!(listener.source.retry.is_some());
}

#[test]
fn attack_138_what_is_not_utf_8_is_base64_or_refused_and_never_on_the_stream() {
    for_workers(&[], |server| {
        let mut listener = Listener::open(server, "/topics/bytes", &[]);
        let bad = [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"];
        for bytes in bad {
            let post = |content_type: &str| {
                let fields = [("Content-Type", content_type)];
                server.request("POST", "/topics/bytes", &fields, bytes)
            };
            post("text/plain").problem(415);
            post("application/json").problem(400);
            assert_eq!(post("application/octet-stream").status, 201);
            let absent = server.request("POST", "/topics/bytes", &[], bytes);
            assert_eq!(absent.status, 201);
            for _ in 0..2 {
                let data = listener.event().data;
                assert_eq!(base64(&data), bytes, "{data}");
            }
        }
    });
}

/// Decodes base64 (RFC 4648 §4).
fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{text:?}"),
    };
    assert_eq!(text.len() % 4, 0, "{text:?}");
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | u32::from(value(byte));
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[test]
fn attack_141_whatever_comes_as_last_event_id_a_stream_that_is_reconnected_gets_200() {
    for_workers(&[], |server| {
        let id = server.publish("again", "kept");
        let epoch = id.split_once('-').unwrap().0;
        let long = "x".repeat(10_000);
        let ahead = [2, u64::MAX - 1, u64::MAX, 1 << 63].map(|ahead| format!("{epoch}-{ahead}"));
        let overflow = [format!("{epoch}-18446744073709551616"), format!("{epoch}-01")];
        let fixed = ["abc", "-1", "é", "\u{feff}", "0", "zzzzzzzz-1", "a.b.c", "\"", "[0]", &long];
        for bad in fixed.into_iter().chain(ahead.iter().chain(&overflow).map(String::as_str)) {
            let mut listener = Listener::open(server, "/topics/again", &[("Last-Event-ID", bad)]);
            let gap = listener.event();
            assert_eq!(gap.event, "tidings:gap", "{bad:?}");
            let told: Value = serde_json::from_str(&gap.data).unwrap();
            assert_eq!(told, json!({"topic": "again", "count": null}));
            let kept = listener.event();
            assert_eq!((kept.data.as_str(), kept.id.as_str()), ("kept", id.as_str()));
        }
        // Bytes that are not even UTF-8.
        let mut client = server.client();
        client.send("GET /topics/again HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n");
        client.send(b"Last-Event-ID: \xff\xfe\r\n\r\n");
        assert_eq!(Listener::read_head(client).event().event, "tidings:gap");
        // Longer than a head may be is a request like any other that is: but no id of ours is.
        let longer = [ACCEPT, ("Last-Event-ID", &"x".repeat(64 * 1024))];
        let mut client = server.client();
        let request = client.encode_request("GET", "/topics/again", &longer, b"");
        client.try_send(&request);
        client.answer().problem(431);
        drop(client);
        assert_nothing_is_left(server);
    });
}

#[test]
fn attack_142_the_cursor_in_the_header_wins_over_the_one_in_the_query() {
    for_workers(&[], |server| {
        let ids: Vec<String> = (1..=4).map(|n| server.publish("both", &n.to_string())).collect();
        for (header, query, first) in [(0, 2, "2"), (2, 0, "4")] {
            let target = format!("/topics/both?after={}", ids[query]);
            let fields = [("Last-Event-ID", ids[header].as_str())];
            assert_eq!(Listener::open(server, &target, &fields).event().data, first);
        }
    });
}

#[test]
fn attack_144_a_slow_reader_of_a_long_log_is_sent_it_as_it_reads() {
    let flags = ["--log-bytes", "64M", "--log-messages", "2000", "--write-progress", "60"];
    for_workers(&flags, |server| {
        let lines: String = (0..2_000)
            .map(|number| format!("{{\"topic\":\"long\",\"data\":\"{number:020000}\"}}\n"))
            .collect();
        let fields = [("Content-Type", "application/x-ndjson")];
        let answer = server.request("POST", "/topics", &fields, lines.as_bytes());
        assert_eq!(answer.text().matches("\"id\"").count(), 2_000);
        let delivered = "tidings_messages_delivered_total";
        let mut slow = Client::connect_narrow(4096, server.address());
        slow.send_request("GET", "/topics/long?after=earliest", &[ACCEPT], b"");
        let mut listener = Listener::read_head(slow);
        for number in 0..10 {
            assert_eq!(listener.event().data, format!("{number:020000}"));
        }
        // Another one has read it all: that long the slow one could have been copied for.
        let mut quick = Listener::open(server, "/topics/long?after=earliest", &[]);
        for number in 0..2_000 {
            assert_eq!(quick.event().data, format!("{number:020000}"));
        }
        let for_slow = server.metric(delivered) - 2_000;
        // Ten were read; 64 KiB of outbox, and what the two kernels hold.
        assert!(for_slow < 1_000, "{for_slow} messages of 20 kB were queued for it");
        for number in 10..2_000 {
            assert_eq!(listener.event().data, format!("{number:020000}"));
        }
    });
}

#[test]
fn attack_145_overload_is_200_with_a_retry_of_each_clients_own_and_a_clean_end() {
    let server = Server::start(&["--connections-max", "1"]);
    let kept = Listener::open(&server, "/topics/full", &[]);
    let mut retries = BTreeSet::new();
    for _ in 0..30 {
        let (heard, source, raw) = Listener::open(&server, "/topics/full", &[]).rest();
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].event, "tidings:refused");
        let problem: Value = serde_json::from_str(&heard[0].data).unwrap();
        assert_eq!(problem["status"], 503);
        assert!(raw.starts_with(b"retry: ") && raw.ends_with(b"\n\n"), "a complete event");
        retries.insert(source.retry.unwrap());
    }
    assert!(retries.len() > 10, "they do not come back together: {retries:?}");
    assert!(retries.iter().all(|ms| (200..=1_200).contains(ms)), "{retries:?}");
    drop(kept);
    assert_nothing_is_left(&server);
    assert_eq!(server.get("/healthz").text(), "ok\n");
}

#[test]
fn attack_145_a_drain_ends_behind_a_complete_event_with_a_retry_of_each_clients_own() {
    let server = Server::start(&["--drain-spread", "0.2"]);
    let listeners: Vec<_> = (0..30).map(|_| Listener::open(&server, "/topics/a", &[])).collect();
    server.publish("a", "last");
    server.terminate();
    let mut retries = BTreeSet::new();
    for listener in listeners {
        let (heard, source, raw) = listener.rest();
        let events: Vec<&str> = heard.iter().map(|heard| heard.event.as_str()).collect();
        assert_eq!(events, ["message", "tidings:drain"]);
        let told: Value = serde_json::from_str(&heard[1].data).unwrap();
        assert_eq!(told["retry_ms"].as_u64(), source.retry, "the same delay");
        assert_eq!(source.last_id(), heard[0].id, "it comes back behind what it has heard");
        assert!(raw.ends_with(b"\n\n"));
        retries.extend(source.retry);
    }
    assert!(retries.len() > 10, "{retries:?}");
}

#[test]
fn attack_146_a_heartbeat_is_a_comment_and_does_not_move_the_cursor() {
    for_workers(&["--heartbeat", "0.1"], |server| {
        let id = server.publish("quiet", "x");
        let mut listener = Listener::open(server, "/topics/quiet", &[]);
        while listener.source.comments < 6 {
            listener.read();
        }
        assert!(listener.heard.is_empty(), "no event");
        assert_eq!((listener.source.last_id(), listener.source.ids), (id.as_str(), 1));
        let next = server.publish("quiet", "y");
        assert_eq!(listener.event().id, next);
    });
}

#[test]
fn attack_148_what_a_client_sends_on_an_open_stream_is_dropped_and_then_closed_and_never_answered()
{
    for_workers(&[], |server| {
        let mut listener = Listener::open(server, "/topics/open", &[]);
        let requests = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nDELETE /topics/open HTTP/1.1\r\nHost: \
                        h\r\n\r\n";
        listener.client.send(requests);
        let id = server.publish("open", "heard");
        assert_eq!(listener.event().id, id, "nothing was answered or deleted between");
        listener.client.send(vec![b'x'; 4096 - requests.len()]);
        let id = server.publish("open", "heard again");
        assert_eq!(listener.event().id, id);
        listener.client.send(b"one too many");
        let rest = listener.client.rest();
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
        server.await_metric(&closed("unexpected_input"), 1);
        // A request that was pipelined in the same segment is not answered inside of the stream either.
        let mut client = server.client();
        let stream = client.encode_request("GET", "/topics/open", &[ACCEPT], b"");
        client.send([stream.as_slice(), requests.as_bytes()].concat());
        let mut listener = Listener::read_head(client);
        let id = server.publish("open", "and again");
        assert_eq!(listener.event().id, id);
        drop(listener);
        assert_nothing_is_left(server);
    });
}

#[test]
fn attack_150_who_asks_for_html_or_for_nothing_gets_a_poll_at_once() {
    for_workers(&[], |server| {
        server.publish("page", "x");
        let wanted: [&[(&str, &str)]; 6] = [
            &[],
            &[("Accept", "text/html")],
            &[("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")],
            &[("Accept", "text/event-stream;q=0")],
            &[("Accept", "text/*")],
            &[("Accept", "")],
        ];
        for fields in wanted {
            let answer = server.request("GET", "/topics/page", fields, b"");
            assert_eq!(answer.status, 200, "{fields:?}");
            assert_eq!(answer.field("Content-Type"), Some("application/json"), "{fields:?}");
            assert_eq!(data(&answer.json()), ["x"]);
        }
        assert_eq!(server.metric(&subscriptions("sse")), 0);
    });
}
