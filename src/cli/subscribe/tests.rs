//! Subscribers against a server that does what a script says.

use std::net::TcpStream;

use clap::Parser;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::CloseFrame;

use super::*;
use crate::cli::scripted::{Step, answer, chunked, serve, whole};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: SubscribeArguments,
}

/// Runs a command line against a script: the outcome, what was printed, the notices, the requests.
fn subscribe(line: &str, steps: Vec<Step>) -> (Result<(), Failure>, String, String, Vec<String>) {
    let (url, serving) = serve(steps);
    let line = format!("subscribe {line} --url {url}");
    let arguments = Line::parse_from(line.split(' ')).arguments;
    let (mut payloads, mut notices) = (Vec::new(), Vec::new());
    let outcome = follow(&arguments, &mut payloads, &mut notices);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (outcome, text(payloads), text(notices), serving.join().unwrap())
}

fn sse(body: &str, ends: bool) -> Step {
    answer(chunked("text/event-stream", body, ends))
}

fn ndjson(body: &str, ends: bool) -> Step {
    answer(chunked("application/x-ndjson", body, ends))
}

fn page(body: &str) -> Step {
    answer(whole("200 OK", "Content-Type: application/json\r\n", body))
}

fn websocket(sent: &'static [&'static str], close: Option<(u16, &'static str)>) -> Step {
    Box::new(move |stream: TcpStream| {
        let mut target = String::new();
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let accept = |request: &Request, mut response: Response| {
            target = request.uri().to_string();
            let protocol = request.headers()["sec-websocket-protocol"].clone();
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            Ok(response)
        };
        let mut socket = tungstenite::accept_hdr(stream, accept).unwrap();
        for text in sent {
            socket.send(tungstenite::Message::text(*text)).unwrap();
        }
        let frame =
            close.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() });
        if frame.is_some() {
            socket.close(frame).unwrap();
        }
        while socket.read().is_ok() {}
        target
    })
}

#[test]
fn an_event_stream_is_taken_up_where_it_was_cut() {
    let (outcome, payloads, notices, requests) = subscribe(
        "news --count 3 --after e-0",
        vec![
            sse("retry: 5\nid: e-0\n\n: hi\n\nid: e-1\ndata: a\ndata: b\n\n", false),
            sse("retry: 5\nid: e-1\n\n: hi\n\n", true),
            sse(
                "event: tidings:gap\nid: e-4\ndata: {\"topic\":\"news\",\"count\":3}\n\n\
                 id: e-5\nevent: edit\ndata: c\n\nevent: tidings:new\ndata: x\n\n\
                 id: e-6\ndata:\n\n",
                true,
            ),
        ],
    );
    outcome.unwrap();
    assert_eq!(payloads, "a\nb\nc\n\n");
    assert_eq!(
        notices,
        "tidings: the connection was cut; coming back in 0.0 s\n\
         tidings: the server ended the stream; coming back in 0.0 s\n\
         gap: 3 messages of \"news\" are gone\n"
    );
    assert!(requests[0].starts_with("GET /topics/news?after=e-0 HTTP/1.1\r\n"));
    assert!(requests[0].contains("\r\nAccept: text/event-stream\r\n"));
    assert!(requests[1].starts_with("GET /topics/news?after=e-1 "));
    assert!(requests[2].starts_with("GET /topics/news?after=e-1 "));
}

#[test]
fn an_event_becomes_an_envelope_as_far_as_it_is_known() {
    let (outcome, payloads, ..) = subscribe(
        "news --count 2 --json",
        vec![sse("id: e-1\nevent: edit\ndata: {\"a\":1}\n\nid: e-2\ndata: b\n\n", true)],
    );
    outcome.unwrap();
    assert_eq!(
        payloads,
        "{\"topic\":\"news\",\"id\":\"e-1\",\"event\":\"edit\",\"data\":\"{\\\"a\\\":1}\"}\n\
         {\"topic\":\"news\",\"id\":\"e-2\",\"data\":\"b\"}\n"
    );
}

#[test]
fn a_stream_that_is_refused_for_now_obeys_retry() {
    let problem =
        "retry: 20\n\nevent: tidings:refused\ndata: {\"title\":\"Busy\",\"status\":503}\n\n";
    let (outcome, payloads, notices, _) =
        subscribe("news --count 1", vec![sse(problem, true), sse("id: e-1\ndata: a\n\n", true)]);
    outcome.unwrap();
    assert_eq!(payloads, "a\n");
    assert_eq!(notices, "tidings: the server refused for now: 503 Busy; coming back in 0.0 s\n");
}

#[test]
fn ndjson_takes_the_cursor_of_all_topics_and_passes_envelopes_on() {
    let first =
        "{\"topic\":\"a\",\"id\":\"e-1\",\"cursor\":\"m-1\",\"time\":1,\"data\":{\"x\": 1}}";
    let second = "{\"topic\":\"b\",\"id\":\"f-1\",\"cursor\":\"m-2\",\"time\":1,\"data\":\"y\"}";
    let (outcome, payloads, notices, requests) = subscribe(
        "a,b,a --via ndjson --count 2 --json --last 5",
        vec![
            ndjson(&format!("{{\"type\":\"open\",\"cursor\":\"m-0\"}}\n\n{first}\n"), false),
            ndjson(
                "{\"type\":\"gap\",\"topic\":\"b\",\"count\":null,\"cursor\":\"m-9\"}\n\
                 {\"type\":\"drain\",\"retry_ms\":1}\n",
                true,
            ),
            ndjson(&format!("{second}\n"), true),
        ],
    );
    outcome.unwrap();
    assert_eq!(payloads, format!("{first}\n{second}\n"));
    assert!(notices.contains("gap: messages of \"b\" are gone\n"), "{notices}");
    assert!(notices.ends_with("ended the stream; coming back in 0.0 s\n"), "{notices}");
    assert!(requests[0].starts_with("GET /topics/a,b?last=5 "));
    assert!(requests[1].starts_with("GET /topics/a,b?after=m-1 "));
    assert!(requests[2].starts_with("GET /topics/a,b?after=m-9 "));
}

