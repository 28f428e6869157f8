//! One request of the hub on its way through Redis: how it is written, and what its answer says.

use std::sync::Arc;

use crate::config::RedisConfig;
use crate::time::Instant;
use crate::topic::{Epoch, Page, PageEntry, Position, Refusal, Report, Request, Term, TopicName};
use crate::wire::resp3::{Value, encode_command};

use super::keys;
use super::scripts::{Names, Script};

/// Messages of a page, at most.
const PAGE_ENTRIES: &str = "512";
/// Bytes of a page, at most, unless it is one message.
pub(super) const PAGE_BYTES: usize = 256 * 1024;
/// Epochs that a topic remembers, at most (prelude.lua); there may be a few more in another version.
const TERMS_MAX: usize = 64;

/// A request that is not answered yet. It is in exactly one place: waiting, owed by a connection, or held.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    /// When it was asked for.
    pub(super) since: Instant,
    /// Its place among all: what is sent again is sent in this order.
    pub(super) order: u64,
    /// Its topic's slot; 0 outside of a cluster.
    pub(super) slot: u16,
    /// How often it was answered that it should be tried again.
    pub(super) attempts: u8,
    /// Whether Redis may have carried it out.
    pub(super) is_doubtful: bool,
    /// Where its bytes begin among those of its connection.
    pub(super) begins: u64,
    /// Whether it is sent where its slot is on its way to (`ASKING`).
    pub(super) is_asking: bool,
}

/// What the writing of a job needs to know.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) config: Arc<RedisConfig>,
    pub(super) names: Names,
    /// The record that is being written.
    scratch: Vec<u8>,
}

impl Writer {
    pub(super) fn new(config: Arc<RedisConfig>) -> Self {
        Self { config, names: Names::new(), scratch: Vec::new() }
    }

    /// Appends the command that carries out `job` on a Redis of this `life`.
    pub(super) fn encode(
        &mut self,
        job: &Job,
        life: &str,
        fresh: Epoch,
        is_cluster: bool,
        out: &mut Vec<u8>,
    ) {
        let config = &*self.config;
        let channel = keys::channel(&config.prefix, job.topic());
        let (state, log) = (format!("{channel}:state"), format!("{channel}:log"));
        let (fresh, publish) = (fresh.text(), if is_cluster { "SPUBLISH" } else { "PUBLISH" });
        // A topic is looked at every so often while somebody is subscribed: it is not forgotten meanwhile.
        let idle = config.topic_idle_ms.max(config.check_ms.saturating_mul(3)).to_string();
        let age = |age_ms: u64| age_ms.clamp(1_000, 1 << 45).to_string();
        match &job.request {
            Request::Publish { message, key, retention, .. } => {
                self.scratch.clear();
                message.encode_record(&mut self.scratch);
                let key = key.as_ref().map(|key| format!("{channel}:key:{}", key.as_str()));
                let (age, window) = (age(retention.age_ms), config.idempotency_window_ms.max(1));
                let numbers = [retention.messages, retention.bytes, message.cost_bytes()];
                let [most, bytes, cost] = numbers.map(|number| number.to_string());
                let window = window.to_string();
                let sha = self.names.of(Script::Publish);
                let head = ["EVALSHA", sha, if key.is_some() { "3" } else { "2" }, &state, &log];
                let tail = [life, &fresh, &age, &idle];
                let all = head.into_iter().chain(key.as_deref()).chain(tail).map(str::as_bytes);
                let rest = [&most, &bytes, &cost, &channel, publish, &window].map(str::as_bytes);
                let all: Vec<&[u8]> = all.chain([self.scratch.as_slice()]).chain(rest).collect();
                encode_command(out, &all);
            }
            Request::Read { from, retention, .. } => {
                let sha = self.names.of(Script::Read);
                let (age, from) = (age(retention.age_ms), from.to_string());
                let (most, bytes) = (retention.messages.to_string(), PAGE_BYTES.to_string());
                let all = [
                    "EVALSHA",
                    sha,
                    "2",
                    &state,
                    &log,
                    life,
                    &fresh,
                    &age,
                    &idle,
                    &from,
                    &most,
                    PAGE_ENTRIES,
                    &bytes,
                ];
                encode_command(out, &all.map(str::as_bytes));
            }
            Request::Delete { .. } => {
                let sha = self.names.of(Script::Delete);
                // How long its messages are retained is not known here; the next publish says it.
                let age = age(0);
                let all = [
                    "EVALSHA", sha, "2", &state, &log, life, &fresh, &age, &idle, &channel, publish,
                ];
                encode_command(out, &all.map(str::as_bytes));
            }
            Request::Listen { .. } | Request::Leave { .. } => {}
        }
        if self.scratch.capacity() > 64 * 1024 {
            self.scratch = Vec::new();
        }
    }
}

