//! The real operating system: mio over epoll or kqueue.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::bell::{Bell, Wake};
use super::clock::{Clock, Pace};
use super::process;
use super::system::{Readiness, System, Who};
use crate::counters::Process;
use crate::key::{ConnectionKey, OutboundId};
use crate::limits::Limits;
use crate::time::Now;

/// Readiness reports taken in one poll.
const EVENTS_PER_POLL: usize = 1024;
/// Connections that the kernel may queue for us; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Sleep no longer than this at a time while deadlines run: what comes later is a stall of our own, and not
/// the peers' (see [`Pace`]). A poll that wakes up once a second costs nothing.
const POLL_MS_MAX: u64 = 1_000;
/// The token of the mailbox; listeners have those below it, connections what their keys or numbers say.
const MAILBOX: usize = usize::MAX;
const LISTENERS_MAX: usize = 64;

// A connection's key fills a token.
const _: () = assert!(usize::BITS >= 64, "tidings needs a 64-bit system");

/// One worker's share of the operating system.
#[derive(Debug)]
pub struct MioSystem {
    poll: Poll,
    events: Events,
    listeners: Vec<TcpListener>,
    clock: Clock,
    /// What the clock showed in microseconds when it was read last.
    read_us: u64,
    pace: Pace,
    /// How long what we have sent to a server that we dialled may stay unacknowledged.
    user_timeout: Duration,
    /// Given up for a moment when there is no other descriptor to accept with.
    spare: Option<File>,
}

impl Wake for Waker {
    fn wake(&self) -> io::Result<()> {
        Self::wake(self)
    }
}

/// A listening socket that other workers may bind too, with the options that accepted ones inherit.
pub fn bind(address: SocketAddr, limits: &Limits) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    set_options(&socket, limits)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Makes a listening socket that somebody else has bound fit for a worker; returns its address.
///
/// Each worker has a descriptor of its own for it, and polls it: a connection that comes wakes those who wait,
/// and the first takes it.
pub fn adopt(listener: &std::net::TcpListener, limits: &Limits) -> io::Result<SocketAddr> {
    listener.set_nonblocking(true)?;
    set_options(&SockRef::from(listener), limits)?;
    listener.local_addr()
}

/// The options that accepted sockets inherit.
fn set_options(socket: &Socket, limits: &Limits) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        let notsent = u32::try_from(limits.notsent_bytes).unwrap_or(u32::MAX);
        socket.set_tcp_notsent_lowat(notsent)?;
        socket.set_tcp_user_timeout(Some(Duration::from_millis(limits.user_timeout_ms)))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = limits;
    Ok(())
}

impl MioSystem {
    /// A system with these listeners, and the bell that wakes it.
    pub fn new(
        listeners: Vec<std::net::TcpListener>,
        clock: Clock,
        limits: &Limits,
    ) -> io::Result<(Self, Arc<Bell<Waker>>)> {
        if listeners.len() > LISTENERS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "at most 64 listen addresses"));
        }
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), Token(MAILBOX))?;
        let mut registered = Vec::new();
        for (number, listener) in listeners.into_iter().enumerate() {
            let mut listener = TcpListener::from_std(listener);
            let token = Token(MAILBOX - 1 - number);
            poll.registry().register(&mut listener, token, Interest::READABLE)?;
            registered.push(listener);
        }
        let events = Events::with_capacity(EVENTS_PER_POLL);
        let spare = File::open("/dev/null").ok();
        let (listeners, pace) = (registered, Pace::default());
        let user_timeout = Duration::from_millis(limits.user_timeout_ms);
        let read_us = 0;
        let system = Self { poll, events, listeners, clock, read_us, pace, user_timeout, spare };
        Ok((system, Arc::new(Bell::new(waker))))
    }

    fn who(token: Token) -> Who {
        match MAILBOX - token.0 {
            0 => Who::Mailbox,
            distance @ 1..=LISTENERS_MAX => Who::Listener(distance - 1),
            _ => match OutboundId::from_bits(token.0 as u64) {
                Some(id) => Who::Outbound(id),
                None => Who::Connection(ConnectionKey::from_bits(token.0 as u64)),
            },
        }
    }
}

impl System for MioSystem {
    type Socket = TcpStream;

    fn poll(&mut self, timeout_ms: Option<u64>, reports: &mut Vec<Readiness>) -> io::Result<()> {
        let timeout_ms = timeout_ms.map(|ms| ms.min(POLL_MS_MAX));
        self.pace.wait(timeout_ms);
        self.poll.poll(&mut self.events, timeout_ms.map(Duration::from_millis))?;
        reports.extend(self.events.iter().map(|event| Readiness {
            who: Self::who(event.token()),
            readable: event.is_readable(),
            writable: event.is_writable(),
            hung_up: event.is_read_closed() || event.is_error(),
        }));
        Ok(())
    }

    fn now(&mut self) -> Now {
        let (now, read_us) = self.clock.now_and_micros();
        self.read_us = read_us;
        self.pace.note(now.instant);
        now
    }

