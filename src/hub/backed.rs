//! Topics that are sequenced outside of this process.

use super::Hub;
use crate::time::Now;
use crate::topic::{Report, Request};

impl Hub {
    /// What is wanted of the backplane next.
    pub fn poll_request(&mut self) -> Option<Request> {
        None
    }

    /// The backplane has something to say.
    pub fn handle_report(&mut self, _now: Now, _report: Report) {}
}
