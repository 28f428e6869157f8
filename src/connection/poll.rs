//! Short and long polls (docs/protocol.md 7, 8): a subscription that ends with its first answer.

use super::Connection;
use super::Phase;
use super::context::Context;
use super::problem::Problem;
use super::respond;
use super::route::{Exchange, Read, ReadWire};
use super::subscription::{Opening, Subscription, Told};
use crate::buffer::Chunk;
use crate::counters::Wire;
use crate::planted::{Fault, planted};
use crate::time::{Instant, Now};
use crate::topic::{Encoded, Format, Start, TopicName, Topics};
use crate::wire::envelope::encode_gap;
use crate::wire::http1::Status;

/// A poll that waits: for its topics to be known, or for something to be there.
#[derive(Debug)]
pub(super) struct Poll {
    exchange: Exchange,
    subscription: Subscription,
    /// Where to begin; taken when the topics are known.
    start: Option<Box<Start>>,
    /// When it is answered with what there is.
    until: Instant,
    /// The seconds of `Prefer: wait`.
    applied: Option<u32>,
}

impl Connection {
    /// Begins a poll. `read.wire` is one of the polls.
    pub(super) fn begin_poll<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        read: Read,
    ) {
        let (wait_ms, applied) = match read.wire {
            ReadWire::LongPoll { wait_ms, applied } => (context.jittered(wait_ms, 10), applied),
            _ => (0, None),
        };
        let subscription = match Subscription::open(context, &read.topics) {
            Ok(subscription) => subscription,
            Err(refusal) => return self.refuse(context, exchange, &Problem::from(refusal)),
        };
        context.counters.subscriptions[Wire::Poll as usize] += 1;
        let until = context.now.instant + wait_ms;
        let start = Some(Box::new(read.start));
        self.phase = Phase::Poll(Poll { exchange, subscription, start, until, applied });
        self.deadline = Instant::NEVER;
        // It is answered when this tick's mail is read: what was published before is in the log then.
        self.refill_wanted = true;
    }

    /// Answers HEAD: a poll that begins at the head and asks for nothing.
    pub(super) fn begin_head_request<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        exchange: Exchange,
        topics: Vec<TopicName>,
    ) {
        let read = Read { topics, start: Start::Latest, wire: ReadWire::ShortPoll };
        self.begin_poll(context, exchange, read);
    }

    /// Answers the poll if there is something to say, or no time left.
    pub(super) fn refill_poll<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Poll(poll) = &mut self.phase else { return };
        if let Some(start) = &poll.start {
            match poll.subscription.resolve(context, start, &[]) {
                Opening::Waiting => return,
                Opening::Ready => poll.start = None,
                Opening::Refused(refusal) => {
                    let exchange = poll.exchange;
                    self.end_phase(context);
                    return self.refuse(context, exchange, &Problem::from(refusal));
                }
            }
        }
        if context.draining
            || poll.until <= context.now.instant
            || poll.subscription.is_behind(context)
        {
            self.answer_poll(context);
        } else {
            self.deadline = poll.until;
        }
    }

    /// Writes the answer from the log and goes on to the next request.
    fn answer_poll<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Poll(poll) = &mut self.phase else { return };
        let (mut exchange, applied) = (poll.exchange, poll.applied);
        let page = Page::collect(context, &mut poll.subscription);
        let cursor = poll.subscription.cursor(context);
        self.end_phase(context);
        exchange.persistent = self.persists(context, &exchange);

        let mut tail = Vec::with_capacity(cursor.len() + 32);
        page.encode_tail(&mut tail, &cursor);
        let length = PAGE_HEAD.len() + page.bytes() + tail.len();
        self.outbox.write(|out| {
            let head = respond::begin_head(out, context, &exchange, Status::OK)
                .field("Content-Type", "application/json");
            let mut head = respond::topic_fields(head, "no-cache")
                .field("ETag", &format!("\"{cursor}\""))
                .field_integer("Content-Length", length as u64);
            if let Some(seconds) = applied {
                head = head.field("Preference-Applied", &format!("wait={seconds}"));
            }
            head.end();
        });
        if !exchange.head_only {
            self.outbox.push_static(PAGE_HEAD);
            for (index, chunk) in page.messages.into_iter().enumerate() {
                if index > 0 {
                    self.outbox.push_static(b",");
                }
                self.outbox.push(chunk);
            }
            self.outbox.write(|out| out.extend_from_slice(&tail));
        }
        self.finish(context, exchange);
    }
}

const PAGE_HEAD: &[u8] = b"{\"messages\":[";

/// What one poll is answered with.
#[derive(Default)]
struct Page {
    messages: Vec<Chunk>,
    gaps: Vec<(TopicName, Option<u64>)>,
    more: bool,
}

impl Page {
    /// Takes what is due, up to the page's bounds; one message is always taken.
    fn collect<T: Topics>(context: &mut Context<'_, T>, subscription: &mut Subscription) -> Self {
        let limits = &context.config.limits;
        let messages_max = limits.replay_page as usize;
        // Not a page for each of many who do not read: a message at a time is an answer too.
        let bytes_max = limits.poll_bytes_max.min(context.outboxes_left.max(1));
        let (mut page, mut bytes) = (Self::default(), 0);
        while page.messages.len() < messages_max && bytes < bytes_max {
            match subscription.next(context, Format::Ndjson, Encoded::body, Encoded::body) {
                Some(Told::Message(chunk)) => {
                    bytes += chunk.len();
                    page.messages.push(chunk);
                }
                Some(Told::Gap(topic, count)) => page.gaps.push((topic, count)),
                None => return page,
            }
        }
        page.more = subscription.is_behind(context);
        if planted(Fault::SkipsAheadOnHop) {
            while subscription.next(context, Format::Ndjson, Encoded::body, Encoded::body).is_some()
            {
            }
        }
        page
    }

    /// Bytes of the messages with the commas between them.
    fn bytes(&self) -> usize {
        let messages: usize = self.messages.iter().map(Chunk::len).sum();
        messages + self.messages.len().saturating_sub(1)
    }

    fn encode_tail(&self, out: &mut Vec<u8>, cursor: &str) {
        out.extend_from_slice(b"],\"cursor\":\"");
        out.extend_from_slice(cursor.as_bytes());
        out.push(b'"');
        if self.more {
            out.extend_from_slice(b",\"more\":true");
        }
        for (index, (topic, count)) in self.gaps.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b",\"gap\":[{" } else { b",{" });
            encode_gap(out, topic.as_str(), *count);
            out.push(b'}');
        }
        if !self.gaps.is_empty() {
            out.push(b']');
        }
        out.extend_from_slice(b"}\n");
    }
}

impl Poll {
    /// Whether it waits for something to happen, rather than to be answered at once.
    pub(super) fn is_parked(&self, now: Now) -> bool {
        self.until > now.instant
    }

    /// What is asked for.
    pub(super) fn watched(&self) -> &Subscription {
        &self.subscription
    }

    /// What its answer needs to know.
    pub(super) fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// The subscription, to be ended.
    pub(super) fn subscription(&mut self) -> &mut Subscription {
        &mut self.subscription
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_parked_poll_is_held_to_its_size() {
        // With a WebSocket the largest phase, which decides the size of every connection.
        assert_eq!(size_of::<Poll>(), 72);
    }
}
