//! Bytes that a connection owes its peer, in order: shared chunks and bytes of its own.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::Chunk;

/// Bytes at which a piece of our own is not added to: what is sent of a piece is let go with all of it, so
/// the last one must come to an end even if the queue never does.
const OWN_BYTES_MAX: usize = 4096;
/// Bytes that a piece is counted as beside its contents: its place in a queue that doubles as it grows,
/// and the allocation that it refers to.
const PIECE_BYTES: usize = 96;

/// A queue of bytes to send. Messages are in it by reference; only heads, control frames and the like are
/// its own. An empty outbox holds no allocation.
///
/// ```text
///   pieces:  [ own: response head ][ shared: message 41 ][ shared: message 42 ]
///                     ^ sent                                                    bytes = what is left
/// ```
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: Pieces,
    // Invariant: sent < length of the first piece, or 0 when there is none.
    sent: u32,
    // Invariant: bytes == sum of the pieces' lengths - sent.
    bytes: u32,
}

#[derive(Debug)]
enum Piece {
    Own(Vec<u8>),
    Shared(Chunk),
    Static(&'static [u8]),
}

/// Pieces in order. There is mostly one at a time, a message on its way to the socket, and it needs no
/// allocation.
#[derive(Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "32 bytes in every connection otherwise, for what is rare"
)]
enum Pieces {
    #[default]
    None,
    One(Piece),
    Many(Box<VecDeque<Piece>>),
}

impl Pieces {
    fn push_back(&mut self, piece: Piece) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(piece),
            Self::One(first) => Self::Many(Box::new(VecDeque::from([first, piece]))),
            Self::Many(mut pieces) => {
                pieces.push_back(piece);
                Self::Many(pieces)
            }
        };
    }

    fn pop_front(&mut self) {
        match self {
            Self::Many(pieces) => drop(pieces.pop_front()),
            _ => *self = Self::None,
        }
    }

    fn front(&self) -> Option<&Piece> {
        match self {
            Self::None => None,
            Self::One(piece) => Some(piece),
            Self::Many(pieces) => pieces.front(),
        }
    }

    fn back_mut(&mut self) -> Option<&mut Piece> {
        match self {
            Self::None => None,
            Self::One(piece) => Some(piece),
            Self::Many(pieces) => pieces.back_mut(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(pieces) => pieces.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Piece> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(piece) => (Some(piece), None),
            Self::Many(pieces) => (None, Some(pieces.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl Piece {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(chunk) => chunk.as_slice(),
            Self::Static(bytes) => bytes,
        }
    }
}

impl Outbox {
    /// Queues shared bytes without copying them.
    pub fn push(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.bytes += chunk.len() as u32;
            self.pieces.push_back(Piece::Shared(chunk));
        }
    }

    /// Queues bytes that live as long as the program.
    pub fn push_static(&mut self, bytes: &'static [u8]) {
        if !bytes.is_empty() {
            self.bytes += bytes.len() as u32;
            self.pieces.push_back(Piece::Static(bytes));
        }
    }

    /// Queues bytes of this connection's own: `write` appends them to the vector that it is given.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Piece::Own(own)) = self.pieces.back_mut()
            && own.len() < OWN_BYTES_MAX
        {
            let before = own.len();
            write(own);
            self.bytes += (own.len() - before) as u32;
            return;
        }
        let mut own = Vec::new();
        write(&mut own);
        if !own.is_empty() {
            self.bytes += own.len() as u32;
            self.pieces.push_back(Piece::Own(own));
        }
    }

    /// Fills `slices` from the front; returns how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.sent as usize;
        let mut filled = 0;
        for (slot, piece) in slices.iter_mut().zip(self.pieces.iter()) {
            *slot = IoSlice::new(&piece.as_slice()[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Forgets the first `count` bytes, which were sent.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "no more is sent than was owed");
        self.bytes -= count as u32;
        let mut sent = self.sent as usize + count;
        while let Some(piece) = self.pieces.front() {
            let length = piece.as_slice().len();
            if sent < length {
                break;
            }
            sent -= length;
            self.pieces.pop_front();
        }
        self.sent = sent as u32;
        if self.bytes == 0 {
            *self = Self::default();
        }
    }

    /// How many bytes are owed.
    pub fn len(&self) -> usize {
        self.bytes as usize
    }

    /// Bytes of memory that it is counted as: what is owed, and what it costs to know of it. Thousands of
    /// tiny messages cost more than their bytes.
    pub fn cost_bytes(&self) -> usize {
        self.len() + self.pieces.len() * PIECE_BYTES
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = outbox.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    fn filled() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.write(|out| out.extend_from_slice(b"head "));
        outbox.write(|out| out.extend_from_slice(b"more "));
        outbox.push(Chunk::new(b"shared "));
        outbox.push_static(b"static ");
        outbox.push(Chunk::new(b""));
        outbox.write(|_| ());
        outbox.write(|out| out.extend_from_slice(b"tail"));
        outbox
    }

    #[test]
    fn any_partition_of_the_writes_sends_the_same_bytes() {
        let whole = contents(&filled());
        for step in 1..=whole.len() {
            let mut outbox = filled();
            let mut sent = Vec::new();
            while !outbox.is_empty() {
                let rest = contents(&outbox);
                let count = step.min(rest.len());
                sent.extend_from_slice(&rest[..count]);
                outbox.advance(count);
            }
            assert_eq!(sent, whole, "in steps of {step}");
        }
    }

    #[test]
    fn own_bytes_may_be_added_to_a_piece_that_is_partly_sent() {
        let mut outbox = Outbox::default();
        outbox.write(|out| out.extend_from_slice(b"abc"));
        outbox.advance(2);
        outbox.write(|out| out.extend_from_slice(b"def"));
        assert_eq!(contents(&outbox), b"cdef");
    }

    #[test]
    fn a_queue_that_is_never_empty_lets_go_of_what_was_sent() {
        let mut outbox = Outbox::default();
        for _ in 0..10_000 {
            outbox.write(|out| out.extend_from_slice(&[b'x'; 100]));
            if outbox.len() > 150 {
                outbox.advance(100);
            }
        }
        let held: usize = outbox.pieces.iter().map(|piece| piece.as_slice().len()).sum();
        assert!(held <= 2 * OWN_BYTES_MAX, "{held} bytes for {} owed", outbox.len());
    }

    #[test]
    fn many_tiny_pieces_are_counted_as_what_they_cost() {
        let mut outbox = Outbox::default();
        for _ in 0..1_000 {
            outbox.push(Chunk::new(b"x"));
        }
        let Pieces::Many(pieces) = &outbox.pieces else { panic!("there are many") };
        let slots = pieces.capacity() * size_of::<Piece>();
        assert!(outbox.cost_bytes() >= slots, "{} < {slots}", outbox.cost_bytes());
        outbox.advance(1_000);
        assert_eq!(outbox.cost_bytes(), 0);
    }

    #[test]
    fn an_emptied_outbox_holds_no_memory() {
        let mut outbox = filled();
        outbox.advance(outbox.len());
        assert!(matches!(outbox.pieces, Pieces::None));
        assert_eq!(outbox.sent, 0);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_empty_outbox_and_a_piece_are_held_to_their_size() {
        // Every connection has an outbox, and a piece for each message that it owes; `PIECE_BYTES` counts on it.
        assert_eq!((size_of::<Outbox>(), size_of::<Piece>()), (40, 32));
    }
}
