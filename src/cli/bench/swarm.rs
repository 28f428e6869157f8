//! Many subscribers and a few publishers, driven by one thread.
//!
//! One turn: begin connects, poll, read what is readable, ask again where it is time. Who publishes when
//! is not decided here (`feed`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::answer::Answers;
use super::clock::{Clock, MILLISECOND};
use super::fault::Fault;
use super::ledger::{ByWire, Delivery, Ledger};
use super::link::Link;
use super::member::{Member, Stage, Tally};
use super::show::Progress;
use super::sockets::{Sources, cut};
use super::subscriber::{Heard, Subscriber};
use super::target::Target;
use super::topics::Topics;
use super::wire::{WIRES, Wire};

/// Tokens from here on are publishers.
const LINKS: usize = usize::MAX / 2;
/// Events of one poll: few, so that a publish that is due does not wait long for them.
const EVENTS: usize = 256;
const BUFFER_BYTES: usize = 256 * 1024;
/// How long a turn waits when nothing is planned.
const IDLE_WAIT: u64 = 50 * MILLISECOND;

/// Subscribers and publishers of one server.
#[derive(Debug)]
pub(super) struct Swarm {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    clock: Clock,
    target: Arc<Target>,
    topics: Topics,
    sources: Sources,
    members: Vec<Member>,
    /// How many subscribe to each topic.
    audiences: HashMap<u32, ByWire>,
    /// Who is to connect.
    queue: VecDeque<u32>,
    /// Subscribers that are connecting, or whose stream has not begun.
    connecting: usize,
    /// How many may be.
    pub(super) connecting_max: usize,
    /// Who is to do something, and when.
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    links: Vec<Link>,
    /// Nanoseconds between the polls of one subscriber.
    poll_interval: u64,
    /// Within how many nanoseconds a failed connect is tried again; `None`: it is not.
    pub(super) retry: Option<u64>,
    /// The cursor that streams begin behind.
    pub(super) after: Option<String>,
    pub(super) tally: Tally,
    progress: Arc<Progress>,
}

