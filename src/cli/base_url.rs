//! Where the server is: `http://host[:port][/prefix]`, and the request targets below it.

use std::fmt;

/// A base URL that was checked; only its parts are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    /// `host` or `host:port` as it was written: the value of `Host`.
    authority: String,
    /// The host alone, an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// Empty, or begins with a slash and does not end with one.
    prefix: String,
}

impl BaseUrl {
    /// Takes a URL apart; the error says what to write instead.
    pub(crate) fn parse(url: &str) -> Result<BaseUrl, String> {
        let refuse = |why: &str| Err(format!("{url:?} is not a usable base URL: {why}"));
        let Some((scheme, rest)) = url.split_once("://") else {
            return refuse("it has to begin with http://");
        };
        if scheme.eq_ignore_ascii_case("https") {
            return refuse("this client speaks http only; TLS belongs to the proxy in front");
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return refuse("it has to begin with http://");
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("it may have printable ASCII characters only");
        }
        if rest.contains(['?', '#', '@']) {
            return refuse("a user, a query and a fragment have no place in it");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Some((host, port)) = split_authority(authority) else {
            return refuse("the host or the port is malformed");
        };
        Ok(BaseUrl {
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }

    /// The value of the `Host` field.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// What comes before every path: empty, or a path that does not end with a slash.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What to resolve and connect to.
    pub(crate) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The request target of a resource of the server's own; `path` begins with a slash.
    pub(crate) fn resource(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The request target of some topics (none: `/topics`); `query` may be empty.
    pub(crate) fn target(&self, topics: &[String], query: &[(&str, String)]) -> String {
        let mut target = format!("{}/topics", self.prefix);
        for (index, topic) in topics.iter().enumerate() {
            // Protocol 1.3: the commas between names are literal.
            target.push(if index == 0 { '/' } else { ',' });
            percent_encode(topic, &mut target);
        }
        for (index, (name, value)) in query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            percent_encode(value, &mut target);
        }
        target
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}{}", self.authority, self.prefix)
    }
}

/// Host and port; `None` when either is malformed. The port of `http` is 80.
fn split_authority(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => 80,
        None => return None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// Appends `text` with all but RFC 3986's unreserved characters percent-encoded.
fn percent_encode(text: &str, target: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            target.push(char::from(byte));
        } else {
            target.push('%');
            target.push(char::from(HEX[usize::from(byte >> 4)]));
            target.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let base = BaseUrl::parse("http://[::1]:8080/push/").unwrap();
        assert_eq!(base.address(), ("::1", 8080));
        assert_eq!(base.authority(), "[::1]:8080");
        assert_eq!(base.to_string(), "http://[::1]:8080/push");
        assert_eq!(BaseUrl::parse("HTTP://localhost").unwrap().address(), ("localhost", 80));
    }

    #[test]
    fn a_url_of_another_kind_is_refused_with_advice() {
        assert!(BaseUrl::parse("https://example.org").unwrap_err().contains("http only"));
        for url in [
            "localhost:8080",
            "ws://a",
            "http://",
            "http://a:x",
            "http://a:+1",
            "http://a:70000",
            "http://u@a",
            "http://a/?q",
            "http://[::1",
            "http://[::1]x",
            "http://a b",
        ] {
            assert!(BaseUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn names_are_encoded_and_the_commas_between_them_are_not() {
        let base = BaseUrl::parse("http://a/p").unwrap();
        let topics = ["a/b c".to_owned(), "é,".to_owned()];
        let query = [("after", "x-1".to_owned()), ("event", "a&b".to_owned())];
        assert_eq!(
            base.target(&topics, &query),
            "/p/topics/a%2Fb%20c,%C3%A9%2C?after=x-1&event=a%26b"
        );
        assert_eq!(base.target(&[], &[]), "/p/topics");
    }
}
