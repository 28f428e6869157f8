//! What goes between the hub and Redis, which know nothing of each other.

use super::Worker;
use crate::limits::BACKPLANE_STEPS_PER_TICK;
use crate::outbound::Redis;
use crate::time::Now;

impl Worker {
    /// Its dealings with Redis, if topics are sequenced there, and what time it is.
    pub fn redis(&mut self) -> Option<(Now, &mut Redis)> {
        let now = self.now;
        self.redis.as_deref_mut().map(|redis| (now, redis))
    }

    /// Carries what the hub wants to Redis, and what Redis says to the hub, until neither has more. Whether there
    /// is more than is done at once.
    pub fn pump(&mut self) -> bool {
        self.is_unpumped = false;
        for _ in 0..BACKPLANE_STEPS_PER_TICK {
            let Some(redis) = &mut self.redis else { return false };
            if let Some(request) = self.hub.poll_request() {
                redis.handle_request(self.now, request);
            } else if let Some(report) = redis.poll_report() {
                self.hub.handle_report(self.now, report);
            } else if self.hub.has_answers() {
                // It may make room for what a connection wants published.
                self.hand_out_answers();
            } else {
                return false;
            }
        }
        self.is_unpumped = true;
        true
    }

    /// Time has passed for what is under way there.
    pub(super) fn time_redis(&mut self) {
        if let Some(redis) = &mut self.redis {
            redis.handle_timers(self.now);
        }
    }
}
