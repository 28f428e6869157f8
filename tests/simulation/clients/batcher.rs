//! Publishes with batches: a line now and then while it listens to what became of those before, in chunks
//! that end where they like. What has a key is repeated in the next batch when one is cut.

use std::collections::VecDeque;

use fastrand::Rng;

use super::draft::{draft, members};
use super::line::{Leaving, Line, Pace};
use super::{Actor, Hands};
use crate::judge::{Judge, PublishId};
use crate::topics::{TOPICS_MAX, number_of_topic};
use crate::wires::http::{Answers, Asked, Head, LAST_CHUNK, Part, batch, chunk};
use crate::wires::lines::Lines;
use crate::wires::outcomes::{BatchLine, batch_line, is_final, refused};
use crate::world::World;

/// Silence after which it gives up: more than a heartbeat.
const PATIENCE_MS: u64 = 60_000;
/// Lines that it lets wait for their reports.
const LINES_MAX: usize = 20;

/// A line that is to be reported on.
#[derive(Copy, Clone, Debug)]
enum Sent {
    Message(PublishId),
    /// Nobody can carry it out.
    Wrong,
}

/// A connection, with a batch under way or between two.
struct Stream {
    line: Line,
    answers: Answers,
    head: Option<Head>,
    reports: Lines,
    /// The body of a refusal.
    body: Vec<u8>,
    /// Lines sent so far, whatever they were.
    count: u64,
    /// Lines whose reports have not come, with their numbers.
    sent: VecDeque<(u64, Sent)>,
    /// The rest of a line that has begun, and what it is; a blank one is nothing.
    rest: Vec<u8>,
    begun: Option<Sent>,
    /// Whether a batch is under way, and its last chunk is still to be sent.
    is_open: bool,
    /// What was acknowledged last in this batch, by topic.
    before: Vec<Option<PublishId>>,
    /// How often processes had been told to go away when it connected.
    drains: u64,
}

/// See the module.
pub(crate) struct Batcher {
    pace: Pace,
    stream: Option<Stream>,
    /// Publishes with a key of which nothing is known, to be repeated.
    again: VecDeque<PublishId>,
    /// It does not begin a batch before that.
    next_ms: u64,
}

impl Batcher {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let pace = if random.u8(0..4) == 0 { Pace::draw(random) } else { Pace::EAGER };
        Self { pace, stream: None, again: VecDeque::new(), next_ms: 0 }
    }

    /// Begins a batch: on the connection that is there, or another.
    fn begin(&mut self, hands: &mut Hands<'_>) {
        if self.stream.is_none() {
            self.stream = Some(Stream::new(Line::open(hands, self.pace), hands.world.drains()));
        }
        let Some(stream) = &mut self.stream else { return };
        (stream.is_open, stream.count) = (true, 0);
        stream.before.fill(None);
        hands.note(|| "begins a batch".to_owned());
        stream.line.send(hands, &batch(None));
        stream.answers.expect(Asked::Post);
    }

    /// A batch whose length is known, all of it at once.
    fn send_whole(&mut self, hands: &mut Hands<'_>) {
        let stream =
            self.stream.insert(Stream::new(Line::open(hands, self.pace), hands.world.drains()));
        let mut body = Vec::new();
        for _ in 0..hands.random.usize(0..6) {
            stream.begin_line(hands, None);
            body.append(&mut stream.rest);
            stream.end_line(hands);
        }
        // The last line needs no end.
        if hands.random.bool() && body.last() == Some(&b'\n') && body.len() > 1 {
            body.pop();
        }
        hands.note(|| format!("sends a batch of {} lines", stream.count));
        stream.line.send(hands, &[batch(Some(body.len())), body].concat());
        stream.answers.expect(Asked::Post);
    }

    /// Closes the connection, and begins no other before so long.
    fn go(&mut self, hands: &mut Hands<'_>, how: Leaving, after_ms: Option<u64>) {
        let own_ms = if hands.calm { 100 } else { hands.random.u64(0..2_000) };
        self.next_ms = hands.now_ms() + after_ms.unwrap_or(own_ms);
        let Some(mut stream) = self.stream.take() else { return };
        stream.sent.extend(stream.begun.map(|begun| (0, begun)));
        for (_, sent) in stream.sent {
            if let Sent::Message(id) = sent
                && hands.judge.draft_of(id).2.is_some()
            {
                self.again.push_back(id);
            }
        }
        stream.line.leave(hands, how);
    }

    fn take(&mut self, hands: &mut Hands<'_>) {
        let Some(stream) = &mut self.stream else { return };
        let bytes = stream.line.take(hands);
        stream.answers.push(&bytes);
        while let Some(stream) = &mut self.stream
            && let Some(part) = stream.answers.next()
        {
            match part {
                Part::Head(head) => {
                    hands.note(|| format!("its batch is answered with {}", head.status));
                    stream.begin_reports(head);
                }
                Part::Body(content) => self.hear(hands, &content),
                Part::End => self.end(hands),
            }
        }
    }

    /// Some of the answer's body.
    fn hear(&mut self, hands: &mut Hands<'_>, content: &[u8]) {
        let Some(stream) = &mut self.stream else { return };
        if stream.head.as_ref().is_some_and(|head| head.status != 200) {
            return stream.body.extend(content);
        }
        stream.reports.push(content);
        while let Some(text) = stream.reports.next() {
            hands.note(|| format!("is told {text}"));
            let BatchLine { line, outcome } = batch_line(&text);
            let (number, sent) = stream.sent.pop_front().expect("a report on each line");
            assert_eq!(line, number, "reports come in the order of the lines: {text}");
            match (sent, outcome) {
                (Sent::Message(id), Ok(published)) => {
                    assert_eq!(
                        number_of_topic(&published.topic),
                        hands.judge.draft_of(id).0,
                        "the topic of {id:?}"
                    );
                    stream.acknowledged(hands, id, &published.id);
                }
                (Sent::Message(id), Err((413 | 503, detail))) => {
                    // docs/protocol.md 5.5: of one kind of 503 nobody knows.
                    let is_known = is_final(&detail);
                    hands.judge.refuse(id, is_known);
                    if !is_known && hands.judge.draft_of(id).2.is_some() {
                        self.again.push_back(id);
                    }
                }
                // There may have been no memory for the part of it that came first.
                (Sent::Wrong, Err((400 | 503, _))) => (),
                (sent, outcome) => panic!("{sent:?} is reported as {outcome:?}"),
            }
        }
    }

    /// The answer is whole: regularly, or because the server goes away.
    fn end(&mut self, hands: &mut Hands<'_>) {
        let Some(stream) = &mut self.stream else { return };
        let head = stream.head.take().expect("a head comes first");
        assert!(stream.reports.is_between_lines(), "an answer has ended within a report");
        if head.status != 200 {
            refused(head.status, &stream.body);
            // Of its lines none was read.
            for (_, sent) in stream.sent.drain(..) {
                if let Sent::Message(id) = sent {
                    hands.judge.refuse(id, true);
                }
            }
            return self.go(hands, Leaving::Close, head.retry_ms());
        }
        // It may have gone by now, and another process be there.
        let was_drained = hands.world.drains() > stream.drains;
        let may_be_cut = was_drained || stream.line.is_excused(hands.world);
        assert!(
            stream.is_open || stream.sent.is_empty() || may_be_cut,
            "client {} has no report on {:?}",
            hands.number,
            stream.sent
        );
        if stream.is_open || !stream.sent.is_empty() || head.closes() {
            hands.note(|| "its batch is over".to_owned());
            self.go(hands, Leaving::Close, None);
        }
    }
}

