//! The log of how connections ended: a line each, but not more than anybody can read.

use std::net::SocketAddr;

use crate::counters::CloseReason;
use crate::time::Instant;

/// Connections whose end is logged in a second; the rest is counted.
const CLOSE_LOGS_PER_SECOND: u32 = 200;

/// Says how connections ended, but not more often than anybody can read.
#[derive(Default)]
pub(super) struct CloseLog {
    second: u64,
    said: u32,
    unsaid: u32,
}

impl CloseLog {
    pub(super) fn note(&mut self, now: Instant, peer: SocketAddr, reason: CloseReason) {
        if !log::log_enabled!(log::Level::Debug) {
            return;
        }
        let second = now.as_ms() / 1_000;
        if second != self.second {
            if self.unsaid > 0 {
                log::debug!("{} more connections ended", self.unsaid);
            }
            *self = Self { second, said: 0, unsaid: 0 };
        }
        if self.said < CLOSE_LOGS_PER_SECOND {
            self.said += 1;
            log::debug!("{peer} ended: {}", reason.label());
        } else {
            self.unsaid += 1;
        }
    }
}