impl Swarm {
    /// Without anybody yet. `net` is the second byte of its addresses.
    ///
    /// # Errors
    /// When there is no poll to be had.
    pub(super) fn new(
        target: Arc<Target>,
        topics: Topics,
        clock: Clock,
        net: u8,
        progress: Arc<Progress>,
    ) -> Result<Self, String> {
        let connecting_max = target.connecting_max;
        Ok(Self {
            poll: Poll::new().map_err(|error| format!("no poll to be had: {error}"))?,
            events: Events::with_capacity(EVENTS),
            buffer: vec![0; BUFFER_BYTES],
            clock,
            target,
            topics,
            sources: Sources::new(net),
            members: Vec::new(),
            audiences: HashMap::new(),
            queue: VecDeque::new(),
            connecting: 0,
            connecting_max,
            timers: BinaryHeap::new(),
            links: Vec::new(),
            poll_interval: 1_000 * MILLISECOND,
            retry: None,
            after: None,
            tally: Tally::default(),
            progress,
        })
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Where to say how far it is.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) const fn topics(&self) -> &Topics {
        &self.topics
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// How many subscribers there are.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// How often short polls ask.
    pub(super) fn poll_every(&mut self, interval: u64) {
        self.poll_interval = interval;
    }

    /// Who waits for a message of a topic.
    pub(super) fn audience(&self, topic: u32) -> ByWire {
        self.audiences.get(&topic).copied().unwrap_or_default()
    }

    /// Adds a subscriber, who connects in the turns to come.
    pub(super) fn add(&mut self, wire: Wire, topic: u32) {
        let index = self.members.len() as u32;
        self.members.push(Member::new(Subscriber::new(wire), topic));
        self.audiences.entry(topic).or_insert([0; WIRES])[wire.index()] += 1;
        self.queue.push_back(index);
    }

    /// Opens publishers, `count` in all.
    ///
    /// # Errors
    /// When nobody answers there.
    pub(super) fn open_links(
        &mut self,
        count: usize,
        answers: fn() -> Answers,
    ) -> Result<(), String> {
        self.links.clear();
        let address = self.target.publish_address()?;
        for index in 0..count {
            let token = Token(LINKS + index);
            self.links.push(Link::connect(self.poll.registry(), token, address, answers)?);
        }
        Ok(())
    }

    /// The publisher with the fewest requests under way.
    pub(super) fn idlest(&mut self) -> Option<&mut Link> {
        self.links.iter_mut().min_by_key(|link| link.outstanding())
    }

    /// Requests of publishers without answers.
    pub(super) fn outstanding(&self) -> usize {
        self.links.iter().map(Link::outstanding).sum()
    }

    /// Bytes of these requests.
    pub(super) fn backlog_bytes(&self) -> usize {
        self.links.iter().map(Link::backlog_bytes).sum()
    }

    /// Times that publishers had to connect anew.
    pub(super) fn link_reconnects(&self) -> u32 {
        self.links.iter().map(Link::reconnects).sum()
    }

    /// Writes what publishers have queued.
    pub(super) fn flush(&mut self) {
        for link in &mut self.links {
            link.flush();
        }
    }

    /// One turn, which ends by itself at `until` at the latest.
    ///
    /// # Errors
    /// When polling fails, or publishers cannot go on.
    pub(super) fn turn(&mut self, ledger: &mut Ledger, until: Option<u64>) -> Result<(), String> {
        self.begin_connects();
        let timer = self.timers.peek().map(|Reverse((time, _))| *time);
        let now = self.clock.now();
        let until = until.into_iter().chain(timer).min().unwrap_or(now + IDLE_WAIT);
        // The kernel waits for whole milliseconds; what is shorter is spent polling, to be in time.
        let wait = until.saturating_sub(now).min(IDLE_WAIT) / MILLISECOND;
        let polled = self.poll.poll(&mut self.events, Some(Duration::from_millis(wait)));
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(format!("cannot poll: {error}"));
            }
            _ => (),
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let Token(token) = event.token();
            if let Some(link) = token.checked_sub(LINKS) {
                let Some(link) = self.links.get_mut(link) else { continue };
                link.flush();
                link.read(self.poll.registry(), &mut self.buffer, ledger, self.clock)?;
                continue;
            }
            if self.members[token].stage == Stage::Connecting {
                self.connected(token, event.is_error() || event.is_write_closed());
            }
            if event.is_readable() || event.is_read_closed() {
                self.read(token, event.is_read_closed(), ledger);
            }
        }
        self.events = events;
        self.fire_timers();
        Ok(())
    }

    fn begin_connects(&mut self) {
        while self.connecting < self.connecting_max {
            let Some(index) = self.queue.pop_front() else { return };
            let wire = self.members[index as usize].subscriber.wire();
            // Whether there is an address was asked before anybody was added.
            let Ok(address) = self.target.subscribe_address(wire) else { continue };
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            let stream = self.sources.connect(address).and_then(|mut stream| {
                registry.register(&mut stream, Token(index as usize), interest)?;
                Ok(stream)
            });
            let member = &mut self.members[index as usize];
            match stream {
                Ok(stream) => {
                    member.stream = Some(stream);
                    member.stage = Stage::Connecting;
                    self.connecting += 1;
                }
                Err(_) => self.lose(index as usize, Fault::NotConnected),
            }
        }
    }

    /// A connect has ended.
    fn connected(&mut self, index: usize, has_failed: bool) {
        let Some(stream) = &self.members[index].stream else { return };
        if has_failed || matches!(stream.take_error(), Ok(Some(_)) | Err(_)) {
            self.lose(index, Fault::NotConnected);
            return;
        }
        // Not there yet: the event was of another kind.
        if stream.peer_addr().is_err() {
            return;
        }
        self.tally.connections += 1;
        let subscriber = &mut self.members[index].subscriber;
        subscriber.reconnect();
        // A stream is counted until it is answered: a server may take connections faster than requests.
        if subscriber.wire().is_poll() {
            self.connecting -= 1;
        }
        self.ask(index);
    }

    /// Sends the request.
    fn ask(&mut self, index: usize) {
        let member = &mut self.members[index];
        let (wire, resume) = (member.subscriber.wire(), member.subscriber.resume());
        let topic = self.topics.name(member.topic);
        let request = self.target.subscribe_request(wire, &topic, resume, self.after.as_deref());
        member.stage = Stage::Asked;
        let Some(stream) = &mut member.stream else { return };
        // Nothing else is on its way, so the kernel has room for a request.
        if stream.write(&request).ok() != Some(request.len()) {
            self.lose(index, Fault::Ended);
            return;
        }
        self.tally.requests += 1;
        self.tally.bytes_up += request.len() as u64;
        if wire.is_poll() && !std::mem::replace(&mut member.was_open, true) {
            self.tally.open += 1;
        }
    }

    /// Reads all there is.
    fn read(&mut self, index: usize, is_closing: bool, ledger: &mut Ledger) {
        loop {
            let Some(stream) = &mut self.members[index].stream else { return };
            match stream.read(&mut self.buffer) {
                Ok(0) if self.members[index].subscriber.ends_with_connection() => {
                    // The answer gave no length: that was its end (RFC 9112 §6.3).
                    self.members[index].stream = None;
                    return self.go_on(index, self.clock.now());
                }
                Ok(0) => return self.ended(index),
                Ok(count) => {
                    self.tally.bytes_down += count as u64;
                    if !self.take(index, count, ledger) {
                        return;
                    }
                    // A short read has emptied the socket, unless its end is still to be read.
                    if count < self.buffer.len() && !is_closing {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return self.ended(index),
            }
        }
    }

    /// Understands the first `count` bytes of the buffer. Whether the connection goes on.
    fn take(&mut self, index: usize, count: usize, ledger: &mut Ledger) -> bool {
        let now = self.clock.now();
        // Of several publishers the order of numbers is not the order of messages.
        let is_ordered = self.links.len() <= 1;
        let Member { subscriber, was_open, is_warm, received, stream, stage, .. } =
            &mut self.members[index];
        let (wire, tally) = (subscriber.wire().index(), &mut self.tally);
        let connecting = &mut self.connecting;
        let mut answered = None;
        let result = subscriber.receive(&self.buffer[..count], &mut |heard| match heard {
            Heard::Message(marker) => {
                if ledger.is_own(marker) && !received.take(marker.number, is_ordered) {
                    tally.repeated += 1;
                    return;
                }
                if ledger.deliver(wire, marker, now) != Delivery::Foreign {
                    tally.warm += usize::from(!std::mem::replace(is_warm, true));
                }
            }
            Heard::Opened => {
                *stage = Stage::Open;
                *was_open = true;
                *connecting -= 1;
                tally.open += 1;
            }
            Heard::Answered { closes } => answered = Some(closes),
            Heard::Reply(bytes) => {
                let written = stream.as_mut().map(|stream| stream.write(&bytes));
                tally.bytes_up += written.and_then(Result::ok).unwrap_or(0) as u64;
            }
        });
        if let Err(fault) = result {
            self.lose(index, fault);
            return false;
        }
        match answered {
            None => true,
            Some(closes) => {
                if closes {
                    self.members[index].stream = None;
                }
                self.go_on(index, now);
                !closes
            }
        }
    }

    /// After a poll's answer: the next one.
    fn go_on(&mut self, index: usize, now: u64) {
        let member = &mut self.members[index];
        if member.subscriber.wire() == Wire::ShortPoll {
            member.stage = Stage::Resting;
            // Users do not come all at the same moment: after the first answer the beat is anywhere.
            let is_first = !std::mem::replace(&mut member.has_beat, true);
            let rest =
                if is_first { fastrand::u64(..=self.poll_interval) } else { self.poll_interval };
            self.timers.push(Reverse((now + rest, index as u32)));
        } else {
            self.ask_or_connect(index);
        }
    }

    fn ask_or_connect(&mut self, index: usize) {
        if self.members[index].stream.is_some() {
            self.ask(index);
        } else {
            self.members[index].stage = Stage::Waiting;
            self.queue.push_back(index as u32);
        }
    }

    fn fire_timers(&mut self) {
        let now = self.clock.now();
        while let Some(&Reverse((time, index))) = self.timers.peek() {
            if time > now {
                return;
            }
            self.timers.pop();
            if self.members[index as usize].stage == Stage::Resting {
                self.ask_or_connect(index as usize);
            }
        }
    }

    /// The server has ended a connection, or it broke.
    fn ended(&mut self, index: usize) {
        let member = &mut self.members[index];
        if member.stage == Stage::Resting {
            member.stream = None;
        } else if member.subscriber.may_end() && member.stage == Stage::Asked {
            // It had been idle for too long: the request crossed its end.
            member.stream = None;
            self.ask_or_connect(index);
        } else {
            self.lose(index, Fault::Ended);
        }
    }

    /// A subscriber has failed: it is lost, or tries again.
    fn lose(&mut self, index: usize, fault: Fault) {
        let member = &mut self.members[index];
        member.stream = None;
        match member.stage {
            Stage::Connecting => self.connecting -= 1,
            Stage::Asked if !member.subscriber.wire().is_poll() => self.connecting -= 1,
            _ => (),
        }
        self.tally.failed_connects += u64::from(member.stage != Stage::Open);
        self.tally.open -= usize::from(std::mem::replace(&mut member.was_open, false));
        *self.tally.faults.entry(fault).or_default() += 1;
        if let Some(retry) = self.retry {
            member.stage = Stage::Resting;
            let time = self.clock.now() + fastrand::u64(retry / 2..=retry);
            self.timers.push(Reverse((time, index as u32)));
            return;
        }
        member.stage = Stage::Lost;
        self.tally.lost += 1;
        if let Some(audience) = self.audiences.get_mut(&member.topic) {
            audience[member.subscriber.wire().index()] -= 1;
        }
    }

    /// Cuts all subscribers' connections at once.
    pub(super) fn cut_all(&mut self) {
        self.audiences.clear();
        for member in &mut self.members {
            if let Some(stream) = member.stream.take() {
                cut(stream);
            }
            member.stage = Stage::Waiting;
            member.was_open = false;
            // Those that had been lost come back, too.
            let audience = self.audiences.entry(member.topic).or_insert([0; WIRES]);
            audience[member.subscriber.wire().index()] += 1;
        }
        self.tally.open = 0;
        (self.connecting, self.tally.lost) = (0, 0);
        self.queue.clear();
        self.timers.clear();
    }

    /// Lets all subscribers whose connections were cut come back.
    pub(super) fn return_all(&mut self) {
        let waiting = self.members.iter().enumerate();
        let waiting = waiting.filter(|(_, member)| member.stage == Stage::Waiting);
        self.queue = waiting.map(|(index, _)| index as u32).collect();
    }

    /// Connects publishers anew, after a restart of the server.
    ///
    /// # Errors
    /// When nobody answers there.
    pub(super) fn reconnect_links(&mut self) -> Result<(), String> {
        self.links.iter_mut().try_for_each(|link| link.reconnect(self.poll.registry()))
    }
}
