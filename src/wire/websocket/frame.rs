//! A frame's header, read from clients and written to them (RFC 6455 §5.2).
//!
//! ```text
//! byte 0   FIN | RSV1 RSV2 RSV3 | opcode (4 bits)
//! byte 1   MASK | length (7 bits): 0-125, or 126: 16 bits follow, or 127: 64 bits follow
//!          extended length, network byte order (0, 2 or 8 bytes)
//!          masking key (4 bytes; from clients only)
//! ```

use super::close::{CloseCode, cut_reason};
use super::error::ProtocolError;

/// The longest header of a client's frame: two bytes, a 64-bit length and the key.
pub const HEADER_BYTES_MAX: usize = 14;

/// The longest payload of a control frame (§5.5), in bytes.
pub const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const OPCODE_BITS: u8 = 0x0f;
const MASK: u8 = 0x80;
const LENGTH_BITS: u8 = 0x7f;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is (§5.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Opcode {
    /// More of the message that an earlier text or binary frame began.
    Continuation,
    /// The beginning of a text message.
    Text,
    /// The beginning of a binary message.
    Binary,
    /// The sender will send nothing more.
    Close,
    /// Asks for a pong with the same payload.
    Ping,
    /// Answers a ping, or is a heartbeat by itself.
    Pong,
}

impl Opcode {
    /// The four bits in the frame.
    pub const fn value(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether it is a close, ping or pong, which may come between the fragments of a message
    /// (§5.5).
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    const fn parse(bits: u8) -> Result<Self, ProtocolError> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            // RFC 6455 §5.2: an unknown opcode MUST fail the connection.
            _ => Err(ProtocolError::ReservedOpcode),
        }
    }
}

/// The header of a client's frame, checked as far as one frame alone can be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Whether this is the last frame of its message; always set on control frames.
    pub fin: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key, in wire order.
    pub mask: [u8; 4],
    /// The payload's length in bytes, below 2^63; at most 125 on control frames. Nothing has been
    /// compared with the limits of this server yet.
    pub length: u64,
}

