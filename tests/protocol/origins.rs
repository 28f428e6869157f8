//! Clause 14: whose pages may talk to this server.

use crate::support::*;

const FOREIGN: (&str, &str) = ("Origin", "https://app.example");

#[test]
fn clause_14_1_without_an_origin_or_with_the_servers_own_a_request_is_served() {
    let server = Server::start(&[]);
    let (http, https) =
        (format!("http://{}", server.address()), format!("https://{}", server.address()));
    for fields in [vec![], vec![("Origin", http.as_str())], vec![("Origin", https.as_str())]] {
        let answer = server.request("GET", "/topics/a", &fields, b"");
        assert_eq!(answer.status, 200, "{fields:?}");
        assert_eq!(answer.field("Access-Control-Allow-Origin"), None);
        assert_eq!(server.request("POST", "/topics/a", &fields, b"x").status, 201);
        assert_eq!(WebSocket::open(&server, "/topics/a", &fields).head.status, 101);
    }
    let named = [("Host", "push.example"), ("Origin", "https://PUSH.example")];
    assert_eq!(server.request("GET", "/topics/a", &named, b"").status, 200);
}

#[test]
fn clause_14_1_any_other_is_refused_for_every_method_websocket_and_preflights() {
    let server = Server::start(&[]);
    for origin in
        ["https://app.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "", "http://"]
    {
        let field = ("Origin", origin);
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            server.request(method, "/topics/a", &[field], b"").problem(403);
        }
        assert_eq!(server.request("HEAD", "/topics/a", &[field], b"").status, 403);
        server.request("GET", "/topics/a", &handshake(&[field]), b"").problem(403);
        let ndjson = ("Content-Type", "application/x-ndjson");
        server.request("POST", "/topics", &[field, ndjson], b"").problem(403);
        let preflight = [field, ("Access-Control-Request-Method", "POST")];
        let answer = server.request("OPTIONS", "/topics/a", &preflight, b"");
        answer.problem(403);
        assert_eq!(answer.field("Access-Control-Allow-Origin"), None);
    }
    assert_eq!(data(&server.poll("/topics/a")), [""; 0], "nothing was published");
}

#[test]
fn clause_14_1_an_origin_that_is_named_exactly_is_served() {
    let flags =
        ["--allow-origin", "https://app.example", "--allow-origin", "http://localhost:3000"];
    let server = Server::start(&flags);
    for origin in ["https://app.example", "http://localhost:3000"] {
        let answer = server.request("GET", "/topics/a", &[("Origin", origin)], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some(origin));
        assert_eq!(WebSocket::open(&server, "/topics/a", &[("Origin", origin)]).head.status, 101);
    }
    for origin in [
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://xapp.example",
        "http://localhost",
        "https://app.example/",
    ] {
        server.request("GET", "/topics/a", &[("Origin", origin)], b"").problem(403);
    }
}

#[test]
fn clause_14_2_an_allowed_foreign_origin_may_read_the_fields_it_needs_on_every_answer() {
    let server = Server::start(&["--allow-origin", "https://app.example"]);
    let batch = [FOREIGN, ("Content-Type", "application/x-ndjson")];
    let answers = [
        server.request("GET", "/topics/a", &[FOREIGN], b""),
        server.request("GET", "/topics/a?wait=0", &[FOREIGN], b""),
        server.request("HEAD", "/topics/a", &[FOREIGN], b""),
        server.request("POST", "/topics/a", &[FOREIGN], b"x"),
        server.request("DELETE", "/topics/a", &[FOREIGN], b""),
        server.request("POST", "/topics", &batch, b""),
        server.request("GET", "/topics/a*", &[FOREIGN], b""),
        server.request("PATCH", "/topics/a", &[FOREIGN], b""),
    ];
    for answer in &answers {
        assert_eq!(
            answer.field("Access-Control-Allow-Origin"),
            Some("https://app.example"),
            "{answer:?}"
        );
        assert_eq!(answer.field("Access-Control-Expose-Headers"), Some("ETag, Retry-After"));
        assert_eq!(answer.field("Access-Control-Allow-Credentials"), None, "never");
    }
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let stream = server.stream("/topics/a", &[FOREIGN, ("Accept", accept)]);
        assert_eq!(stream.head.field("Access-Control-Allow-Origin"), Some("https://app.example"));
        assert!(stream.head.field("Access-Control-Expose-Headers").is_some());
    }
}

#[test]
fn clause_14_2_if_all_are_allowed_the_answer_is_a_star() {
    let server = Server::start(&["--allow-origin", "*"]);
    for origin in ["https://app.example", "null"] {
        let answer = server.request("GET", "/topics/a", &[("Origin", origin)], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("*"));
    }
}

#[test]
fn clause_14_2_and_12_3_a_preflight_allows_what_the_api_needs_for_a_day() {
    let server = Server::start(&["--allow-origin", "https://app.example"]);
    let preflight = [
        FOREIGN,
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "idempotency-key"),
    ];
    let answer = server.request("OPTIONS", "/topics/a", &preflight, b"");
    assert_eq!(answer.status, 204);
    assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("https://app.example"));
    assert_eq!(answer.field("Access-Control-Max-Age"), Some("86400"));
    let methods = answer.field("Access-Control-Allow-Methods").unwrap();
    let headers = answer.field("Access-Control-Allow-Headers").unwrap().to_ascii_lowercase();
    assert!(["GET", "POST", "PUT", "DELETE"].iter().all(|method| methods.contains(method)));
    for header in ["content-type", "event-type", "idempotency-key", "last-event-id", "prefer"] {
        assert!(headers.contains(header), "{headers}");
    }
}
