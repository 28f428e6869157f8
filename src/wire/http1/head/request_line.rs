//! The request line: method, target, version, one space between them (RFC 9112 §3).
//!
//! Invariant: what comes out is ASCII, and has only characters that RFC 3986 allows where they
//! stand.

use super::super::grammar::{is_encoded_text, is_path_byte, is_token};
use super::authority::Authority;
use super::{HeadError, HeadLimits};

/// What a client asks to be done (RFC 9110 §9). Methods are case-sensitive: `get` is unknown.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `PATCH` (RFC 5789)
    Patch,
    /// `TRACE`
    Trace,
    /// `CONNECT`
    Connect,
    /// Any other token: to be answered with 501.
    Unknown,
}

impl Method {
    fn parse(bytes: &[u8]) -> Result<Method, HeadError> {
        match bytes {
            b"GET" => Ok(Method::Get),
            b"HEAD" => Ok(Method::Head),
            b"POST" => Ok(Method::Post),
            b"PUT" => Ok(Method::Put),
            b"DELETE" => Ok(Method::Delete),
            b"OPTIONS" => Ok(Method::Options),
            b"PATCH" => Ok(Method::Patch),
            b"TRACE" => Ok(Method::Trace),
            b"CONNECT" => Ok(Method::Connect),
            _ if is_token(bytes) => Ok(Method::Unknown),
            _ => Err(HeadError::InvalidMethod),
        }
    }
}

/// The versions that are spoken here (RFC 9112 §2.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`
    Http11,
}

/// The version at the end of a request line. Its spelling is exact: `HTTP/`, a digit, a dot, a
/// digit.
pub(super) fn parse_version(line: &[u8]) -> Result<Version, HeadError> {
    match line.last_chunk() {
        Some(b"HTTP/1.1") => Ok(Version::Http11),
        Some(b"HTTP/1.0") => Ok(Version::Http10),
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) => {
            Err(HeadError::VersionNotSupported)
        }
        _ => Err(HeadError::InvalidVersion),
    }
}

/// A request line, taken apart.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method: Method,
    pub(super) version: Version,
    /// As [`Head::path`](super::Head::path).
    pub(super) path: &'a str,
    /// As [`Head::query`](super::Head::query).
    pub(super) query: &'a str,
    /// Whom an absolute-form or authority-form target names.
    pub(super) authority: Option<Authority<'a>>,
}

impl<'a> RequestLine<'a> {
    /// `line` is without its CRLF.
    pub(super) fn parse(line: &'a [u8], limits: &HeadLimits) -> Result<Self, HeadError> {
        // First, because another version may have another idea of what a request line is.
        let version = parse_version(line)?;
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(last), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HeadError::InvalidRequestLine);
        };
        // The line ends in a version, which must be all that is behind the last space.
        if target.is_empty() || last.len() != b"HTTP/1.1".len() {
            return Err(HeadError::InvalidRequestLine);
        }
        if target.len() > limits.target_bytes_max {
            return Err(HeadError::UriTooLong);
        }
        let method = Method::parse(method)?;
        let target = Target::parse(method, target).ok_or(HeadError::InvalidTarget)?;
        Ok(RequestLine {
            method,
            version,
            path: target.path,
            query: target.query,
            authority: target.authority,
        })
    }
}

/// One of the four forms of RFC 9112 §3.2.
struct Target<'a> {
    path: &'a str,
    query: &'a str,
    authority: Option<Authority<'a>>,
}

impl<'a> Target<'a> {
    fn parse(method: Method, target: &'a [u8]) -> Option<Self> {
        match (method, target) {
            // RFC 9112 §3.2.3: authority-form is for CONNECT alone, and CONNECT has no other.
            (Method::Connect, _) => {
                let authority = Authority::parse(target).filter(|named| named.port.is_some())?;
                Some(Target { path: "", query: "", authority: Some(authority) })
            }
            // RFC 9112 §3.2.4: asterisk-form is for OPTIONS alone.
            (Method::Options, b"*") => Some(Target { path: "*", query: "", authority: None }),
            (_, [b'/', ..]) => Self::origin_form(target, None),
            _ => Self::absolute_form(target),
        }
    }

