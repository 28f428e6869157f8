//! What may be wrong with a Redis, what an operator can do about it, and that it is said once.

use std::collections::BTreeMap;
use std::fmt;

use crate::time::Instant;

/// Places that are remembered. A cluster has fewer; names that a liar makes up are forgotten.
const PLACES_MAX: usize = 256;
/// Milliseconds without a refusal after which requests that are answered show that all is well.
const QUIET_MS: u64 = 5_000;
/// Characters of an error that are shown.
const SHOWN_MAX: usize = 200;

/// What is wrong.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No connection, or none any more.
    Lost,
    /// The connection is there, and nothing comes.
    Silent,
    /// Pub/sub does not bring what was published.
    Deaf,
    /// Not RESP3.
    NotRedis,
    /// It wants TLS.
    Tls,
    /// User or password.
    Password,
    /// The user may not do something.
    Denied,
    /// Older than 6.
    Old,
    /// A sentinel where a server should be.
    Sentinel,
    /// No such database.
    Database,
    /// `protected-mode`.
    Protected,
    /// Not the primary.
    Replica,
    /// Reading its data from disk, or from its primary.
    Loading,
    /// A script of somebody runs on.
    Busy,
    /// `maxclients`.
    Full,
    /// `maxmemory`.
    Memory,
    /// It cannot write to its disk, and refuses writes therefore.
    Disk,
    /// `min-replicas-to-write`.
    NoReplicas,
    /// Fewer have confirmed than `--redis-wait` asks for.
    Unconfirmed,
    /// A key of ours is not what it should be.
    WrongType,
    /// The cluster does not serve this slot.
    ClusterDown,
    /// A sentinel does not know the service.
    UnknownService,
    /// Anything else.
    Other,
}

impl Kind {
    /// What an error of Redis is about, by its first word and, where that says little, the others.
    pub(super) fn of_error(text: &[u8]) -> Self {
        let has = |what: &str| text.windows(what.len()).any(|part| part == what.as_bytes());
        match text.split(|&byte| byte == b' ').next().unwrap_or_default() {
            b"WRONGPASS" | b"NOAUTH" => Self::Password,
            b"NOPERM" => Self::Denied,
            b"NOPROTO" => Self::Old,
            b"DENIED" => Self::Protected,
            b"READONLY" => Self::Replica,
            b"LOADING" | b"MASTERDOWN" => Self::Loading,
            b"BUSY" => Self::Busy,
            b"OOM" => Self::Memory,
            b"MISCONF" => Self::Disk,
            b"NOREPLICAS" => Self::NoReplicas,
            b"WRONGTYPE" => Self::WrongType,
            b"CLUSTERDOWN" | b"MOVED" | b"ASK" | b"TRYAGAIN" | b"CROSSSLOT" => Self::ClusterDown,
            // `HELLO`, and in a cluster `SSUBSCRIBE`.
            b"ERR" if has("unknown command") => Self::Old,
            b"ERR" if has("AUTH") => Self::Password,
            b"ERR" if has("max number of clients") => Self::Full,
            b"ERR" if has("DB index") || has("SELECT is not allowed") => Self::Database,
            // Redis 6: a script stops at its first command that is refused.
            _ if has("READONLY") || has("read only replica") => Self::Replica,
            _ if has("OOM command not allowed") => Self::Memory,
            _ if has("WRONGTYPE") => Self::WrongType,
            _ if has("NOPERM") || has("The user executing the script can't") => Self::Denied,
            _ if has("MISCONF") => Self::Disk,
            _ if has("NOREPLICAS") => Self::NoReplicas,
            _ => Self::Other,
        }
    }

