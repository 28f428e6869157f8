//! Servers of ours, with whatever makes them a group.

use std::net::SocketAddr;
use std::ops::Deref;
use std::thread;

use crate::folder::show;
use crate::load::Load;
use crate::support::Server;

/// What lets a load do as it likes.
const FLAGS: [&str; 10] = [
    "--reads-per-second",
    "100000",
    "--connections-per-address",
    "10000",
    "--requests-max",
    "1000000",
    "--log-messages",
    "100000",
    "--log-bytes",
    "256M",
];

/// A server whose log is shown when the test fails.
pub struct Tidings(Option<Server>);

impl Tidings {
    fn start(flags: &[String]) -> Self {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Self(Some(Server::start_with_workers(2, &flags)))
    }
}

impl Deref for Tidings {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.0.as_ref().expect("it runs")
    }
}

impl Drop for Tidings {
    fn drop(&mut self) {
        let Some(server) = self.0.take() else { return };
        if thread::panicking() {
            let log = server.log_so_far();
            show(
                &format!("the server at {} said last", server.address()),
                &log.iter().map(String::as_str).collect::<Vec<_>>(),
            );
        }
    }
}

/// Several servers with the same flags.
pub struct Group {
    pub servers: Vec<Tidings>,
    flags: Vec<String>,
}

impl Group {
    /// So many servers; later flags win over those of every load.
    pub fn start(count: usize, flags: &[&str]) -> Self {
        let plain = FLAGS.chunks(2).filter(|pair| !flags.contains(&pair[0])).flatten();
        let flags: Vec<String> = plain.chain(flags).map(ToString::to_string).collect();
        let servers = (0..count).map(|_| Tidings::start(&flags)).collect();
        Self { servers, flags }
    }

    /// Three servers at this Redis, which have reached it.
    pub fn at(url: &str) -> Self {
        Self::start(3, &["--redis", url]).ready()
    }

    /// The same, when all are ready.
    pub fn ready(self) -> Self {
        for server in &self.servers {
            server.ask_until("a server is ready", || server.get("/readyz").status == 200);
        }
        self
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address()).collect()
    }

    /// Kills one and starts another one in its place, elsewhere.
    pub fn replace(&mut self, index: usize, load: &Load) {
        self.servers[index].0 = None;
        self.servers[index] = Tidings::start(&self.flags);
        // Nobody waits until it is ready: its clients may come at once.
        load.shared.moved(index, self.servers[index].address());
    }
}
