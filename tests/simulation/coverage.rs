//! What runs have been through: a fixed list of marks, so that it can be said which were never reached.

use tidings::config::Config;
use tidings::counters::{CloseReason, Counters, HubGauges, Wire};
use tidings::fuse::Place;

use crate::judge::Seen;
use crate::plan::{Hazard, Plan};
use crate::wires::Told;

/// Something that a run can reach.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It came about, or was there all the time.
    Hazard(Hazard),
    /// A connection ended for this reason.
    Closed(CloseReason),
    /// Somebody was subscribed in this way between two ticks.
    Subscribed(Wire),
    /// A worker panicked at this place.
    Panicked(Place),
    Event(Event),
}

/// Declares the events, each with its words.
macro_rules! events {
    ($($name:ident: $text:literal,)*) => {
        /// What is seen of a worker, of the process or of a client.
        #[derive(Copy, Clone, Debug, PartialEq, Eq)]
        pub(crate) enum Event {
            $($name,)*
        }

        impl Event {
            const ALL: &[(Self, &str)] = &[$((Self::$name, $text),)*];
        }
    };
}

events! {
    // Of a worker, between two ticks:
    LettersWait: "letters wait for credit",
    Replicas: "a topic of another worker is held",
    TopicsFull: "as many topics are owned as may be",
    MemoryHalf: "half of the memory for messages is used",
    MemoryFull: "nearly all of the memory for messages is used",
    OutboxesFull: "as much is owed to all as may be",
    BodiesUnderWay: "a body is under way",
    TurnedAway: "an accept had no descriptor, and somebody was turned away",
    PanickedInCall: "a worker panicked in a system call",
    // Of the process:
    PanickedTooOften: "the process ended by too many panics",
    Drained: "a drain came to its end",
    // Of what is published:
    PublishRefused: "a publish was refused",
    PublishRepeated: "a publish was sent again, and acknowledged",
    // Of what is told:
    KnownGap: "a gap of so many messages",
    UnknownGap: "a gap of nobody knows how many",
    ToldRetry: "an event stream said when to come back",
    ToldDrain: "a stream said that the server goes away",
    ToldRefused: "a stream was refused",
    ToldPing: "a WebSocket was pinged",
    ToldPong: "a ping was answered",
    Closed1000: "a WebSocket was closed with 1000",
    Closed1008: "a WebSocket was closed with 1008",
    Closed1009: "a WebSocket was closed with 1009",
    Closed1012: "a WebSocket was closed with 1012",
    Closed1013: "a WebSocket was closed with 1013",
    Closed4001: "a WebSocket was closed with 4001",
    Answered408: "an answer of 408",
    Answered413: "an answer of 413",
    Answered429: "an answer of 429",
    Answered503: "an answer of 503",
    // Of clients:
    CutOff: "a connection ended by itself",
    CutReset: "a connection was reset",
    LostPatience: "a client lost its patience",
    Hopped: "a reader took its cursor to another way of reading",
    PollsPipelined: "two polls under way at once",
    PollFull: "a poll was answered with messages",
    PollEmpty: "a poll was answered with nothing",
    PollMore: "a poll was answered with more to come",
    PollWaited: "a poll was answered with messages after a while",
    PollTimedOut: "a poll was answered with nothing after a while",
    PublishesPipelined: "two publishes under way at once",
    SubscribedLater: "topics were added to an open WebSocket",
    Unsubscribed: "topics were taken from an open WebSocket",
    CommandRefused: "a command on a WebSocket was refused",
}

const HAZARDS: usize = Hazard::ALL.len();
const CLOSED: usize = HAZARDS + CloseReason::COUNT;
const SUBSCRIBED: usize = CLOSED + Wire::COUNT;
const PANICKED: usize = SUBSCRIBED + Place::ALL.len();

/// The marks that one run has reached.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Coverage(u128);

