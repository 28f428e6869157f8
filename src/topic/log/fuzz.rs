//! A log and the cursors on it against a naive model: a list of all that was ever published.

use super::super::cursor::{Cursor, Start};
use super::super::subscription::{Due, Edge};
use super::super::topics::TopicId;
use super::*;

/// Operations of one script.
const OPERATIONS_MAX: usize = 500;
/// Cursors on the log.
const READERS: usize = 4;

const FORMATS: [Format; Format::COUNT] = [
    Format::Sse,
    Format::SseEnvelope,
    Format::Ndjson,
    Format::WebSocketRaw,
    Format::WebSocketEnvelope,
];

/// What may happen to a log.
#[derive(Debug)]
enum Operation {
    Append { bytes: usize },
    Trim(Retention),
    Pass { ms: u64 },
    Reset { first_seq: u64 },
    Skip { messages: u64 },
    Encode { back: u64, format: Format, keep: bool },
    Join { back: u64, format: Format, bytes_max: usize },
    ForgetRuns,
    Begin { reader: usize, start: usize, back: u64 },
    Read { reader: usize, messages: usize },
    Resume { reader: usize },
}

/// Everything that was published in this epoch, and how much of it is retained.
struct Model {
    epoch: Epoch,
    /// Of the first of `messages`.
    base: u64,
    messages: Vec<(Arc<Message>, Instant)>,
    /// Messages that are gone.
    gone: usize,
}

/// A cursor, and the message that its reader expects; `None` if it has to be told of a gap first.
struct Reader {
    edge: Edge,
    expects: Option<u64>,
}

/// For fuzzing: plays the operations that `bytes` are on a log and on a list.
///
/// # Panics
/// If the two differ in what is retained, in its order, in its size, or in what any reader is owed: each
/// message once, in order, or as a gap.
pub fn fuzz_log(bytes: &[u8]) {
    let mut bytes = bytes;
    let epoch = Epoch::from_random(1);
    let mut play = Play {
        log: Log::new(epoch, 1),
        model: Model { epoch, base: 1, messages: Vec::new(), gone: 0 },
        readers: Vec::new(),
        topic: TopicName::parse(b"t").expect("a name"),
        encodings: 0,
        now: Instant::from_ms(1_000),
        epochs: 1,
    };
    for reader in 0..READERS {
        let mut edge = Edge::unresolved(TopicId(0), reader as u32);
        edge.resolve(&play.log, &Start::Earliest, None);
        play.readers.push(Reader { edge, expects: Some(1) });
    }
    for _ in 0..OPERATIONS_MAX {
        let Some(operation) = Operation::parse(&mut bytes) else { break };
        play.carry_out(&operation);
        play.compare();
    }
    for reader in 0..READERS {
        play.read(reader, usize::MAX);
    }
}

impl Operation {
    fn parse(bytes: &mut &[u8]) -> Option<Self> {
        let [what, number, rest @ ..] = *bytes else { return None };
        *bytes = rest;
        let (what, number) = (*what, *number);
        let (reader, count) = (usize::from(what >> 4) % READERS, u64::from(number));
        Some(match what & 15 {
            0..=3 => Self::Append { bytes: usize::from(number) * usize::from(what >> 4) },
            4 => Self::Trim(Retention {
                messages: usize::from(number),
                bytes: 1 << 40,
                age_ms: 1 << 40,
            }),
            5 => {
                let bytes = usize::from(number) * 100;
                Self::Trim(Retention { messages: 1 << 40, bytes, age_ms: 1 << 40 })
            }
            6 => Self::Trim(Retention { messages: 1 << 40, bytes: 1 << 40, age_ms: count * 10 }),
            7 => Self::Pass { ms: count * 5 },
            8 if what >> 4 == 0 => Self::Reset { first_seq: 1 + count },
            8 if what >> 4 == 1 => Self::Skip { messages: count },
            8 | 9 => {
                let format = FORMATS[usize::from(what >> 4) % FORMATS.len()];
                Self::Encode { back: count >> 1, format, keep: number & 1 == 1 }
            }
            10 => Self::Begin { reader, start: usize::from(number & 3), back: count >> 2 },
            11 => Self::Resume { reader },
            12 if number == 0 => Self::ForgetRuns,
            12 => {
                let format = FORMATS[usize::from(what >> 4) % FORMATS.len()];
                Self::Join { back: count >> 3, format, bytes_max: 64 << (number & 7) }
            }
            _ => Self::Read { reader, messages: usize::from(number) },
        })
    }
}