    /// Whether somebody has to do something before it is worth another try.
    pub(super) const fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::NotRedis
                | Self::Tls
                | Self::Password
                | Self::Denied
                | Self::Old
                | Self::Sentinel
                | Self::Database
                | Self::Protected
                | Self::UnknownService
        )
    }

    /// What to do about it.
    const fn advice(self) -> &'static str {
        match self {
            Self::Lost => "see whether it runs, and whether --redis names it rightly",
            Self::Silent => "see whether it hangs, or the network drops packets",
            Self::Deaf => {
                "subscriptions are made anew; see whether one name leads to several servers"
            }
            Self::NotRedis => "see whether --redis names a Redis",
            Self::Tls => "it wants TLS, which is not there yet: use a port without, or stunnel",
            Self::Password => "correct the user and the password of --redis",
            Self::Denied => "give the user what docs/clustering.md lists, with ACL SETUSER",
            Self::Old => "tidings needs Redis 6 or later, in a cluster 7, with no command renamed",
            Self::Sentinel => "this is a sentinel: write redis-sentinel://HOST/SERVICE",
            Self::Database => "correct the database in --redis; a cluster has only 0",
            Self::Protected => "let Redis take connections from here: bind, requirepass",
            Self::Replica => "name the primary in --redis, or use redis-sentinel://",
            Self::Loading => "it is tried again until its data is loaded",
            Self::Busy => "a script runs for too long there: SCRIPT KILL",
            Self::Full => "raise maxclients",
            Self::Memory => "raise maxmemory, or retain less (--log-bytes, --log-messages)",
            Self::Disk => "see its log: it cannot write to its disk",
            Self::NoReplicas => "see to its replicas, or lower min-replicas-to-write",
            Self::Unconfirmed => "see to its replicas, or lower --redis-wait",
            Self::WrongType => {
                "another program writes to keys with our prefix: choose another --redis-prefix, or delete them"
            }
            Self::ClusterDown => "see CLUSTER INFO: all slots need a primary",
            Self::UnknownService => "correct the service's name in --redis",
            Self::Other => "publishing or reading does not work until this is mended",
        }
    }
}

/// Where something may be wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The connection for commands to a server.
    Commands(String),
    /// The connection for subscriptions to a server.
    Subscriptions(String),
    /// The connection to a sentinel.
    Sentinel(String),
    /// What publishes are answered.
    Publishing,
    /// What reads are answered.
    Reading,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commands(server) => write!(formatter, "Redis {server}"),
            Self::Subscriptions(server) => write!(formatter, "Redis {server}, subscriptions"),
            Self::Sentinel(server) => write!(formatter, "Sentinel {server}"),
            Self::Publishing => formatter.write_str("publishing to Redis"),
            Self::Reading => formatter.write_str("reading from Redis"),
        }
    }
}

#[derive(Debug)]
struct Trouble {
    kind: Kind,
    since: Instant,
    /// When it was met last.
    last: Instant,
    line: String,
}

/// What is wrong at present, place by place.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    present: BTreeMap<Place, Trouble>,
}

impl Troubles {
    /// Something is wrong. It is logged if it is new, or other than before.
    pub(super) fn begin(&mut self, now: Instant, place: Place, kind: Kind, what: &str) {
        let is_full = self.present.len() >= PLACES_MAX;
        let since = match self.present.get_mut(&place) {
            Some(trouble) if trouble.kind == kind => return trouble.last = now,
            Some(trouble) => trouble.since,
            None if is_full => return,
            None => now,
        };
        let shown = what
            .trim_end_matches('.')
            .chars()
            .take(SHOWN_MAX)
            .map(|character| if character.is_control() { ' ' } else { character });
        let line = format!("{place}: {}: {}", shown.collect::<String>(), kind.advice());
        log::warn!("{line}");
        self.present.insert(place, Trouble { kind, since, last: now, line });
    }

    /// Nothing is wrong there, any more. One request that is answered is no proof, where another was refused a moment
    /// ago: it may have been about another topic, and the two may go on taking turns.
    pub(super) fn end(&mut self, now: Instant, place: &Place) {
        let is_shared = matches!(place, Place::Publishing | Place::Reading);
        let is_recent = |trouble: &Trouble| now.since(trouble.last) < QUIET_MS;
        if is_shared && self.present.get(place).is_some_and(is_recent) {
            return;
        }
        if let Some(trouble) = self.present.remove(place) {
            log::info!("{place}: well again, after {} ms", now.since(trouble.since));
        }
    }