    fn elapsed_us(&mut self) -> u64 {
        self.clock.micros().saturating_sub(self.read_us)
    }

    fn process(&mut self) -> Process {
        process::look()
    }

    fn stalled_ms(&mut self) -> u64 {
        self.pace.stalled_ms()
    }

    fn accept(&mut self, listener: usize) -> io::Result<(TcpStream, SocketAddr)> {
        match self.listeners.get(listener) {
            Some(listener) => listener.accept(),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn turn_away(&mut self, listener: usize) -> bool {
        self.spare = None;
        let turned_away = self.accept(listener).is_ok();
        self.spare = File::open("/dev/null").ok();
        turned_away
    }

    fn close_listeners(&mut self) {
        for mut listener in self.listeners.drain(..) {
            // Closing deregisters too, unless others have the socket as well: a service manager, or the other
            // workers that it was handed over to.
            let _ = self.poll.registry().deregister(&mut listener);
        }
    }

    fn register(&mut self, socket: &mut TcpStream, key: ConnectionKey) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket, Token(key.to_bits() as usize), interest)
    }

    fn connect(&mut self, address: SocketAddr, id: OutboundId) -> io::Result<TcpStream> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        SockRef::from(&socket).set_tcp_user_timeout(Some(self.user_timeout))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(id.to_bits() as usize), interest)?;
        Ok(socket)
    }

    fn finish_connect(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            // A report that came before there was anything to report.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            // A port that nobody listens on may be the one that we are given to dial from: TCP connects it to
            // itself, and whoever wants to listen there finds it taken (RFC 9293 §3.5, simultaneous open).
            Ok(peer) if socket.local_addr()? == peer => {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            result => result.map(drop),
        }
    }

    fn read(&mut self, socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        socket.read(buffer)
    }

    fn write(&mut self, socket: &mut TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => socket.write(one),
            _ => socket.write_vectored(slices),
        }
    }

    fn shut(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        socket.shutdown(Shutdown::Write)
    }

    fn abandon(&mut self, socket: &mut TcpStream) {
        // Where this fails the connection is closed as any other.
        let _ = SockRef::from(&*socket).set_linger(Some(Duration::ZERO));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::reactor::Ring as _;

    fn new_system() -> (MioSystem, Arc<Bell<Waker>>) {
        MioSystem::new(Vec::new(), Clock::start(), &Limits::default())
            .expect("there are descriptors")
    }

    /// Polls until there is something to report of the connection that was dialled, and asks what came of it.
    fn finish(system: &mut MioSystem, socket: &mut mio::net::TcpStream) -> io::Result<()> {
        loop {
            match system.finish_connect(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut reports = Vec::new();
                    system.poll(Some(1_000), &mut reports)?;
                    assert!(reports.iter().all(|report| report.who == Who::Outbound(ID)));
                }
                result => return result,
            }
        }
    }

    const ID: OutboundId = OutboundId(7);

    #[test]
    fn what_is_dialled_is_reported_under_its_number_and_has_the_options_of_what_is_accepted() {
        let (mut system, _bell) = new_system();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = system.connect(listener.local_addr().unwrap(), ID).unwrap();
        finish(&mut system, &mut socket).unwrap();
        let options = SockRef::from(&socket);
        assert!(options.tcp_nodelay().unwrap());
        let user_timeout = Duration::from_millis(Limits::default().user_timeout_ms);
        assert_eq!(options.tcp_user_timeout().unwrap(), Some(user_timeout));
    }

    #[test]
    fn who_is_not_there_is_found_out_about() {
        let (mut system, _bell) = new_system();
        // A port that is taken, so that nobody else gets it meanwhile, and that nobody listens on.
        let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        taken.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = taken.local_addr().unwrap().as_socket().unwrap();
        let result =
            system.connect(address, ID).and_then(|mut socket| finish(&mut system, &mut socket));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn attack_225_a_poll_that_should_wait_for_ever_is_cut_into_seconds_and_can_be_ended() {
        let (mut system, bell) = new_system();
        let mut reports = Vec::new();
        for timeout_ms in [0, 1, 30 * 24 * 3_600_000, u64::MAX] {
            bell.ring();
            while reports.is_empty() {
                system.poll(Some(timeout_ms), &mut reports).unwrap();
            }
            bell.quiet();
            assert!(reports.drain(..).all(|report| report.who == Who::Mailbox));
            // Nobody rings: it comes back by itself, far too early, and has nothing to say.
            system.poll(Some(timeout_ms), &mut reports).unwrap();
            assert!(reports.is_empty());
        }
    }

    #[test]
    fn accepted_connections_inherit_the_options_of_their_listener() {
        let limits = Limits::default();
        let listener = bind("127.0.0.1:0".parse().unwrap(), &limits).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap() as usize, limits.notsent_bytes);
        let user_timeout = Duration::from_millis(limits.user_timeout_ms);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(user_timeout));
    }
}
