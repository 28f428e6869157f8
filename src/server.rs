//! The server: its listeners bound, its worker threads started, told to go away, and waited for.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use fastrand::Rng;
use mio::net::TcpStream;

use crate::config::Config;
use crate::limits::Limits;
use crate::reactor::{Clock, EventLoop, MioSystem, Parcel, Post, Ring, bind, connect};
use crate::worker::Worker;

/// A server whose threads run.
pub struct Server {
    addresses: Vec<SocketAddr>,
    post: Post<TcpStream>,
    endings: Receiver<Ending>,
    workers: usize,
}

/// How a worker's thread ended.
type Ending = Result<(), String>;

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(SocketAddr, io::Error),
    /// The operating system refused something else.
    System(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(address, error) => {
                write!(formatter, "cannot listen on {address} (--listen): {error}")
            }
            Self::System(error) => write!(formatter, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Binds `listen` and starts the worker threads. `seed` makes everything random that is not secret:
    /// epochs, jitter, and where topics live.
    ///
    /// # Errors
    /// When an address cannot be bound, or a thread or poll cannot be had.
    pub fn start(config: Config, listen: &[SocketAddr], seed: u64) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let (addresses, listeners) = bind_all(listen, config.workers, &config.limits)?;
        let clock = Clock::start();
        let (mut systems, mut bells) = (Vec::new(), Vec::<Arc<dyn Ring>>::new());
        for listeners in listeners {
            let (system, bell) = MioSystem::new(listeners, clock).map_err(StartError::System)?;
            systems.push(system);
            bells.push(bell);
        }
        let (post, mailboxes) = connect(bells, config.budgets.mailbox);
        let mut random = Rng::with_seed(seed);
        let hash_seed = random.u64(..);
        let (ended, endings) = bounded(config.workers);
        for (id, (system, mailbox)) in systems.into_iter().zip(mailboxes).enumerate() {
            let worker = Worker::new(Arc::clone(&config), id, hash_seed, random.fork());
            let mut event_loop =
                EventLoop::new(id, system, worker, mailbox, post.clone(), addresses.len(), &config);
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
        Ok(Self { addresses, post, endings, workers: config.workers })
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
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

    /// Gives every worker another configuration, with as many workers. May be called from any thread, and more
    /// than once: each worker takes them in turn.
    pub fn reloader(&self) -> impl Fn(Config) + Send + 'static {
        let post = self.post.clone();
        move |config| {
            let config = Arc::new(config);
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

/// Binds every address once for each worker; all of them share its port.
fn bind_all(
    listen: &[SocketAddr],
    workers: usize,
    limits: &Limits,
) -> Result<(Vec<SocketAddr>, Vec<Vec<TcpListener>>), StartError> {
    let mut addresses = Vec::new();
    let mut listeners: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for &wanted in listen {
        let mut address = wanted;
        for (worker, listeners) in listeners.iter_mut().enumerate() {
            // SO_REUSEPORT would let two servers of one user share a port without either noticing.
            if worker == 0 && address.port() != 0 {
                TcpListener::bind(address).map_err(|error| StartError::Bind(address, error))?;
            }
            let fail = |error| StartError::Bind(address, error);
            let listener = bind(address, limits).map_err(fail)?;
            address = listener.local_addr().map_err(fail)?;
            listeners.push(listener);
        }
        addresses.push(address);
    }
    Ok((addresses, listeners))
}
