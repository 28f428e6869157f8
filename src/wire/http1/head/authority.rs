//! Host and port, as `Host` fields and targets give them (RFC 9110 §7.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;

use super::super::grammar::{Digits, is_encoded_text, is_unreserved_or_sub_delim, parse_digits};

/// A host that is not empty, and its port.
///
/// Without user information, which has no place in a request, and without a comma, which is how two
/// `Host` fields look when a proxy has joined them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// All of it, as it came.
    pub(super) text: &'a str,
    /// A registered name, an IPv4 address, or an IPv6 address in brackets.
    pub(super) host: &'a str,
    /// 1 to 65535; `None` if it is absent or empty (RFC 3986 §3.2.3 allows `a:`).
    pub(super) port: Option<u16>,
    /// The port that `None` stands for, if the scheme is known.
    default_port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// `None` if it is malformed or has no host.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let end = match text.find(']') {
            Some(bracket) => bracket.checked_add(1)?,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at_checked(end)?;
        let port = match rest.strip_prefix(':') {
            Some("") => None,
            Some(digits) => Some(parse_port(digits)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        is_host(host).then_some(Authority { text, host, port, default_port: None })
    }

    /// The same, of a scheme whose default port is known.
    pub(super) fn with_default_port(self, port: u16) -> Self {
        Authority { default_port: Some(port), ..self }
    }

    /// Whether `other`, of the same scheme, names the same host and port.
    pub(super) fn is_same_as(&self, other: &Authority<'_>) -> bool {
        let default_port = self.default_port.or(other.default_port);
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.or(default_port) == other.port.or(default_port)
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    match parse_digits(digits.as_bytes())? {
        Digits::Value(port) => u16::try_from(port).ok().filter(|port| *port > 0),
        Digits::TooLarge => None,
    }
}

/// RFC 3986 §3.2.2: IP-literal / IPv4address / reg-name. Addresses of versions to come are refused.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(literal) => {
            literal.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        }
        None => {
            !host.is_empty()
                && is_encoded_text(host.as_bytes(), |byte| {
                    byte != b',' && is_unreserved_or_sub_delim(byte)
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(&str, Option<u16>)> {
        Authority::parse(text.as_bytes()).map(|authority| (authority.host, authority.port))
    }

    #[test]
    fn names_and_addresses_have_an_optional_port() {
        assert_eq!(parse("example.org"), Some(("example.org", None)));
        assert_eq!(parse("example.org:"), Some(("example.org", None)));
        assert_eq!(parse("127.0.0.1:8080"), Some(("127.0.0.1", Some(8080))));
        assert_eq!(parse("[::1]:65535"), Some(("[::1]", Some(65535))));
        assert_eq!(parse("[2001:db8::1]"), Some(("[2001:db8::1]", None)));
        assert_eq!(parse("a_b%41:0080"), Some(("a_b%41", Some(80))));
    }

    #[test]
    fn what_is_not_a_host_and_a_port_is_refused() {
        let wrong = [
            "",
            ":80",
            "a b",
            "a,b",
            "u@a",
            "a/b",
            "a:0",
            "a:65536",
            "a:99999999",
            "a:+1",
            "a:1:2",
            "::1",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]80",
            "[a]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a%4",
            "a\t",
            "\u{e9}",
            "a#",
            "a?",
            "a]",
            "[]",
            "x[::1]",
        ];
        for text in wrong {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn authorities_are_compared_with_their_default_port_and_without_case() {
        let same = |target: &str, host: &str| {
            let target = Authority::parse(target.as_bytes()).unwrap().with_default_port(80);
            target.is_same_as(&Authority::parse(host.as_bytes()).unwrap())
        };
        assert!(same("A.org", "a.ORG:80"));
        assert!(same("a:81", "a:81"));
        assert!(!same("a", "a:81"));
        assert!(!same("a", "b"));
    }
}
