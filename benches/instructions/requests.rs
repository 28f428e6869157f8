//! The requests that cases send.

/// How a stream is received.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Wire {
    EventStream,
    WebSocket,
}

/// A subscription to a topic's news.
pub(crate) fn subscribe(topic: &str, wire: Wire) -> Vec<u8> {
    let fields = match wire {
        Wire::EventStream => "Accept: text/event-stream\r\n",
        Wire::WebSocket => {
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
    };
    get(&format!("/topics/{topic}"), fields)
}

pub(crate) fn get(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: push.example.com\r\n{fields}\r\n").into_bytes()
}

/// A publish of 200 bytes of text.
pub(crate) fn publish(topic: &str) -> Vec<u8> {
    let payload = "x".repeat(200);
    format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: push.example.com\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{payload}",
        payload.len()
    )
    .into_bytes()
}

/// A batch of messages of 200 bytes.
pub(crate) fn batch(topic: &str, messages: usize) -> Vec<u8> {
    let line = format!("{{\"topic\":\"{topic}\",\"data\":\"{}\"}}\n", "x".repeat(200));
    let body = line.repeat(messages);
    format!(
        "POST /topics HTTP/1.1\r\nHost: push.example.com\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
