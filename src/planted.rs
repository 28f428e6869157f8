//! Faults that were planted on purpose, to show that the simulation sees them; there in `--cfg planted` builds only.
//!
//! Each is a mistake that somebody could make, at the place where it would be made, and bites under a
//! condition only. At most one is planted in a thread.

#[cfg(planted)]
use std::cell::Cell;

/// Declares the faults, so that each is named once.
macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident $label:literal,)*) => {
        /// One realistic mistake, at one place.
        #[derive(Copy, Clone, Debug, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
        }

        #[cfg(planted)]
        impl Fault {
            /// All of them.
            pub const ALL: [Self; [$($label),*].len()] = [$(Self::$fault),*];

            /// Its name in words.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$fault => $label,)*
                }
            }
        }
    };
}

faults! {
    /// A connection that came after another one had gone loses the first message that a subscription of it
    /// would begin with.
    DropsAtSlotReuse "drops-at-slot-reuse",
    /// A log that is full keeps one message less than it should.
    TrimsOneTooMany "trims-one-too-many",
    /// A log that has lost its last message to time gives the next one the same sequence number.
    ReusesLastSequence "reuses-last-sequence",
    /// A publish to a topic that is followed here is acknowledged when it is sent to the owner.
    AcknowledgesBeforeSequenced "acknowledges-before-sequenced",
    /// A publish does not wait for followers that have no credit.
    AcknowledgesBeforeMailed "acknowledges-before-mailed",
    /// An even number of letters to one worker rings no bell.
    LosesWakeUp "loses-wake-up",
    /// The cursor of a page that was cut off is that of the log's head.
    SkipsAheadOnHop "skips-ahead-on-hop",
    /// A message that is encoded when there is a newer one gets the id of the next.
    SendsNeighboursId "sends-neighbours-id",
    /// A gap is passed over in silence.
    SkipsGapNotice "skips-gap-notice",
    /// Reading that stopped because something was full does not go on when there is room.
    ForgetsToResumeReading "forgets-to-resume-reading",
    /// The last message of a stream's replay is delivered again when it goes live.
    RepeatsAtSeam "repeats-at-seam",
    /// The timer of a connection that is gone ends the one that has its slot.
    FiresDeadTimer "fires-dead-timer",
    /// An idempotency key is remembered for a tenth of its time.
    ForgetsKeyEarly "forgets-key-early",
    /// A gap is said to be one message larger than it is.
    MiscountsGap "miscounts-gap",
    /// The topic that follows a deletion has the epoch of the one that was deleted.
    DeletionKeepsEpoch "deletion-keeps-epoch",
    /// A quarter of the credit is given back as a single unit.
    LosesCredit "loses-credit",
    /// A replica can be read before its owner has said what is in it.
    ShowsReplicaEarly "shows-replica-early",
    /// Followers are not told that a topic was deleted.
    ForgetsReset "forgets-reset",
    /// After a write that took less than was owed, its last byte is sent again.
    RepeatsAfterShortWrite "repeats-after-short-write",
    /// A worker that has panicked does not tell the others.
    KeepsRestartSecret "keeps-restart-secret",
    /// A stream is refilled whatever its outbox holds.
    FillsStreamsWithoutBound "fills-streams-without-bound",
    /// A connection that ended with an error of its socket stays counted.
    LeaksCount "leaks-count",
    /// News do not reach the last seats of a topic when others are vacant.
    WalksPastTooFewSeats "walks-past-too-few-seats",
    /// Who was visited already is not told of what is published during the walk.
    ForgetsNewsDuringWalk "forgets-news-during-walk",
    /// Polls that wait are not answered when a drain comes.
    DrainForgetsPolls "drain-forgets-polls",
    /// A stream that is drained ends without its last chunk.
    DrainOmitsLastChunk "drain-omits-last-chunk",
    /// All that a stream of several topics is sent at once has the cursor from before it.
    SendsStaleCursor "sends-stale-cursor",
    /// A message that is published while the ones before it are not reported yet is answered with the id
    /// before its own.
    AnswersWithIdBefore "answers-with-id-before",
    /// A stream leaves out a message that is larger than its outbox may be.
    DropsLargeMessage "drops-large-message",
    /// The memory of messages that grew old or were deleted is not given back.
    KeepsMemory "keeps-memory",
    /// A publish that is repeated is answered with the position of the newest message.
    AnswersRepeatAnew "answers-repeat-anew",
}

/// Whether this fault is planted in this thread. Never, and at no cost, in any other build.
#[cfg(not(planted))]
pub const fn planted(_: Fault) -> bool {
    false
}

#[cfg(planted)]
thread_local! {
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Whether this fault is planted in this thread.
#[cfg(planted)]
pub fn planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}

/// Plants a fault in this thread, in the place of any other; `None`: none is planted from now on.
#[cfg(planted)]
pub fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
}

#[cfg(all(test, planted))]
mod tests {
    use super::*;

    #[test]
    fn one_fault_is_planted_at_a_time() {
        for fault in Fault::ALL {
            plant(Some(fault));
            let there: Vec<Fault> = Fault::ALL.into_iter().filter(|&it| planted(it)).collect();
            assert_eq!(there, [fault]);
        }
        plant(None);
        assert!(!Fault::ALL.into_iter().any(planted));
    }
}
