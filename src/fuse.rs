//! Panics on purpose: a test lights a fuse, and a worker panics, or stands still, at the place that the test
//! has chosen.
//!
//! No flag lights one, and a fuse that cannot be lit costs a look at a `None`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a worker can be made to panic.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A connection was accepted, and its socket is in the event loop's hands.
    Accept,
    /// A request head was parsed.
    Parser,
    /// A letter from another worker was taken out of the mailbox.
    Letter,
    /// A connection's deadline has come.
    Timer,
    /// A topic has news for a subscriber.
    FanOut,
    /// A drain begins, or says goodbye to a connection.
    Drain,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Accept, Self::Parser, Self::Letter, Self::Timer, Self::FanOut, Self::Drain];
}

/// A fuse, shared by all workers of a server. The default cannot be lit.
#[derive(Clone, Debug, Default)]
pub struct Fuse(Option<Arc<AtomicU32>>);

/// The place is above these bits, how many passes are left is in them. 0: not lit.
const PASSES: u32 = (1 << 24) - 1;
/// Beside a place: who passes stands still there.
const JAMS: u32 = 1 << 31;

impl Fuse {
    /// A fuse that can be lit.
    pub fn for_tests() -> Self {
        Self(Some(Arc::default()))
    }

    /// From now on, whoever passes `place` for the `passes`th time panics (at least 1). Once.
    pub fn light(&self, place: Place, passes: u32) {
        if let Some(state) = &self.0 {
            state.store(Self::bits(place) | (passes & PASSES), Ordering::SeqCst);
        }
    }

    /// From now on, whoever passes `place` stands still there until the fuse is put out.
    pub fn jam(&self, place: Place) {
        if let Some(state) = &self.0 {
            state.store(JAMS | Self::bits(place), Ordering::SeqCst);
        }
    }

    /// Nobody panics any more, or stands still. Whether the fuse was still burning.
    pub fn put_out(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.swap(0, Ordering::SeqCst) != 0)
    }

    /// Whether somebody may still panic.
    pub fn is_lit(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.load(Ordering::SeqCst) != 0)
    }

    /// A worker passes a place.
    pub fn pass(&self, place: Place) {
        if let Some(state) = &self.0 {
            Self::burn(state, place);
        }
    }

    #[cold]
    fn burn(state: &AtomicU32, place: Place) {
        while state.load(Ordering::SeqCst) == JAMS | Self::bits(place) {
            std::hint::spin_loop();
        }
        let burnt = state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |bits| {
            let is_lit_here = bits & !PASSES == Self::bits(place) && bits & PASSES > 0;
            is_lit_here.then(|| if bits & PASSES == 1 { 0 } else { bits - 1 })
        });
        assert!(burnt.map_or(0, |bits| bits & PASSES) != 1, "the fuse of a test at {place:?}");
    }

    const fn bits(place: Place) -> u32 {
        (place as u32 + 1) << 24
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fuse_burns_down_once_at_its_place() {
        let fuse = Fuse::for_tests();
        fuse.pass(Place::Timer);
        fuse.light(Place::Timer, 2);
        fuse.pass(Place::Letter);
        fuse.pass(Place::Timer);
        assert!(std::panic::catch_unwind(|| fuse.pass(Place::Timer)).is_err());
        fuse.pass(Place::Timer);
        assert!(!fuse.put_out());
        fuse.light(Place::Drain, 1);
        assert!(fuse.put_out());
        fuse.pass(Place::Drain);
        Fuse::default().light(Place::Drain, 1);
        Fuse::default().pass(Place::Drain);
    }
}
