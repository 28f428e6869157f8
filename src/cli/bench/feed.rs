//! Publishing on a schedule while the swarm receives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::clock::{MILLISECOND, SECOND};
use super::ledger::Ledger;
use super::payload::{MARKER_BYTES, Marker};
use super::schedule::Schedule;
use super::swarm::Swarm;
use super::wire::WIRES;

/// Silence after which what has not come is taken to be lost.
const PATIENCE: u64 = 10 * SECOND;
/// What one turn adds to it at most: a machine that stood still was not silent.
const SILENCE_OF_A_TURN: u64 = SECOND;
/// How long subscribers may take to be there.
const WARM_UP_MAX: u64 = 60 * SECOND;
/// After how long a message to warm up is repeated, for who came later.
const WARM_UP_AGAIN: u64 = 500 * MILLISECOND;

/// Requests without answers at which an open loop ends: the server is behind for good.
const UNANSWERED_MAX: usize = 100_000;
/// Bytes of such requests, which are kept until they are answered.
const BACKLOG_BYTES_MAX: usize = 256 << 20;

/// Set when the user wants an end.
static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Whether the user wants an end: what was found so far is to be shown.
pub(super) fn is_interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Notices Ctrl-C, SIGTERM and SIGHUP; a second one ends the process as usual, and a server of its own with it.
///
/// # Errors
/// When signals cannot be handled.
pub(super) fn notice_interrupts() -> Result<(), String> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let flag = INTERRUPTED.get_or_init(Arc::default);
    let signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]);
    let mut signals = signals.map_err(|error| format!("cannot handle signals: {error}"))?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if flag.swap(true, Ordering::Relaxed) {
                super::own_server::kill_all();
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    });
    Ok(())
}

/// How a run ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everything was published, received and answered.
    Complete,
    /// Nothing came any more, and not everything had come.
    Stalled,
    /// The user wanted it.
    Interrupted,
    /// The server could not be reached any more; the tally says why.
    Failed,
}

/// What a swarm that cannot go on leaves: its findings so far, if it has any.
///
/// # Errors
/// With the reason, if there are none.
pub(super) fn fail(swarm: &mut Swarm, ledger: &Ledger, why: String) -> Result<Ending, String> {
    if ledger.published() == 0 {
        return Err(why);
    }
    swarm.tally.failure = Some(why);
    Ok(Ending::Failed)
}

/// What is published: payloads of one size, to topics in turn.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    /// Bytes of a payload.
    size: usize,
    /// Messages in one request.
    lines: u32,
    /// Topics that are published to: the first so many.
    topics: u32,
    /// From one of them to the next.
    stride: u32,
    next_topic: u32,
    /// Whether a message is under way until its subscribers have it, not only until it is answered.
    awaits_deliveries: bool,
    payload: Vec<u8>,
}

impl Feed {
    /// Payloads of `size` bytes to the first `topics` topics in turn.
    pub(super) fn new(size: usize, topics: u32) -> Self {
        let size = size.max(MARKER_BYTES);
        let topics = topics.max(1);
        Self {
            size,
            lines: 1,
            topics,
            stride: 1,
            next_topic: 0,
            awaits_deliveries: true,
            payload: Vec::new(),
        }
    }

    /// The same, and nobody's receiving is waited for, nor missed: what sets the pace are answers.
    pub(super) fn answers_only(mut self) -> Self {
        self.awaits_deliveries = false;
        self
    }

    /// The same, so many messages in each request.
    pub(super) fn in_batches(mut self, lines: u32) -> Self {
        self.lines = lines;
        self
    }

    /// The same, the topics not the first ones but spread among `count`.
    pub(super) fn spread_over(mut self, count: u32) -> Self {
        self.stride = (count / self.topics).max(1);
        self
    }

    /// Publishes as scheduled, and receives until everything has come that was published.
    ///
    /// # Errors
    /// When the swarm cannot go on, or the server took nothing of it.
    pub(super) fn run(
        &mut self,
        swarm: &mut Swarm,
        ledger: &mut Ledger,
        schedule: &mut Schedule,
    ) -> Result<Ending, String> {
        let ending = self.publish_on(schedule, swarm, ledger)?;
        match ledger.refusal {
            Some(status) if ledger.published() == 0 => Err(self.refused(swarm, status)),
            _ => Ok(ending),
        }
    }

