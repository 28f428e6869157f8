//! After a panic: the worker that takes the place of one that failed, and what the others do about it.

use std::sync::Arc;

use super::Worker;
use super::inquiries::Inquiries;
use crate::timers::Timers;

impl Worker {
    /// The worker that takes this one's place: without its connections and its topics, of whose state
    /// nothing can be trusted after a panic. Counters go on, and so do generations: what was said of
    /// this one's connections is stale.
    #[must_use]
    pub fn successor(&mut self) -> Self {
        let now = self.now.instant;
        let config = Arc::clone(&self.config);
        let hub = self.hub.successor(&config, now);
        let inquiries = Inquiries::new(config.workers, self.inquiries.own());
        let next = Self::with_hub(config, hub, inquiries, self.random.fork());
        let backplane = next.backplane.succeeding(&self.backplane);
        Self {
            now: self.now,
            backplane,
            next_generation: self.next_generation,
            timers: Timers::starting_at(now),
            counters: self.counters.after_panic(),
            ..next
        }
    }

    /// Another worker has begun anew: what was asked of it is answered as far as anybody can, or asked again.
    pub fn handle_restart(&mut self, worker: usize) {
        self.hub.handle_restart(self.now, worker);
        self.surveys.forget(worker);
        self.inquiries.ask_again(worker);
        self.hand_out_answers();
    }
}