impl Mark {
    /// Marks that there are.
    pub(crate) const COUNT: usize = PANICKED + Event::ALL.len();

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let hazards = Hazard::ALL.into_iter().map(Self::Hazard);
        let closed = CloseReason::ALL.into_iter().map(|(reason, _)| Self::Closed(reason));
        let subscribed = Wire::ALL.into_iter().map(|(wire, _)| Self::Subscribed(wire));
        let panicked = Place::ALL.into_iter().map(Self::Panicked);
        let events = Event::ALL.iter().map(|(event, _)| Self::Event(*event));
        hazards.chain(closed).chain(subscribed).chain(panicked).chain(events)
    }

    /// Its place in [`Mark::all`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Hazard(hazard) => hazard as usize,
            Self::Closed(reason) => HAZARDS + reason as usize,
            Self::Subscribed(wire) => CLOSED + wire as usize,
            Self::Panicked(place) => SUBSCRIBED + place as usize,
            Self::Event(event) => PANICKED + event as usize,
        }
    }

    /// In words.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Hazard(hazard) => format!("hazard {hazard:?}"),
            Self::Closed(reason) => format!("closed: {}", reason.label()),
            Self::Subscribed(wire) => format!("subscribed by {wire:?}"),
            Self::Panicked(place) => format!("a worker panicked at {place:?}"),
            Self::Event(event) => Event::ALL[event as usize].1.to_owned(),
        }
    }
}

const _: () = assert!(Mark::COUNT <= u128::BITS as usize, "a bit for each");

impl Coverage {
    pub(crate) fn reach(&mut self, mark: Mark) {
        self.0 |= 1 << mark.index();
    }

    pub(crate) fn reach_if(&mut self, is_so: bool, event: Event) {
        self.0 |= u128::from(is_so) << Mark::Event(event).index();
    }

    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.0 & 1 << mark.index() != 0
    }

    /// Hazards that are there all the time.
    pub(crate) fn begin(plan: &Plan) -> Self {
        let mut coverage = Self::default();
        for hazard in Hazard::ALL {
            if plan.has(hazard) && hazard.is_lasting() {
                coverage.reach(Mark::Hazard(hazard));
            }
        }
        coverage
    }

    /// What a worker's turn has led to.
    pub(crate) fn note_worker(
        &mut self,
        config: &Config,
        before: &Counters,
        after: &Counters,
        gauges: &HubGauges,
    ) {
        for (reason, _) in CloseReason::ALL {
            let closed = |counters: &Counters| counters.connections_closed[reason as usize];
            if closed(after) > closed(before) {
                self.reach(Mark::Closed(reason));
            }
        }
        for (wire, _) in Wire::ALL {
            if after.subscriptions[wire as usize] > 0 {
                self.reach(Mark::Subscribed(wire));
            }
        }
        let limits = &config.limits;
        let memory_max = config.share(limits.memory_bytes_max);
        let owed_max = config.share(limits.outboxes_bytes_max) as u64;
        self.reach_if(gauges.mail_waiting > 0, Event::LettersWait);
        self.reach_if(gauges.replicas > 0, Event::Replicas);
        self.reach_if(gauges.topics >= config.share(limits.topics_max as usize), Event::TopicsFull);
        self.reach_if(gauges.memory_bytes > memory_max / 2, Event::MemoryHalf);
        self.reach_if(gauges.memory_bytes > memory_max / 8 * 7, Event::MemoryFull);
        self.reach_if(after.outbox_bytes >= owed_max, Event::OutboxesFull);
        self.reach_if(after.body_bytes > 0, Event::BodiesUnderWay);
    }

    /// A worker has panicked, and said this.
    pub(crate) fn note_panic(&mut self, text: &str) {
        let place = Place::ALL.into_iter().find(|place| text.contains(&format!("at {place:?}")));
        self.reach(place.map_or(Mark::Event(Event::PanickedInCall), Mark::Panicked));
    }

    /// Somebody is told something on a stream.
    pub(crate) fn note_told(&mut self, told: &Told) {
        let event = match told {
            Told::Retry(_) => Event::ToldRetry,
            Told::Drain { .. } => Event::ToldDrain,
            Told::Refused { .. } => Event::ToldRefused,
            Told::Ping(_) => Event::ToldPing,
            Told::Pong(_) => Event::ToldPong,
            Told::Gap { count: Some(_), .. } => Event::KnownGap,
            Told::Gap { count: None, .. } => Event::UnknownGap,
            Told::Close { code: Some(1000), .. } => Event::Closed1000,
            Told::Close { code: Some(1008), .. } => Event::Closed1008,
            Told::Close { code: Some(1009), .. } => Event::Closed1009,
            Told::Close { code: Some(1012), .. } => Event::Closed1012,
            Told::Close { code: Some(1013), .. } => Event::Closed1013,
            Told::Close { code: Some(4001), .. } => Event::Closed4001,
            Told::Answer(answer) => match answer.get("type").and_then(|kind| kind.as_str()) {
                Some("subscribed") => Event::SubscribedLater,
                Some("unsubscribed") => Event::Unsubscribed,
                Some("error") => Event::CommandRefused,
                _ => return,
            },
            Told::Open { .. } | Told::Message { .. } | Told::Close { .. } | Told::End => return,
        };
        self.reach(Mark::Event(event));
    }

    /// Somebody is answered with this status.
    pub(crate) fn note_status(&mut self, status: u16) {
        self.reach_if(status == 408, Event::Answered408);
        self.reach_if(status == 413, Event::Answered413);
        self.reach_if(status == 429, Event::Answered429);
        self.reach_if(status == 503, Event::Answered503);
    }

    /// A poll is answered, after a while or at once.
    pub(crate) fn note_polled(&mut self, messages: usize, more: bool, waited: bool) {
        self.reach_if(messages > 0, Event::PollFull);
        self.reach_if(messages == 0, Event::PollEmpty);
        self.reach_if(more, Event::PollMore);
        self.reach_if(messages > 0 && waited, Event::PollWaited);
        self.reach_if(messages == 0 && waited, Event::PollTimedOut);
    }

    /// The run is over, and the judge has seen this.
    pub(crate) fn note_seen(&mut self, seen: &Seen) {
        self.reach_if(seen.refused > 0, Event::PublishRefused);
        self.reach_if(seen.repeated > 0, Event::PublishRepeated);
        self.reach_if(seen.gaps > 0, Event::KnownGap);
        self.reach_if(seen.unknown_gaps > 0, Event::UnknownGap);
    }
}

