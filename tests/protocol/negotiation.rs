//! Clause 6: how a wire is chosen.

use crate::support::*;

/// The content type that a GET is answered with; the head alone is read.
fn content_type(server: &Server, target: &str, fields: &[(&str, &str)]) -> String {
    let mut client = server.client();
    client.send_request("GET", target, fields, b"");
    let head = client.head();
    assert!(matches!(head.status, 200 | 101), "{head:?}");
    head.field("Content-Type").unwrap_or("websocket").to_owned()
}

#[test]
fn clause_6_1_and_6_2_the_highest_weight_among_the_names_we_know_wins() {
    let server = Server::start(&[]);
    let (poll, sse, ndjson) = ("application/json", "text/event-stream", "application/x-ndjson");
    for (accept, wanted) in [
        ("text/event-stream", sse),
        ("Text/Event-Stream", sse),
        ("application/x-ndjson", ndjson),
        ("application/json", poll),
        ("*/*", poll),
        ("text/*", poll),
        ("application/*", poll),
        ("text/html", poll),
        ("", poll),
        ("text/event-stream, */*", sse),
        ("text/html, text/event-stream;q=0.1", sse),
        ("application/json, text/event-stream;q=0.9", poll),
        ("application/json;q=0.5, text/event-stream;q=0.9", sse),
        ("application/json;q=0.5, text/event-stream;q=0.6, application/x-ndjson;q=0.7", ndjson),
        ("text/event-stream;q=0", poll),
        ("text/event-stream;q=0, application/x-ndjson;q=0.001", ndjson),
        ("text/event-stream ; q=0.3 , application/x-ndjson; q=0.2", sse),
        ("text/event-streamx", poll),
    ] {
        let chosen = content_type(&server, "/topics/news", &[("Accept", accept)]);
        assert_eq!(chosen, wanted, "{accept}");
    }
    assert_eq!(content_type(&server, "/topics/news", &[]), poll, "no Accept");
    let two = [("Accept", "text/html"), ("Accept", "text/event-stream")];
    assert_eq!(content_type(&server, "/topics/news", &two), sse, "two fields are one list");
}

#[test]
fn clause_6_1_an_upgrade_wins_over_accept_and_wait() {
    let server = Server::start(&[]);
    let fields = handshake(&[("Accept", "text/event-stream")]);
    assert_eq!(content_type(&server, "/topics/news?wait=5", &fields), "websocket");
}

#[test]
fn clause_6_1_a_stream_wins_over_wait() {
    let server = Server::start(&[]);
    let fields = [("Accept", "text/event-stream"), ("Prefer", "wait=30")];
    assert_eq!(content_type(&server, "/topics/news?wait=30", &fields), "text/event-stream");
}

#[test]
fn clause_6_1_an_upgrade_to_something_else_is_ignored() {
    let server = Server::start(&[]);
    let fields = [("Connection", "Upgrade"), ("Upgrade", "h2c")];
    assert_eq!(content_type(&server, "/topics/news", &fields), "application/json");
}

#[test]
fn clause_6_3_all_answers_carry_the_fields_that_caches_and_proxies_need() {
    let server = Server::start(&[]);
    server.publish("news", "x");
    let batch = [("Content-Type", "application/x-ndjson")];
    let answers = [
        server.get("/topics/news"),
        server.get("/topics/news?wait=0"),
        server.request("HEAD", "/topics/news", &[], b""),
        server.request("POST", "/topics/news", &[], b"x"),
        server.request("DELETE", "/topics/news", &[], b""),
        server.get("/topics/news?after=bad"),
        server.get("/nowhere"),
    ];
    for answer in answers {
        assert_eq!(answer.field("Cache-Control"), Some("no-cache"), "{answer:?}");
        assert_eq!(answer.field("Vary"), Some("Accept, Origin"), "{answer:?}");
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"), "{answer:?}");
    }
    let report = server.request("POST", "/topics", &batch, b"");
    assert_eq!(report.field("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(report.field("Vary"), Some("Accept, Origin"));
    assert_eq!(report.field("Cache-Control"), Some("no-cache, no-transform"));
    assert_eq!(report.field("X-Accel-Buffering"), Some("no"));
    for stream in [server.event_stream("/topics/news"), server.ndjson("/topics/news")] {
        let field = |name: &str| stream.head.field(name).map(str::to_owned);
        assert_eq!(field("Cache-Control").as_deref(), Some("no-cache, no-transform"));
        assert_eq!(field("Vary").as_deref(), Some("Accept, Origin"));
        assert_eq!(field("X-Content-Type-Options").as_deref(), Some("nosniff"));
        assert_eq!(field("X-Accel-Buffering").as_deref(), Some("no"));
    }
}

#[test]
fn clause_6_3_what_does_not_depend_on_the_request_does_not_vary() {
    let server = Server::start(&[]);
    for page in
        ["/", "/errors", "/page.js", "/page.css", "/tidings.js", "/healthz", "/readyz", "/metrics"]
    {
        let answer = server.get(page);
        let vary = (page == "/metrics").then_some("Accept, Origin");
        assert_eq!(answer.field("Vary"), vary, "{page}");
        assert_eq!(answer.field("Cache-Control"), Some("no-cache"), "{page}");
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"), "{page}");
    }
    let options = server.request("OPTIONS", "/topics/news", &[], b"");
    assert_eq!((options.status, options.field("Vary")), (204, Some("Origin")));
    let mut client = server.client();
    client.send_request("GET", "/topics/news", &handshake(&[]), b"");
    let switched = client.head();
    assert_eq!((switched.status, switched.field("Vary")), (101, None));
    for name in ["Cache-Control", "X-Content-Type-Options"] {
        assert_eq!((options.field(name), switched.field(name)), (None, None), "{name}");
    }
}
