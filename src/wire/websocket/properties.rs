//! What must hold of the reader for any bytes whatever: for the tests here and for fuzzing.

use super::error::ProtocolError;
use super::frame::{HEADER_BYTES_MAX, parse_header};
use super::message::{Incoming, MessageLimits, MessageReader};

/// Everything that a stream of bytes led to, in order, and how it ended.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    /// What was completed.
    pub(super) incoming: Vec<Incoming>,
    /// What came next.
    pub(super) end: End,
}

/// How reading a stream of bytes ended.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum End {
    /// With an error.
    Failed(ProtocolError),
    /// Waiting for more bytes.
    Waiting {
        /// Whether a message has begun.
        message_is_unfinished: bool,
        /// Whether nothing is pending in the reader.
        is_idle: bool,
        /// The part of a header that was not consumed.
        partial_header: Vec<u8>,
    },
}

/// Reads `bytes` as they would arrive in pieces of the given lengths (the last piece is what is
/// left over), the way a connection does.
///
/// # Panics
///
/// When the reader breaks a promise: it uses bytes that are not there, leaves payload behind, holds
/// more memory than it says, or does not come to an end.
pub(super) fn read_in_pieces(
    bytes: &[u8],
    limits: &MessageLimits,
    lengths: impl Iterator<Item = usize>,
) -> Outcome {
    let mut reader = MessageReader::default();
    let mut incoming = Vec::new();
    let mut inbox = Vec::new();
    let mut rest = bytes;
    for length in lengths.chain(std::iter::once(bytes.len())) {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        inbox.extend_from_slice(piece);
        loop {
            let (used, completed) = match reader.read(&mut inbox, limits) {
                Ok(progress) => progress,
                Err(error) => return Outcome { incoming, end: End::Failed(error) },
            };
            assert!(used > 0 || completed.is_none(), "something out of nothing");
            drop(inbox.drain(..used));
            check_memory(&reader, limits, bytes.len() - rest.len());
            match completed {
                Some(completed) => incoming.push(completed),
                None => break,
            }
        }
        assert!(inbox.len() < HEADER_BYTES_MAX, "payload was left behind");
        assert_eq!(parse_header(&inbox), Ok(None), "a header was left behind");
    }
    let end = End::Waiting {
        message_is_unfinished: reader.message_is_unfinished(),
        is_idle: reader.is_idle(),
        partial_header: inbox,
    };
    Outcome { incoming, end }
}

fn check_memory(reader: &MessageReader, limits: &MessageLimits, arrived: usize) {
    let allocated = reader.allocated_bytes();
    assert!(!reader.is_idle() || allocated == 0, "idle, and holds {allocated} bytes");
    assert!(!(reader.is_idle() && reader.message_is_unfinished()), "idle inside a message");
    assert!(allocated <= limits.message_bytes_max + 125, "{allocated} bytes, beyond the limits");
    assert!(allocated <= (2 * arrived).max(4096) + 125, "{allocated} bytes for {arrived}");
}

/// Reads any bytes at once, one by one, and in pieces of pseudo-random length, with limits and
/// lengths that the first two bytes choose.
///
/// # Panics
///
/// When the three ways do not end in the same, or [`read_in_pieces`] panics.
pub(super) fn check_any_bytes(data: &[u8]) {
    let Some((&[limit, seed], bytes)) = data.split_first_chunk::<2>() else { return };
    let limits = MessageLimits {
        message_bytes_max: usize::from(limit) * 64,
        fragments_max: 1 + usize::from(limit) % 8,
    };
    let at_once = read_in_pieces(bytes, &limits, std::iter::empty());
    let one_by_one = read_in_pieces(bytes, &limits, bytes.iter().map(|_| 1));
    assert_eq!(at_once, one_by_one);
    let in_pieces = read_in_pieces(bytes, &limits, random_lengths(u64::from(seed), bytes.len()));
    assert_eq!(at_once, in_pieces);
}