struct Play {
    log: Log,
    model: Model,
    readers: Vec<Reader>,
    topic: TopicName,
    /// Bytes of the encodings that are kept, when they are known.
    encodings: usize,
    now: Instant,
    epochs: u64,
}

impl Model {
    fn first(&self) -> u64 {
        self.base + self.gone as u64
    }

    fn next(&self) -> u64 {
        self.base + self.messages.len() as u64
    }

    fn retained(&self) -> &[(Arc<Message>, Instant)] {
        &self.messages[self.gone..]
    }

    fn bytes(&self) -> usize {
        self.retained().iter().map(|(message, _)| message.cost_bytes()).sum()
    }
}

impl Play {
    fn carry_out(&mut self, operation: &Operation) {
        match *operation {
            Operation::Append { bytes } => {
                let message = Message::new(vec![b'x'; bytes], None, None, 7).expect("a text");
                let message = Arc::new(message);
                let sequence = self.log.append(Arc::clone(&message), self.now);
                assert_eq!(sequence, self.model.next());
                self.model.messages.push((message, self.now));
            }
            Operation::Trim(retention) => {
                self.log.trim(&retention, self.now);
                while let Some((_, appended_at)) = self.model.retained().first()
                    && (self.model.retained().len() > retention.messages
                        || self.model.bytes() > retention.bytes
                        || self.now.since(*appended_at) >= retention.age_ms)
                {
                    self.model.gone += 1;
                }
            }
            Operation::Pass { ms } => self.now = self.now + ms,
            Operation::Reset { first_seq } => {
                self.epochs += 1;
                let epoch = Epoch::from_random(self.epochs);
                self.log.reset(epoch, first_seq);
                self.model = Model { epoch, base: first_seq, messages: Vec::new(), gone: 0 };
                self.readers.iter_mut().for_each(|reader| reader.expects = None);
            }
            Operation::Skip { messages } => {
                let sequence = self.model.next() + messages;
                self.log.skip_to(sequence);
                // Nobody here has seen what was skipped; the list begins behind it.
                let epoch = self.model.epoch;
                self.model = Model { epoch, base: sequence, messages: Vec::new(), gone: 0 };
            }
            Operation::Encode { back, format, keep } => self.encode(back, format, keep),
            Operation::Join { back, format, bytes_max } => self.join(back, format, bytes_max),
            Operation::ForgetRuns => self.log.forget_runs(),
            Operation::Begin { reader, start, back } => self.begin(reader, start, back),
            Operation::Read { reader, messages } => self.read(reader, messages),
            Operation::Resume { reader } => self.resume(reader),
        }
    }

    fn compare(&mut self) {
        let (log, model) = (&self.log, &self.model);
        assert_eq!((log.first_seq(), log.next_seq()), (model.first(), model.next()));
        assert_eq!(
            (log.len(), log.is_empty()),
            (model.retained().len(), model.retained().is_empty())
        );
        let head = Position { epoch: model.epoch, sequence: model.next() - 1 };
        assert_eq!((log.head(), log.epoch()), (head, model.epoch));
        let retained = log.retained.iter();
        assert_eq!(retained.clone().map(|it| it.bytes).sum::<usize>(), model.bytes());
        let entries = retained.clone().flat_map(|it| &it.entries);
        self.encodings = entries.map(Entry::encoded_bytes).sum();
        self.encodings += retained.map(|it| it.runs.cost_bytes()).sum::<usize>();
        assert_eq!(log.memory_bytes(), model.bytes() + self.encodings);
        for (sequence, (message, appended_at)) in (model.first()..).zip(model.retained()) {
            let (found, found_at) = log.entry(sequence).expect("it is retained");
            assert!(Arc::ptr_eq(found, message) && found_at == *appended_at);
        }
        for sequence in [0, model.first().wrapping_sub(1), model.next(), u64::MAX] {
            let is_retained = (model.first()..model.next()).contains(&sequence);
            assert_eq!(log.entry(sequence).is_some(), is_retained);
        }
        let oldest = model.retained().first().map_or(Instant::NEVER, |(_, at)| *at + 10);
        let retention = Retention { messages: 1, bytes: 1, age_ms: 10 };
        assert_eq!(log.oldest_expires(&retention), oldest);
    }

