//! The names of connections inside their worker, safe against reused slots.

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

/// A connection that a worker has dialled. Numbers are counted up and used once.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboundId(pub u32);

impl OutboundId {
    /// Slots of accepted connections lie below this.
    const SLOT: u64 = 1 << 31;

    /// The number as a poll token carries it: different from those of all accepted connections. It comes again
    /// after 2^31 others.
    pub const fn to_bits(self) -> u64 {
        self.0 as u64 | Self::SLOT
    }

    /// The number that [`OutboundId::to_bits`] made; `None` of an accepted connection's token.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits & Self::SLOT != 0 && bits >> 32 == 0 {
            Some(Self((bits & !Self::SLOT) as u32))
        } else {
            None
        }
    }
}
