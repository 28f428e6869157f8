//! The bell of a mailbox: wakes the thread that waits in its poll, once for any number of rings.

use std::io;

use super::shared::{AtomicBool, Ordering};

/// Wakes a thread that waits in `poll`.
pub trait Ring: Send + Sync {
    /// Wakes it, if it was not woken already since it last looked.
    fn ring(&self);
    /// The thread looks: the next ring wakes it again.
    fn quiet(&self);
}

/// The operating system's way to end a poll.
pub trait Wake: Send + Sync {
    /// Ends the poll that is under way, or the next one.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn wake(&self) -> io::Result<()>;
}

/// A waker that is used once for all rings between two looks.
#[derive(Debug)]
pub struct Bell<W> {
    waker: W,
    rung: AtomicBool,
}

impl<W> Bell<W> {
    /// A quiet bell.
    pub fn new(waker: W) -> Self {
        Self { waker, rung: AtomicBool::new(false) }
    }
}

impl<W: Wake> Ring for Bell<W> {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            log::error!("cannot wake a worker: {error}");
        }
    }

    fn quiet(&self) {
        // A swap and not a store: of a ring and a look, the second to come sees what went before the first.
        // Either the ring finds the bell quiet and wakes, or the look finds what was put into the channel.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicU64);

    impl Wake for &Counted {
        fn wake(&self) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn attack_211_a_million_rings_wake_once() {
        let counted = Counted::default();
        let bell = Bell::new(&counted);
        for looks in 1..=3 {
            (0..1_000_000).for_each(|_| bell.ring());
            assert_eq!(counted.0.load(Ordering::Relaxed), looks);
            bell.quiet();
        }
    }
}
