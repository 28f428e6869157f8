//! The head of an answer: RFC 9112 §4 and §5, and what docs/protocol.md wants in every one.

use super::Asked;

/// Statuses of answers (docs/protocol.md 5.1, 7.1, 11.1, 12.3, 15.1).
const STATUSES: [u16; 22] = [
    100, 101, 200, 201, 204, 400, 403, 404, 405, 408, 411, 413, 414, 415, 417, 421, 426, 429, 431,
    501, 503, 505,
];
/// Fields that two lines cannot share, whatever they say.
const ONCE: [&str; 12] = [
    "access-control-allow-origin",
    "cache-control",
    "content-length",
    "content-type",
    "date",
    "etag",
    "retry-after",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "transfer-encoding",
    "vary",
    "x-content-type-options",
];

/// What stands before a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// In their order, the names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    /// What it answers.
    pub(crate) asked: Asked,
}

/// How the body of an answer is delimited.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delimited {
    Length(u64),
    Chunked,
    /// Another protocol begins.
    Upgraded,
}

impl Head {
    /// Reads the lines of a head, without their ends and without the empty one. A `100` is not checked
    /// further.
    pub(crate) fn read(lines: &[String], asked: Asked) -> Self {
        let (status_line, fields) = lines.split_first().expect("a head has a status line");
        let head = Self {
            status: status(status_line),
            fields: fields.iter().map(|line| field(line)).collect(),
            asked,
        };
        for (index, (name, _)) in head.fields.iter().enumerate() {
            let again = head.fields[..index].iter().any(|(other, _)| other == name);
            assert!(!(again && ONCE.contains(&name.as_str())), "{name} twice in {lines:?}");
        }
        if head.status != 100 {
            head.check();
        }
        head
    }

    /// The value of the first field with this name, in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whether this is the connection's last answer.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// `Retry-After` in milliseconds.
    pub(crate) fn retry_ms(&self) -> Option<u64> {
        self.field("retry-after").map(|text| digits(text) * 1000)
    }

    /// RFC 9112 §6.3, without bodies that last until the connection closes: nobody here speaks HTTP/1.0.
    pub(crate) fn delimited(&self) -> Delimited {
        let length = self.field("content-length").map(digits);
        let coding = self.field("transfer-encoding");
        match (self.status, length, coding) {
            (_, Some(_), Some(_)) => panic!("both lengths in {self:?}"),
            (101, None, None) => Delimited::Upgraded,
            (204, None, None) => Delimited::Length(0),
            (101 | 204, ..) => panic!("a body where there can be none: {self:?}"),
            // Of a head that did not arrive whole nobody knows that it is one of HEAD.
            (status, length, _) if self.asked == Asked::Head && status != 408 => {
                assert!(length.is_some(), "no length that GET would have: {self:?}");
                Delimited::Length(0)
            }
            (_, Some(length), None) => Delimited::Length(length),
            (_, None, Some(coding)) => {
                assert_eq!(coding, "chunked", "the transfer coding of {self:?}");
                Delimited::Chunked
            }
            (_, None, None) => panic!("an answer without a length: {self:?}"),
        }
    }

    fn check(&self) {
        let date = self.field("date").unwrap_or_else(|| panic!("no Date in {self:?}"));
        check_date(date);
        let needed: &[&str] = match self.status {
            // RFC 9110 §15.5.6.
            405 => &["allow"],
            // RFC 9110 §15.5.22, RFC 6455 §4.4.
            426 => &["upgrade", "sec-websocket-version"],
            // docs/protocol.md 15.1.
            429 | 503 => &["retry-after"],
            101 => &["upgrade", "connection", "sec-websocket-accept"],
            _ => &[],
        };
        for name in needed {
            assert!(self.field(name).is_some(), "no {name} in {self:?}");
        }
        let is_wanted = self.status != 101 || self.asked == Asked::Upgrade;
        assert!(is_wanted, "nobody asked for another protocol: {self:?}");
        if self.status >= 400 {
            let kind = self.field("content-type");
            assert_eq!(kind, Some("application/problem+json"), "a refusal (15.1): {self:?}");
        }
        if let Some(kind) = self.field("content-type") {
            // docs/protocol.md 6.3.
            let nosniff = self.field("x-content-type-options");
            assert_eq!(nosniff, Some("nosniff"), "X-Content-Type-Options of {self:?}");
            let caching = self.field("cache-control").unwrap_or_default();
            assert!(
                ["no-cache", "no-cache, no-transform"].contains(&caching),
                "Cache-Control of {self:?}"
            );
            if kind.contains("json") || kind == "text/event-stream" {
                assert_eq!(self.field("vary"), Some("Accept, Origin"), "Vary of {self:?}");
            }
        }
        self.retry_ms();
    }
}

/// RFC 9112 §4: `HTTP/1.1 SP 3DIGIT SP [reason]`.
fn status(line: &str) -> u16 {
    let rest = line.strip_prefix("HTTP/1.1 ");
    let parts = rest.and_then(|rest| rest.split_at_checked(3));
    let Some((code, reason)) = parts else { panic!("no status line: {line:?}") };
    assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "no status in {line:?}");
    assert!(reason.starts_with(' '), "no space behind the status in {line:?}");
    let status = code.parse().expect("three digits");
    assert!(STATUSES.contains(&status), "a status that is not in the contract: {line:?}");
    status
}

/// RFC 9112 §5: `name ":" OWS value OWS`, nothing before the colon and nothing folded.
fn field(line: &str) -> (String, String) {
    let Some((name, value)) = line.split_once(':') else {
        panic!("a line without a colon: {line:?}")
    };
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    assert!(!name.is_empty() && name.bytes().all(is_token), "no field name: {line:?}");
    let value = value.trim_matches([' ', '\t']);
    let is_value = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
    assert!(value.bytes().all(is_value), "no field value: {line:?}");
    (name.to_ascii_lowercase(), value.to_owned())
}

fn digits(text: &str) -> u64 {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(is_number, "{text:?} is no number");
    text.parse().expect("a number of 64 bits")
}

/// RFC 9110 §5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn check_date(text: &str) {
    const SHAPE: &[u8] = b"Aaa, 00 Aaa 0000 00:00:00 GMT";
    let fits = |(byte, shape): (u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_uppercase(),
        b'a' => byte.is_ascii_lowercase(),
        other => byte == *other,
    };
    let is_date = text.len() == SHAPE.len() && text.bytes().zip(SHAPE).all(fits);
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    assert!(is_date && days.contains(&&text[..3]), "{text:?} is no date");
}
