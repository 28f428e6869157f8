//! crossbeam's bounded channel (its array flavour, 0.5) with the model checker's atomics: the same steps in
//! the same memory orders, so that a model sees what the real one lets happen and not more.
//!
//! Part of the crate under `--cfg loom` (`src/reactor/shared.rs`). It never disconnects.

use std::sync::{Arc, Mutex};

use loom::sync::atomic::{AtomicUsize, Ordering, fence};
use loom::thread::yield_now;

/// Why a value could not be sent.
#[derive(Debug)]
#[allow(dead_code, reason = "the interface is the real one's")]
pub(crate) enum TrySendError<T> {
    Full(T),
    Disconnected(T),
}

pub(crate) struct Sender<T>(Arc<Array<T>>);
pub(crate) struct Receiver<T>(Arc<Array<T>>);

struct Array<T> {
    /// Where the next value is taken from, and put: an index, and above it the lap.
    head: AtomicUsize,
    tail: AtomicUsize,
    lap: usize,
    slots: Vec<Slot<T>>,
}

struct Slot<T> {
    /// The tail that may write here, or one more than the head that may read here.
    stamp: AtomicUsize,
    /// Never contended, as the stamp says whose it is; the model checker does not see it.
    value: Mutex<Option<T>>,
}

pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let slot = |stamp| Slot { stamp: AtomicUsize::new(stamp), value: Mutex::new(None) };
    let array = Arc::new(Array {
        head: AtomicUsize::new(0),
        tail: AtomicUsize::new(0),
        lap: (capacity + 1).next_power_of_two(),
        slots: (0..capacity).map(slot).collect(),
    });
    (Sender(Arc::clone(&array)), Receiver(array))
}

impl<T> Array<T> {
    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[position % self.lap]
    }

    fn after(&self, position: usize) -> usize {
        let (index, lap) = (position % self.lap, position - position % self.lap);
        if index + 1 < self.slots.len() { position + 1 } else { lap + self.lap }
    }

    fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::SeqCst);
        self.tail.load(Ordering::SeqCst) == head
    }

    fn send(&self, value: T) -> Result<(), T> {
        loop {
            let tail = self.tail.load(Ordering::Relaxed);
            let slot = self.slot(tail);
            let stamp = slot.stamp.load(Ordering::Acquire);
            if tail == stamp {
                let (moved, relaxed) = (self.after(tail), Ordering::Relaxed);
                if self.tail.compare_exchange(tail, moved, Ordering::SeqCst, relaxed).is_ok() {
                    *slot.value.lock().unwrap() = Some(value);
                    slot.stamp.store(tail + 1, Ordering::Release);
                    return Ok(());
                }
            } else if stamp + self.lap == tail + 1 {
                fence(Ordering::SeqCst);
                if self.head.load(Ordering::Relaxed) + self.lap == tail {
                    return Err(value);
                }
            }
            yield_now();
        }
    }

    fn receive(&self) -> Option<T> {
        loop {
            let head = self.head.load(Ordering::Relaxed);
            let slot = self.slot(head);
            let stamp = slot.stamp.load(Ordering::Acquire);
            if head + 1 == stamp {
                let (moved, relaxed) = (self.after(head), Ordering::Relaxed);
                if self.head.compare_exchange(head, moved, Ordering::SeqCst, relaxed).is_ok() {
                    let value = slot.value.lock().unwrap().take();
                    slot.stamp.store(head + self.lap, Ordering::Release);
                    return value;
                }
            } else if stamp == head {
                fence(Ordering::SeqCst);
                if self.tail.load(Ordering::Relaxed) == head {
                    return None;
                }
            }
            yield_now();
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.0.send(value).map_err(TrySendError::Full)
    }

    pub(crate) fn send(&self, mut value: T) -> Result<(), TrySendError<T>> {
        while let Err(back) = self.0.send(value) {
            value = back;
            yield_now();
        }
        Ok(())
    }
}

impl<T> Receiver<T> {
    pub(crate) fn try_iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.0.receive())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