impl Job {
    /// Its topic.
    pub(super) const fn topic(&self) -> &TopicName {
        match &self.request {
            Request::Publish { topic, .. }
            | Request::Delete { topic, .. }
            | Request::Listen { topic }
            | Request::Leave { topic }
            | Request::Read { topic, .. } => topic,
        }
    }

    pub(super) const fn is_read(&self) -> bool {
        matches!(self.request, Request::Read { .. })
    }

    /// Whether it may be sent again though nobody knows whether it was carried out.
    pub(super) const fn is_repeatable(&self) -> bool {
        matches!(self.request, Request::Read { .. } | Request::Publish { key: Some(_), .. })
    }

    /// It ends without having been carried out, as far as is known.
    pub(super) fn refuse(&self) -> Report {
        let refusal = if self.is_doubtful { Refusal::OutcomeUnknown } else { Refusal::RedisAway };
        match self.request {
            Request::Read { number, .. } => Report::Read { number, page: Err(Refusal::RedisAway) },
            Request::Publish { number, .. } | Request::Delete { number, .. } => {
                Report::Done { number, outcome: Err(refusal) }
            }
            Request::Listen { .. } | Request::Leave { .. } => {
                unreachable!("what has no number is no job")
            }
        }
    }

    /// What an answer that is no error says; `None`: it makes no sense.
    pub(super) fn parse(&self, answer: Value) -> Option<Report> {
        match self.request {
            Request::Publish { number, .. } => {
                let position = parse_position(answer.as_bytes()?)?;
                Some(Report::Done { number, outcome: Ok(position) })
            }
            Request::Delete { number, .. } => {
                let outcome = match answer {
                    Value::Null => Err(Refusal::NoSuchTopic),
                    answer => Ok(parse_position(answer.as_bytes()?)?),
                };
                Some(Report::Done { number, outcome })
            }
            Request::Read { number, .. } => {
                Some(Report::Read { number, page: Ok(parse_page(answer)?) })
            }
            Request::Listen { .. } | Request::Leave { .. } => None,
        }
    }
}

/// `<epoch> <sequence>`.
pub(super) fn parse_position(text: &[u8]) -> Option<Position> {
    let mut words = text.split(|&byte| byte == b' ');
    let (epoch, sequence) = (Epoch::parse(words.next()?)?, parse_number(words.next()?)?);
    words.next().is_none().then_some(Position { epoch, sequence })
}

/// What a message of a channel says: `<epoch> <sequence>`, a line's end, and the record.
pub(super) fn parse_heard(mut payload: Vec<u8>) -> Option<(Position, Vec<u8>)> {
    let end = payload.iter().take(40).position(|&byte| byte == b'\n')?;
    let position = parse_position(&payload[..end])?;
    payload.drain(..=end);
    Some((position, payload))
}

