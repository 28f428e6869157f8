//! A request head: found, checked, and taken apart (RFC 9112 §2 to §6, docs/protocol.md 16).

mod authority;
mod error;
mod framing;
mod request_line;
mod search;

use std::mem::MaybeUninit;

use super::grammar::{split_unquoted, trim_ows};
use crate::problem_kind::FieldName;
use authority::Authority;
pub use error::HeadError;
pub use framing::Framing;
use request_line::RequestLine;
pub use request_line::{Method, Version};
use search::FIELDS_MAX;
pub use search::{HeadLimits, HeadSearch};

/// A field line: its name as it came, its value without white space around it.
type Field<'a> = (&'a str, &'a [u8]);

/// Fields that decide who asks for what, and so may be there only once: two readers of a message
/// with two of them need not agree on which one counts. `Host` has an error of its own.
const SINGLETONS: [(&str, FieldName); 12] = [
    ("Authorization", FieldName::Authorization),
    ("Content-Encoding", FieldName::ContentEncoding),
    ("Content-Length", FieldName::ContentLength),
    ("Content-Type", FieldName::ContentType),
    ("Event-Type", FieldName::EventType),
    ("Expect", FieldName::Expect),
    ("Idempotency-Key", FieldName::IdempotencyKey),
    ("If-None-Match", FieldName::IfNoneMatch),
    ("Last-Event-ID", FieldName::LastEventId),
    ("Origin", FieldName::Origin),
    ("Sec-WebSocket-Key", FieldName::SecWebSocketKey),
    ("Sec-WebSocket-Version", FieldName::SecWebSocketVersion),
];

/// A request head that can be trusted to mean one thing. It borrows from the bytes it was parsed
/// from.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    /// What is asked for.
    pub method: Method,
    /// The version of the request; the answer's form depends on it.
    pub version: Version,
    /// The path, still percent-encoded (every `%` with its two digits), without query. Begins with
    /// `/`; `*` for `OPTIONS *`, empty for CONNECT. `/` if an absolute-form target has none.
    pub path: &'a str,
    /// The query, still percent-encoded, without its `?`; empty if there is none.
    pub query: &'a str,
    /// Host and port: of the target if it names them, else of `Host`; empty if neither does.
    pub host: &'a str,
    /// How the end of the body is known.
    pub framing: Framing,
    /// Whether the connection goes on after this exchange as far as the client is concerned (RFC
    /// 9112 §9.3): HTTP/1.1 unless it says `close`, HTTP/1.0 only if it says `keep-alive`; never
    /// for CONNECT.
    pub persistent: bool,
    /// `Expect: 100-continue`, on HTTP/1.1 only (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// `Upgrade` offers `websocket` and `Connection` says `upgrade`, on HTTP/1.1 only (RFC 9110
    /// §7.8).
    pub upgrades_to_websocket: bool,
    /// In the order they came.
    fields: Vec<Field<'a>>,
}

impl<'a> Head<'a> {
    /// The value of the first field of that name (in any case), without white space around it.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        values(&self.fields, name).next()
    }

    /// The values of all fields of that name (in any case), in their order.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        values(&self.fields, name)
    }

    /// How many fields there are.
    pub fn fields_count(&self) -> usize {
        self.fields.len()
    }

    /// The members of the comma-separated list (RFC 9110 §5.6.1) that all fields of that name make
    /// up, without white space around them; empty ones are skipped. A comma in a quoted string is
    /// no comma.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields(name)
            .flat_map(|value| split_unquoted(value, b','))
            .filter(|member| !member.is_empty())
    }
}

