//! The three scripts, carried out as src/outbound/scripts/ has them, line by line. A script is known by its text.

use std::rc::Rc;

use super::resp::Value;
use super::store::{Item, State, Store, Topic};
use crate::judge::ledger::Shared;
use crate::judge::number_of;
use crate::topics::name_of_encoded;

/// Sequences end here.
const SEQUENCE_MAX: u64 = (1 << 53) - 1;
/// Epochs that are remembered.
const TERMS_MAX: usize = 16;

/// Which script.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Script {
    Publish,
    Read,
    Delete,
}

impl Script {
    /// The script with this text.
    pub(super) fn recognise(text: &[u8]) -> Self {
        let prelude = include_bytes!("../../../src/outbound/scripts/prelude.lua");
        let is = |script: &[u8]| text.starts_with(prelude) && text.ends_with(script);
        match () {
            () if is(include_bytes!("../../../src/outbound/scripts/publish.lua")) => Self::Publish,
            () if is(include_bytes!("../../../src/outbound/scripts/read.lua")) => Self::Read,
            () if is(include_bytes!("../../../src/outbound/scripts/delete.lua")) => Self::Delete,
            () => panic!("a script that nobody knows: {}", String::from_utf8_lossy(text)),
        }
    }
}

/// What a script runs in.
pub(super) struct Machine<'a> {
    pub(super) store: &'a mut Store,
    pub(super) ledger: &'a Shared,
    pub(super) now_ms: u64,
    /// The life of this Redis.
    pub(super) life: &'a str,
    /// What the first write is answered with instead.
    pub(super) write_error: Option<&'a str>,
    /// Entries beyond `MAXLEN ~` that a stream may keep.
    pub(super) slack: usize,
    /// What was published, to be told to those who listen.
    pub(super) published: &'a mut Vec<(Vec<u8>, Vec<u8>)>,
}

/// The arguments of a call, checked.
pub(super) struct Call<'a> {
    topic: String,
    channel: Vec<u8>,
    key: Option<&'a [u8]>,
    words: &'a [Vec<u8>],
}

impl<'a> Call<'a> {
    /// Of the keys and the arguments. All keys must be of one topic.
    pub(super) fn parse(prefix: &str, keys: &'a [Vec<u8>], words: &'a [Vec<u8>]) -> Self {
        let text = std::str::from_utf8(&keys[0]).expect("keys are ASCII");
        let topic = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(":{"));
        let topic = topic.and_then(|rest| rest.strip_suffix("}:state"));
        let encoded = topic.unwrap_or_else(|| panic!("{text} is no key of a state"));
        let channel = format!("{prefix}:{{{encoded}}}");
        assert_eq!(keys[1], format!("{channel}:log").into_bytes(), "the second key of {text}");
        let key = keys.get(2).map(|key| {
            let rest = key.strip_prefix(format!("{channel}:key:").as_bytes());
            rest.unwrap_or_else(|| panic!("the third key of {text}: {key:?}"))
        });
        assert!(keys.len() <= 3 && words.iter().all(|word| word.len() < 1 << 20), "{text}");
        Self { topic: name_of_encoded(encoded), channel: channel.into_bytes(), key, words }
    }

    /// Which topic.
    pub(super) fn name(&self) -> &str {
        &self.topic
    }

    /// Which publish, if it is one.
    pub(super) fn publish(&self) -> Option<usize> {
        self.words.get(10).and_then(|_| number_of(payload_of(&self.words[4])))
    }

    fn text(&self, number: usize) -> &str {
        std::str::from_utf8(&self.words[number - 1]).expect("text")
    }

    fn number(&self, number: usize) -> u64 {
        let text = self.text(number);
        text.parse().unwrap_or_else(|_| panic!("ARGV[{number}] is {text:?}"))
    }
}

/// What `open` of the prelude finds.
struct Open {
    state: State,
    is_changed: bool,
    is_new: bool,
}