impl Stream {
    fn new(line: Line, drains: u64) -> Self {
        Self {
            line,
            answers: Answers::new(),
            head: None,
            reports: Lines::default(),
            body: Vec::new(),
            count: 0,
            sent: VecDeque::new(),
            rest: Vec::new(),
            begun: None,
            is_open: false,
            before: vec![None; TOPICS_MAX],
            drains,
        }
    }

    /// Puts together the next line: this message, or whatever it likes.
    fn begin_line(&mut self, hands: &mut Hands<'_>, id: Option<PublishId>) {
        let (sent, text) = match (id, hands.random.u8(0..12)) {
            (None, 0) => (Some(Sent::Wrong), wrong_line(hands).to_owned()),
            (None, 1) => (None, [" ", "", "\t\r"][hands.random.usize(..3)].to_owned()),
            (id, _) => {
                let id = id.unwrap_or_else(|| draft(hands));
                (Some(Sent::Message(id)), format!("{{{}}}", members(hands, id)))
            }
        };
        let end = if hands.random.u8(0..4) == 0 { "\r\n" } else { "\n" };
        (self.begun, self.rest) = (sent, (text + end).into_bytes());
    }

    /// The end of a line leaves now.
    fn end_line(&mut self, hands: &mut Hands<'_>) {
        self.count += 1;
        let Some(sent) = self.begun.take() else { return };
        if let Sent::Message(id) = sent {
            hands.judge.send(id);
        }
        hands.note(|| format!("line {}: {sent:?}", self.count));
        self.sent.push_back((self.count, sent));
    }

    /// Sends some of the line that has begun, in one chunk.
    fn send_some(&mut self, hands: &mut Hands<'_>, most: usize) {
        let count = most.min(self.rest.len());
        let piece: Vec<u8> = self.rest.drain(..count).collect();
        if self.rest.is_empty() && count > 0 {
            self.end_line(hands);
        }
        self.line.send(hands, &chunk(&piece));
    }

    fn finish(&mut self, hands: &mut Hands<'_>) {
        self.send_some(hands, usize::MAX);
        self.is_open = false;
        hands.note(|| "ends its batch".to_owned());
        self.line.send(hands, LAST_CHUNK);
    }

    fn begin_reports(&mut self, head: Head) {
        if head.status == 200 {
            let kind = head.field("content-type");
            assert_eq!(kind, Some("application/x-ndjson"), "the answer to a batch: {head:?}");
        } else {
            assert!(matches!(head.status, 408 | 429 | 503), "a right batch: {head:?}");
        }
        self.head = Some(head);
    }