fn parse_page(answer: Value) -> Option<Page> {
    let mut values = answer.into_array()?.into_iter();
    let terms = parse_terms(values.next()?.as_bytes()?)?;
    let sequence = parse_number(values.next()?.as_bytes()?)?;
    let now = parse_number(values.next()?.as_bytes()?)?;
    let mut entries: Vec<PageEntry> = Vec::with_capacity(values.len());
    for value in values {
        let [number, time, record] = <[Value; 3]>::try_from(value.into_array()?).ok()?;
        let number = parse_number(number.as_bytes()?)?;
        let is_next = entries.last().is_none_or(|last| number > last.sequence);
        if !is_next || number > sequence {
            return None;
        }
        let age_ms = now.saturating_sub(parse_number(time.as_bytes()?)?);
        entries.push(PageEntry { sequence: number, age_ms, record: record.into_bytes()? });
    }
    Some(Page { terms, next_seq: sequence.checked_add(1)?, entries })
}

/// `epoch first epoch first ...`, each beginning where or behind where the one before it does.
fn parse_terms(text: &[u8]) -> Option<Vec<Term>> {
    let mut terms: Vec<Term> = Vec::new();
    let mut words = text.split(|&byte| byte == b' ');
    while let Some(epoch) = words.next() {
        let term = Term { epoch: Epoch::parse(epoch)?, first: parse_number(words.next()?)? };
        let is_behind = terms.last().is_none_or(|last| last.first <= term.first);
        if !is_behind || term.first == 0 || terms.len() == TERMS_MAX {
            return None;
        }
        terms.push(term);
    }
    Some(terms)
}

/// Digits, as many as a sequence may have: at most 2^53.
pub(super) fn parse_number(text: &[u8]) -> Option<u64> {
    let is_plain = (1..=16).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    fn entry(sequence: &str, time: &str) -> Value {
        Value::Array(vec![bulk(sequence), bulk(time), bulk("record")])
    }

    #[test]
    fn a_page_is_read_as_the_script_writes_it() {
        let page = Value::Array(vec![
            bulk("0000000a 1 0000000b 5"),
            bulk("7"),
            bulk("1000"),
            entry("5", "400"),
            entry("7", "1001"),
        ]);
        let page = parse_page(page).unwrap();
        let epoch = |text: &str| Epoch::parse(text.as_bytes()).unwrap();
        assert_eq!(page.terms[1], Term { epoch: epoch("0000000b"), first: 5 });
        assert_eq!((page.terms.len(), page.next_seq, page.entries.len()), (2, 8, 2));
        assert_eq!((page.entries[0].sequence, page.entries[0].age_ms), (5, 600));
        assert_eq!((page.entries[1].sequence, page.entries[1].age_ms), (7, 0));
        assert_eq!(page.entries[1].record, b"record");
    }

    #[test]
    fn what_no_script_of_ours_writes_is_not_taken() {
        let head = || vec![bulk("0000000a 1"), bulk("7"), bulk("1000")];
        let with = |entry: Value| Value::Array([head(), vec![entry]].concat());
        assert!(parse_page(with(entry("7", "0"))).is_some());
        let bad = [
            Value::Null,
            Value::Array(vec![]),
            Value::Array(vec![bulk(""), bulk("7"), bulk("1000")]),
            Value::Array(vec![bulk("0000000a"), bulk("7"), bulk("1000")]),
            Value::Array(vec![bulk("0000000a 2 0000000b 1"), bulk("7"), bulk("1000")]),
            Value::Array(vec![bulk("0000000a 1"), bulk("99999999999999999"), bulk("1")]),
            with(entry("8", "0")),
            with(entry("x", "0")),
            with(Value::Array(vec![bulk("1")])),
            Value::Array([head(), vec![entry("5", "0"), entry("5", "0")]].concat()),
        ];
        for value in bad {
            assert!(parse_page(value.clone()).is_none(), "{value:?}");
        }
        for text in ["", "0000000a", "0000000a 1 ", "0000000a -1", "0000000A 1", "0000000a  1"] {
            assert_eq!(parse_position(text.as_bytes()), None, "{text:?}");
        }
        assert!(parse_heard(b"0000000a 1 record".to_vec()).is_none());
        assert_eq!(parse_heard(b"0000000a 1\na\nb".to_vec()).unwrap().1, b"a\nb");
    }
}
