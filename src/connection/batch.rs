//! Publishing many messages with one request, reported on line by line (docs/protocol.md 5.3).

use super::context::Context;
use super::pending::{Pending, Ready, Verdict};
use super::problem::Problem;
use super::publish::{LENGTH_REQUIRED, body_limits};
use super::respond;
use super::route::Exchange;
use super::{Connection, Phase};
use crate::config::Config;
use crate::counters::CloseReason;
use crate::limits::BATCH_ERRORS_MAX;
use crate::problem_kind::ProblemKind;
use crate::topic::{Outcome, Refusal, TopicName, Topics};
use crate::wire::command::parse_line;
use crate::wire::envelope::Object;
use crate::wire::http1::{BodyReader, Framing, LAST_CHUNK, Status, encode_chunk_size};

/// Bytes of the body that are decoded in one step.
const ROOM: usize = 16 * 1024;

const LINE_TOO_LONG: Problem = Problem::new(
    ProblemKind::LineTooLong,
    "The line has more than {limit} bytes (--body-bytes-max). Publish less in it.",
);

const TOO_MANY_WRONG: Problem = Problem::new(
    ProblemKind::TooManyWrongLines,
    "Too many wrong lines: this is one more than {limit}, and those behind it were not read. Mend them, and send them again.",
);

/// A batch under way. Its head is answered before its first line is read.
#[derive(Debug)]
pub(super) struct Batch {
    exchange: Exchange,
    reader: BodyReader,
    /// Decoded bytes of the body; at rest, those behind the last line that was taken.
    text: Vec<u8>,
    /// Bytes of `text` in lines that were taken; 0 at rest.
    taken: usize,
    /// Bytes of `text` in which there is no line end but those of lines that were taken.
    searched: usize,
    /// Bytes of `text` that the worker has counted.
    counted: usize,
    /// Lines taken.
    lines: u64,
    /// Lines that were wrong in themselves.
    wrong: u32,
    /// The rest of a line is being skipped, because of this.
    skipping: Option<Problem>,
    pending: Pending<Label>,
    /// Nothing more is read: the body was malformed, or the server goes away.
    cut: bool,
}

/// What a report says beside the verdict.
#[derive(Debug)]
struct Label {
    line: u64,
    topic: Option<TopicName>,
}

impl Batch {
    /// What it is counted as.
    pub(super) fn counted_bytes(&self) -> u64 {
        self.counted as u64
    }

    /// Whether another line can be taken.
    fn has_room(&self) -> bool {
        self.pending.has_room() && !self.cut
    }

    /// Whether there is, or may be, a whole line in `text`.
    fn has_line(&self) -> bool {
        let has_rest = self.taken < self.text.len() || self.skipping.is_some();
        self.searched < self.text.len() || (self.reader.is_complete() && has_rest)
    }

    /// Whether more of the body can be taken. Not before every line that is here was: `text` holds one
    /// line that is not whole, or [`ROOM`] bytes.
    pub(super) fn wants_read(&self) -> bool {
        !self.is_whole() && self.has_room() && !self.has_line()
    }

    /// The line that ends at `end`, where a line end of so many bytes follows.
    fn take_line(&mut self, end: usize, line_end: usize) -> Vec<u8> {
        let line = self.text[self.taken..end].to_vec();
        self.taken = end + line_end;
        self.searched = self.taken;
        line
    }

    /// Reports that the line taken last is wrong. A report is longer than a line can be, so after too many
    /// of them nothing more is read.
    fn refuse_line(&mut self, topic: Option<TopicName>, problem: Problem) {
        self.wrong += 1;
        let is_last = self.wrong > BATCH_ERRORS_MAX;
        let (topic, problem) = if is_last { (None, TOO_MANY_WRONG) } else { (topic, problem) };
        self.pending.refuse(Label { line: self.lines, topic }, problem);
        if is_last {
            self.cut_short();
        }
    }

    /// Reads no more: nobody knows where the next request begins.
    fn cut_short(&mut self) {
        (self.cut, self.exchange.persistent) = (true, false);
    }

    /// Forgets the lines that were taken: once for all of them, as thousands may be in one chunk.
    fn forget_taken(&mut self) {
        if self.taken == self.text.len() {
            self.text = Vec::new();
        } else {
            self.text.drain(..self.taken);
        }
        self.searched -= self.taken;
        self.taken = 0;
    }