/// Reads the header of a client's frame and says how many bytes it took (6..=14 as clients must
/// mask; a header without a key would be 2 bytes).
///
/// `Ok(None)` means that more bytes are needed. An error comes out as soon as the byte that is
/// wrong is there, and is the same however the bytes arrive.
pub fn parse_header(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    // RFC 6455 §5.2: RSV bits MUST be 0 unless an extension gives them a meaning; we have none.
    if first & RESERVED_BITS != 0 {
        return Err(ProtocolError::ReservedBits);
    }
    let opcode = Opcode::parse(first & OPCODE_BITS)?;
    let fin = first & FIN != 0;
    // §5.5: control frames MUST NOT be fragmented.
    if opcode.is_control() && !fin {
        return Err(ProtocolError::FragmentedControl);
    }

    let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
    // §5.1: the server MUST close the connection upon a frame that is not masked.
    if second & MASK == 0 {
        return Err(ProtocolError::NotMasked);
    }
    let short = second & LENGTH_BITS;
    // §5.5: control frames MUST have a payload of 125 bytes or less.
    if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
        return Err(ProtocolError::ControlTooLong);
    }
    let Some((length, rest)) = parse_length(short, rest)? else { return Ok(None) };
    let Some((&mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    Ok(Some((FrameHeader { fin, opcode, mask, length }, bytes.len() - rest.len())))
}

/// The payload's length, of which `short` are the seven bits, and the bytes behind it.
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    match short {
        LENGTH_16 => {
            let Some((field, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
            let length = u16::from_be_bytes(*field);
            // RFC 6455 §5.2: the minimal number of bytes MUST be used.
            if length < u16::from(LENGTH_16) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((u64::from(length), rest)))
        }
        LENGTH_64 => {
            // §5.2: the most significant bit MUST be 0.
            if bytes.first().is_some_and(|first| first & 0x80 != 0) {
                return Err(ProtocolError::LengthHighBit);
            }
            // §5.2, minimal: with six leading zeros sixteen bits would have done. Those six are
            // there before the rest of the field is.
            if bytes.first_chunk::<6>().is_some_and(|high| *high == [0; 6]) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            let Some((field, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
            Ok(Some((u64::from_be_bytes(*field), rest)))
        }
        short => Ok(Some((u64::from(short), bytes))),
    }
}

/// Appends the header of a server's frame: FIN set, not masked, 2 to 10 bytes.
///
/// For control frames `length` is at most [`CONTROL_BYTES_MAX`]; the caller sees to it.
pub fn encode_header(out: &mut Vec<u8>, opcode: Opcode, length: usize) {
    debug_assert!(!opcode.is_control() || length <= CONTROL_BYTES_MAX, "a long control frame");
    out.push(FIN | opcode.value());
    // RFC 6455 §5.1: a server MUST NOT mask; §5.2: the shortest form of the length.
    if let Some(short) = u8::try_from(length).ok().filter(|&short| short < LENGTH_16) {
        out.push(short);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(LENGTH_16);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(LENGTH_64);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Appends a whole server's frame. The payload of a control frame is at most
/// [`CONTROL_BYTES_MAX`] bytes; the caller sees to it.
pub fn encode_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    encode_header(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a close frame. Of `reason` as much is sent as fits: 123 bytes, cut between characters.
pub fn encode_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let code = code.value().to_be_bytes();
    let reason = cut_reason(reason);
    encode_header(out, Opcode::Close, code.len() + reason.len());
    // RFC 6455 §5.5.1: the code in network byte order, then the reason in UTF-8.
    out.extend_from_slice(&code);
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::client::{self, MASK};
    use super::*;

    const OPCODES: [Opcode; 6] = [
        Opcode::Continuation,
        Opcode::Text,
        Opcode::Binary,
        Opcode::Close,
        Opcode::Ping,
        Opcode::Pong,
    ];

    fn encoded_header(length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_header(&mut bytes, Opcode::Binary, length);
        bytes
    }

    /// The error of these bytes, and that no byte less would have shown it.
    fn error_at_last_byte(bytes: &[u8]) -> ProtocolError {
        for end in 0..bytes.len() {
            assert_eq!(parse_header(&bytes[..end]), Ok(None), "{bytes:02x?} up to {end}");
        }
        let error = parse_header(bytes).expect_err("these bytes are wrong");
        // What follows changes nothing.
        let mut longer = bytes.to_vec();
        for more in [0x00, 0xff, 0x80, 0x01].into_iter().cycle().take(12) {
            longer.push(more);
            assert_eq!(parse_header(&longer), Err(error));
        }
        error
    }

    #[test]
    fn the_frames_of_the_rfc_are_written() {
        // RFC 6455 §5.7: unmasked text, unmasked ping, 256 bytes, 64 KiB.
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, Opcode::Text, b"Hello");
        assert_eq!(bytes, b"\x81\x05Hello");
        bytes.clear();
        encode_frame(&mut bytes, Opcode::Ping, b"Hello");
        assert_eq!(bytes, b"\x89\x05Hello");
        assert_eq!(encoded_header(256), [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(encoded_header(65536), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_length_is_written_in_its_shortest_form() {
        for (length, header_bytes) in
            [(0, 2), (125, 2), (126, 4), (127, 4), (65535, 4), (65536, 10)]
        {
            assert_eq!(encoded_header(length).len(), header_bytes, "{length}");
        }
    }

    #[test]
    fn a_header_that_was_encoded_is_parsed_to_the_same() {
        for opcode in OPCODES {
            for length in [0, 1, 125, 126, 127, 255, 256, 65535, 65536, 1 << 20, usize::MAX >> 1] {
                for fin in [false, true] {
                    if opcode.is_control() && (length > CONTROL_BYTES_MAX || !fin) {
                        continue;
                    }
                    let bytes = client::header(fin, opcode, length);
                    let length = length as u64;
                    let header = FrameHeader { fin, opcode, mask: MASK, length };
                    assert_eq!(parse_header(&bytes), Ok(Some((header, bytes.len()))));
                }
            }
        }
    }

    #[test]
    fn a_partial_header_asks_for_more_and_what_follows_is_not_looked_at() {
        for length in [0, 126, 65536] {
            let mut bytes = client::header(true, Opcode::Text, length);
            for end in 0..bytes.len() {
                assert_eq!(parse_header(&bytes[..end]), Ok(None));
            }
            let alone = parse_header(&bytes);
            bytes.extend([0xff; 20]);
            assert_eq!(parse_header(&bytes), alone);
        }
    }

    #[test]
    fn each_first_byte_is_accepted_or_has_its_error() {
        for first in 0..=255_u8 {
            let opcode = OPCODES.into_iter().find(|opcode| opcode.value() == first & 0x0f);
            let expected = match opcode {
                _ if first & 0x70 != 0 => Some(ProtocolError::ReservedBits),
                None => Some(ProtocolError::ReservedOpcode),
                Some(opcode) if opcode.is_control() && first < 0x80 => {
                    Some(ProtocolError::FragmentedControl)
                }
                Some(_) => None,
            };
            assert_eq!(parse_header(&[first]).err(), expected, "{first:02x}");
        }
    }

    #[test]
    fn a_frame_without_a_mask_is_refused_at_its_second_byte() {
        for second in 0..=127 {
            assert_eq!(error_at_last_byte(&[0x81, second]), ProtocolError::NotMasked);
        }
    }

    #[test]
    fn a_long_control_frame_is_refused_at_its_second_byte() {
        for first in [0x88, 0x89, 0x8a] {
            for second in [0x80 | 126, 0x80 | 127] {
                assert_eq!(error_at_last_byte(&[first, second]), ProtocolError::ControlTooLong);
            }
        }
    }

    #[test]
    fn a_length_that_is_not_minimal_is_refused() {
        for low in [0, 1, 125] {
            assert_eq!(error_at_last_byte(&[0x82, 0xfe, 0, low]), ProtocolError::LengthNotMinimal);
        }
        let wide = [0x82, 0xff, 0, 0, 0, 0, 0, 0];
        assert_eq!(error_at_last_byte(&wide), ProtocolError::LengthNotMinimal);
    }

    #[test]
    fn a_64_bit_length_with_its_high_bit_set_is_refused_at_that_byte() {
        for high in [0x80, 0xff] {
            assert_eq!(error_at_last_byte(&[0x82, 0xff, high]), ProtocolError::LengthHighBit);
        }
    }

    #[test]
    fn the_greatest_length_is_parsed() {
        let bytes = [0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0];
        let (header, used) = parse_header(&bytes).expect("allowed").expect("complete");
        assert_eq!((header.length, used), ((1 << 63) - 1, HEADER_BYTES_MAX));
    }

    #[test]
    fn a_close_frame_has_its_code_and_a_reason_that_fits() {
        let mut bytes = Vec::new();
        encode_close(&mut bytes, CloseCode::GAP, "gap");
        assert_eq!(bytes, b"\x88\x05\x0f\xa1gap");
        bytes.clear();
        encode_close(&mut bytes, CloseCode::NORMAL, "");
        assert_eq!(bytes, [0x88, 2, 0x03, 0xe8]);
        bytes.clear();
        encode_close(&mut bytes, CloseCode::NORMAL, &"é".repeat(100));
        assert_eq!(bytes.len(), 2 + 2 + 122);
        assert!(str::from_utf8(&bytes[4..]).is_ok());
    }
}