/// Lengths of pieces, 0 to 40 bytes with a longer one now and then, for `total` bytes.
pub(super) fn random_lengths(seed: u64, total: usize) -> impl Iterator<Item = usize> {
    let mut number = seed;
    (0..total).map(move |_| {
        number = next_number(number);
        let bits = number >> 40;
        let length = if bits.is_multiple_of(8) { bits % 5000 } else { bits / 8 % 41 };
        usize::try_from(length).unwrap_or(0)
    })
}

/// The next of a fixed sequence of numbers that look random in their upper half.
pub(super) const fn next_number(number: u64) -> u64 {
    number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

#[cfg(test)]
mod tests {
    use super::super::client::{self, Numbers};
    use super::super::frame::Opcode;
    use super::*;

    /// Frames of all kinds; if `spoilt`, now and then with other bytes at the beginning of one.
    fn conversation(numbers: &mut Numbers, spoilt: bool) -> Vec<u8> {
        use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
        let mut bytes = vec![255, 0];
        let mut open = false;
        for _ in 0..numbers.below(12) {
            let length = [0, 1, 5, 125, 126, 300, 7000][numbers.below(7)];
            let payload = match numbers.below(3) {
                0 => numbers.bytes(length),
                1 => vec![b'a'; length],
                _ => "aé✓😀".bytes().cycle().take(length).collect(),
            };
            // Mostly what is due, now and then what is not.
            let data = if open == (numbers.below(10) > 0) {
                Continuation
            } else {
                [Text, Binary][numbers.below(2)]
            };
            let opcode =
                [data, data, data, [Close, Ping, Pong][numbers.below(3)]][numbers.below(4)];
            let payload = if opcode.is_control() { &payload[..length.min(125)] } else { &payload };
            let fin = opcode.is_control() || numbers.below(2) == 0;
            open = if opcode.is_control() { open } else { !fin };
            let mut frame = client::fragment(fin, opcode, payload);
            if spoilt && numbers.below(5) == 0 {
                frame[0] = numbers.bytes(1)[0];
            }
            if spoilt && numbers.below(5) == 0 {
                frame[1] = [0x05, 0x80, 0xfe, 0xff][numbers.below(4)];
            }
            if spoilt && numbers.below(5) == 0 {
                let end = frame.len().min(2 + numbers.below(7));
                frame[2..end].fill([0x00, 0xff][numbers.below(2)]);
            }
            bytes.extend(frame);
        }
        bytes
    }

    #[test]
    fn any_split_of_well_formed_frames_gives_the_same_result() {
        let mut numbers = Numbers(1);
        for _ in 0..400 {
            let mut bytes = conversation(&mut numbers, false);
            bytes[1] = numbers.bytes(1)[0];
            check_any_bytes(&bytes);
        }
    }

    #[test]
    fn any_split_of_spoilt_frames_gives_the_same_result() {
        let mut numbers = Numbers(2);
        for _ in 0..400 {
            check_any_bytes(&conversation(&mut numbers, true));
        }
    }

    #[test]
    fn any_split_of_noise_gives_the_same_result() {
        let mut numbers = Numbers(3);
        for _ in 0..2000 {
            let length = numbers.below(60);
            check_any_bytes(&numbers.bytes(length));
        }
    }

    #[test]
    fn the_conversations_reach_every_error() {
        // Guards the generator: properties of what is never generated hold too easily.
        let limits = MessageLimits { message_bytes_max: 8000, fragments_max: 3 };
        let mut numbers = Numbers(4);
        let mut seen = Vec::new();
        for round in 0..3000 {
            let bytes = conversation(&mut numbers, round % 2 == 0);
            if let End::Failed(error) = read_in_pieces(&bytes[2..], &limits, [].into_iter()).end {
                seen.push(error);
            }
        }
        for error in ProtocolError::ALL {
            assert!(seen.contains(&error), "{error:?} never came up");
        }
    }
}
