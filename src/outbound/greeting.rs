//! What a new connection is told and asked, and what the other side says that it is.

use crate::config::RedisConfig;
use crate::time::Instant;
use crate::wire::resp3::Value;

use super::link::{Owed, Wire};
use super::scripts;
use super::trouble::Kind;

/// Characters of each of the two names that a life is made of.
const LIFE_PART: usize = 12;

/// `HELLO` and what belongs to it, in one go: nothing of it depends on an answer.
pub(super) fn ask_hello(wire: &mut Wire, now: Instant, config: &RedisConfig) {
    let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
    if let Some(credentials) = &config.credentials {
        let user = if credentials.user.is_empty() { "default" } else { &credentials.user };
        hello.extend([&b"AUTH"[..], user.as_bytes(), credentials.password.as_bytes()]);
    }
    hello.extend([&b"SETNAME"[..], b"tidings"]);
    wire.ask(now, Owed::Hello, &hello);
    if config.database != 0 {
        let database = config.database.to_string();
        wire.ask(now, Owed::Agreement, &[b"SELECT", database.as_bytes()]);
    }
}

/// Which life of which server it is, and our scripts.
pub(super) fn ask_identity(wire: &mut Wire, now: Instant) {
    ask_life(wire, now);
    for script in scripts::ALL {
        wire.ask(now, Owed::Agreement, &[b"SCRIPT", b"LOAD", script.source().as_bytes()]);
    }
}

/// Which life of which server it is. Asked again and again: it may change while the connection lasts.
pub(super) fn ask_life(wire: &mut Wire, now: Instant) {
    wire.ask(now, Owed::Server, &[b"INFO", b"server"]);
    wire.ask(now, Owed::Replication, &[b"INFO", b"replication"]);
}

/// What `HELLO` is answered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Single,
    Cluster,
}

/// The mode in an answer to `HELLO`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse_hello(answer: &Value) -> Result<Mode, Kind> {
    let text = |key: &[u8]| answer.field(key).and_then(Value::as_text);
    let proto = answer.field(b"proto").and_then(Value::as_integer);
    match (proto, text(b"mode")) {
        (Some(3), Some("standalone")) => Ok(Mode::Single),
        (Some(3), Some("cluster")) => Ok(Mode::Cluster),
        (_, Some("sentinel")) => Err(Kind::Sentinel),
        _ => Err(Kind::NotRedis),
    }
}

/// What a server has said of itself so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    run: Option<String>,
    /// Run and replication id: what has another one may have lost or changed anything.
    pub(super) life: Option<String>,
    pub(super) is_primary: bool,
}

impl Identity {
    /// What `INFO server` says. `None`: it is no such thing.
    pub(super) fn note_server(&mut self, info: &Value) -> Option<()> {
        self.run = Some(identifier(line(info.as_text()?, "run_id")?)?.to_owned());
        Some(())
    }

    /// What `INFO replication` says, which comes behind the other. `None`: it is no such thing.
    pub(super) fn note_replication(&mut self, info: &Value) -> Option<()> {
        let info = info.as_text()?;
        let replication = identifier(line(info, "master_replid")?)?;
        self.is_primary = line(info, "role")? == "master";
        self.life = Some(format!("{}{replication}", self.run.as_deref()?));
        Some(())
    }
}

/// What stands behind a name in a text of `name:value` lines.
fn line<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    info.lines().find_map(value)
}

/// The part of an identifier that is used.
fn identifier(text: &str) -> Option<&str> {
    let part = text.get(..LIFE_PART)?;
    part.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn a_life_is_made_of_both_ids() {
        let mut identity = Identity::default();
        let server = "# Server\r\nredis_version:7.0.15\r\nrun_id:0123456789abcdef0123\r\n";
        let replication = "role:master\r\nmaster_replid:fedcba9876543210\r\nmaster_replid2:00\r\n";
        identity.note_server(&bulk(server)).unwrap();
        identity.note_replication(&bulk(replication)).unwrap();
        assert_eq!(identity.life.as_deref(), Some("0123456789abfedcba987654"));
        assert!(identity.is_primary);
        identity
            .note_replication(&bulk(&replication.replace("role:master", "role:slave")))
            .unwrap();
        assert!(!identity.is_primary);
    }

    #[test]
    fn what_says_nothing_of_itself_is_no_redis() {
        let mut identity = Identity::default();
        for text in ["", "run_id", "run_id:", "run_id:0123", "run_id:xyzxyzxyzxyz", "a\nb:c"] {
            assert_eq!(identity.note_server(&bulk(text)), None, "{text:?}");
        }
        assert_eq!(identity.note_server(&Value::Null), None);
        let replication = bulk("role:master\r\nmaster_replid:fedcba9876543210\r\n");
        assert_eq!(identity.note_replication(&replication), None, "there is no run yet");
    }

    #[test]
    fn hello_says_what_it_is() {
        let hello = |proto: i64, mode: &str| {
            let field = |name: &str, value: Value| (bulk(name), value);
            Value::Map(vec![
                field("server", bulk("redis")),
                field("proto", Value::Integer(proto)),
                field("mode", bulk(mode)),
            ])
        };
        assert_eq!(parse_hello(&hello(3, "standalone")), Ok(Mode::Single));
        assert_eq!(parse_hello(&hello(3, "cluster")), Ok(Mode::Cluster));
        assert_eq!(parse_hello(&hello(3, "sentinel")), Err(Kind::Sentinel));
        assert_eq!(parse_hello(&hello(2, "standalone")), Err(Kind::NotRedis));
        assert_eq!(parse_hello(&Value::Simple(b"OK".to_vec())), Err(Kind::NotRedis));
    }
}
