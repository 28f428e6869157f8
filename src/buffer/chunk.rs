//! Immutable bytes shared by reference count, and views of parts of them.

use std::sync::Arc;

/// A part of some shared, immutable bytes. Cloning copies no bytes.
#[derive(Clone, Debug)]
pub struct Chunk {
    bytes: Arc<[u8]>,
    // Invariant: start <= end <= bytes.len().
    start: u32,
    end: u32,
}

impl Chunk {
    /// All of `bytes`, which are moved into one allocation. At most 4 GiB.
    pub fn new(bytes: &[u8]) -> Self {
        let end = u32::try_from(bytes.len()).expect("limits keep every message far below 4 GiB");
        Self { bytes: Arc::from(bytes), start: 0, end }
    }

    /// The bytes from `start` to `end` of this view.
    ///
    /// # Panics
    /// If the range is not inside the view.
    pub fn part(&self, start: u32, end: u32) -> Self {
        assert!(start <= end && self.start + end <= self.end, "a part lies inside its chunk");
        Self { bytes: Arc::clone(&self.bytes), start: self.start + start, end: self.start + end }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start as usize..self.end as usize]
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_chunk_is_held_to_its_size() {
        // Each encoding is one, and each message that an outbox owes.
        assert_eq!(size_of::<Chunk>(), 24);
    }
}
