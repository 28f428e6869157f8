//! How a connection ends: what it held is given back, what it owes is sent, and its peer is given time to
//! read that.

use super::{Connection, Context, Phase};
use crate::buffer::{Inbox, Outbox};
use crate::counters::{CloseReason, Wire};
use crate::limits::LINGER_BYTES_MAX;
use crate::planted::{Fault, planted};
use crate::time::Instant;
use crate::topic::Topics;

impl Connection {
    /// The server goes away: says goodbye, if nothing is in the middle of being done.
    pub fn drain<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        self.leaving = true;
        // A poll is answered in its turn.
        self.refill_wanted =
            matches!(self.phase, Phase::Poll(_)) && !planted(Fault::DrainForgetsPolls);
        // What the log has for it goes before the goodbye, as far as there is room: it may be the last to hear.
        match &self.phase {
            Phase::Stream(_) => self.refill_stream(context),
            Phase::WebSocket(_) => self.refill_websocket(context),
            _ => (),
        }
        self.leave_if_idle(context);
    }

    /// Says the goodbye that was due, unless something is in the middle of being done.
    pub(super) fn leave_if_idle<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        if !self.leaving {
            return;
        }
        match &self.phase {
            Phase::Head { .. } if !self.inbox.is_empty() => (),
            Phase::Head { .. } if self.outbox.is_empty() => {
                self.close(context, CloseReason::Drained);
            }
            Phase::Head { .. } => self.end_after_flush(context, CloseReason::Drained),
            Phase::Batch(_) => self.drain_batch(context),
            Phase::Stream(_) => self.drain_stream(context),
            Phase::WebSocket(_) => self.drain_websocket(context),
            _ => (),
        }
    }

    /// Ends what the connection is doing and gives back everything that this is counted as: the one place
    /// where a subscription is left or a body let go. The caller says what comes next.
    pub(super) fn end_phase<T: Topics>(&mut self, context: &mut Context<'_, T>) -> Phase {
        let next = Phase::Flushing(CloseReason::Finished);
        let mut phase = std::mem::replace(&mut self.phase, next);
        let (subscription, wire) = match &mut phase {
            Phase::Upload(upload) => {
                context.counters.body_bytes -= upload.counted_bytes();
                return phase;
            }
            Phase::Batch(batch) => {
                context.counters.body_bytes -= batch.counted_bytes();
                return phase;
            }
            Phase::Poll(poll) => (poll.subscription(), Wire::Poll),
            Phase::Stream(stream) => stream.subscription(),
            Phase::WebSocket(websocket) => {
                context.counters.body_bytes -=
                    websocket.traffic.as_ref().map_or(0, |traffic| traffic.counted_bytes);
                (&mut websocket.subscription, Wire::WebSocket)
            }
            _ => return phase,
        };
        subscription.close(context);
        context.counters.subscriptions[wire as usize] -= 1;
        phase
    }

    /// Sends what is owed and closes, for `reason`.
    pub(super) fn end_after_flush<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        reason: CloseReason,
    ) {
        self.phase = Phase::Flushing(reason);
        self.deadline = Instant::NEVER;
        self.linger_if_flushed(context);
    }

    pub(super) fn linger_if_flushed<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        let Phase::Flushing(reason) = self.phase else { return };
        if !self.outbox.is_empty() {
            return;
        }
        if self.eof {
            return self.close(context, reason);
        }
        self.phase = Phase::Lingering { reason, left: LINGER_BYTES_MAX, is_shut: false };
        self.inbox = Inbox::default();
        self.deadline = context.now.instant + context.config.limits.linger_ms;
    }

    /// After the peer's end: closes when everything that it sent was acted on and all that it asked for is
    /// answered.
    pub(super) fn end_if_nothing_is_left<T: Topics>(&mut self, context: &mut Context<'_, T>) {
        if !self.eof || self.more {
            return;
        }
        let reason = match &self.phase {
            Phase::Head { .. } if !self.outbox.is_empty() => return,
            Phase::Head { .. } if self.inbox.is_empty() => CloseReason::PeerClosed,
            Phase::Head { .. } | Phase::Upload(_) => CloseReason::PeerAborted,
            Phase::Batch(batch) if batch.wants_read() && self.inbox.is_empty() => {
                CloseReason::PeerAborted
            }
            // A poll that is answered at once is a finite answer; one that waits has lost its client.
            Phase::Poll(poll) if poll.is_parked(context.now) => CloseReason::PeerClosed,
            Phase::Stream(_) | Phase::WebSocket(_) => CloseReason::PeerClosed,
            Phase::Lingering { reason, .. } => *reason,
            _ => return,
        };
        self.close(context, reason);
    }

    /// Ends the connection and everything that it holds.
    pub(super) fn close<T: Topics>(&mut self, context: &mut Context<'_, T>, reason: CloseReason) {
        if matches!(self.phase, Phase::Closed(_)) {
            return;
        }
        self.end_phase(context);
        self.phase = Phase::Closed(reason);
        self.inbox = Inbox::default();
        self.outbox = Outbox::default();
        (self.more, self.refill_wanted, self.busy) = (false, false, false);
    }
}
