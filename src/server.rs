//! The server: its listeners bound, its worker threads started, told to go away, and waited for.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, after, bounded, select};
use fastrand::Rng;
use mio::net::TcpStream;

use crate::config::{Config, Entrance};
use crate::limits::Limits;
use crate::reactor::{
    Clock, EventLoop, MioSystem, Parcel, Post, Resolver, Ring, adopt, bind, connect,
};
use crate::worker::Worker;

/// A server whose threads run.
pub struct Server {
    addresses: Vec<SocketAddr>,
    admin_addresses: Vec<SocketAddr>,
    post: Post<TcpStream>,
    endings: Receiver<Ending>,
    workers: usize,
}

/// How long to wait for room in a mailbox before a worker is asked again for a sign of life.
const PULSE_RETRY: Duration = Duration::from_millis(10);

/// Where a server listens.
#[derive(Debug, Default)]
pub struct Listen {
    /// Addresses to bind, for everybody.
    pub public: Vec<SocketAddr>,
    /// Addresses to bind, for the operator alone.
    pub admin: Vec<SocketAddr>,
    /// Sockets that listen already, for everybody.
    pub public_sockets: Vec<TcpListener>,
    /// Sockets that listen already, for the operator alone.
    pub admin_sockets: Vec<TcpListener>,
}

/// How a worker's thread ended.
type Ending = Result<(), String>;

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// An address, of this flag, cannot be listened on.
    Bind(&'static str, SocketAddr, io::Error),
    /// A socket that was handed over cannot be used.
    HandedOver(io::Error),
    /// The operating system refused something else.
    System(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(flag, address, error) => {
                write!(formatter, "cannot listen on {address} ({flag}): {error}")
            }
            Self::HandedOver(error) => {
                write!(formatter, "cannot use a socket of the service manager's: {error}")
            }
            Self::System(error) => write!(formatter, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Listen {
    /// One address, for everybody.
    pub fn on(address: SocketAddr) -> Self {
        Self { public: vec![address], ..Self::default() }
    }

    /// Whether the operator has addresses of its own.
    pub fn has_admin(&self) -> bool {
        !self.admin.is_empty() || !self.admin_sockets.is_empty()
    }

    /// Gives each worker its listeners, those for everybody first; returns the addresses of both kinds.
    fn open(
        self,
        listeners: &mut [Vec<TcpListener>],
        limits: &Limits,
    ) -> Result<(Vec<SocketAddr>, Vec<SocketAddr>), StartError> {
        let mut both = |flag, sockets, addresses: &[SocketAddr]| {
            let mut all = adopt_all(sockets, listeners, limits).map_err(StartError::HandedOver)?;
            all.extend(bind_all(flag, addresses, listeners, limits)?);
            Ok(all)
        };
        let public = both("--listen", self.public_sockets, &self.public)?;
        let admin = both("--admin-listen", self.admin_sockets, &self.admin)?;
        Ok((public, admin))
    }
}

impl Server {
    /// Takes over the listeners that are there, binds the others, and starts the worker threads. `seed` makes
    /// everything random that is not secret: epochs, jitter, and where topics live.
    ///
    /// # Errors
    /// When an address cannot be bound, or a thread or poll cannot be had.
    pub fn start(config: Config, listen: Listen, seed: u64) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let mut listeners: Vec<Vec<TcpListener>> = Vec::new();
        listeners.resize_with(config.workers, Vec::new);
        let (addresses, admin_addresses) = listen.open(&mut listeners, &config.limits)?;
        let public = addresses.iter().map(|&address| Entrance::public(address));
        let entrances: Vec<Entrance> =
            public.chain(admin_addresses.iter().map(|_| Entrance::Admin)).collect();
        let clock = Clock::start();
        let (mut systems, mut bells) = (Vec::new(), Vec::<Arc<dyn Ring>>::new());
        for listeners in listeners {
            let (system, bell) =
                MioSystem::new(listeners, clock, &config.limits).map_err(StartError::System)?;
            systems.push(system);
            bells.push(bell);
        }
        let (post, mailboxes) = connect(bells, config.budgets.mailbox);
        // A name may be what a sentinel or a cluster calls a server: it is not known yet whether one is needed.
        let resolver = config.redis.as_ref().map(|_| Resolver::start(post.clone()));
        let resolver = resolver.transpose().map_err(StartError::System)?;
        let mut random = Rng::with_seed(seed);
        let hash_seed = random.u64(..);
        let (ended, endings) = bounded(config.workers);
        for (id, (system, mailbox)) in systems.into_iter().zip(mailboxes).enumerate() {
            let worker = Worker::new(Arc::clone(&config), id, hash_seed, random.fork());
            let mut event_loop =
                EventLoop::new(id, system, worker, mailbox, post.clone(), &entrances, &config)
                    .with_resolver(resolver.clone());
            let ended = ended.clone();
            thread::Builder::new()
                .name(format!("worker-{id}"))
                .spawn(move || {
                    let run = std::panic::AssertUnwindSafe(|| event_loop.run());
                    let ending = match std::panic::catch_unwind(run) {
                        Ok(result) => result.map_err(|error| format!("worker {id}: {error}")),
                        Err(_) => Err(format!("worker {id} panicked; this is a bug")),
                    };
                    // Nobody listens any more only when the process is ending anyway.
                    let _ = ended.send(ending);
                })
                .map_err(StartError::System)?;
        }
        let workers = config.workers;
        Ok(Self { addresses, admin_addresses, post, endings, workers })
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The same of the operator's.
    pub fn admin_addresses(&self) -> &[SocketAddr] {
        &self.admin_addresses
    }

    /// Tells every worker to go away. May be called from any thread, and more than once.
    pub fn drainer(&self) -> impl Fn() + Send + 'static {
        let post = self.post.clone();
        move || {
            for worker in 0..post.workers() {
                // This thread may wait for a full mailbox to be emptied; a worker that has ended needs no
                // telling.
                post.ring(worker);
                post.send_and_wait(worker, Parcel::Drain);
                post.ring(worker);
            }
        }
    }

    /// Asks every worker for a sign of life; returns those that gave none within the time that it is given.
    /// May be called from any thread.
    pub fn pulse(&self) -> impl Fn(Duration) -> Vec<usize> + Send + 'static {
        let post = self.post.clone();
        move |patience| {
            let mut silent: Vec<usize> = (0..post.workers()).collect();
            let mut untold = silent.clone();
            let (answer, answers) = bounded(silent.len());
            let over = after(patience);
            while !silent.is_empty() {
                // Whose mailbox is full may be busy and well: it is told when there is room.
                untold.retain(|&worker| {
                    let told = post.send(worker, Parcel::Pulse(answer.clone())).is_ok();
                    post.ring(worker);
                    !told
                });
                select! {
                    recv(answers) -> worker => silent.retain(|&one| Ok(one) != worker),
                    recv(over) -> _ => break,
                    default(PULSE_RETRY) => (),
                }
            }
            silent
        }
    }

    /// Counts the connections of all workers. May be called from any thread.
    pub fn connections(&self) -> impl Fn() -> usize + Send + 'static {
        let post = self.post.clone();
        move || post.connections()
    }

    /// Gives every worker another configuration, with as many workers. May be called from any thread, and more
    /// than once: each worker takes them in turn.
    pub fn reloader(&self) -> impl Fn(Config) + Send + 'static {
        let (post, has_admin) = (self.post.clone(), !self.admin_addresses.is_empty());
        move |config| {
            // Addresses stay as they are until a restart.
            let config = Arc::new(Config { has_admin, ..config });
            for worker in 0..post.workers() {
                // As with a drain.
                post.ring(worker);
                post.send_and_wait(worker, Parcel::Reload(Arc::clone(&config)));
                post.ring(worker);
            }
        }
    }

    /// Waits until every worker has ended.
    ///
    /// # Errors
    /// What the first worker that failed has to say. The others are not waited for then: a server with a
    /// part missing must not look alive.
    pub fn wait(self) -> Result<(), String> {
        for _ in 0..self.workers {
            match self.endings.recv() {
                Ok(ending) => ending?,
                Err(_) => return Err("a worker ended without a word".to_owned()),
            }
        }
        Ok(())
    }
}

