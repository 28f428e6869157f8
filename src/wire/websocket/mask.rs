//! The mask over what clients send (RFC 6455 §5.3).

/// Removes (or puts on) the mask in place: byte `i` of a payload is combined with byte `i mod 4` of
/// the key.
///
/// `offset` is how many bytes of the same payload came before `bytes`, so that a payload may be
/// unmasked piece by piece.
pub fn unmask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let mut key = mask;
    key.rotate_left(offset % 4);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    // Eight bytes at a time: the compiler makes vector instructions of this loop.
    let (blocks, tail) = bytes.as_chunks_mut::<8>();
    for block in blocks {
        *block = (u64::from_ne_bytes(*block) ^ wide).to_ne_bytes();
    }
    // Eight is a multiple of four, so the tail begins with the key's first byte again.
    for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// RFC 6455 §5.3, word for word.
    fn plain_loop(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte ^= mask[(offset + index) % 4];
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_unmasked() {
        // RFC 6455 §5.7.
        let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut bytes, MASK, 0);
        assert_eq!(&bytes, b"Hello");
    }

    #[test]
    fn every_length_alignment_and_offset_agrees_with_the_plain_loop() {
        let source: Vec<u8> = (0..=255).collect();
        for start in 0..16 {
            for length in 0..=80 {
                for offset in 0..9 {
                    let mut fast = source.clone();
                    let mut plain = source.clone();
                    unmask(&mut fast[start..start + length], MASK, offset);
                    plain_loop(&mut plain[start..start + length], MASK, offset);
                    assert_eq!(fast, plain, "start {start} length {length} offset {offset}");
                }
            }
        }
    }

    #[test]
    fn the_greatest_offset_does_not_overflow() {
        let mut bytes = [0; 9];
        unmask(&mut bytes, MASK, usize::MAX);
        assert_eq!(bytes, [0x3d, 0x37, 0xfa, 0x21, 0x3d, 0x37, 0xfa, 0x21, 0x3d]);
    }

    #[test]
    fn unmasking_in_two_pieces_is_unmasking_at_once() {
        let source: Vec<u8> = (0..100).collect();
        let mut whole = source.clone();
        unmask(&mut whole, MASK, 0);
        for split in 0..=source.len() {
            let mut pieces = source.clone();
            let (head, tail) = pieces.split_at_mut(split);
            unmask(head, MASK, 0);
            unmask(tail, MASK, split);
            assert_eq!(pieces, whole, "split at {split}");
        }
    }

    #[test]
    fn a_key_of_zeros_changes_nothing() {
        let mut bytes = *b"anything at all";
        unmask(&mut bytes, [0; 4], 3);
        assert_eq!(&bytes, b"anything at all");
    }
}