    fn publish_on(
        &mut self,
        schedule: &mut Schedule,
        swarm: &mut Swarm,
        ledger: &mut Ledger,
    ) -> Result<Ending, String> {
        let clock = swarm.clock();
        let (mut progress, mut silence, mut looked) = ((0, 0), 0, clock.now());
        let (phase, steps) = schedule.phase();
        swarm.progress().phase(phase, steps);
        let mut is_over = false;
        loop {
            let now = clock.now();
            self.publish_due(schedule, swarm, ledger, now)?;
            if is_interrupted() {
                return Ok(Ending::Interrupted);
            }
            let was_over = std::mem::replace(&mut is_over, schedule.is_over(now));
            if is_over && ledger.unsettled() == 0 {
                return Ok(Ending::Complete);
            }
            match (was_over, is_over) {
                (false, true) => swarm.progress().phase("waiting for what is under way", 0),
                (false, false) => swarm.progress().set(schedule.step(now)),
                _ => (),
            }
            let state = (ledger.deliveries(), ledger.unsettled());
            silence += (now - looked).min(SILENCE_OF_A_TURN);
            looked = now;
            if state != progress {
                (progress, silence) = (state, 0);
            } else if ledger.unsettled() > 0 && silence > PATIENCE {
                return Ok(Ending::Stalled);
            }
            let under_way = ledger.unsettled().div_ceil(u64::from(self.lines));
            if let Err(why) = swarm.turn(ledger, schedule.next(now, under_way)) {
                return fail(swarm, ledger, why);
            }
        }
    }

    /// Publishes what is due now.
    fn publish_due(
        &mut self,
        schedule: &mut Schedule,
        swarm: &mut Swarm,
        ledger: &mut Ledger,
        now: u64,
    ) -> Result<(), String> {
        let (clock, is_open_loop) = (swarm.clock(), schedule.is_open_loop());
        let mut has_published = false;
        loop {
            let under_way = ledger.unsettled().div_ceil(u64::from(self.lines));
            let Some(intended) = schedule.issue(now, under_way) else { break };
            self.publish(swarm, ledger, intended, true)?;
            has_published = true;
            if !is_open_loop {
                continue;
            }
            ledger.sent(intended, clock.now());
            if swarm.outstanding() >= UNANSWERED_MAX || swarm.backlog_bytes() >= BACKLOG_BYTES_MAX {
                swarm.tally.overrun = Some(schedule.stop(now));
            }
        }
        if has_published {
            swarm.flush();
        }
        Ok(())
    }

    /// What to say when a publish was answered with this status.
    fn refused(&self, swarm: &Swarm, status: u16) -> String {
        let name = swarm.topics().name(0);
        swarm.target().describe_refusal(&name, self.lines > 1, status)
    }

    /// Publishes one request's messages to the next topic.
    fn publish(
        &mut self,
        swarm: &mut Swarm,
        ledger: &mut Ledger,
        intended: u64,
        is_measured: bool,
    ) -> Result<(), String> {
        let topic = self.next_topic * self.stride;
        self.next_topic = (self.next_topic + 1) % self.topics;
        self.publish_to(topic, swarm, ledger, intended, is_measured)
    }

    /// Publishes so many, one at a time, and waits for the answers only.
    ///
    /// # Errors
    /// When the swarm cannot go on, or answers do not come, or one is a refusal.
    pub(super) fn publish_only(
        &mut self,
        swarm: &mut Swarm,
        ledger: &mut Ledger,
        count: u64,
    ) -> Result<(), String> {
        let clock = swarm.clock();
        swarm.progress().phase("publishing, messages", count);
        for published in 0..count {
            swarm.progress().set(published);
            self.publish(swarm, ledger, clock.now(), true)?;
            swarm.flush();
            let deadline = clock.now() + PATIENCE;
            while swarm.outstanding() > 0 && !is_interrupted() {
                if clock.now() > deadline {
                    return Err("a publish was not answered within 10 s".to_owned());
                }
                swarm.turn(ledger, None)?;
            }
            if let Some(status) = ledger.refusal {
                return Err(self.refused(swarm, status));
            }
        }
        Ok(())
    }

