//! The other side, for tests: frames as a client sends them, masked, right or wrong.

use super::frame::{Opcode, encode_header};
use super::mask::unmask;

/// The masking key of RFC 6455 §5.7.
pub(super) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One frame with FIN set.
pub(super) fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    fragment(true, opcode, payload)
}

/// One frame, with FIN as asked for.
pub(super) fn fragment(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(fin, opcode, payload.len());
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    unmask(&mut bytes[start..], MASK, 0);
    bytes
}

/// A masked header for a payload of `length` bytes.
pub(super) fn header(fin: bool, opcode: Opcode, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_header(&mut bytes, opcode, length);
    if !fin {
        bytes[0] &= 0x7f;
    }
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&MASK);
    bytes
}

/// Numbers that look random and are the same in every run.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = super::properties::next_number(self.0);
        usize::try_from((self.0 >> 33) % bound as u64).expect("below a usize")
    }

    /// So many bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.below(256)).expect("below 256")).collect()
    }
}
