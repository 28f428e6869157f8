//! What the service manager hears of the server (sd_notify(3)): that it is ready, loads its configuration
//! again, goes away, and, for its watchdog, that every worker's loop turns.
//!
//! Nothing is said where no `NOTIFY_SOCKET` is.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{error, warn};
use sd_notify::NotifyState;

use crate::server::Server;

/// How often the status is looked at where no watchdog asks for more.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// What an exit may take beyond `--drain-max`.
const EXIT_MS_MAX: u64 = 5_000;

/// The service listens on these addresses.
pub(super) fn ready(addresses: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(&format!("Listening on {addresses}"))]);
}

/// The configuration is read again. To be followed by [`reloaded`], whatever comes of it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => warn!("cannot tell the service manager of a reload: {error}"),
    }
}

/// What was announced with [`reloading`] is over.
pub(super) fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// A drain has begun, which ends after `drain_max_ms` at the latest: the manager waits for so long, even if
/// its own `TimeoutStopSec=` is shorter.
pub(super) fn stopping(drain_max_ms: u64) {
    let longest_us = drain_max_ms.saturating_add(EXIT_MS_MAX).saturating_mul(1_000);
    let longest = NotifyState::ExtendTimeoutUsec(u32::try_from(longest_us).unwrap_or(u32::MAX));
    let status = NotifyState::Status("Saying goodbye to every connection");
    notify(&[NotifyState::Stopping, longest, status]);
}

/// Stops when it is dropped.
pub(super) struct Watch {
    _stop: Sender<()>,
}

/// Tells the manager, from a thread of its own, how many connections there are and, if it watches this
/// process, that it is well. `None` if nobody listens.
pub(super) fn watch(server: &Server, addresses: &str) -> Option<Watch> {
    std::env::var_os("NOTIFY_SOCKET")?;
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(STATUS_EVERY, |limit| limit / 2);
    let (pulse, connections) = (server.pulse(), server.connections());
    let addresses = addresses.to_owned();
    let mut said = String::new();
    let (stop, stopped) = bounded(0);
    let run = move || {
        let status = || {
            let status = format!("Listening on {addresses}; {} connections", connections());
            if status != said {
                notify(&[NotifyState::Status(&status)]);
                said = status;
            }
        };
        let feed = || {
            if watchdog.is_some() {
                notify(&[NotifyState::Watchdog]);
            }
        };
        keep_fed(&stopped, every, pulse, feed, status);
    };
    match thread::Builder::new().name("watchdog".to_owned()).spawn(run) {
        Ok(_) => Some(Watch { _stop: stop }),
        Err(error) => {
            // The manager, if it watches, ends a process that it never hears from; so this is not hidden.
            error!("cannot start the thread that feeds the watchdog: {error}");
            None
        }
    }
}

/// Feeds the watchdog each time that all workers have given a sign of life, until it is stopped. Between two
/// signs lies at most `every` and a half, of the twice `every` that the manager allows.
fn keep_fed(
    stopped: &Receiver<()>,
    every: Duration,
    pulse: impl Fn(Duration) -> Vec<usize>,
    mut feed: impl FnMut(),
    mut status: impl FnMut(),
) {
    loop {
        let silent = pulse(every / 2);
        if silent.is_empty() {
            feed();
            status();
        } else {
            error!("workers {silent:?} stand still: the watchdog is not fed");
        }
        if stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Says something to the manager, if there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("cannot reach the service manager (NOTIFY_SOCKET): {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fuse::{Fuse, Place};
    use crate::server::Listen;
    use std::io::Write as _;
    use std::net::TcpStream;

    const SOON: Duration = Duration::from_millis(10);
    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn the_watchdog_goes_hungry_as_long_as_one_of_the_workers_stands_still() {
        let fuse = Fuse::for_tests();
        let config =
            Config { workers: 2, connections_max: 10, fuse: fuse.clone(), ..Config::default() };
        let server = Server::start(config, Listen::on("127.0.0.1:0".parse().unwrap()), 1).unwrap();
        let (pulse, drain) = (server.pulse(), server.drainer());
        assert_eq!(pulse(PATIENCE), Vec::<usize>::new());

        fuse.jam(Place::Parser);
        let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (stop, stopped) = bounded(0);
        let (fed, feeds) = bounded(1_000);
        let (round, rounds) = bounded(1_000);
        let feeder = thread::spawn(move || {
            let counted = |patience| {
                let silent = pulse(patience);
                round.send(silent.len()).unwrap();
                silent
            };
            keep_fed(&stopped, SOON, counted, || fed.send(()).unwrap(), || ());
        });
        // The request may not have been read yet when the first pulse goes round.
        while rounds.recv_timeout(PATIENCE).unwrap() == 0 {}
        feeds.try_iter().count();
        for _ in 0..5 {
            assert_eq!(rounds.recv_timeout(PATIENCE).unwrap(), 1, "the other worker turns");
        }
        assert_eq!(feeds.try_iter().count(), 0);

        fuse.put_out();
        assert!(feeds.recv_timeout(PATIENCE).is_ok(), "it turns again");
        drop(stop);
        feeder.join().unwrap();
        drop(client);
        drain();
        server.wait().unwrap();
    }
}
