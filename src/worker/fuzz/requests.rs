//! Well-formed things to send, so that a script reaches what lies behind the parsers.

/// A whole request, and what is known of its answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) text: &'static str,
    pub(super) is_head: bool,
    /// Its status, or another one beside it.
    pub(super) statuses: [u16; 2],
    /// In the answer's head or body, if its status is the first one.
    pub(super) says: &'static str,
    /// What follows the request is not for the parser of heads.
    pub(super) is_endless: bool,
}

const fn request(text: &'static str, statuses: [u16; 2], says: &'static str) -> Request {
    Request { text, is_head: false, statuses, says, is_endless: false }
}

const fn endless(text: &'static str, status: u16, says: &'static str) -> Request {
    Request { is_endless: true, ..request(text, [status; 2], says) }
}

/// New ones go to the end: scripts name them by number.
pub(super) const REQUESTS: [Request; 36] = [
    request("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", [200; 2], "ok\n"),
    Request {
        is_head: true,
        ..request("HEAD /topics/a HTTP/1.1\r\nHost: a\r\n\r\n", [200; 2], "ETag")
    },
    request("OPTIONS /topics/a HTTP/1.1\r\nHost: a\r\n\r\n", [204; 2], "Allow"),
    request("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", [404; 2], "\"status\":404"),
    request("GET /topics/a HTTP/1.1\r\nHost: a\r\n\r\n", [200; 2], "{\"messages\":["),
    request("GET /topics/b,a?last=2 HTTP/1.1\r\nHost: a\r\n\r\n", [200; 2], "\"cursor\":"),
    request("GET /topics/b?wait=20 HTTP/1.1\r\nHost: a\r\n\r\n", [200; 2], "\"cursor\":"),
    request("DELETE /topics/a HTTP/1.1\r\nHost: a\r\n\r\n", [200, 404], "{\"topic\":\"a\""),
    request(
        "POST /topics/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        [201; 2],
        "{\"topic\":\"a\"",
    ),
    request(
        "POST /topics/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n3\r\n[1,\r\n3\r\n\n2]\r\n0\r\n\r\n",
        [201; 2],
        "{\"topic\":\"b\"",
    ),
    request(
        "POST /topics/c HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        [201; 2],
        "{\"topic\":\"c\"",
    ),
    request(
        "PUT /topics/a?event=e HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\na\rb",
        [201; 2],
        "{\"topic\":\"a\"",
    ),
    request("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", [200; 2], "tidings_connections "),
    request("PATCH /topics/a HTTP/1.1\r\nHost: a\r\n\r\n", [405; 2], "Allow"),
    request("BREW /coffee HTTP/1.1\r\nHost: a\r\n\r\n", [501; 2], "\"status\":501"),
    request(
        "POST /topics HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: 54\r\n\r\n{\"topic\":\"a\",\"data\":1}\n\nnothing\n{\"topic\":\"b\",\"data\":2}",
        [200; 2],
        "{\"line\":4,",
    ),
    request("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", [200; 2], "ok\n"),
    request(
        "POST /topics/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Type: application/json\r\n\r\n{",
        [400; 2],
        "not valid JSON",
    ),
    request("GET /tidings.js HTTP/1.1\r\nHost: a\r\n\r\n", [200; 2], "import"),
    request("GET /topics/c?wait=5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [200; 2], "cursor"),
    request(
        "GET /topics/a HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n",
        [200; 2],
        "Access-Control-Allow-Origin: http://b",
    ),
    request("GET /topics/a HTTP/1.1\r\nHost: a\r\nOrigin: http://c\r\n\r\n", [403; 2], "403"),
    Request {
        is_endless: true,
        ..request(
            "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            [200, 503],
            "ready",
        )
    },
    endless(
        "GET /topics/a HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n",
        200,
        "retry: ",
    ),
    endless(
        "GET /topics/a,b?after=earliest HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n",
        200,
        "retry: ",
    ),
    endless(
        "GET /topics/a?envelope&last=3 HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n",
        200,
        "retry: ",
    ),
    endless(
        "GET /topics/a?after=0123abcd-5 HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n",
        200,
        "{\"type\":",
    ),
    endless(
        "GET /topics/a,b,c HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n",
        200,
        "{\"type\":",
    ),
    endless(
        "GET /topics/a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        101,
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ),
    endless(
        "GET /topics/a?after=earliest HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidings.json\r\n\r\n",
        101,
        "tidings.json",
    ),
    endless(
        "GET /topics HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidings.json\r\n\r\n",
        101,
        "tidings.json",
    ),
    endless(
        "POST /topics HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
        200,
        "application/x-ndjson",
    ),
    endless(
        "POST /topics HTTP/1.0\r\nContent-Type: application/x-ndjson\r\nContent-Length: 500\r\n\r\n",
        200,
        "application/x-ndjson",
    ),
    request("GET /topics?limit=2 HTTP/1.1\r\nHost: a\r\n\r\n", [200; 2], "{\"topics\":["),
    request("GET /connections HTTP/1.1\r\nHost: a\r\n\r\n", [200; 2], "\"wire\":\"idle\""),
    request("DELETE /connections/0-999-0 HTTP/1.1\r\nHost: a\r\n\r\n", [404; 2], "no such"),
];

/// Commands of `tidings.json`.
pub(super) const COMMANDS: [&str; 14] = [
    r#"{"type":"ping","request":1}"#,
    r#"{"type":"subscribe","topics":["a","b"]}"#,
    r#"{"type":"subscribe","topic":"a","after":"earliest","request":"r"}"#,
    r#"{"type":"subscribe","topics":["c","d"],"last":2}"#,
    r#"{"type":"unsubscribe","topic":"a"}"#,
    r#"{"type":"unsubscribe","topics":["a","b","c","d"]}"#,
    r#"{"type":"publish","topic":"a","data":"x"}"#,
    r#"{"type":"publish","topic":"b","data":{"a":[1,2]},"event":"e","key":"k","request":2}"#,
    r#"{"type":"publish","topic":"c","data":"AAEC","encoding":"base64"}"#,
    r#"{"type":"publish","topic":"a,b","data":1}"#,
    r#"{"type":"subscribe","topics":["a","b","c","d","e"]}"#,
    r#"{"type":"subscribe","topic":"e","after":"0123abcd-5"}"#,
    r#"{"type":"dance","request":"x"}"#,
    r#"{"type":"publish","topic":"f","data":null}"#,
];

/// Lines of a batch.
pub(super) const LINES: [&str; 8] = [
    "{\"topic\":\"a\",\"data\":\"x\"}\n",
    "{\"topic\":\"b\",\"data\":[1,\n",
    "\n\n\r\n",
    "{\"topic\":\"c\",\"data\":{\"a\":1},\"event\":\"e\",\"key\":\"k\"}\n{\"topic\":\"a\",\"data\":2}\n",
    "{\"topic\":\"d\",\"data\":\"AAEC\",\"encoding\":\"base64\"}",
    "nonsense\n",
    "{\"topic\":\"e\",\"data\":\"y\"}\n{\"topic\":\"f\",\"data\":\"z\"}\n{\"topic\":\"g\",\"data\":\"w\"}\n",
    "{\"topic\":\"a\",\"data\":\"a longer text, so that the lines are not all of about the same length\"}\n",
];