impl Machine<'_> {
    pub(super) fn run(&mut self, script: Script, call: &Call<'_>) -> Value {
        let result = match script {
            Script::Publish => self.publish(call),
            Script::Read => self.read(call),
            Script::Delete => self.delete(call),
        };
        result.unwrap_or_else(Value::Error)
    }

    fn write(&self) -> Result<(), String> {
        self.write_error.map_or(Ok(()), |error| Err(error.to_owned()))
    }

    /// Changes nothing: see [`Machine::begin`].
    fn open(&mut self, call: &Call<'_>) -> Result<Open, String> {
        let (life, fresh) = (call.text(1), call.text(2));
        assert!(fresh.len() == 8 && life.len() == 24, "a life and an epoch: {life} {fresh}");
        let state = self.store.topic(&call.topic).state.clone();
        let state = state.filter(|state| state.sequence < SEQUENCE_MAX);
        if let Some(state) = &state
            && state.life == life
        {
            return Ok(Open { state: state.clone(), is_changed: false, is_new: false });
        }
        if life != self.life {
            return Err("STALELIFE Redis has begun another life".to_owned());
        }
        let is_new = state.is_none();
        let mut state = state.unwrap_or_else(|| State {
            life: String::new(),
            epoch: String::new(),
            sequence: 0,
            terms: Vec::new(),
            bytes: 0,
            trimmed: 0,
            renewed_ms: 0,
            ends_ms: u64::MAX,
            head: (0, 0),
        });
        (state.life, state.epoch) = (life.to_owned(), fresh.to_owned());
        state.terms.push((fresh.to_owned(), state.sequence + 1));
        if state.terms.len() > TERMS_MAX {
            state.terms.remove(0);
        }
        Ok(Open { state, is_changed: true, is_new })
    }

    /// The epoch of a state that was changed begins, now that it is written down.
    fn begin(&mut self, call: &Call<'_>, open: &mut Open) {
        if open.is_changed {
            let head = (!open.is_new).then_some(open.state.head);
            let state = &mut open.state;
            state.head = self.ledger.borrow_mut().begin(&call.topic, &state.epoch, head);
        }
        if open.is_new {
            self.store.topic(&call.topic).clear_log();
        }
    }

    fn publish(&mut self, call: &Call<'_>) -> Result<Value, String> {
        if let Some(key) = call.key
            && let Some((before, _)) = self.store.topic(&call.topic).keys.get(key)
        {
            return Ok(Value::bulk(before));
        }
        let mut open = self.open(call)?;
        self.write()?;
        self.begin(call, &mut open);
        let (age_ms, most) = (call.number(3), call.number(7) as usize);
        let (record, cost) = (&call.words[4], call.number(8) as usize);
        let Open { mut state, .. } = open;
        let payload = payload_of(record);
        let told = (cost, call.key.is_some());
        let mut ledger = self.ledger.borrow_mut();
        state.head = ledger.append(&call.topic, &state.epoch, state.head, payload, told);
        drop(ledger);
        let (bytes_before, now_ms) = (state.bytes, self.now_ms);
        (state.sequence, state.bytes) = (state.sequence + 1, state.bytes + cost);
        let topic = self.store.topic(&call.topic);
        let (sequence, record): (u64, Rc<[u8]>) = (state.sequence, record.as_slice().into());
        topic.log.push_back(Item { sequence, time_ms: now_ms, record, bytes_before });
        let messages_max = call.number(6) as usize;
        if topic.log.len() > messages_max + self.slack {
            topic.log.drain(..topic.log.len() - messages_max);
        }
        if state.bytes - state.trimmed > most {
            while let Some(oldest) = topic.log.front()
                && oldest.sequence != sequence
                && state.bytes - oldest.bytes_before > most
            {
                topic.log.pop_front();
            }
            state.trimmed = topic.log.front().map_or(bytes_before, |oldest| oldest.bytes_before);
        }
        if now_ms.saturating_sub(state.renewed_ms) > age_ms / 8 || now_ms < state.renewed_ms {
            let kept_ms = age_ms + age_ms / 8;
            topic.log_ends_ms = now_ms + kept_ms;
            state.ends_ms = now_ms + kept_ms + call.number(4);
            state.renewed_ms = now_ms;
        }
        let position = format!("{} {sequence}", state.epoch);
        if let Some(key) = call.key {
            let ends_ms = now_ms + call.number(11);
            topic.keys.insert(key.to_vec(), (position.clone(), ends_ms));
        }
        topic.state = Some(state);
        let (verb, channel) = (call.text(10), &call.words[8]);
        self.tell(call, verb, channel, [position.as_bytes(), b"\n", &call.words[4]].concat());
        Ok(Value::bulk(position))
    }

    fn read(&mut self, call: &Call<'_>) -> Result<Value, String> {
        let mut open = self.open(call)?;
        let kept_ms = call.number(3) + call.number(3) / 8 + call.number(4);
        let must_put_off = open.is_changed
            || open.state.ends_ms.saturating_sub(self.now_ms) < kept_ms - call.number(3) / 8;
        if must_put_off {
            self.write()?;
            self.begin(call, &mut open);
            let ends_ms = if open.is_new { 0 } else { open.state.ends_ms };
            if ends_ms.saturating_sub(self.now_ms) < kept_ms - call.number(3) / 8 {
                open.state.ends_ms = self.now_ms + kept_ms;
            }
            self.store.topic(&call.topic).state = Some(open.state.clone());
        }
        let Open { state, .. } = open;
        let terms = state.terms.iter().map(|(epoch, first)| format!("{epoch} {first}"));
        let terms: Vec<String> = terms.collect();
        let mut page = vec![
            Value::bulk(terms.join(" ")),
            Value::bulk(state.sequence.to_string()),
            Value::bulk(self.now_ms.to_string()),
        ];
        let from = match call.number(5) {
            0 => (state.sequence + 1).saturating_sub(call.number(6)).max(1),
            from => from,
        };
        let mut room = call.number(8) as usize;
        let topic: &Topic = self.store.topic(&call.topic);
        let items = topic.log.iter().filter(|item| item.sequence >= from);
        for item in items.take(call.number(7) as usize) {
            if item.record.len() > room && page.len() > 3 {
                break;
            }
            room = room.saturating_sub(item.record.len());
            page.push(Value::Array(vec![
                Value::bulk(item.sequence.to_string()),
                Value::bulk(item.time_ms.to_string()),
                Value::bulk(&item.record),
            ]));
        }
        Ok(Value::Array(page))
    }

    fn delete(&mut self, call: &Call<'_>) -> Result<Value, String> {
        let Open { is_new, .. } = self.open(call)?;
        if is_new && self.store.topic(&call.topic).state.is_none() {
            return Ok(Value::Null);
        }
        self.write()?;
        let (fresh, age_ms) = (call.text(2), call.number(3));
        let head = self.ledger.borrow_mut().begin(&call.topic, fresh, None);
        let topic = self.store.topic(&call.topic);
        topic.clear_log();
        topic.state = Some(State {
            life: call.text(1).to_owned(),
            epoch: fresh.to_owned(),
            sequence: 0,
            terms: vec![(fresh.to_owned(), 1)],
            bytes: 0,
            trimmed: 0,
            renewed_ms: 0,
            ends_ms: self.now_ms + age_ms + age_ms / 8 + call.number(4),
            head,
        });
        let (verb, channel) = (call.text(6), &call.words[4]);
        self.tell(call, verb, channel, format!("{fresh} 0\n").into_bytes());
        Ok(Value::bulk(format!("{fresh} 0")))
    }

    fn tell(&mut self, call: &Call<'_>, verb: &str, channel: &[u8], text: Vec<u8>) {
        assert_eq!(verb, "PUBLISH", "this Redis is no cluster");
        assert_eq!(channel, call.channel, "the channel of topic {:?}", call.topic);
        self.published.push((channel.to_vec(), text));
    }
}

/// The payload of a record (src/topic/record.rs).
fn payload_of(record: &[u8]) -> &[u8] {
    let end = record.iter().position(|&byte| byte == b'\n').expect("a record has a first line");
    let line = std::str::from_utf8(&record[..end]).expect("a record's first line is text");
    let numbers: Vec<usize> = line.split(' ').map(|word| word.parse().expect("numbers")).collect();
    &record[end + 1 + numbers[1] + numbers[2]..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_are_told_apart_by_their_text() {
        let texts = [
            (include_str!("../../../src/outbound/scripts/publish.lua"), Script::Publish),
            (include_str!("../../../src/outbound/scripts/read.lua"), Script::Read),
            (include_str!("../../../src/outbound/scripts/delete.lua"), Script::Delete),
        ];
        let prelude = include_str!("../../../src/outbound/scripts/prelude.lua");
        for (text, script) in texts {
            assert_eq!(Script::recognise(format!("{prelude}\n{text}").as_bytes()), script);
        }
    }
}