    fn acknowledged(&mut self, hands: &mut Hands<'_>, id: PublishId, text: &str) {
        let (topic, _, key) = hands.judge.draft_of(id);
        let is_keyed = key.is_some();
        hands.judge.acknowledge(id, text);
        if let (Some(before), false) = (self.before[topic].take(), is_keyed) {
            hands.judge.check_order(before, id);
        }
        self.before[topic] = (!is_keyed).then_some(id);
    }

    /// Whether reports, or an answer's end, are due.
    fn is_owed(&self) -> bool {
        self.answers.owed() > 0
    }
}

/// A line that is refused.
fn wrong_line(hands: &mut Hands<'_>) -> &'static str {
    let lines = [
        "nonsense",
        "{\"topic\":\"news\"}",
        "{\"topic\":\"a,b\",\"data\":\"#0\"}",
        "{\"topic\":\"news\",\"data\":\"#0\",\"colour\":1}",
        "{\"topic\":\"news\",\"data\":\"#0\",\"encoding\":\"base64\"}",
        "{\"topic\":\"news\",\"data\":\"#0\",\"event\":\"tidings:gap\"}",
        "{\"topic\":\"news\",\"data\":\"#0\"} {\"topic\":\"news\",\"data\":\"#0\"}",
    ];
    lines[hands.random.usize(..lines.len())]
}

impl Actor for Batcher {
    fn is_reader(&self) -> bool {
        false
    }

    fn is_awake(&self, world: &World) -> bool {
        let has_more = self.stream.as_ref().is_some_and(|stream| stream.line.is_awake(world));
        has_more || self.wakes_at_ms(world) <= world.now_ms()
    }

    fn wakes_at_ms(&self, world: &World) -> u64 {
        let again_ms = if self.again.is_empty() { u64::MAX } else { self.next_ms };
        match &self.stream {
            None => again_ms,
            Some(Stream { line, answers, .. }) if answers.owed() > 0 => {
                line.wakes_at_ms(world).min(line.used_ms + PATIENCE_MS)
            }
            Some(Stream { line, .. }) => line.wakes_at_ms(world).min(again_ms),
        }
    }

    fn wake(&mut self, hands: &mut Hands<'_>) {
        self.take(hands);
        let now_ms = hands.now_ms();
        if let Some(stream) = &mut self.stream {
            if let Some(end) = stream.line.ended(hands.world) {
                hands.note_end(&stream.line, end, stream.is_owed());
                return self.go(hands, Leaving::Close, None);
            }
            if stream.is_owed() && stream.line.used_ms + PATIENCE_MS <= now_ms {
                hands.note(|| "loses its patience".to_owned());
                return self.go(hands, Leaving::Reset, None);
            }
            if hands.calm && stream.is_open {
                stream.finish(hands);
            }
        }
        let is_free = self.stream.as_ref().is_none_or(|stream| !stream.is_owed());
        if is_free && !self.again.is_empty() && self.next_ms <= now_ms {
            self.begin(hands);
            for id in std::mem::take(&mut self.again) {
                let Some(stream) = &mut self.stream else { return };
                stream.begin_line(hands, Some(id));
                stream.send_some(hands, usize::MAX);
            }
            if hands.calm
                && let Some(stream) = &mut self.stream
            {
                stream.finish(hands);
            }
        }
    }

    fn act(&mut self, hands: &mut Hands<'_>) {
        let Some(stream) = &mut self.stream else {
            return match hands.random.u8(0..4) {
                _ if hands.now_ms() < self.next_ms => (),
                0 => self.send_whole(hands),
                _ => self.begin(hands),
            };
        };
        match hands.random.u8(0..40) {
            0 => {
                let how = Leaving::draw(hands.random);
                self.go(hands, how, None);
            }
            1 => {
                self.pace = Pace::draw(hands.random);
                stream.line.change_pace(self.pace);
            }
            _ if !stream.is_owed() => self.begin(hands),
            _ if !stream.is_open || stream.sent.len() >= LINES_MAX => self.wake(hands),
            2..5 => stream.finish(hands),
            _ => {
                if stream.rest.is_empty() {
                    stream.begin_line(hands, None);
                }
                let is_whole = hands.random.u8(0..3) > 0;
                let most = if is_whole { usize::MAX } else { hands.random.usize(1..40) };
                stream.send_some(hands, most);
            }
        }
    }

    fn is_content(&self, _judge: &mut Judge) -> bool {
        self.again.is_empty() && self.stream.as_ref().is_none_or(|stream| !stream.is_owed())
    }

    fn leave(&mut self, hands: &mut Hands<'_>, how: Leaving) {
        self.go(hands, how, None);
        self.again.clear();
    }

    fn describe(&self) -> String {
        let sent = self.stream.as_ref().map(|stream| &stream.sent);
        format!("batcher that waits for {sent:?}, with {:?} to repeat", self.again)
    }
}
