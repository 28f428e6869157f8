//! The name of a connection inside its worker, safe against reused slots.

/// A slab slot and which of the connections that have lived there is meant.
///
/// A stale key (in a readiness report, a timer or a reply from another worker) finds a higher
/// generation in its slot and is ignored.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey {
    /// Index in the worker's slab.
    pub slot: u32,
    /// How many connections the slot had before.
    pub generation: u32,
}

impl ConnectionKey {
    /// Both numbers in one, as a poll token carries them.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The key that [`ConnectionKey::to_bits`] made.
    pub const fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}