    fn publish_to(
        &mut self,
        topic: u32,
        swarm: &mut Swarm,
        ledger: &mut Ledger,
        intended: u64,
        is_measured: bool,
    ) -> Result<(), String> {
        let audience = if self.awaits_deliveries { swarm.audience(topic) } else { [0; WIRES] };
        let target = Arc::clone(swarm.target());
        let name = swarm.topics().name(topic).into_owned();
        let markers: Vec<Marker> =
            (0..self.lines).map(|_| ledger.publish(intended, audience, is_measured)).collect();
        self.payload.clear();
        for marker in &markers {
            if self.lines > 1 {
                let begin = format!("{{\"topic\":\"{name}\",\"data\":\"");
                self.payload.extend_from_slice(begin.as_bytes());
            }
            marker.encode(self.size, &mut self.payload);
            if self.lines > 1 {
                self.payload.extend_from_slice(b"\"}\n");
            }
        }
        let now = swarm.clock().now();
        let (lines, payload) = (self.lines, &self.payload);
        let link = swarm.idlest().ok_or("there is no publisher")?;
        link.push(markers[0].number, lines, now, |out| match lines {
            1 => target.encode_publish(&name, payload, out),
            _ => target.encode_batch(payload, out),
        });
        Ok(())
    }

    /// Publishes until every subscriber has received something; that does not count.
    ///
    /// # Errors
    /// When a publish is refused, or some have received nothing in a long time, with what is known of them.
    pub(super) fn warm_up(&mut self, swarm: &mut Swarm, ledger: &mut Ledger) -> Result<(), String> {
        let clock = swarm.clock();
        let deadline = clock.now() + WARM_UP_MAX;
        let mut again = 0;
        swarm.progress().phase("warming up", swarm.members() as u64);
        while swarm.tally.warm + swarm.tally.lost < swarm.members() || ledger.unsettled() > 0 {
            let now = clock.now();
            if is_interrupted() {
                return Ok(());
            }
            if let Some(status) = ledger.refusal {
                return Err(self.refused(swarm, status));
            }
            swarm.progress().set(swarm.tally.warm as u64);
            let is_warm = swarm.tally.warm + swarm.tally.lost >= swarm.members();
            if now > deadline {
                let why = swarm.tally.describe_faults();
                let (warm, all) = (swarm.tally.warm, swarm.members());
                return Err(format!("only {warm} of {all} subscribers receive anything{why}"));
            }
            if is_warm && now >= again {
                // Some were published before everybody was there: not everybody waits for them.
                break;
            }
            if now >= again && swarm.outstanding() == 0 {
                for topic in (0..self.topics).map(|index| index * self.stride) {
                    if swarm.audience(topic).iter().any(|&count| count > 0) {
                        let single = &mut Self::new(self.size, self.topics);
                        single.publish_to(topic, swarm, ledger, now, false)?;
                    }
                }
                swarm.flush();
                again = now + WARM_UP_AGAIN;
            }
            swarm.turn(ledger, Some(again.max(now + MILLISECOND)))?;
        }
        ledger.give_up();
        Ok(())
    }
}

/// Turns until every subscriber is subscribed or has failed.
///
/// # Errors
/// When the swarm cannot go on, or some are not answered in a long time.
pub(super) fn connect_all(swarm: &mut Swarm, ledger: &mut Ledger) -> Result<(), String> {
    let deadline = swarm.clock().now() + WARM_UP_MAX;
    swarm.progress().phase("connecting subscribers", swarm.members() as u64);
    while swarm.tally.open + swarm.tally.lost < swarm.members() && !is_interrupted() {
        if swarm.clock().now() > deadline {
            let (open, all) = (swarm.tally.open, swarm.members());
            return Err(format!("only {open} of {all} subscribers were answered in a minute"));
        }
        swarm.turn(ledger, None)?;
        swarm.progress().set((swarm.tally.open + swarm.tally.lost) as u64);
    }
    if swarm.tally.open == 0 && swarm.tally.lost > 0 {
        return Err(format!("nobody is subscribed{}", swarm.tally.describe_faults()));
    }
    Ok(())
}
