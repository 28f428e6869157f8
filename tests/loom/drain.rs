//! Workers end together: real event loops, whose last connections close at the same time.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use fastrand::Rng;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::yield_now;
use tidings::config::{Config, Entrance};
use tidings::key::ConnectionKey;
use tidings::limits::Limits;
use tidings::reactor::{EventLoop, Parcel, Readiness, System, connect};
use tidings::time::{Instant, Now};
use tidings::worker::Worker;

use crate::{EventFd, bells, check, spawn};

const ENTRANCE: [Entrance; 1] = [Entrance::Public { loopback: true }];

/// An operating system with one connection to be accepted, whose peer has closed already.
struct Small {
    eventfd: EventFd,
    is_waiting: bool,
}

impl System for Small {
    type Socket = ();

    fn poll(&mut self, timeout_ms: Option<u64>, _: &mut Vec<Readiness>) -> io::Result<()> {
        match timeout_ms {
            Some(0) => self.eventfd.take(),
            // A pause before another try.
            Some(1) => yield_now(),
            // No deadline comes: time stands still.
            _ => self.eventfd.wait(),
        }
        Ok(())
    }

    fn now(&mut self) -> Now {
        Now { instant: Instant::from_ms(1_000), wall_ms: 0 }
    }

    fn accept(&mut self, _: usize) -> io::Result<((), SocketAddr)> {
        match std::mem::take(&mut self.is_waiting) {
            true => Ok(((), SocketAddr::from(([127, 0, 0, 1], 9)))),
            false => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn turn_away(&mut self, _: usize) -> bool {
        false
    }

    fn close_listeners(&mut self) {}

    fn register(&mut self, (): &mut (), _: ConnectionKey) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, (): &mut (), _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn write(&mut self, (): &mut (), slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shut(&mut self, (): &mut ()) -> io::Result<()> {
        Ok(())
    }
}

/// Two workers that are told to drain, each with or without a connection to be accepted.
fn drain_two(connections: [bool; 2], config: &Arc<Config>) {
    let (eventfds, bells) = bells(2);
    let (post, mailboxes) = connect::<()>(bells, 2);
    for (own, mailbox) in mailboxes.into_iter().enumerate() {
        let system = Small { eventfd: eventfds[own].clone(), is_waiting: connections[own] };
        let (post, config) = (post.clone(), Arc::clone(config));
        post.send_and_wait(own, Parcel::Drain);
        post.ring(own);
        spawn(move || {
            let worker = Worker::new(Arc::clone(&config), own, 7, Rng::with_seed(own as u64));
            EventLoop::new(own, system, worker, mailbox, post, &ENTRANCE, &config).run().unwrap();
        });
    }
}

fn config() -> Arc<Config> {
    let limits = Limits { drain_max_ms: 1_000_000, ..Limits::default() };
    Arc::new(Config { workers: 2, connections_max: 100, limits, ..Config::default() })
}

#[test]
fn a_drain_that_is_told_in_the_middle_of_a_tick_is_heard() {
    let config = Arc::new(Config { workers: 1, ..(*config()).clone() });
    check(4, move || {
        let (eventfds, bells) = bells(1);
        let (post, mut mailboxes) = connect::<()>(bells, 2);
        let system = Small { eventfd: eventfds[0].clone(), is_waiting: true };
        let worker = Worker::new(Arc::clone(&config), 0, 7, Rng::with_seed(1));
        let (mailbox, own_post) = (mailboxes.remove(0), post.clone());
        let config = Arc::clone(&config);
        let run = move || {
            EventLoop::new(0, system, worker, mailbox, own_post, &ENTRANCE, &config).run().unwrap();
        };
        spawn(run);
        // What `Server::drainer` does.
        post.ring(0);
        post.send_and_wait(0, Parcel::Drain);
        post.ring(0);
    });
}

#[test]
fn attack_233_of_two_workers_whose_last_connections_end_at_once_one_ends_both() {
    let config = config();
    check(5, move || drain_two([true; 2], &config));
}

#[test]
fn workers_without_connections_end_too() {
    let config = config();
    check(5, move || drain_two([false; 2], &config));
}

#[test]
fn a_worker_that_stops_listening_and_one_whose_last_connection_ends_see_each_other() {
    let config = config();
    check(5, move || drain_two([true, false], &config));
}

/// Two workers whose last connections end: each takes off its own, and asks whether any is left.
fn count_down(remove: fn(&AtomicUsize), left: fn(&AtomicUsize) -> usize) {
    let counts = Arc::new([AtomicUsize::new(1), AtomicUsize::new(1)]);
    let ask = |own: usize| {
        let counts = Arc::clone(&counts);
        spawn(move || {
            remove(&counts[own]);
            left(&counts[0]) + left(&counts[1]) == 0
        })
    };
    let sees = [ask(0), ask(1)].map(|thread| thread.join().unwrap());
    assert!(sees[0] || sees[1], "nobody sees that none is left");
}

#[test]
#[should_panic(expected = "nobody sees that none is left")]
fn counts_without_a_fence_between_them_are_caught() {
    check(3, || {
        let remove = |count: &AtomicUsize| {
            count.fetch_sub(1, Ordering::Release);
        };
        count_down(remove, |count| count.load(Ordering::Acquire));
    });
}

#[test]
fn counts_with_a_fence_between_them_agree() {
    check(3, || {
        let remove = |count: &AtomicUsize| {
            count.fetch_sub(1, Ordering::Relaxed);
            loom::sync::atomic::fence(Ordering::SeqCst);
        };
        count_down(remove, |count| count.load(Ordering::Relaxed));
    });
}