    /// RFC 9112 §3.2.1: absolute-path [ "?" query ]
    fn origin_form(target: &'a [u8], authority: Option<Authority<'a>>) -> Option<Self> {
        let mut parts = target.splitn(2, |byte| *byte == b'?');
        let path = parts.next().unwrap_or_default();
        let query = parts.next().unwrap_or_default();
        let path_is_valid = is_encoded_text(path, |byte| byte == b'/' || is_path_byte(byte));
        let query_is_valid =
            is_encoded_text(query, |byte| matches!(byte, b'/' | b'?') || is_path_byte(byte));
        if !path_is_valid || !query_is_valid {
            return None;
        }
        let path = match path {
            b"" => "/",
            _ => str::from_utf8(path).ok()?,
        };
        Some(Target { path, query: str::from_utf8(query).ok()?, authority })
    }

    /// RFC 9112 §3.2.2: a server must accept the form that a proxy is sent.
    fn absolute_form(target: &'a [u8]) -> Option<Self> {
        let (default_port, rest) = match target.split_at_checked(b"http://".len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"http://") => (80, rest),
            _ => match target.split_at_checked(b"https://".len()) {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"https://") => (443, rest),
                _ => return None,
            },
        };
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        let authority = Authority::parse(authority)?.with_default_port(default_port);
        Self::origin_form(rest, Some(authority))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::properties::LIMITS;
    use super::*;

    fn parse(line: &str) -> Result<RequestLine<'_>, HeadError> {
        RequestLine::parse(line.as_bytes(), &LIMITS)
    }

    #[test]
    fn a_target_is_path_and_query_still_encoded() {
        let line = parse("GET /topics/a%2Fb,c?after=x%20y?&z HTTP/1.1").unwrap();
        assert_eq!((line.method, line.version), (Method::Get, Version::Http11));
        assert_eq!((line.path, line.query), ("/topics/a%2Fb,c", "after=x%20y?&z"));
        assert_eq!(line.authority, None);
    }

    #[test]
    fn every_known_method_is_known_and_case_matters() {
        let known = "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE";
        for method in known.split(' ') {
            assert_ne!(parse(&format!("{method} / HTTP/1.1")).unwrap().method, Method::Unknown);
            let lower = method.to_lowercase();
            assert_eq!(parse(&format!("{lower} / HTTP/1.1")).unwrap().method, Method::Unknown);
        }
    }

    #[test]
    fn an_absolute_target_names_its_authority() {
        let line = parse("GET HTTP://a:81?b HTTP/1.1").unwrap();
        assert_eq!((line.path, line.query), ("/", "b"));
        assert_eq!(line.authority.unwrap().text, "a:81");
        for wrong in ["http:///a", "http://", "http://u@a/", "ftp://a/", "http:/a", "https://a b/"]
        {
            assert!(parse(&format!("GET {wrong} HTTP/1.1")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_may_hold_what_rfc_3986_allows_and_nothing_else() {
        for byte in 0..=255u8 {
            let line = [b"GET /a", &[byte][..], b"b HTTP/1.1"].concat();
            let allowed = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte);
            assert_eq!(RequestLine::parse(&line, &LIMITS).is_ok(), allowed, "{byte:#x}");
        }
    }

    #[test]
    fn a_target_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
        let line = |bytes: usize| format!("GET /{} HTTP/1.1", "a".repeat(bytes - 1));
        assert!(parse(&line(LIMITS.target_bytes_max)).is_ok());
        assert_eq!(parse(&line(LIMITS.target_bytes_max + 1)), Err(HeadError::UriTooLong));
    }

    #[test]
    fn the_version_stands_alone_behind_the_last_space() {
        for line in ["GET / XHTTP/1.1", "GET /HTTP/1.1", "GET  HTTP/1.1", "GET / / HTTP/1.1"] {
            assert_eq!(parse(line), Err(HeadError::InvalidRequestLine), "{line}");
        }
    }

    #[test]
    fn a_version_is_spelled_exactly() {
        assert_eq!(parse_version(b"HTTP/1.0"), Ok(Version::Http10));
        assert_eq!(parse_version(b"HTTP/1.2"), Err(HeadError::VersionNotSupported));
        for wrong in ["http/1.1", "HTTP/1.10", "HTTP/1,1", "HTTP/1.x", "HTP/1.1", "HTTP/1.1 ", ""] {
            assert_eq!(parse_version(wrong.as_bytes()), Err(HeadError::InvalidVersion), "{wrong}");
        }
    }
}
