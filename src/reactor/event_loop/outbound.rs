//! Connections that the worker dials, to Redis: looked up, made, read, written and closed as it asks.
//!
//! They are none of the connections that are served: nothing counts them, and a drain does not wait for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

use super::EventLoop;
use super::supervision::discard;
use crate::config::Endpoint;
use crate::key::OutboundId;
use crate::limits::{DIALS_PER_TICK, OUTBOUND_READS_PER_TICK, SLICES_PER_WRITE};
use crate::reactor::resolver::{LookedUp, Question, Resolver};
use crate::reactor::system::{Readiness, System};

/// Servers of which is remembered that an address of theirs kept us waiting.
const TURNED_MAX: usize = 1_024;

/// What the worker has dialled.
pub(super) struct Outbound<S> {
    dialled: BTreeMap<OutboundId, Dialled<S>>,
    /// Those that may be readable, in turn.
    to_read: VecDeque<OutboundId>,
    /// Those that take bytes again.
    to_write: Vec<OutboundId>,
    /// Nobody looks up names where there is none.
    resolver: Option<Resolver>,
    /// How often a server with several addresses kept us waiting until the worker gave up: another address is
    /// tried first then. One that refuses needs no memory, as the next one is tried at once.
    turned: BTreeMap<Endpoint, usize>,
    /// More was to be dialled than one tick does.
    has_dials: bool,
    /// The last one that was dialled: numbers only grow.
    newest: Option<OutboundId>,
    /// Those that are not wanted any more and were not dialled yet.
    unwanted: BTreeSet<OutboundId>,
}

struct Dialled<S> {
    endpoint: Endpoint,
    stage: Stage<S>,
    /// Writing may succeed: nothing has said otherwise yet.
    writable: bool,
    /// The peer has closed its side: reading goes on until it says so.
    hung_up: bool,
    /// Whether it is in `to_read`.
    queued: bool,
}

enum Stage<S> {
    /// Its name is being looked up.
    LookingUp,
    /// Nobody knows yet what comes of it.
    Connecting {
        stream: S,
        /// Addresses that are tried next.
        others: VecDeque<SocketAddr>,
    },
    Connected(S),
}

impl<S> Outbound<S> {
    pub(super) fn new() -> Self {
        Self {
            dialled: BTreeMap::new(),
            to_read: VecDeque::new(),
            to_write: Vec::new(),
            resolver: None,
            turned: BTreeMap::new(),
            has_dials: false,
            newest: None,
            unwanted: BTreeSet::new(),
        }
    }

    /// Whether there is something to do that no report will come of.
    pub(super) fn has_work(&self) -> bool {
        !self.to_read.is_empty() || !self.to_write.is_empty() || self.has_dials
    }

    /// The worker has failed: everything that it has dialled is closed.
    pub(super) fn clear(&mut self) {
        self.to_read.clear();
        self.to_write.clear();
        self.unwanted.clear();
        // Its successor counts from the beginning.
        self.newest = None;
        discard(std::mem::take(&mut self.dialled));
    }
}