    fn encode(&mut self, back: u64, format: Format, keep: bool) {
        let Some(sequence) = self.model.next().checked_sub(1 + back) else { return };
        let Some((message, _)) = self.log.entry(sequence) else { return };
        let id = Position { epoch: self.model.epoch, sequence }.text();
        let expected = Encoded::new(format, "t", &id, message).framed();
        let before = self.log.memory_bytes();
        for _ in 0..2 {
            let chunk = self.log.chunk(&self.topic, sequence, format, Encoded::framed, keep);
            assert_eq!(chunk.as_slice(), expected.as_slice());
        }
        assert!(keep || self.log.memory_bytes() == before);
    }

    /// Asks from one place until it is joined, if it ever is.
    fn join(&mut self, back: u64, format: Format, bytes_max: usize) {
        let Some(first) = self.model.next().checked_sub(1 + back) else { return };
        if self.log.entry(first).is_none() {
            return;
        }
        for _ in 0..3 {
            let run = self.log.run(&self.topic, first, format, bytes_max);
            let Some((joined, messages)) = run else { continue };
            assert!(messages >= 2 && joined.len() <= bytes_max);
            let mut apart = Vec::new();
            for sequence in first..first + messages {
                let one = self.log.chunk(&self.topic, sequence, format, Encoded::framed, false);
                apart.extend_from_slice(one.as_slice());
            }
            assert_eq!(joined.as_slice(), apart);
        }
    }

    /// Begins at one of the places where a client may ask to begin.
    fn begin(&mut self, reader: usize, start: usize, back: u64) {
        let (first, next) = (self.model.first(), self.model.next());
        let asked = next.saturating_sub(back).max(1);
        let (start, expects) = match start {
            0 => (Start::Earliest, Some(first)),
            1 => (Start::Latest, Some(next)),
            2 => (Start::Last(back), Some(next.saturating_sub(back).max(first))),
            _ => (Start::Unknown, Some(asked)),
        };
        let edge = &mut self.readers[reader].edge;
        if start == Start::Unknown {
            let position = Position { epoch: self.model.epoch, sequence: asked - 1 };
            let cursor = Cursor::parse(position.text().as_bytes()).expect("our own");
            edge.resolve(&self.log, &Start::After(cursor), Some(position));
        } else {
            edge.resolve(&self.log, &start, None);
        }
        self.readers[reader].expects = expects;
    }

    /// Gives a reader's own cursor back.
    fn resume(&mut self, reader: usize) {
        let edge = &mut self.readers[reader].edge;
        let position = edge.position(&self.log);
        let cursor = Cursor::parse(position.text().as_bytes()).expect("our own");
        assert_eq!(cursor.positions(1), Some(&[position][..]));
        let due = edge.due(&self.log);
        edge.resolve(&self.log, &Start::After(cursor), Some(position));
        assert_eq!(edge.due(&self.log), due, "resuming changes nothing");
    }

    /// Takes what a reader is owed, and checks that it is.
    fn read(&mut self, reader: usize, messages: usize) {
        let Reader { edge, expects } = &mut self.readers[reader];
        for _ in 0..messages {
            let due = edge.due(&self.log);
            match (due, *expects) {
                (Due::Nothing, expects) => {
                    assert_eq!(expects, Some(self.model.next()));
                    return;
                }
                (Due::Message(sequence), Some(expected)) => {
                    assert_eq!(sequence, expected);
                    assert!(self.log.entry(sequence).is_some());
                    *expects = Some(sequence + 1);
                }
                (Due::Gap(Some(count)), Some(expected)) => {
                    assert_eq!(expected + count, self.model.first());
                    *expects = Some(self.model.first());
                }
                (Due::Gap(None), None) => *expects = Some(self.model.first()),
                other => panic!("{other:?}"),
            }
            edge.advance(&self.log);
        }
    }
}

#[test]
fn the_corpus_of_logs_keeps_every_promise() {
    crate::fuzzing::replay("log", fuzz_log);
}
