//! What was published, who still waits for it, and how long everybody waited.

use super::clock::{MILLISECOND, SECOND, seconds};
use super::findings::Series;
use super::latency::Latencies;
use super::payload::Marker;
use super::wire::WIRES;

/// How wide a step is of the plot over time.
const STEP: u64 = 100 * MILLISECOND;
/// Steps of the plot over time: ten minutes; what comes later is counted with the last.
const STEPS_MAX: usize = 6_000;

/// A number for each wire.
pub(super) type ByWire = [u32; WIRES];

/// One message that was published.
#[derive(Clone, Debug)]
struct Message {
    intended: u64,
    /// Whether it counts; what only warms up does not.
    is_measured: bool,
    is_answered: bool,
    /// Subscribers that have not received it, by wire.
    waiting: ByWire,
}

impl Message {
    fn is_settled(&self) -> bool {
        self.is_answered && self.waiting == [0; WIRES]
    }
}

/// What a delivery was of.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Measured,
    WarmUp,
    /// Another run's message.
    Foreign,
}

/// The account of one run.
#[derive(Debug)]
pub(super) struct Ledger {
    run: u16,
    messages: Vec<Message>,
    /// Messages that somebody still waits for, be it the publisher for his answer.
    unsettled: u64,
    /// Publish to each subscriber, by wire.
    pub(super) each: [Latencies; WIRES],
    /// Publish to the last subscriber of a wire.
    pub(super) last_of_wire: [Latencies; WIRES],
    /// Publish to the last subscriber of all.
    pub(super) last: Latencies,
    /// A publish's sending to its answer, of those that were answered with success.
    pub(super) answers: Latencies,
    /// How late the generator itself was: intended to sent. Of open loops only.
    pub(super) lateness: Latencies,
    /// Publishes that were not answered with success.
    pub(super) refused: u64,
    /// The status that the first of them was answered with.
    pub(super) refusal: Option<u16>,
    /// Measured messages that were answered with success.
    published: u64,
    /// Measured deliveries, by step of the time since the first measured publish.
    timeline: Vec<u64>,
    /// When the first measured message was meant to be published.
    pub(super) began: Option<u64>,
    /// When the last measured delivery or answer came.
    pub(super) ended: u64,
    /// When the last answer to a measured publish came.
    last_answer: u64,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            run: fastrand::u16(..),
            messages: Vec::new(),
            unsettled: 0,
            each: Default::default(),
            last_of_wire: Default::default(),
            last: Latencies::default(),
            answers: Latencies::default(),
            lateness: Latencies::default(),
            refused: 0,
            refusal: None,
            published: 0,
            timeline: Vec::new(),
            began: None,
            ended: 0,
            last_answer: 0,
        }
    }

    /// A message is about to be published that was meant to be at `intended`; `audience` waits for it.
    pub(super) fn publish(&mut self, intended: u64, audience: ByWire, is_measured: bool) -> Marker {
        let number = u32::try_from(self.messages.len()).expect("a run is shorter than that");
        self.messages.push(Message {
            intended,
            is_measured,
            is_answered: false,
            waiting: audience,
        });
        self.unsettled += 1;
        if is_measured && self.began.is_none() {
            self.began = Some(intended);
        }
        Marker { run: self.run, number, intended }
    }

    /// The publisher has sent a request whose time was fixed beforehand.
    pub(super) fn sent(&mut self, intended: u64, now: u64) {
        self.lateness.record(now.saturating_sub(intended));
    }

    /// The publisher was answered for `count` messages from `first` on, that it had sent at `sent`. Without
    /// messages it was another request. `refusal` is the status, if it was not one of success.
    pub(super) fn answered(
        &mut self,
        first: u32,
        count: u32,
        sent: u64,
        now: u64,
        refusal: Option<u16>,
    ) {
        let is_good = refusal.is_none();
        self.refusal = self.refusal.or(refusal);
        let range = first as usize..(first as usize).saturating_add(count as usize);
        self.refused += u64::from(count == 0 && !is_good);
        let Some(messages) = self.messages.get_mut(range) else { return };
        let mut is_measured = false;
        for message in messages {
            let was_settled = message.is_settled();
            message.is_answered = true;
            is_measured |= message.is_measured;
            if is_good {
                self.published += u64::from(message.is_measured);
            } else {
                // Nobody will receive it.
                message.waiting = [0; WIRES];
                self.refused += 1;
            }
            if !was_settled && message.is_settled() {
                self.unsettled -= 1;
            }
        }
        if is_measured {
            if is_good {
                self.answers.record(now.saturating_sub(sent));
            }
            (self.ended, self.last_answer) = (now, now);
        }
    }

    /// Whether it is a message of this run.
    pub(super) const fn is_own(&self, marker: Marker) -> bool {
        marker.run == self.run && (marker.number as usize) < self.messages.len()
    }

    /// A subscriber of the wire with this index has received a message.
    pub(super) fn deliver(&mut self, wire: usize, marker: Marker, now: u64) -> Delivery {
        let message = match self.messages.get_mut(marker.number as usize) {
            Some(message) if marker.run == self.run => message,
            _ => return Delivery::Foreign,
        };
        let was_settled = message.is_settled();
        let waiting = &mut message.waiting[wire];
        let is_last_of_wire = *waiting == 1;
        *waiting = waiting.saturating_sub(1);
        let is_last = is_last_of_wire && message.waiting == [0; WIRES];
        if !was_settled && message.is_settled() {
            self.unsettled -= 1;
        }
        if !message.is_measured {
            return Delivery::WarmUp;
        }
        let latency = now.saturating_sub(message.intended);
        self.each[wire].record(latency);
        if is_last_of_wire {
            self.last_of_wire[wire].record(latency);
        }
        if is_last {
            self.last.record(latency);
        }
        let step = now.saturating_sub(self.began.unwrap_or(now)) / STEP;
        let step = (step as usize).min(STEPS_MAX - 1);
        if self.timeline.len() <= step {
            self.timeline.resize(step + 1, 0);
        }
        self.timeline[step] += 1;
        self.ended = now;
        Delivery::Measured
    }

    /// Messages that somebody still waits for.
    pub(super) const fn unsettled(&self) -> u64 {
        self.unsettled
    }

    /// Stops waiting for what has not come: it is missed.
    pub(super) fn give_up(&mut self) {
        for message in &mut self.messages {
            message.waiting = [0; WIRES];
            message.is_answered = true;
        }
        self.unsettled = 0;
    }

    /// Deliveries that were waited for and have not come, by wire.
    pub(super) fn missing(&self) -> [u64; WIRES] {
        let mut missing = [0; WIRES];
        for message in self.messages.iter().filter(|message| message.is_measured) {
            for (sum, &waiting) in missing.iter_mut().zip(&message.waiting) {
                *sum += u64::from(waiting);
            }
        }
        missing
    }

    /// Measured deliveries, all wires together.
    pub(super) fn deliveries(&self) -> u64 {
        self.each.iter().map(Latencies::count).sum()
    }

    /// Measured messages.
    pub(super) fn measured(&self) -> u64 {
        self.messages.iter().filter(|message| message.is_measured).count() as u64
    }

    /// Measured messages that the server took: their publisher was answered with success.
    pub(super) const fn published(&self) -> u64 {
        self.published
    }

    /// From the first measured publish to the last that came of it, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        seconds(self.ended.saturating_sub(self.began.unwrap_or(self.ended)))
    }

    /// From the first measured publish to the last answer to one, in seconds.
    pub(super) fn publishing_seconds(&self) -> f64 {
        seconds(self.last_answer.saturating_sub(self.began.unwrap_or(self.last_answer)))
    }

    /// The line of deliveries per second over seconds.
    pub(super) fn over_time(&self, name: &str) -> Series {
        let per_second = SECOND as f64 / STEP as f64;
        let points = self.timeline.iter().enumerate();
        let points =
            points.map(|(step, &count)| (step as f64 / per_second, count as f64 * per_second));
        Series { name: name.to_owned(), points: points.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSE: usize = 0;
    const WEBSOCKET: usize = 2;

    #[test]
    fn a_message_is_settled_when_everybody_has_it_and_its_publisher_was_answered() {
        let mut ledger = Ledger::new();
        let marker = ledger.publish(100, [2, 0, 1, 0, 0], true);
        assert_eq!(ledger.unsettled(), 1);
        assert_eq!(ledger.deliver(SSE, marker, 200), Delivery::Measured);
        assert_eq!(ledger.deliver(SSE, marker, 300), Delivery::Measured);
        assert_eq!((ledger.last_of_wire[SSE].count(), ledger.last.count()), (1, 0));
        ledger.deliver(WEBSOCKET, marker, 400);
        assert_eq!((ledger.last.count(), ledger.last.percentile_us(100.0).round()), (1, 0.0));
        assert_eq!(ledger.unsettled(), 1);
        ledger.answered(marker.number, 1, 150, 500, None);
        assert_eq!((ledger.unsettled(), ledger.deliveries()), (0, 3));
        assert_eq!(ledger.missing(), [0; WIRES]);
    }

    #[test]
    fn what_does_not_come_is_missing() {
        let mut ledger = Ledger::new();
        let marker = ledger.publish(0, [3, 0, 0, 0, 0], true);
        ledger.deliver(SSE, marker, 1);
        assert_eq!(ledger.missing()[SSE], 2);
        ledger.give_up();
        assert_eq!(ledger.unsettled(), 0);
    }

    #[test]
    fn a_refused_message_is_waited_for_by_nobody() {
        let mut ledger = Ledger::new();
        let marker = ledger.publish(0, [3, 0, 0, 0, 0], true);
        ledger.answered(marker.number, 1, 0, 1, Some(503));
        assert_eq!((ledger.unsettled(), ledger.refused, ledger.refusal), (0, 1, Some(503)));
    }

    #[test]
    fn only_what_was_answered_with_success_is_published_and_timed() {
        let mut ledger = Ledger::new();
        for (is_measured, refusal) in [(false, None), (true, None), (true, Some(429)), (true, None)]
        {
            let marker = ledger.publish(0, [0; WIRES], is_measured);
            ledger.answered(marker.number, 1, 0, 1_000, refusal);
        }
        assert_eq!((ledger.measured(), ledger.published(), ledger.refused), (3, 2, 1));
        assert_eq!(ledger.answers.count(), 2);
    }

    #[test]
    fn a_warm_up_and_another_runs_messages_do_not_count() {
        let mut ledger = Ledger::new();
        let marker = ledger.publish(0, [1, 0, 0, 0, 0], false);
        assert_eq!(ledger.deliver(SSE, marker, 1), Delivery::WarmUp);
        let foreign = Marker { run: marker.run ^ 1, ..marker };
        assert_eq!(ledger.deliver(SSE, foreign, 1), Delivery::Foreign);
        let unknown = Marker { number: 7, ..marker };
        assert_eq!(ledger.deliver(SSE, unknown, 1), Delivery::Foreign);
        assert_eq!((ledger.deliveries(), ledger.measured()), (0, 0));
        let own = [marker, foreign, unknown].map(|one| ledger.is_own(one));
        assert_eq!(own, [true, false, false]);
    }

    #[test]
    fn publishing_is_over_with_the_last_answer_however_long_deliveries_take() {
        let mut ledger = Ledger::new();
        let marker = ledger.publish(SECOND, [1, 0, 0, 0, 0], true);
        ledger.answered(marker.number, 1, SECOND, 3 * SECOND, None);
        ledger.deliver(SSE, marker, 9 * SECOND);
        assert_eq!((ledger.publishing_seconds(), ledger.seconds()), (2.0, 8.0));
    }

    #[test]
    fn deliveries_over_time_are_a_rate() {
        let mut ledger = Ledger::new();
        let marker = ledger.publish(SECOND, [3, 0, 0, 0, 0], true);
        for now in [SECOND, SECOND + 1, SECOND + 250 * MILLISECOND] {
            ledger.deliver(SSE, marker, now);
        }
        assert_eq!(ledger.over_time("x").points, [(0.0, 20.0), (0.1, 0.0), (0.2, 10.0)]);
    }
}
