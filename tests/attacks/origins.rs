//! 199 to 207, as far as it exists: origins, CORS, error texts.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use crate::refusal::*;
use crate::support::*;

#[test]
fn attack_199_a_refused_origin_learns_nothing_about_topics() {
    attack(&[], |server| {
        server.publish("there", "x");
        let ask = |method: &str, topic: &str| {
            let fields = [("Origin", "https://evil.example")];
            let mut answer = server.request(method, &format!("/topics/{topic}"), &fields, b"");
            assert_eq!(answer.status, 403, "{method} {topic}");
            answer.head.fields.retain(|(name, _)| name != "Date");
            (answer.head.fields, answer.body)
        };
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FROB"] {
            // It is refused before anything else of the request is looked at.
            let expected = ask(method, "there");
            for topic in ["absent", "a*", "a,b", "a?after=x", "a%00b", "a/b"] {
                assert_eq!(ask(method, topic), expected, "{method} {topic}");
            }
        }
        server.request("DELETE", "/topics/absent", &[], b"").problem(404);
    });
}

#[test]
fn attack_203_credentials_are_never_allowed_and_no_origin_is_reflected() {
    let origins = [
        "https://evil.example",
        "null",
        "https://good.example",
        "https://good.example.evil.example",
        "file://",
    ];
    for (flags, allowed) in [
        (&[][..], None),
        (&["--allow-origin", "https://good.example"], Some("https://good.example")),
        (&["--allow-origin", "*"], Some("*")),
    ] {
        attack(flags, |server| {
            for origin in origins {
                let expected = match allowed {
                    Some("*") => Some("*"),
                    Some(only) if only == origin => allowed,
                    _ => None,
                };
                let fields =
                    [("Origin", origin), ("Cookie", "a=b"), ("Authorization", "Basic eDp5")];
                let preflight = [fields[0], ("Access-Control-Request-Method", "POST")];
                let answers = [
                    server.request("GET", "/topics/a", &fields, b""),
                    server.request("GET", "/topics/a?wait=0", &fields, b""),
                    server.request("POST", "/topics/a", &fields, b"x"),
                    server.request("GET", "/topics/a*", &fields, b""),
                    server.request("OPTIONS", "/topics/a", &preflight, b""),
                ];
                for answer in &answers {
                    assert_eq!(
                        answer.field("Access-Control-Allow-Origin"),
                        expected,
                        "{origin}: {answer:?}"
                    );
                    assert_eq!(answer.field("Access-Control-Allow-Credentials"), None, "{origin}");
                    assert!(answer.field("Vary").unwrap().contains("Origin"), "{answer:?}");
                    assert_eq!(answer.status == 403, expected.is_none(), "{answer:?}");
                }
                let age = answers[4].field("Access-Control-Max-Age");
                assert_eq!(age, expected.map(|_| "86400"), "preflights are cached");
            }
        });
    }
}

#[test]
fn attack_204_a_form_of_another_site_publishes_nothing() {
    attack(&[], |server| {
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=b",
            "application/x-ndjson",
        ] {
            for origin in ["https://evil.example", "null"] {
                for site in ["cross-site", "same-site", "none"] {
                    let fields = [
                        ("Origin", origin),
                        ("Content-Type", content_type),
                        ("Sec-Fetch-Site", site),
                        ("Sec-Fetch-Mode", "no-cors"),
                        ("Cookie", "session=1"),
                    ];
                    let line = b"{\"topic\":\"smuggled\",\"data\":1}\n";
                    server.request("POST", "/topics/smuggled", &fields, line).problem(403);
                    server.request("POST", "/topics", &fields, line).problem(403);
                }
            }
        }
        assert_eq!(server.metric("tidings_messages_published_total"), 0);
    });
}