impl<S: System> EventLoop<S> {
    /// The same, with somebody who looks up names.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Option<Resolver>) -> Self {
        self.outbound.resolver = resolver;
        self
    }

    /// Latches what the operating system said.
    pub(super) fn note_outbound(&mut self, id: OutboundId, report: &Readiness) {
        let Some(dialled) = self.outbound.dialled.get_mut(&id) else { return };
        dialled.hung_up |= report.hung_up;
        match dialled.stage {
            Stage::LookingUp => (),
            Stage::Connecting { .. } => self.finish_connect(id),
            Stage::Connected(_) => {
                if report.writable {
                    dialled.writable = true;
                    self.outbound.to_write.push(id);
                }
                if report.readable || report.hung_up {
                    self.queue_outbound(id);
                }
            }
        }
    }

    /// Reads some of what has come, and hands it on.
    pub(super) fn read_outbound(&mut self) {
        // What is left of the last tick's comes first.
        if self.worker.redis().is_none() || self.worker.pump() {
            return;
        }
        for _ in 0..OUTBOUND_READS_PER_TICK {
            let Some(id) = self.outbound.to_read.pop_front() else { break };
            if let Some(dialled) = self.outbound.dialled.get_mut(&id) {
                dialled.queued = false;
                if self.read_dialled(id) {
                    self.queue_outbound(id);
                }
            }
            self.hang_up();
        }
        self.worker.pump();
    }

    /// Sends what there is to send, closes what is not wanted any more, and dials.
    pub(super) fn serve_outbound(&mut self) {
        if self.worker.redis().is_none() {
            return;
        }
        for id in std::mem::take(&mut self.outbound.to_write) {
            self.write_dialled(id);
        }
        while let Some(id) = self.worker.redis().and_then(|(_, redis)| redis.poll_writable()) {
            self.write_dialled(id);
        }
        self.hang_up();
        self.outbound.has_dials = true;
        for _ in 0..DIALS_PER_TICK {
            let Some((id, endpoint)) = self.worker.redis().and_then(|(_, it)| it.poll_dial())
            else {
                self.outbound.has_dials = false;
                break;
            };
            self.dial(id, endpoint);
        }
    }

    fn dial(&mut self, id: OutboundId, endpoint: Endpoint) {
        self.outbound.newest = Some(id);
        if self.outbound.unwanted.remove(&id) {
            return;
        }
        let address = endpoint.host.parse::<IpAddr>();
        let (stage, queued) = (Stage::LookingUp, false);
        let dialled =
            Dialled { endpoint: endpoint.clone(), stage, writable: false, hung_up: false, queued };
        self.outbound.dialled.insert(id, dialled);
        if let Ok(ip) = address {
            let addresses = [SocketAddr::new(ip, endpoint.port)].into();
            return self.connect_to(id, addresses, String::new());
        }
        let question = Question { worker: self.own, life: self.life(), id, endpoint };
        let asked = self.outbound.resolver.as_ref().map(|resolver| resolver.ask(question));
        if asked != Some(true) {
            let why = match asked {
                None => "names are not looked up here",
                _ => "too many names are being looked up",
            };
            self.close_dialled(id, why.to_owned());
        }
    }

    /// It is known where a server is.
    pub(super) fn handle_looked_up(&mut self, looked_up: LookedUp) {
        let LookedUp { life, id, addresses } = looked_up;
        // A worker that has begun anew counts from the beginning: the answer may be to another question.
        let dialled = self.outbound.dialled.get(&id).filter(|_| life == self.life());
        let Some(Dialled { stage: Stage::LookingUp, endpoint, .. }) = dialled else { return };
        match addresses {
            Ok(mut addresses) => {
                let turned = self.outbound.turned.get(endpoint).copied().unwrap_or(0);
                let first = turned % addresses.len().max(1);
                addresses.rotate_left(first);
                self.connect_to(id, addresses.into(), "it has no address".to_owned());
            }
            Err(why) => self.close_dialled(id, why),
        }
    }

    /// Begins to connect to the first of these addresses for which that does not fail at once. `why` is what has
    /// come of the one before.
    fn connect_to(&mut self, id: OutboundId, mut others: VecDeque<SocketAddr>, mut why: String) {
        let Some(dialled) = self.outbound.dialled.get_mut(&id) else { return };
        // The one before is closed first: the next one is reported under the same number.
        (dialled.stage, dialled.hung_up) = (Stage::LookingUp, false);
        while let Some(address) = others.pop_front() {
            match self.system.connect(address, id) {
                Ok(stream) => {
                    dialled.stage = Stage::Connecting { stream, others };
                    return;
                }
                Err(error) => why = format!("cannot connect to {address}: {error}"),
            }
        }
        self.close_dialled(id, why);
    }

    fn finish_connect(&mut self, id: OutboundId) {
        let Some(dialled) = self.outbound.dialled.get_mut(&id) else { return };
        let Stage::Connecting { stream, .. } = &mut dialled.stage else { return };
        let result = self.system.finish_connect(stream);
        if result.as_ref().is_err_and(is_nothing_yet) {
            return;
        }
        let stage = std::mem::replace(&mut dialled.stage, Stage::LookingUp);
        let Stage::Connecting { stream, others } = stage else { return };
        if let Err(error) = result {
            drop(stream);
            return self.connect_to(id, others, format!("cannot connect: {error}"));
        }
        dialled.stage = Stage::Connected(stream);
        dialled.writable = true;
        if let Some((now, redis)) = self.worker.redis() {
            redis.handle_connected(now, id);
        }
        self.queue_outbound(id);
    }

    fn queue_outbound(&mut self, id: OutboundId) {
        if let Some(dialled) = self.outbound.dialled.get_mut(&id)
            && !std::mem::replace(&mut dialled.queued, true)
        {
            self.outbound.to_read.push_back(id);
        }
    }

    /// Reads once. Whether it should be read again without a new report.
    fn read_dialled(&mut self, id: OutboundId) -> bool {
        let Some(dialled) = self.outbound.dialled.get_mut(&id) else { return false };
        let Stage::Connected(stream) = &mut dialled.stage else { return false };
        match self.system.read(stream, &mut self.scratch) {
            Ok(0) => {
                self.close_dialled(id, "it closed the connection".to_owned());
                false
            }
            Ok(count) => {
                let again = count == self.scratch.len() || dialled.hung_up;
                if let Some((now, redis)) = self.worker.redis() {
                    redis.handle_bytes(now, id, &self.scratch[..count]);
                }
                again
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if is_nothing_yet(&error) => false,
            Err(error) => {
                self.close_dialled(id, format!("the connection broke: {error}"));
                false
            }
        }
    }

    /// Writes until everything is sent or the operating system takes no more.
    fn write_dialled(&mut self, id: OutboundId) {
        loop {
            let Some(dialled) = self.outbound.dialled.get_mut(&id) else { return };
            let Stage::Connected(stream) = &mut dialled.stage else { return };
            let Some((now, redis)) = self.worker.redis() else { return };
            if !dialled.writable || !redis.wants_write(id) {
                return;
            }
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let filled = redis.slices(id, &mut slices);
            let result = self.system.write(stream, &slices[..filled]);
            match result {
                Ok(0) => return self.close_dialled(id, "it takes no bytes".to_owned()),
                Ok(count) => redis.handle_written(now, id, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if is_nothing_yet(&error) => {
                    dialled.writable = false;
                    return;
                }
                Err(error) => {
                    return self.close_dialled(id, format!("the connection broke: {error}"));
                }
            }
        }
    }

    /// A connection is over, or never was, and the worker is told why.
    fn close_dialled(&mut self, id: OutboundId, why: String) {
        if self.outbound.dialled.remove(&id).is_some()
            && let Some((now, redis)) = self.worker.redis()
        {
            redis.handle_closed(now, id, why);
        }
    }

    /// Closes what the worker wants closed.
    fn hang_up(&mut self) {
        while let Some(id) = self.worker.redis().and_then(|(_, redis)| redis.poll_hang_up()) {
            let Some(dialled) = self.outbound.dialled.remove(&id) else {
                if self.outbound.newest.is_none_or(|newest| id > newest) {
                    self.outbound.unwanted.insert(id);
                }
                continue;
            };
            if let Stage::Connecting { others, .. } = dialled.stage
                && !others.is_empty()
            {
                let turned = &mut self.outbound.turned;
                if turned.len() >= TURNED_MAX {
                    turned.clear();
                }
                *turned.entry(dialled.endpoint).or_default() += 1;
            }
        }
    }
}

/// Would-block is not an error, and neither is a signal.
fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Arc;

    use crossbeam_channel::{Receiver, bounded};
    use fastrand::Rng;

    use super::*;
    use crate::config::{Config, RedisConfig, Topology};
    use crate::reactor::system::Who;
    use crate::reactor::{Parcel, Post, Ring, connect};
    use crate::time::{Instant, Now};
    use crate::worker::Worker;

    /// An operating system that does as it is told about each address.
    #[derive(Default)]
    struct Net {
        now_ms: u64,
        dialled: Vec<(SocketAddr, OutboundId)>,
        refusing: Vec<SocketAddr>,
        accepting: Vec<SocketAddr>,
        closed: Vec<SocketAddr>,
        /// What a connection says, once each time that it is read.
        says: Vec<u8>,
        reads: usize,
    }

    #[derive(Clone, Default)]
    struct Told(Rc<RefCell<Net>>);

    struct Line(Told, SocketAddr);

    impl Drop for Line {
        fn drop(&mut self) {
            self.0.0.borrow_mut().closed.push(self.1);
        }
    }

    impl System for Told {
        type Socket = Line;

        fn poll(&mut self, _: Option<u64>, reports: &mut Vec<Readiness>) -> io::Result<()> {
            let who = self.0.borrow().dialled.last().map(|(_, id)| Who::Outbound(*id));
            reports.extend(who.map(|who| Readiness {
                who,
                readable: false,
                writable: true,
                hung_up: false,
            }));
            Ok(())
        }

        fn now(&mut self) -> Now {
            Now { instant: Instant::from_ms(self.0.borrow().now_ms), wall_ms: 0 }
        }

        fn connect(&mut self, address: SocketAddr, id: OutboundId) -> io::Result<Line> {
            self.0.borrow_mut().dialled.push((address, id));
            Ok(Line(self.clone(), address))
        }

        fn finish_connect(&mut self, socket: &mut Line) -> io::Result<()> {
            let net = self.0.borrow();
            match () {
                () if net.accepting.contains(&socket.1) => Ok(()),
                () if net.refusing.contains(&socket.1) => {
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
                () => Err(io::ErrorKind::WouldBlock.into()),
            }
        }

        fn read(&mut self, _: &mut Line, buffer: &mut [u8]) -> io::Result<usize> {
            let mut net = self.0.borrow_mut();
            net.reads += 1;
            if net.says.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = net.says.len().min(buffer.len());
            let said: Vec<u8> = net.says.drain(..count).collect();
            buffer[..count].copy_from_slice(&said);
            Ok(count)
        }

        fn write(&mut self, _: &mut Line, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }

        fn accept(&mut self, _: usize) -> io::Result<(Line, SocketAddr)> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn turn_away(&mut self, _: usize) -> bool {
            false
        }

        fn close_listeners(&mut self) {}

        fn register(&mut self, _: &mut Line, _: crate::key::ConnectionKey) -> io::Result<()> {
            Ok(())
        }

        fn shut(&mut self, _: &mut Line) -> io::Result<()> {
            Ok(())
        }
    }

    struct Silent;

    impl Ring for Silent {
        fn ring(&self) {}
        fn quiet(&self) {}
    }

    struct World {
        event_loop: EventLoop<Told>,
        net: Told,
        post: Post<Line>,
        questions: Receiver<Question>,
    }

    const FIRST: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
    const SECOND: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2);

    fn begin(host: &str) -> World {
        let endpoint = Endpoint { host: host.to_owned(), port: 1 };
        let redis = RedisConfig {
            topology: Topology::Servers(vec![endpoint]),
            credentials: None,
            database: 0,
            prefix: "tidings".to_owned(),
            wait_replicas: 0,
            publish_wait_ms: 0,
            timeout_ms: 1_000,
            check_ms: 60_000,
            idempotency_window_ms: 1_000,
            topic_idle_ms: 1_000,
            value_bytes_max: 4 << 20,
        };
        let redis = Some(Arc::new(redis));
        let config = Arc::new(Config { workers: 1, redis, ..Config::default() });
        let worker = Worker::new(Arc::clone(&config), 0, 1, Rng::with_seed(1));
        let (post, mut mailboxes) = connect(vec![Arc::new(Silent) as Arc<dyn Ring>], 64);
        let (net, (asking, questions)) = (Told::default(), bounded(64));
        let mailbox = mailboxes.remove(0);
        let event_loop =
            EventLoop::new(0, net.clone(), worker, mailbox, post.clone(), &[], &config)
                .with_resolver(Some(Resolver::asking(asking)));
        World { event_loop, net, post, questions }
    }

    impl World {
        fn tick(&mut self) {
            self.net.0.borrow_mut().now_ms += 1;
            self.event_loop.tick().expect("nothing fails");
        }

        /// Waits for the next question, answers it with both addresses, and drops those that come meanwhile.
        fn answer_next(&mut self, life: u32) -> OutboundId {
            let question = loop {
                match self.questions.try_recv() {
                    Ok(question) => break question,
                    Err(_) => {
                        assert!(self.net.0.borrow().now_ms < 60_000, "nobody asks");
                        self.net.0.borrow_mut().now_ms += 50;
                        self.tick();
                    }
                }
            };
            let addresses = Ok(vec![FIRST, SECOND]);
            let looked_up = LookedUp { life, id: question.id, addresses };
            assert!(self.post.send(0, Parcel::LookedUp(looked_up)).is_ok());
            self.tick();
            question.id
        }

        fn dialled(&self, id: OutboundId) -> Vec<SocketAddr> {
            let net = self.net.0.borrow();
            net.dialled.iter().filter(|(_, one)| *one == id).map(|(address, _)| *address).collect()
        }
    }

    #[test]
    fn of_several_addresses_the_next_is_tried_at_once_when_one_refuses() {
        let mut world = begin("redis.test");
        world.net.0.borrow_mut().refusing.push(FIRST);
        let id = world.answer_next(0);
        assert_eq!(world.dialled(id), [FIRST]);
        world.tick();
        assert_eq!(world.dialled(id), [FIRST, SECOND]);
        assert_eq!(world.net.0.borrow().closed, [FIRST], "before the next is dialled");
    }

    #[test]
    fn an_address_that_keeps_us_waiting_is_not_the_first_one_the_next_time() {
        let mut world = begin("redis.test");
        let id = world.answer_next(0);
        while !world.net.0.borrow().closed.contains(&FIRST) {
            assert!(world.net.0.borrow().now_ms < 60_000, "it is waited for for ever");
            world.net.0.borrow_mut().now_ms += 50;
            world.tick();
        }
        assert_eq!(world.dialled(id), [FIRST]);
        while world.questions.try_recv().is_ok() {}
        let next = world.answer_next(0);
        assert_eq!(world.dialled(next), [SECOND]);
    }

    #[test]
    fn what_was_asked_by_a_worker_that_has_failed_is_not_for_its_successor() {
        let mut world = begin("redis.test");
        let id = world.answer_next(7);
        assert_eq!(world.dialled(id), []);
    }

    #[test]
    fn an_address_is_dialled_without_asking_anybody() {
        let mut world = begin("::1");
        world.tick();
        assert!(world.questions.try_recv().is_err());
        let dialled = world.net.0.borrow().dialled[0].0;
        assert_eq!(dialled, SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 1)));
    }

    #[test]
    fn a_flood_is_read_in_portions_and_the_next_tick_comes_at_once() {
        let mut world = begin("127.0.0.1");
        {
            let mut net = world.net.0.borrow_mut();
            net.accepting.push(FIRST);
            // The beginning of one value that is not too large, far more than one tick reads.
            net.says = [&b"$2000000\r\n"[..], &vec![b'x'; 1_900_000]].concat();
        }
        while world.net.0.borrow().reads == 0 {
            world.tick();
        }
        assert_eq!(world.net.0.borrow().reads, OUTBOUND_READS_PER_TICK);
        assert_eq!(world.event_loop.wait_ms(), Some(0));
        while !world.net.0.borrow().says.is_empty() {
            world.tick();
        }
        world.tick();
        world.tick();
        assert_ne!(world.event_loop.wait_ms(), Some(0), "it rests when all is read");
    }
}
