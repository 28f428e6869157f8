//! What threads share, through every order in which its steps can happen, as far as orders differ in at
//! most so many preemptions: the mailbox and its bell, the counts of connections, credit.
//!
//! What runs here is the code that ships, over the model checker's atomics; crossbeam's channel and the
//! kernel's eventfd are modelled. Beside each model that holds stands the same with a mistake in it, which
//! the model checker must find. `tests/run --only loom` runs it.

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod credit;
mod drain;
mod mail;

use std::io;
use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread::{Builder, JoinHandle};
use tidings::reactor::{Bell, Ring, Wake};

/// Words of stack: the model checker's own are too few for an event loop.
const STACK: usize = 1 << 16;

/// Runs a model in every order that needs at most so many preemptions.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(preemptions));
    builder.max_branches = 20_000;
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&count);
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    // Seen with `--nocapture`.
    eprintln!("{} orders", count.load(std::sync::atomic::Ordering::Relaxed));
}

fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().stack_size(STACK).spawn(run).unwrap()
}

/// What mio's waker does: it ends the wait that is under way, or the next one.
#[derive(Clone, Default)]
struct EventFd(Arc<(Mutex<bool>, Condvar)>);

impl Wake for EventFd {
    fn wake(&self) -> io::Result<()> {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
        Ok(())
    }
}

impl EventFd {
    /// Waits until it is woken; for ever, if it is not: the model checker calls that a deadlock.
    fn wait(&self) {
        let mut woken = self.0.0.lock().unwrap();
        while !*woken {
            woken = self.0.1.wait(woken).unwrap();
        }
        *woken = false;
    }

    /// Does not wait.
    fn take(&self) {
        *self.0.0.lock().unwrap() = false;
    }
}

/// So many bells, and what they wake.
fn bells(count: usize) -> (Vec<EventFd>, Vec<Arc<dyn Ring>>) {
    let eventfds: Vec<EventFd> = (0..count).map(|_| EventFd::default()).collect();
    let bell = |eventfd: &EventFd| Arc::new(Bell::new(eventfd.clone())) as Arc<dyn Ring>;
    let bells = eventfds.iter().map(bell).collect();
    (eventfds, bells)
}
