//! A URL that says where Redis is.
//!
//! ```text
//!   redis:// | valkey:// | redis-cluster://   [user:password@] host [:6379]  [,host [:6379] ...] [/database]
//!   redis-sentinel://                         [user:password@] host [:26379] [,host [:26379] ...] /service [/database]
//! ```
//!
//! It holds a password, and one that is written carelessly may have ended up in any part of it. So nothing of it is
//! ever quoted: an error says which part is wrong.

use std::fmt;
use std::net::Ipv6Addr;

use super::{Endpoint, Topology};

/// Servers or sentinels in one URL.
const SERVERS_MAX: usize = 64;
/// Characters of a host (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 255;
/// Databases that Redis can be configured for, at most.
const DATABASE_MAX: u32 = i32::MAX as u32;

/// What such a URL says. It does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Where it is.
    pub topology: Topology,
    /// Who we are, if the URL says so.
    pub user: Option<String>,
    /// The password, if it is in the URL.
    pub password: Option<String>,
    /// Which of its databases.
    pub database: u32,
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RedisUrl({}, …)", self.topology)
    }
}

/// Which part of a URL is wrong. Servers are counted from 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RedisUrlError {
    /// It begins otherwise.
    Scheme,
    /// It asks for TLS.
    Tls,
    /// What stands before the `@` is not percent-encoded UTF-8.
    Credentials,
    /// There is an `@` behind a `/`.
    Slash,
    /// There are parameters or a fragment.
    Parameters,
    /// More servers than anybody has.
    TooManyServers,
    /// The host of this one.
    Host(usize),
    /// The port of this one.
    Port(usize),
    /// There is no name behind the sentinels.
    Service,
    /// What should be the number of a database is none.
    Database,
    /// There is more behind that number.
    Path,
}

impl fmt::Display for RedisUrlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Scheme => {
                "its beginning: write redis://, valkey://, redis-cluster:// or redis-sentinel://"
            }
            Self::Tls => {
                "its scheme asks for TLS, which is not there yet for Redis: write redis:// and reach Redis over a \
                 private network, or through a tunnel such as stunnel"
            }
            Self::Credentials => {
                "the user or the password before the @: write user:password@ or :password@, in UTF-8, with %40 for \
                 @, %2F for /, %3A for : and %25 for %"
            }
            Self::Slash => "a / before the @: in a user or a password write it as %2F",
            Self::Parameters => {
                "the ? or # in it: there are no parameters; in a password write them as %3F and %23"
            }
            Self::TooManyServers => "the list of servers: name 64 at most, the others are found",
            Self::Host(number) => {
                let text = "is a name, an IPv4 address, or an IPv6 address in brackets";
                return write!(formatter, "host number {number}: it {text}");
            }
            Self::Port(number) => {
                let text = "is a number from 1 to 65535; an IPv6 address stands in brackets";
                return write!(formatter, "the port of host number {number}: it {text}");
            }
            Self::Service => {
                "the service behind the sentinels: write what they call the group of servers, as in \
                 redis-sentinel://host:26379/mymaster"
            }
            Self::Database => "the database: it is a number, such as /0",
            Self::Path => "what stands behind the database: nothing does",
        };
        formatter.write_str(text)
    }
}

impl std::error::Error for RedisUrlError {}

impl RedisUrl {
    /// Reads such a URL.
    ///
    /// # Errors
    /// Which part is wrong.
    pub fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(RedisUrlError::Scheme)?;
        let (is_sentinel, port) = match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" | "redis-cluster" | "valkey-cluster" => (false, 6379),
            "redis-sentinel" | "valkey-sentinel" => (true, 26379),
            "rediss" | "valkeys" | "rediss-cluster" | "rediss-sentinel" => {
                return Err(RedisUrlError::Tls);
            }
            _ => return Err(RedisUrlError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(RedisUrlError::Parameters);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(RedisUrlError::Slash);
        }
        let (user, password, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => {
                let (user, password) = parse_credentials(credentials)?;
                (user, password, hosts)
            }
            None => (None, None, authority),
        };
        let endpoints = parse_hosts(hosts, port)?;
        let (topology, database) = if is_sentinel {
            let (service, database) = path.split_once('/').unwrap_or((path, ""));
            let service = percent_decode(service).ok_or(RedisUrlError::Service)?;
            if service.is_empty() || service.contains(|c: char| c.is_whitespace() || c.is_control())
            {
                return Err(RedisUrlError::Service);
            }
            (Topology::Sentinels { sentinels: endpoints, service }, database)
        } else {
            (Topology::Servers(endpoints), path)
        };
        Ok(Self { topology, user, password, database: parse_database(database)? })
    }
}