#[test]
fn attack_205_error_texts_say_nothing_of_the_inside() {
    let server = Server::start(&["--body-bytes-max", "1K", "--topics-max", "3"]);
    server.publish("a", "x");
    let secret = "zqxjkv";
    let json = ("Content-Type", "application/json");
    let batch = ("Content-Type", "application/x-ndjson");
    let large = "x".repeat(2_000);
    let mut texts = BTreeSet::new();
    for (method, target, fields, body) in [
        ("GET", "/topics/zqxjkv*", vec![], ""),
        ("GET", "/topics/%FFzqxjkv", vec![], ""),
        ("GET", "/topics/a?after=zqxjkv", vec![], ""),
        ("GET", "/topics/a?wait=zqxjkv", vec![], ""),
        ("GET", "/topics/a?last=zqxjkv", vec![], ""),
        ("GET", "/zqxjkv", vec![], ""),
        ("zqxjkv", "/", vec![], ""),
        ("PATCH", "/topics/zqxjkv", vec![], ""),
        ("GET", "/topics/a", vec![("Origin", "https://zqxjkv.example")], ""),
        ("GET", "/topics/a", vec![("Expect", secret)], ""),
        ("POST", "/topics/a", vec![json], "{\"zqxjkv\": "),
        ("POST", "/topics/a", vec![("Content-Type", "text/plain; charset=zqxjkv")], "\u{fffd}"),
        ("POST", "/topics/a", vec![("Content-Encoding", secret)], ""),
        ("POST", "/topics/a", vec![("Idempotency-Key", "zqxjkv zqxjkv")], ""),
        ("POST", "/topics/a?event=tidings:zqxjkv", vec![], ""),
        ("POST", "/topics/a", vec![], &large),
        ("POST", "/topics", vec![json], "zqxjkv"),
        ("POST", "/topics", vec![batch], "zqxjkv\n{\"topic\":\"zqxjkv*\",\"data\":1}\n"),
    ] {
        let text = server.request(method, target, &fields, body.as_bytes()).text();
        texts.extend(text.lines().map(str::to_owned));
    }
    let (mut socket, _) = server.json_websocket("/topics");
    for command in [
        "zqxjkv",
        "{\"type\":\"zqxjkv\"}",
        "{\"type\":\"publish\",\"topic\":\"zqxjkv*\",\"data\":1}",
    ] {
        texts.insert(socket.command(command).to_string());
    }
    for name in ["b", "c", "d"] {
        texts.insert(server.request("POST", &format!("/topics/{name}"), &[], b"x").text());
    }
    for head in ["GET /zqxjkv\r\n", "GET / HTTP/1.1\r\nHost: zq xjkv\r\n\r\n", "GET / HTTP/7.3\r\n"]
    {
        texts.insert(server.client().exchange(head).text());
    }
    // Some were served after all.
    texts.retain(|text| text.contains("\"detail\""));
    assert!(texts.len() > 20, "{texts:#?}");
    for text in &texts {
        for inside in [
            secret,
            "src/",
            ".rs",
            "/tmp",
            "/home",
            "0x",
            "panick",
            "unwrap",
            "line 1 column",
            "Error(",
            "::",
            "os error",
        ] {
            assert!(!text.contains(inside), "{inside:?} in {text}");
        }
    }
}

/// The names of all metrics, with their labels.
fn names(server: &Server) -> BTreeSet<String> {
    let text = server.get("/metrics").text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn attack_206_metrics_do_not_grow_with_topics_or_peers() {
    attack(&[], |server| {
        let before = names(server);
        for number in 0..300 {
            server.publish(&format!("zqxjkv{number}"), "x");
            server.get(&format!("/topics/zqxjkv{number}?after=zqxjkv")).problem(400);
            server.get(&format!("/zqxjkv{number}")).problem(404);
            server.client().exchange(request(&format!("ZQXJKV{number}"), "/", "")).problem(501);
        }
        for last in 2..30 {
            let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
            let mut client = Client::connect_from(address, server.address());
            assert_eq!(
                client.request("GET", "/topics/a", &[("User-Agent", "zqxjkv")], b"").status,
                200
            );
        }
        assert_eq!(names(server), before);
        assert!(!server.get("/metrics").text().contains("zqxjkv"));
    });
}

#[test]
fn attack_207_a_door_that_is_open_to_all_is_said_at_the_start() {
    let warning = "--allow-origin *: pages of every site may read and publish";
    assert!(Server::start(&["--allow-origin", "*"]).said_first.contains(warning));
    assert!(
        !Server::start(&["--allow-origin", "https://good.example"]).said_first.contains("WARN")
    );
    assert!(!Server::start(&[]).said_first.contains("WARN"));
}
