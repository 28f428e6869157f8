//! Bytes that were received and are not yet parsed.

/// A byte queue: appended at the back, consumed at the front.
///
/// An idle connection's inbox holds no allocation. What keeps it bounded is the connection, which stops
/// reading.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    // Invariant: consumed <= bytes.len(), and consumed == bytes.len() only when both are 0.
    consumed: usize,
}

impl Inbox {
    /// The bytes that wait.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// The bytes that wait, for unmasking in place.
    pub fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.consumed..]
    }

    /// Takes `count` bytes from the front; releases the memory when none are left.
    pub fn consume(&mut self, count: usize) {
        self.consumed += count;
        assert!(self.consumed <= self.bytes.len(), "no more is consumed than there is");
        if self.consumed == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Adds bytes at the back, first moving what waits to the front if that makes room enough.
    pub fn append(&mut self, bytes: &[u8]) {
        if self.consumed > 0 && self.consumed >= self.unread().len() {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    /// Whether no byte waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_the_steps() {
        let mut inbox = Inbox::default();
        let (mut fed, mut taken) = (0_u8, 0_u8);
        for step in 0..200_usize {
            let batch: Vec<u8> = (0..step % 5).map(|i| fed.wrapping_add(i as u8)).collect();
            fed = fed.wrapping_add(batch.len() as u8);
            inbox.append(&batch);
            let take = inbox.len().min(step % 4);
            for &byte in &inbox.unread()[..take] {
                assert_eq!(byte, taken);
                taken = taken.wrapping_add(1);
            }
            inbox.consume(take);
        }
    }

    #[test]
    fn an_emptied_inbox_holds_no_memory() {
        let mut inbox = Inbox::default();
        inbox.append(b"abc");
        inbox.consume(3);
        assert_eq!(inbox.bytes.capacity(), 0);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_empty_inbox_is_held_to_its_size() {
        // Every connection has one.
        assert_eq!(size_of::<Inbox>(), 32);
    }
}
