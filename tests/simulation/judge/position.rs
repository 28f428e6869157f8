//! What the judge reads out of cursors. Clients treat them as opaque text; the judge has to know.

use std::rc::Rc;

/// A place in a topic's life: everything up to and including `sequence` was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: Rc<str>,
    pub(crate) sequence: u64,
}

/// The epoch of a position that is good in no log.
const NO_EPOCH: &str = "00000000";

impl Position {
    /// One position, of a message's id.
    pub(crate) fn parse(text: &str) -> Self {
        let parts = text.split_once('-');
        let (epoch, digits) = parts.unwrap_or_else(|| panic!("{text:?} is not a position"));
        let is_sound = epoch.len() == 8
            && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && (digits == "0" || !digits.starts_with('0'));
        assert!(is_sound, "{text:?} is not a position");
        let sequence = digits.parse();
        let sequence = sequence.unwrap_or_else(|_| panic!("{text:?} is not a position"));
        Self { epoch: epoch.into(), sequence }
    }

    /// A cursor for `topics` topics.
    pub(crate) fn parse_all(text: &str, topics: usize) -> Vec<Self> {
        let positions: Vec<Self> = text.split('.').map(Self::parse).collect();
        assert_eq!(positions.len(), topics, "{text:?} is not a cursor for {topics} topics");
        positions
    }

    /// Whether whoever resumes here is told of a gap of unknown size.
    pub(crate) fn is_nowhere(&self) -> bool {
        &*self.epoch == NO_EPOCH
    }
}
