//! What threads share: atomics and channels; under `--cfg loom` those of a model checker.
//!
//! `tests/loom` runs what is built on them, the code that ships, through every order in which its steps can
//! happen.

#[cfg(not(loom))]
pub(super) use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub(super) use self::channel::{Receiver, Sender, TrySendError, bounded};

#[cfg(loom)]
#[path = "../../tests/loom/channel.rs"]
mod channel;