    /// The place is no concern of ours any more.
    pub(super) fn forget(&mut self, place: &Place) {
        self.present.remove(place);
    }

    /// Of all connections for commands only this one is of concern.
    pub(super) fn forget_other_servers(&mut self, place: &Place) {
        self.present.retain(|other, _| !matches!(other, Place::Commands(_)) || other == place);
    }

    /// The first that is wrong, in one line.
    pub(super) fn first(&self) -> Option<&str> {
        self.present.values().next().map(|trouble| trouble.line.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_known_by_what_they_say() {
        for (text, kind) in [
            ("WRONGPASS invalid username-password pair or user is disabled.", Kind::Password),
            ("NOAUTH HELLO must be called with the client already authenticated", Kind::Password),
            ("ERR AUTH <password> called without any password configured", Kind::Password),
            ("ERR unknown command `HELLO`, with args beginning with: `3`", Kind::Old),
            ("NOPROTO unsupported protocol version", Kind::Old),
            ("NOPERM this user has no permissions to run the 'evalsha' command", Kind::Denied),
            ("ERR The user executing the script can't run this command", Kind::Denied),
            ("ERR The user executing the script can't publish to the channel", Kind::Denied),
            (
                "ERR The user executing the script can't access at least one of the keys",
                Kind::Denied,
            ),
            ("OOM command not allowed when used memory > 'maxmemory'.", Kind::Memory),
            ("ERR Error running script: -OOM command not allowed when used", Kind::Memory),
            ("READONLY You can't write against a read only replica.", Kind::Replica),
            ("LOADING Redis is loading the dataset in memory", Kind::Loading),
            ("ERR max number of clients reached", Kind::Full),
            ("ERR DB index is out of range", Kind::Database),
            ("CLUSTERDOWN The cluster is down", Kind::ClusterDown),
            ("WRONGTYPE Operation against a key holding the wrong kind", Kind::WrongType),
            ("", Kind::Other),
        ] {
            assert_eq!(Kind::of_error(text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn a_trouble_lasts_from_its_beginning_to_its_end_and_is_one_line() {
        let (mut troubles, place) = (Troubles::default(), Place::Commands("a:1".into()));
        let at = Instant::from_ms;
        troubles.begin(at(1), place.clone(), Kind::Lost, "refused");
        let first = troubles.first().unwrap().to_owned();
        assert!(first.starts_with("Redis a:1: refused: "), "{first}");
        troubles.begin(at(2), place.clone(), Kind::Lost, "reset");
        assert_eq!(troubles.first(), Some(first.as_str()), "the same trouble is not told again");
        troubles.begin(at(3), place.clone(), Kind::Loading, "LOADING\r\nx");
        assert!(troubles.first().unwrap().starts_with("Redis a:1: LOADING  x: "));
        troubles.end(at(4), &Place::Publishing);
        assert!(troubles.first().is_some());
        troubles.end(at(5), &place);
        assert_eq!(troubles.first(), None);
    }

    #[test]
    fn requests_that_are_answered_and_refused_in_turn_are_one_trouble() {
        let (mut troubles, place) = (Troubles::default(), Place::Publishing);
        for second in 0..100 {
            let now = Instant::from_ms(second * 1_000);
            troubles.begin(now, place.clone(), Kind::WrongType, "WRONGTYPE");
            troubles.end(now, &place);
            assert_eq!(troubles.present[&place].since, Instant::from_ms(0));
        }
        troubles.end(Instant::from_ms(99_000 + QUIET_MS - 1), &place);
        assert!(troubles.first().is_some());
        troubles.end(Instant::from_ms(99_000 + QUIET_MS), &place);
        assert_eq!(troubles.first(), None);
    }

    #[test]
    fn places_that_somebody_makes_up_do_not_fill_the_memory() {
        let mut troubles = Troubles::default();
        for number in 0..1_000 {
            let place = Place::Commands(number.to_string());
            troubles.begin(Instant::from_ms(1), place, Kind::Lost, "refused");
        }
        assert_eq!(troubles.present.len(), PLACES_MAX);
    }
}