#[test]
fn long_polls_begin_with_a_cursor_and_then_wait() {
    let (outcome, payloads, notices, requests) = subscribe(
        "news --via long-poll --count 2",
        vec![
            page("{\"messages\":[],\"cursor\":\"e-1\"}"),
            page(
                "{\"gap\":[{\"topic\":\"news\",\"count\":1}],\"cursor\":\"e-3\",\"messages\":\
                 [{\"topic\":\"news\",\"id\":\"e-3\",\"data\":\"a\"}]}",
            ),
            answer(whole("503 Service Unavailable", "Retry-After: 0\r\n", "")),
            page("{\"messages\":[{\"id\":\"e-4\",\"data\":[1,2]}],\"cursor\":\"e-4\"}"),
        ],
    );
    outcome.unwrap();
    assert_eq!(payloads, "a\n[1,2]\n");
    assert_eq!(
        notices,
        "gap: 1 message of \"news\" is gone\n\
         tidings: the server refused: status 503; coming back in 0.0 s\n"
    );
    assert!(requests[0].starts_with("GET /topics/news?after=latest&wait=0 "));
    assert!(requests[1].starts_with("GET /topics/news?after=e-1&wait=22 "));
    assert!(requests[2].starts_with("GET /topics/news?after=e-3&wait=22 "));
    assert!(requests[3].starts_with("GET /topics/news?after=e-3&wait=22 "));
}

#[test]
fn short_polls_go_on_at_once_while_there_is_more() {
    let (outcome, payloads, _, requests) = subscribe(
        "news --via poll --count 2 --interval 0.01 --after earliest",
        vec![
            page(
                "{\"messages\":[{\"id\":\"e-1\",\"data\":\"a\"}],\"cursor\":\"e-1\",\"more\":true}",
            ),
            page("{\"messages\":[],\"cursor\":\"e-1\"}"),
            page("{\"messages\":[{\"id\":\"e-2\",\"data\":\"b\"}],\"cursor\":\"e-2\"}"),
        ],
    );
    outcome.unwrap();
    assert_eq!(payloads, "a\nb\n");
    assert!(requests[0].starts_with("GET /topics/news?after=earliest HTTP/1.1\r\n"));
    assert!(requests[2].starts_with("GET /topics/news?after=e-1 HTTP/1.1\r\n"));
}

#[test]
fn a_websocket_comes_back_when_its_close_says() {
    let (outcome, payloads, notices, targets) = subscribe(
        "news --via websocket --count 2",
        vec![
            websocket(
                &["{\"type\":\"open\",\"cursor\":\"e-0\"}", "{\"id\":\"e-1\",\"data\":\"a\"}"],
                Some((1012, "retry_ms=3")),
            ),
            websocket(
                &[
                    "{\"type\":\"gap\",\"topic\":\"news\",\"count\":2,\"cursor\":\"e-3\"}",
                    "{\"id\":\"e-4\",\"encoding\":\"base64\",\"data\":\"aGk=\"}",
                ],
                None,
            ),
        ],
    );
    outcome.unwrap();
    assert_eq!(payloads, "a\nhi\n");
    assert_eq!(
        notices,
        "tidings: the server closed the connection (1012); coming back in 0.0 s\n\
         gap: 2 messages of \"news\" are gone\n"
    );
    assert_eq!(targets, ["/topics/news?after=latest", "/topics/news?after=e-1"]);
}

#[test]
fn a_refusal_that_never_mends_ends_every_wire() {
    for via in ["sse", "ndjson", "poll", "long-poll", "websocket"] {
        let problem = "{\"title\":\"Bad Request\",\"status\":400,\"detail\":\"No such thing.\"}";
        let refusal = whole("400 Bad Request", "", problem);
        let (outcome, ..) = subscribe(&format!("news --via {via}"), vec![answer(refusal)]);
        let Err(Failure::Final(why)) = outcome else { panic!("{via}: {outcome:?}") };
        assert_eq!(why, "the server refused: 400 Bad Request: No such thing.");
    }
}

#[test]
fn another_kind_of_answer_is_not_taken_for_a_stream() {
    let (outcome, ..) =
        subscribe("news", vec![answer(whole("200 OK", "Content-Type: text/html\r\n", "<p>"))]);
    assert!(matches!(outcome, Err(Failure::Final(_))), "{outcome:?}");
}

#[test]
fn a_silent_server_is_given_up_on_every_wire() {
    for via in ["sse", "ndjson", "poll", "long-poll", "websocket"] {
        let silent: Step = Box::new(|mut stream| {
            // Until the client has gone away.
            io::copy(&mut stream, &mut io::sink()).unwrap();
            String::new()
        });
        let refusal = answer(whole("404 Not Found", "", ""));
        let line = format!("news --via {via} --silence-max 0.05");
        let (outcome, _, notices, _) = subscribe(&line, vec![silent, refusal]);
        assert!(matches!(outcome, Err(Failure::Final(_))), "{via}: {outcome:?}");
        assert!(notices.starts_with("tidings: the server has fallen silent; "), "{via}: {notices}");
    }
}

#[test]
fn a_malformed_url_is_final() {
    let line = ["subscribe", "news", "--url", "https://example.org"];
    let arguments = Line::parse_from(line).arguments;
    let outcome = follow(&arguments, &mut Vec::new(), &mut Vec::new());
    assert!(matches!(outcome, Err(Failure::Final(_))));
}
