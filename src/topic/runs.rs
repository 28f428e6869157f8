//! Several messages in one piece, joined once for all who stand at the same place in the log.
//!
//! When messages come faster than a fan-out gets around, each subscriber is due several at a time. Handing
//! every one of them the same references costs more than sending the bytes (docs/benchmarks.md). So the
//! second who asks from one place has them joined, and all who follow share that. The first gets them one by
//! one: a laggard who is alone at its place would only cost memory. What was joined lasts as long as the
//! walk past the subscribers.

use super::encoding::Format;
use crate::buffer::Chunk;

/// Bytes of messages that are joined: a reader that has taken part of them holds all.
pub(super) const RUN_BYTES_MAX: usize = 64 * 1024;

/// For each format, the place from which somebody asked last.
#[derive(Debug, Default)]
pub(super) struct Runs(Option<Box<[Run; Format::COUNT]>>);

#[derive(Clone, Debug, Default)]
struct Run {
    /// The first message; 0: nobody has asked.
    first: u64,
    messages: u64,
    joined: Option<Chunk>,
}

/// What there is for somebody who asks.
pub(super) enum Found {
    /// These bytes of so many messages.
    Joined(Chunk, u64),
    /// Nothing, or too little, but somebody asked from this place before.
    AskedBefore,
    /// Nothing.
    Nothing,
}

impl Runs {
    /// What there is from the message `first` on for somebody who is due `lag` messages, of at most `bytes_max`
    /// bytes. Remembers that it was asked.
    pub(super) fn find(&mut self, format: Format, first: u64, lag: u64, bytes_max: usize) -> Found {
        let run = &mut self.0.get_or_insert_default()[format as usize];
        if run.first != first {
            *run = Run { first, ..Run::default() };
            return Found::Nothing;
        }
        match &run.joined {
            None => Found::AskedBefore,
            Some(joined) if joined.len() > bytes_max => Found::Nothing,
            // More have come since than were joined.
            Some(joined) if run.messages * 2 < lag && joined.len() * 2 < bytes_max => {
                Found::AskedBefore
            }
            Some(joined) => Found::Joined(joined.clone(), run.messages),
        }
    }

    /// Keeps what was joined for whoever asks next.
    pub(super) fn keep(&mut self, format: Format, first: u64, messages: u64, joined: Chunk) {
        let joined = Some(joined);
        self.0.get_or_insert_default()[format as usize] = Run { first, messages, joined };
    }

    /// Forgets those that begin before the message `first_seq`.
    pub(super) fn trim(&mut self, first_seq: u64) {
        let runs = self.0.iter_mut().flat_map(|runs| runs.iter_mut());
        runs.filter(|run| run.first < first_seq).for_each(|run| *run = Run::default());
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Bytes of memory that they are counted as.
    pub(super) fn cost_bytes(&self) -> usize {
        self.0.iter().flat_map(|runs| &**runs).map(Run::cost_bytes).sum()
    }
}

impl Run {
    fn cost_bytes(&self) -> usize {
        self.joined.as_ref().map_or(0, Chunk::len)
    }
}
