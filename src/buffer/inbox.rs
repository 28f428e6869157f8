//! Bytes that were received and are not yet parsed.

/// A byte queue: appended at the back, consumed at the front.
///
/// Nearly every connection's inbox is empty, and then it is 8 bytes. What keeps it bounded is the connection,
/// which stops reading.
#[derive(Debug, Default)]
pub struct Inbox(Option<Box<Unread>>);

/// Invariant: some bytes are not consumed.
#[derive(Debug, Default)]
struct Unread {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Inbox {
    /// The bytes that wait.
    pub fn unread(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |unread| &unread.bytes[unread.consumed..])
    }

    /// The bytes that wait, for unmasking in place.
    pub fn unread_mut(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], |unread| &mut unread.bytes[unread.consumed..])
    }

    /// Takes `count` bytes from the front; releases the memory when none are left.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "no more is consumed than there is");
        if count == self.len() {
            self.0 = None;
        } else if let Some(unread) = &mut self.0 {
            unread.consumed += count;
        }
    }

    /// Adds bytes at the back, first moving what waits to the front if that makes room enough.
    pub fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let unread = self.0.get_or_insert_default();
        if unread.consumed > 0 && unread.consumed >= unread.bytes.len() - unread.consumed {
            unread.bytes.drain(..unread.consumed);
            unread.consumed = 0;
        }
        unread.bytes.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |unread| unread.bytes.len() - unread.consumed)
    }

    /// Whether no byte waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
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
        assert!(inbox.0.is_none());
        inbox.append(b"");
        assert!(inbox.0.is_none());
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_empty_inbox_is_held_to_its_size() {
        // Every connection has one.
        assert_eq!(size_of::<Inbox>(), 8);
    }
}
