//! Bytes that were received and not yet understood: taken from the front at no more than their own cost.

/// No line of this server's is longer: 1 MiB of payload, escaped at its worst, and some names.
const LINE_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Default)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    /// Bytes at the front of `bytes` that are gone.
    taken: usize,
    /// Bytes at the front of `bytes` in which there is no line end.
    searched: usize,
}

impl Received {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // Half of it at least is gone: moving the rest costs less than what came before.
        if self.taken > 0 && self.taken >= self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.searched -= self.taken;
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// Takes bytes off the front, `count` at most.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.bytes.len() - self.taken);
        let bytes = self.bytes[self.taken..self.taken + count].to_vec();
        self.taken += count;
        self.searched = self.searched.max(self.taken);
        bytes
    }

    /// Takes what is before the first byte that is one of `ends`, and gives that byte too. The same
    /// `ends` must be asked for until there is one.
    pub(crate) fn take_until(&mut self, ends: &[u8]) -> Option<(Vec<u8>, u8)> {
        let unseen = &self.bytes[self.searched..];
        let Some(at) = unseen.iter().position(|byte| ends.contains(byte)) else {
            self.searched = self.bytes.len();
            let length = self.bytes.len() - self.taken;
            assert!(length <= LINE_BYTES_MAX, "a line of more than {length} bytes");
            return None;
        };
        let end = self.searched + at;
        let line = self.bytes[self.taken..end].to_vec();
        self.taken = end + 1;
        self.searched = self.taken;
        Some((line, self.bytes[end]))
    }
}