/// How many runs have reached each mark.
#[derive(Clone, Debug)]
pub(crate) struct Reached([u64; Mark::COUNT]);

impl Default for Reached {
    fn default() -> Self {
        Self([0; Mark::COUNT])
    }
}

impl Reached {
    pub(crate) fn add(&mut self, coverage: &Coverage) {
        for mark in Mark::all() {
            self.0[mark.index()] += u64::from(coverage.has(mark));
        }
    }

    /// Marks that were reached at all.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().filter(|&&runs| runs > 0).count()
    }

    /// Every mark with the runs that reached it, the fewest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut marks: Vec<(u64, Mark)> =
            Mark::all().map(|mark| (self.0[mark.index()], mark)).collect();
        marks.sort_by_key(|&(runs, mark)| (runs, mark.index()));
        marks.iter().map(|(runs, mark)| format!("{runs:>9}  {}", mark.text())).collect()
    }

    /// Marks that no run has reached.
    pub(crate) fn never(&self) -> Vec<String> {
        Mark::all().filter(|mark| self.0[mark.index()] == 0).map(Mark::text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_has_a_bit_of_its_own_and_a_name_of_its_own() {
        let marks: Vec<Mark> = Mark::all().collect();
        assert_eq!(marks.len(), Mark::COUNT);
        for (index, mark) in marks.iter().enumerate() {
            assert_eq!(mark.index(), index, "{mark:?}");
            let mut coverage = Coverage::default();
            coverage.reach(*mark);
            assert!(marks.iter().all(|other| coverage.has(*other) == (other == mark)));
            assert!(marks.iter().all(|other| (other.text() == mark.text()) == (other == mark)));
        }
    }

    #[test]
    fn what_was_never_reached_is_known() {
        let mut reached = Reached::default();
        assert_eq!((reached.count(), reached.never().len()), (0, Mark::COUNT));
        let mut coverage = Coverage::default();
        coverage.note_panic("the fuse of a test at Timer (src/fuse.rs:67)");
        coverage.note_panic("a system call that panics (tests/simulation/system.rs:100)");
        reached.add(&coverage);
        reached.add(&Coverage::default());
        assert_eq!((reached.count(), reached.never().len()), (2, Mark::COUNT - 2));
        let lines = reached.lines();
        assert_eq!(lines[Mark::COUNT - 2], "        1  a worker panicked at Timer");
        assert_eq!(lines[Mark::COUNT - 1], "        1  a worker panicked in a system call");
    }
}