/// Gives every worker a descriptor of each socket; returns their addresses.
fn adopt_all(
    sockets: Vec<TcpListener>,
    listeners: &mut [Vec<TcpListener>],
    limits: &Limits,
) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for socket in sockets {
        addresses.push(adopt(&socket, limits)?);
        for listeners in &mut *listeners {
            listeners.push(socket.try_clone()?);
        }
    }
    Ok(addresses)
}

/// Binds every address once for each worker; all of them share its port. Returns the addresses with their ports.
fn bind_all(
    flag: &'static str,
    wanted: &[SocketAddr],
    listeners: &mut [Vec<TcpListener>],
    limits: &Limits,
) -> Result<Vec<SocketAddr>, StartError> {
    let mut addresses = Vec::new();
    for &wanted in wanted {
        let mut address = wanted;
        for (worker, listeners) in listeners.iter_mut().enumerate() {
            let fail = |error| StartError::Bind(flag, address, error);
            // SO_REUSEPORT would let two servers of one user share a port without either noticing.
            if worker == 0 && address.port() != 0 {
                TcpListener::bind(address).map_err(fail)?;
            }
            let listener = bind(address, limits).map_err(fail)?;
            address = listener.local_addr().map_err(fail)?;
            listeners.push(listener);
        }
        addresses.push(address);
    }
    Ok(addresses)
}