/// `user`, `user:password` or `:password`.
fn parse_credentials(text: &str) -> Result<(Option<String>, Option<String>), RedisUrlError> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    let decode = |text: &str| percent_decode(text).ok_or(RedisUrlError::Credentials);
    let user = Some(decode(user)?).filter(|user| !user.is_empty());
    let password = password.map(decode).transpose()?.filter(|password| !password.is_empty());
    if user.is_none() && password.is_none() {
        return Err(RedisUrlError::Credentials);
    }
    Ok((user, password))
}

fn parse_hosts(text: &str, port: u16) -> Result<Vec<Endpoint>, RedisUrlError> {
    if text.split(',').count() > SERVERS_MAX {
        return Err(RedisUrlError::TooManyServers);
    }
    let endpoints = text.split(',').zip(1..).map(|(text, number)| {
        let (host, digits) = split_port(text).ok_or(RedisUrlError::Host(number))?;
        let port = match digits {
            Some(digits) => parse_number(digits)
                .and_then(|number| u16::try_from(number).ok())
                .filter(|port| *port > 0)
                .ok_or(RedisUrlError::Port(number))?,
            None => port,
        };
        Ok(Endpoint { host: host.to_owned(), port })
    });
    endpoints.collect()
}

/// A host without its brackets, and what follows the colon behind it.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(text) = text.strip_prefix('[') {
        let (address, behind) = text.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        let port = if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) };
        return Some((address, port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_host = (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(is_part);
    is_host.then_some((host, port))
}

fn parse_database(text: &str) -> Result<u32, RedisUrlError> {
    match text.split_once('/') {
        Some(_) => Err(RedisUrlError::Path),
        None if text.is_empty() => Ok(0),
        None => parse_number(text)
            .filter(|number| *number <= DATABASE_MAX)
            .ok_or(RedisUrlError::Database),
    }
}

/// Digits only.
fn parse_number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// What a text with `%XX` in it stands for (RFC 3986 §2.1). `None` if it is malformed, or not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.to_owned(), port }
    }

    fn servers(endpoints: &[(&str, u16)]) -> Topology {
        Topology::Servers(endpoints.iter().map(|(host, port)| endpoint(host, *port)).collect())
    }

    fn url(text: &str) -> RedisUrl {
        RedisUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_part_is_read_or_has_its_default() {
        let bare = RedisUrl {
            topology: servers(&[("localhost", 6379)]),
            user: None,
            password: None,
            database: 0,
        };
        for text in [
            "redis://localhost",
            "valkey://localhost:6379",
            "REDIS://localhost/0",
            "redis-cluster://localhost/",
        ] {
            assert_eq!(url(text), bare, "{text}");
        }
        let full = url(
            "redis://tidings:s%3Acr%40t%2F%25@10.0.0.1:7000,redis-2.example.org,[::1],[2001:db8::2]:7003/12",
        );
        let topology = servers(&[
            ("10.0.0.1", 7000),
            ("redis-2.example.org", 6379),
            ("::1", 6379),
            ("2001:db8::2", 7003),
        ]);
        assert_eq!(full.topology, topology);
        assert_eq!(
            (full.user.as_deref(), full.password.as_deref()),
            (Some("tidings"), Some("s:cr@t/%"))
        );
        assert_eq!(full.database, 12);
    }

    #[test]
    fn sentinels_have_a_service_and_another_port() {
        let found = url("redis-sentinel://:secret@a,b:26380/my%2Dmaster/3");
        let sentinels = vec![endpoint("a", 26379), endpoint("b", 26380)];
        let service = "my-master".to_owned();
        assert_eq!(found.topology, Topology::Sentinels { sentinels, service });
        assert_eq!(
            (found.user, found.password.as_deref(), found.database),
            (None, Some("secret"), 3)
        );
    }

    #[test]
    fn user_and_password_may_each_stand_alone_and_only_the_last_at_sign_counts() {
        for (text, user, password) in [
            ("redis://u@h", Some("u"), None),
            ("redis://:p@h", None, Some("p")),
            ("redis://u:@h", Some("u"), None),
            ("redis://u:p:q@h", Some("u"), Some("p:q")),
            ("redis://u:p@q@h", Some("u"), Some("p@q")),
            ("redis://%C3%A9:%e2%82%ac+@h", Some("é"), Some("€+")),
        ] {
            let found = url(text);
            assert_eq!(
                (found.user.as_deref(), found.password.as_deref()),
                (user, password),
                "{text}"
            );
            assert_eq!(found.topology, servers(&[("h", 6379)]), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_part() {
        use RedisUrlError::*;
        let too_many = format!("redis://a{}", ",a".repeat(64));
        let cases = [
            ("", Scheme),
            ("localhost:6379", Scheme),
            ("redis:localhost", Scheme),
            ("http://localhost", Scheme),
            ("unix:///run/redis.sock", Scheme),
            ("rediss://localhost", Tls),
            ("redis://localhost?timeout=5", Parameters),
            ("redis://:pa#s@localhost", Parameters),
            ("redis://@localhost", Credentials),
            ("redis://:@localhost", Credentials),
            ("redis://:p%zz@localhost", Credentials),
            ("redis://:p%4@localhost", Credentials),
            ("redis://:p%+1@localhost", Credentials),
            ("redis://:%ff@localhost", Credentials),
            ("redis://:pa/ss@localhost", Slash),
            ("redis://", Host(1)),
            ("redis:///0", Host(1)),
            ("redis://:6379", Host(1)),
            ("redis://a,,b", Host(2)),
            ("redis://a,b c", Host(2)),
            ("redis://a, b", Host(2)),
            ("redis://bücher", Host(1)),
            ("redis://[::1", Host(1)),
            ("redis://[localhost]", Host(1)),
            ("redis://[::1]6379", Host(1)),
            ("redis://::1", Host(1)),
            ("redis://a:b", Port(1)),
            ("redis://a:0", Port(1)),
            ("redis://a:65536", Port(1)),
            ("redis://a,b:", Port(2)),
            ("redis://a:+1", Port(1)),
            ("redis://2001:db8::1", Port(1)),
            ("redis://a/x", Database),
            ("redis://a/-1", Database),
            ("redis://a/2147483648", Database),
            ("redis://a/0/1", Path),
            ("redis-sentinel://a", Service),
            ("redis-sentinel://a/", Service),
            ("redis-sentinel://a//0", Service),
            ("redis-sentinel://a/my master", Service),
            ("redis-sentinel://a/m/x", Database),
            (too_many.as_str(), TooManyServers),
        ];
        for (text, expected) in cases {
            assert_eq!(RedisUrl::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn nothing_of_a_url_shows_in_an_error_or_for_debugging() {
        let secret = "hunter2";
        for text in [
            "redis://:hunter2@h:x",
            "redis://:hunter2/@h",
            "redis://hunter2",
            "redis://h:hunter2",
            "hunter2",
            "redis://h/hunter2",
            "redis://hunter2:%x@h",
            "redis://u:hunter2@h/1",
            "redis-sentinel://h:1/%hunter2",
        ] {
            let said = match RedisUrl::parse(text) {
                Ok(url) if url.topology != servers(&[("hunter2", 6379)]) => format!("{url:?}"),
                Ok(_) => continue,
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!said.contains(secret), "{text}: {said}");
        }
    }
}