    /// Whether the body has been read to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.reader.is_complete()
    }
}

impl Connection {
    /// Begins a batch: answers at once, and reads on.
    pub(super) fn begin_batch<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        framing: Framing,
    ) {
        if framing == Framing::None {
            return self.refuse(context, exchange, &LENGTH_REQUIRED);
        }
        if exchange.expects_continue {
            self.outbox.push_static(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let mut exchange = self.settled(context, exchange);
        exchange.persistent &= !exchange.http10;
        self.outbox.write(|out| {
            let head = respond::begin_head(out, context, &exchange, Status::OK)
                .field("Content-Type", "application/x-ndjson");
            let mut head = respond::topic_fields(head, "no-cache, no-transform")
                .field("X-Accel-Buffering", "no");
            if !exchange.http10 {
                head = head.field("Transfer-Encoding", "chunked");
            }
            head.end();
        });
        self.phase = Phase::Batch(Box::new(Batch {
            exchange,
            reader: BodyReader::new(framing, &body_limits(u64::MAX)),
            text: Vec::new(),
            taken: 0,
            searched: 0,
            counted: 0,
            lines: 0,
            wrong: 0,
            skipping: None,
            pending: Pending::default(),
            cut: false,
        }));
        self.deadline = context.now.instant + context.config.limits.heartbeat_ms;
        // A batch without a byte of body is over at once.
        self.more = true;
    }

    /// Reads some of the batch; returns how many bytes it took.
    pub(super) fn read_batch<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        input: &[u8],
        steps_left: &mut usize,
    ) -> usize {
        let most = context.outbox_bytes_max;
        let mut used = 0;
        // Lines that are here already wait for room as well as those that are not.
        while self.outbox.cost_bytes() < most {
            self.take_lines(context, steps_left);
            self.report_lines(context);
            let Phase::Batch(batch) = &mut self.phase else { break };
            if *steps_left == 0 {
                break;
            }
            if batch.has_room() && batch.has_line() {
                // Reporting on lines made room for more of them.
                continue;
            }
            if !batch.wants_read() || used == input.len() {
                break;
            }
            match batch.reader.read(&input[used..], &mut batch.text, ROOM) {
                Ok(0) => break,
                Ok(count) => used += count,
                Err(error) => {
                    let label = Label { line: batch.lines + 1, topic: None };
                    batch.pending.refuse(label, Problem::from(error));
                    batch.cut_short();
                }
            }
        }
        used
    }

    /// Publishes the lines that are there, as far as there is room for them.
    fn take_lines<T: Topics>(&mut self, context: &mut Context<'_, T>, steps_left: &mut usize) {
        let longest = context.config.limits.body_bytes_max;
        while let Phase::Batch(batch) = &mut self.phase
            && batch.has_room()
            && batch.has_line()
            && *steps_left > 0
        {
            let end = batch.text[batch.searched..].iter().position(|&byte| byte == b'\n');
            let line = match end {
                Some(end) => batch.take_line(batch.searched + end, 1),
                None if batch.reader.is_complete() => batch.take_line(batch.text.len(), 0),
                None => {
                    let waiting = context.counters.body_bytes - batch.counted as u64;
                    let begun = &batch.text[batch.taken..];
                    let length = begun.len();
                    let is_blank = begun.trim_ascii().is_empty();
                    let memory_left = context.topics.memory_left() as u64;
                    if length > longest {
                        batch.skipping.get_or_insert(LINE_TOO_LONG);
                    } else if !is_blank && waiting + length as u64 > memory_left {
                        batch.skipping.get_or_insert(Problem::from(Refusal::MemoryUsedUp));
                    }
                    if batch.skipping.is_some() {
                        (batch.text, batch.taken) = (Vec::new(), 0);
                    }
                    batch.searched = batch.text.len();
                    break;
                }
            };
            *steps_left -= 1;
            batch.lines += 1;
            let too_long = (line.len() > longest).then_some(LINE_TOO_LONG);
            if let Some(problem) = batch.skipping.take().or(too_long) {
                batch.refuse_line(None, problem);
            } else if !line.trim_ascii().is_empty() {
                self.publish_line(context, &line);
            }
        }
        if let Phase::Batch(batch) = &mut self.phase {
            batch.forget_taken();
        }
        self.count_batch(context);
    }

    fn publish_line<T: Topics>(&mut self, context: &mut Context<'_, T>, line: &[u8]) {
        let Phase::Batch(batch) = &mut self.phase else { return };
        let ready = parse_line(line)
            .map_err(Problem::from)
            .and_then(|draft| Ready::check(draft, context.now));
        match ready {
            Ok(ready) => {
                if let Err(problem) = ready.admit(context.config) {
                    return batch.refuse_line(Some(ready.topic), problem);
                }
                let label = Label { line: batch.lines, topic: Some(ready.topic.clone()) };
                self.busy = !batch.pending.publish(context, ready, label);
            }
            Err(problem) => batch.refuse_line(None, problem),
        }
    }

    /// Publishes the line that found no room, if there is some now.
    pub(super) fn publish_stalled_line<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Batch(batch) = &mut self.phase else { return };
        self.busy = !batch.pending.retry(context);
    }

    /// Takes the outcome of a line.
    pub(super) fn settle_batch<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        number: u32,
        outcome: Outcome,
    ) {
        let Phase::Batch(batch) = &mut self.phase else { return };
        batch.pending.settle(number, outcome);
        self.report_lines(context);
    }

    /// Writes the reports that are due, and the end when there is no more.
    fn report_lines<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Batch(batch) = &mut self.phase else { return };
        let mut lines = Vec::new();
        while let Some((label, verdict)) = batch.pending.pop() {
            match &verdict {
                Ok(_) => context.counters.published += 1,
                Err(problem) => context.counters.count_refusal(problem),
            }
            let verdict = match &label.topic {
                Some(topic) => verdict.map_err(|problem| problem.for_topic(context.config, topic)),
                None => verdict,
            };
            encode_report(&mut lines, context.config, &label, &verdict);
        }
        self.send_lines(context, &lines);
        let Phase::Batch(batch) = &mut self.phase else { return };
        let is_read = batch.cut || (batch.is_whole() && !batch.has_line());
        if is_read && batch.pending.is_empty() {
            let exchange = batch.exchange;
            let reason = match (batch.cut, context.draining) {
                (true, true) => CloseReason::Drained,
                (true, false) => CloseReason::Refused,
                (false, _) => CloseReason::Finished,
            };
            self.end_phase(context);
            if !exchange.http10 {
                self.outbox.push_static(LAST_CHUNK);
            }
            if exchange.persistent && !context.draining {
                self.finish(context, exchange);
            } else {
                self.end_after_flush(context, reason);
            }
        }
    }

    fn send_lines<T: Topics>(&mut self, context: &Context<'_, T>, lines: &[u8]) {
        let Phase::Batch(batch) = &self.phase else { return };
        let chunked = !batch.exchange.http10;
        if lines.is_empty() {
            return;
        }
        self.outbox.write(|out| {
            if chunked {
                encode_chunk_size(out, lines.len());
            }
            out.extend_from_slice(lines);
            if chunked {
                out.extend_from_slice(b"\r\n");
            }
        });
        self.deadline = context.now.instant + context.config.limits.heartbeat_ms;
    }

    /// An empty line, so that a client which vanished in the middle of its batch is noticed.
    pub(super) fn beat_batch<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        self.send_lines(context, b"\n");
    }

    /// The server goes away: what was taken is reported, the rest is for another server.
    pub(super) fn drain_batch<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Batch(batch) = &mut self.phase else { return };
        batch.cut = true;
        self.report_lines(context);
    }

    /// Keeps count of the bytes that wait.
    fn count_batch<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Batch(batch) = &mut self.phase else { return };
        context.counters.body_bytes += batch.text.len() as u64;
        context.counters.body_bytes -= batch.counted as u64;
        batch.counted = batch.text.len();
    }
}

fn encode_report(out: &mut Vec<u8>, config: &Config, label: &Label, verdict: &Verdict) {
    let object = Object::new(out).integer("line", label.line);
    let object = object.optional("topic", label.topic.as_ref().map(TopicName::as_str));
    match verdict {
        Ok(position) => object.string("id", &position.text()),
        Err(problem) => object.value("error", |out| {
            problem.encode(config, out);
            out.pop();
        }),
    }
    .end();
    out.push(b'\n');
}
