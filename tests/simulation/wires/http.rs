//! HTTP/1.1 as a client speaks it (RFC 9112): requests out, answers in.

pub(crate) mod answers;
pub(crate) mod head;

pub(crate) use self::answers::{Answers, Part};
pub(crate) use self::head::Head;

/// Ends a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What was asked for: the answer's shape depends on it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Get,
    Head,
    Delete,
    Post,
    /// With `Expect: 100-continue`.
    PostExpecting,
    /// The handshake of a WebSocket.
    Upgrade,
}

/// How a body is delimited.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length,
    /// In chunks of so many bytes; 1 at least.
    Chunks(usize),
}

/// A publish, but for its payload.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Publish<'a> {
    /// `/topics/…`, percent-encoded.
    pub(crate) path: &'a str,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) event: Option<&'a str>,
    pub(crate) framing: Framing,
    /// Whether the body waits for a 100.
    pub(crate) expects_continue: bool,
}

impl<'a> Publish<'a> {
    pub(crate) fn to(path: &'a str) -> Self {
        let (content_type, key, event) = (None, None, None);
        Self { path, content_type, key, event, framing: Framing::Length, expects_continue: false }
    }

    pub(crate) fn asked(&self) -> Asked {
        if self.expects_continue { Asked::PostExpecting } else { Asked::Post }
    }

    /// The head, and the body as it is framed.
    pub(crate) fn request(&self, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let length = payload.len().to_string();
        let named = [
            ("Content-Type", self.content_type),
            ("Idempotency-Key", self.key),
            ("Event-Type", self.event),
            ("Expect", self.expects_continue.then_some("100-continue")),
            ("Content-Length", (self.framing == Framing::Length).then_some(length.as_str())),
            ("Transfer-Encoding", (self.framing != Framing::Length).then_some("chunked")),
        ];
        let fields: Vec<_> =
            named.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
        let body = match self.framing {
            Framing::Length => payload.to_vec(),
            Framing::Chunks(size) => {
                let chunks = payload.chunks(size).flat_map(chunk);
                chunks.chain(LAST_CHUNK.iter().copied()).collect()
            }
        };
        (request("POST", self.path, &fields), body)
    }
}

pub(crate) fn get(target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    request("GET", target, fields)
}

pub(crate) fn head(target: &str) -> Vec<u8> {
    request("HEAD", target, &[])
}

pub(crate) fn delete(target: &str) -> Vec<u8> {
    request("DELETE", target, &[])
}

/// The head of a batch (docs/protocol.md 5.3); its lines follow as [`chunk`]s, or all of them as they are
/// where their length is known.
pub(crate) fn batch(length: Option<usize>) -> Vec<u8> {
    let length = length.map(|length| length.to_string());
    let framing = match &length {
        Some(length) => ("Content-Length", length.as_str()),
        None => ("Transfer-Encoding", "chunked"),
    };
    request("POST", "/topics", &[("Content-Type", "application/x-ndjson"), framing])
}

/// A chunk of a body; of no bytes there is none.
pub(crate) fn chunk(content: &[u8]) -> Vec<u8> {
    if content.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", content.len()).as_bytes(), content, b"\r\n"].concat()
}

/// A name as a segment of a path (RFC 3986 §2.3: what is not unreserved is percent-encoded).
pub(crate) fn segment(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

/// The head of a request.
pub(crate) fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: tidings\r\n");
    for (name, value) in fields {
        assert!(!value.contains(['\r', '\n', '\0']), "{name} cannot have the value {value:?}");
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_says_what_it_is_and_how_long() {
        let publish = Publish {
            key: Some("k1"),
            content_type: Some("image/png"),
            ..Publish::to("/topics/a")
        };
        let (head, body) = publish.request(b"abc");
        let expected = "POST /topics/a HTTP/1.1\r\nHost: tidings\r\nContent-Type: image/png\r\n\
                        Idempotency-Key: k1\r\nContent-Length: 3\r\n\r\n";
        assert_eq!((String::from_utf8(head).unwrap().as_str(), &body[..]), (expected, &b"abc"[..]));
        let (head, body) = Publish { framing: Framing::Chunks(2), ..publish }.request(b"abc");
        assert!(String::from_utf8(head).unwrap().ends_with("Transfer-Encoding: chunked\r\n\r\n"));
        assert_eq!(body, b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    }

    #[test]
    fn a_name_becomes_a_segment() {
        assert_eq!(segment("a/ü ,"), "a%2F%C3%BC%20%2C");
    }
}
