//! What a server shows its operator, read: its numbers, the hottest topics, the slowest subscribers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::cli::base_url::BaseUrl;
use crate::cli::coming_back::Failure;
use crate::cli::http::Connection;

/// A server that says nothing for so long is not waited for.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Entries of a listing that a server gives at most.
const ROWS_MAX: usize = 1_000;

/// Asks a server, over one connection as long as it lasts.
#[derive(Debug)]
pub(super) struct Scraper {
    base: BaseUrl,
    connection: Option<Connection>,
}

/// A server at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) numbers: Numbers,
    pub(super) topics: Vec<Topic>,
    pub(super) connections: Vec<Subscriber>,
}

/// A topic, as `GET /topics` shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Topic {
    pub(super) topic: String,
    pub(super) recent: u64,
    pub(super) bytes: u64,
    pub(super) lag: u64,
    pub(super) subscribers: BTreeMap<String, u64>,
}

/// A connection, as `GET /connections` shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Subscriber {
    pub(super) id: String,
    pub(super) peer: String,
    pub(super) wire: String,
    pub(super) topics: Vec<String>,
    pub(super) lag: u64,
    pub(super) outbox_bytes: u64,
    pub(super) age: u64,
}

#[derive(Deserialize)]
struct Topics {
    topics: Vec<Topic>,
}

#[derive(Deserialize)]
struct Connections {
    connections: Vec<Subscriber>,
}

impl Scraper {
    pub(super) fn new(base: BaseUrl) -> Self {
        Self { base, connection: None }
    }

    /// A look at the server, with at most so many rows of each table.
    pub(super) fn look(&mut self, rows: usize) -> Result<Snapshot, String> {
        let rows = rows.clamp(1, ROWS_MAX);
        let numbers = Numbers::parse(&self.get("/metrics")?)?;
        let at = Instant::now();
        let topics = self.get(&format!("/topics?sort=recent&limit={rows}"))?;
        let connections = self.get(&format!("/connections?sort=lag&limit={rows}"))?;
        let malformed = |error: serde_json::Error| format!("the server's listing: {error}");
        let Topics { topics } = serde_json::from_str(&topics).map_err(malformed)?;
        let Connections { connections } = serde_json::from_str(&connections).map_err(malformed)?;
        Ok(Snapshot { at, numbers, topics, connections })
    }

    fn get(&mut self, path: &str) -> Result<String, String> {
        // A server closes what was idle, or had many requests: the second try is on a new connection.
        let is_fresh = self.connection.is_none();
        match self.try_get(path) {
            Err(Failure::Lost { .. }) if !is_fresh => self.try_get(path),
            result => result,
        }
        .map_err(|failure| failure.to_string())
    }

    fn try_get(&mut self, path: &str) -> Result<String, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.base, SILENCE_MAX)?,
        };
        let head = connection.get(&self.base, &self.base.resource(path), "*/*")?;
        if head.status != 200 {
            return Err(connection.refusal(&head));
        }
        let body = connection.read_body(&head)?;
        if head.persists {
            self.connection = Some(connection);
        }
        String::from_utf8(body).map_err(|_| Failure::Final("the answer is not UTF-8".to_owned()))
    }
}

/// The samples of `/metrics`, by name and labels as they are written.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    fn parse(text: &str) -> Result<Self, String> {
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let samples = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        samples
            .collect::<Option<BTreeMap<String, f64>>>()
            .filter(|samples| samples.keys().any(|name| name.starts_with("tidings_")))
            .map(Self)
            .ok_or_else(|| "this is not a tidings server: it has no such metrics".to_owned())
    }

    /// The values of a family with the value of its label, empty if it has none.
    pub(super) fn each<'a>(&'a self, family: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let samples = self.0.range(family.to_owned()..);
        samples.take_while(move |(name, _)| name.starts_with(family)).filter_map(
            move |(name, &value)| {
                let labels = &name[family.len()..];
                let is_it = labels.is_empty() || labels.starts_with('{');
                is_it.then(|| (labels.split('"').nth(1).unwrap_or_default(), value))
            },
        )
    }

    /// The sum of a family.
    pub(super) fn sum(&self, family: &str) -> f64 {
        self.each(family).map(|(_, value)| value).sum()
    }

    /// The largest of a family.
    pub(super) fn most(&self, family: &str) -> f64 {
        self.each(family).map(|(_, value)| value).fold(0.0, f64::max)
    }

    /// The value that this share of a histogram's durations did not exceed since `before`: the bound of its bucket.
    /// `None`: there was nothing, or it was beyond all bounds.
    pub(super) fn quantile(&self, before: &Self, family: &str, share: f64) -> Option<f64> {
        let family = format!("{family}_bucket");
        let mut counts: Vec<(f64, f64)> = self
            .each(&family)
            .map(|(bound, count)| {
                let earlier = before.each(&family).find(|(other, _)| *other == bound);
                let bound =
                    if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(0.0) };
                (bound, (count - earlier.map_or(0.0, |(_, count)| count)).max(0.0))
            })
            .collect();
        counts.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let all = counts.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let bound = counts.iter().find(|(_, count)| *count >= all * share).map(|(bound, _)| *bound);
        bound.filter(|bound| bound.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP tidings_a As.\n# TYPE tidings_a gauge\ntidings_a{wire=\"sse\"} 2\n\
        tidings_a{wire=\"poll\"} 3\ntidings_ab 9\ntidings_t_bucket{le=\"0.1\"} 5\n\
        tidings_t_bucket{le=\"0.2\"} 9\ntidings_t_bucket{le=\"+Inf\"} 10\n";

    #[test]
    fn families_are_told_apart_and_added_up() {
        let numbers = Numbers::parse(TEXT).unwrap();
        assert_eq!((numbers.sum("tidings_a"), numbers.most("tidings_a")), (5.0, 3.0));
        let each: Vec<_> = numbers.each("tidings_a").collect();
        assert_eq!(each, [("poll", 3.0), ("sse", 2.0)]);
        assert_eq!(numbers.sum("tidings_none"), 0.0);
        assert!(Numbers::parse("a 1\n").is_err());
        assert!(Numbers::parse("<html>").is_err());
    }

    #[test]
    fn a_share_of_a_histogram_is_that_of_the_time_between() {
        let (numbers, nothing) = (Numbers::parse(TEXT).unwrap(), Numbers::default());
        assert_eq!(numbers.quantile(&nothing, "tidings_t", 0.5), Some(0.1));
        assert_eq!(numbers.quantile(&nothing, "tidings_t", 0.9), Some(0.2));
        assert_eq!(numbers.quantile(&nothing, "tidings_t", 0.99), None, "beyond all bounds");
        assert_eq!(numbers.quantile(&numbers, "tidings_t", 0.5), None, "nothing since");
    }
}
