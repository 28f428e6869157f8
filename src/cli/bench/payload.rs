//! The marker in every payload: which message it is and when it was meant to be sent; and its scanner.
//!
//! ```text
//! ^tide:  RRRR  NNNNNNNN  TTTTTTTTTTTTTT  ......
//! prefix  run   number    nanoseconds     padding up to the message's size
//! ```
//!
//! Hexadecimal, of fixed width and plain ASCII, so that it passes every wire unchanged: as `data:` of an
//! event, in a JSON string, in a text frame.

use std::io::BufRead as _;

/// What a marker begins with. No framing has this byte by itself.
const PREFIX: [u8; 6] = *b"^tide:";
const RUN_DIGITS: usize = 4;
const NUMBER_DIGITS: usize = 8;
const TIME_DIGITS: usize = 14;

/// Length of a marker, and so of the smallest payload.
pub(super) const MARKER_BYTES: usize = PREFIX.len() + RUN_DIGITS + NUMBER_DIGITS + TIME_DIGITS;

/// What fills a payload up.
const PADDING: u8 = b'.';

/// What a payload says of itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// Which run of the generator published it: an older one may have left messages in the topic.
    pub(super) run: u16,
    /// Which of this run's messages it is.
    pub(super) number: u32,
    /// When it was meant to be published, in nanoseconds of the generator's clock; below 2^56.
    pub(super) intended: u64,
}

impl Marker {
    /// Appends a payload of `size` bytes, at least [`MARKER_BYTES`].
    pub(super) fn encode(self, size: usize, out: &mut Vec<u8>) {
        let end = out.len() + size.max(MARKER_BYTES);
        out.extend_from_slice(&PREFIX);
        encode_hex(u64::from(self.run), RUN_DIGITS, out);
        encode_hex(u64::from(self.number), NUMBER_DIGITS, out);
        encode_hex(self.intended, TIME_DIGITS, out);
        out.resize(end, PADDING);
    }

    /// The marker that `bytes` are.
    fn parse(bytes: &[u8; MARKER_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(&PREFIX)?;
        let (run, rest) = rest.split_at(RUN_DIGITS);
        let (number, time) = rest.split_at(NUMBER_DIGITS);
        let run = u16::try_from(parse_hex(run)?).ok()?;
        let number = u32::try_from(parse_hex(number)?).ok()?;
        Some(Self { run, number, intended: parse_hex(time)? })
    }
}

fn encode_hex(value: u64, digits: usize, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |place: usize| HEX[(value >> (4 * place)) as usize & 15];
    out.extend((0..digits).rev().map(digit));
}

fn parse_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// Finds markers in a stream of bytes, however it is cut into pieces.
///
/// Invariant: what is carried begins with the prefix's first byte and is shorter than a marker.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanner {
    carried: [u8; MARKER_BYTES],
    length: u8,
}

impl Scanner {
    /// Takes the next bytes of the stream; `found` is told of each marker that is complete with them.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(Marker)) {
        while self.length > 0 {
            let have = usize::from(self.length);
            let taken = bytes.len().min(MARKER_BYTES - have);
            let (head, rest) = bytes.split_at(taken);
            self.carried[have..have + taken].copy_from_slice(head);
            bytes = rest;
            if have + taken < MARKER_BYTES {
                self.length = (have + taken) as u8;
                return;
            }
            match Marker::parse(&self.carried) {
                Some(marker) => {
                    found(marker);
                    self.length = 0;
                }
                // The marker may begin later in what was carried.
                None => self.restart_after(1),
            }
        }
        loop {
            // Reading to a byte is how the standard library offers its `memchr`.
            let mut rest = bytes;
            let skipped = rest.skip_until(PREFIX[0]).unwrap_or(0);
            if skipped == 0 || bytes[skipped - 1] != PREFIX[0] {
                return;
            }
            bytes = &bytes[skipped - 1..];
            let Some((candidate, rest)) = bytes.split_first_chunk() else {
                self.carried[..bytes.len()].copy_from_slice(bytes);
                self.length = bytes.len() as u8;
                return;
            };
            bytes = match Marker::parse(candidate) {
                Some(marker) => {
                    found(marker);
                    rest
                }
                None => &bytes[1..],
            };
        }
    }

    /// Keeps of a full buffer what begins with the prefix's first byte at `from` or behind it.
    fn restart_after(&mut self, from: usize) {
        let next = self.carried[from..].iter().position(|&byte| byte == PREFIX[0]);
        let start = next.map_or(MARKER_BYTES, |next| from + next);
        self.carried.copy_within(start.., 0);
        self.length = (MARKER_BYTES - start) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(number: u32) -> Marker {
        Marker { run: 0xbeef, number, intended: 0x12_3456_789a_bcde }
    }

    fn found_in(pieces: &[&[u8]]) -> Vec<Marker> {
        let (mut scanner, mut found) = (Scanner::default(), Vec::new());
        for piece in pieces {
            scanner.scan(piece, |marker| found.push(marker));
        }
        found
    }

    #[test]
    fn a_payload_has_its_size_and_at_least_room_for_its_marker() {
        for (size, expected) in [(200, 200), (MARKER_BYTES, MARKER_BYTES), (3, MARKER_BYTES)] {
            let mut out = b"before".to_vec();
            marker(1).encode(size, &mut out);
            assert_eq!(out.len(), 6 + expected);
            assert!(out.is_ascii());
        }
    }

    #[test]
    fn every_marker_is_found_however_the_stream_is_cut() {
        let mut stream = b"id: 7n2m4k8q-1\ndata: ".to_vec();
        marker(7).encode(60, &mut stream);
        stream.extend_from_slice(b"\n\n^^tide:^tide:beef0000^");
        marker(8).encode(MARKER_BYTES, &mut stream);
        marker(9).encode(MARKER_BYTES, &mut stream);
        stream.extend_from_slice(b"^tide:beef");
        let expected = [marker(7), marker(8), marker(9)];
        assert_eq!(found_in(&[&stream]), expected);
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(found_in(&[left, right]), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(found_in(&bytes), expected);
    }

    #[test]
    fn what_only_resembles_a_marker_is_none() {
        let mut payload = Vec::new();
        marker(1).encode(MARKER_BYTES, &mut payload);
        for index in 0..payload.len() {
            let mut wrong = payload.clone();
            wrong[index] = b'g';
            assert_eq!(found_in(&[&wrong]), [], "{index}");
        }
    }
}