/// Parses `bytes`, a whole head as a [`HeadSearch`] with the same limits has found it, or says what
/// is wrong with it. At most 128 fields are taken, whatever `limits` say.
pub fn parse_head<'a>(bytes: &'a [u8], limits: &HeadLimits) -> Result<Head<'a>, HeadError> {
    let mut bytes = bytes;
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = RequestLine::parse(line, limits)?;
    let fields = parse_fields(bytes, limits)?;
    refuse_duplicates(&fields)?;
    let host = resolve_host(&line, &fields)?;
    let framing = framing::resolve(
        line.version,
        values(&fields, "Content-Length").next(),
        values(&fields, "Transfer-Encoding"),
    )?;
    let is_http11 = line.version == Version::Http11;
    let has_option = |name, token| has_token(&fields, name, token);
    let close = has_option("Connection", "close");
    Ok(Head {
        method: line.method,
        version: line.version,
        path: line.path,
        query: line.query,
        host,
        framing,
        persistent: !close
            && (is_http11 || has_option("Connection", "keep-alive"))
            && line.method != Method::Connect,
        expects_continue: expects_continue(line.version, &fields)?,
        upgrades_to_websocket: is_http11
            && has_option("Upgrade", "websocket")
            && has_option("Connection", "upgrade"),
        fields,
    })
}

/// Splits the field section. `bytes` begin with a request line that has been checked.
fn parse_fields<'a>(bytes: &'a [u8], limits: &HeadLimits) -> Result<Vec<Field<'a>>, HeadError> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let slots = slots.get_mut(..limits.fields_max.min(FIELDS_MAX)).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, slots) {
        Ok(httparse::Status::Complete(end)) if end == bytes.len() => {
            Ok(request.headers.iter().map(|field| (field.name, trim_ows(field.value))).collect())
        }
        Ok(_) => Err(HeadError::Incomplete),
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooManyFields),
        Err(httparse::Error::HeaderName) => Err(HeadError::InvalidFieldName),
        Err(httparse::Error::HeaderValue) => Err(HeadError::InvalidFieldValue),
        Err(httparse::Error::NewLine) => Err(HeadError::BareCarriageReturn),
        // It knows no request line that ours would let through.
        Err(_) => Err(HeadError::InvalidRequestLine),
    }
}

/// The values of the fields of one name.
fn values<'a>(fields: &[Field<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
}

/// Whether the list of `name` has `token`, in any case. Its members are tokens: a quote is no
/// quote.
fn has_token(fields: &[Field<'_>], name: &str, token: &str) -> bool {
    values(fields, name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|member| trim_ows(member).eq_ignore_ascii_case(token.as_bytes()))
}

fn refuse_duplicates(fields: &[Field<'_>]) -> Result<(), HeadError> {
    match SINGLETONS.iter().find(|(name, _)| values(fields, name).nth(1).is_some()) {
        Some((_, field)) => Err(HeadError::DuplicateField(*field)),
        None => Ok(()),
    }
}

/// RFC 9112 §3.2: a `Host` exactly once, unless this is HTTP/1.0, and valid; it may be empty.
fn resolve_host<'a>(line: &RequestLine<'a>, fields: &[Field<'a>]) -> Result<&'a str, HeadError> {
    let mut hosts = values(fields, "Host");
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(HeadError::DuplicateHost),
        (None, None) if line.version == Version::Http11 => return Err(HeadError::MissingHost),
        (None | Some(b""), None) => None,
        (Some(host), None) => Some(Authority::parse(host).ok_or(HeadError::InvalidHost)?),
    };
    match (line.authority, host) {
        // RFC 9112 §3.2.2: the target's authority replaces Host; docs/protocol.md 16.6: which
        // agrees.
        (Some(target), Some(host)) if target.is_same_as(&host) => Ok(target.text),
        // HTTP/1.0 knows no Host, so there is nothing to agree with.
        (Some(target), None) if line.version == Version::Http10 => Ok(target.text),
        (Some(_), _) => Err(HeadError::HostMismatch),
        (None, Some(host)) => Ok(host.text),
        (None, None) => Ok(""),
    }
}

/// RFC 9110 §10.1.1: there is one expectation, and HTTP/1.0 has none.
fn expects_continue(version: Version, fields: &[Field<'_>]) -> Result<bool, HeadError> {
    match values(fields, "Expect").next() {
        Some(value) if version == Version::Http11 => {
            match value.eq_ignore_ascii_case(b"100-continue") {
                true => Ok(true),
                false => Err(HeadError::UnknownExpectation),
            }
        }
        _ => Ok(false),
    }
}

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_head;

#[cfg(test)]
mod tests;
