//! A server's WebSocket frames, walked as they arrive (RFC 6455 §5.2).

use super::fault::Fault;

/// The longest header of a frame that is not masked: two bytes and a 64-bit length.
const HEADER_BYTES_MAX: usize = 10;

const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;
const OPCODE_PONG: u8 = 10;

/// A piece of what the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FramePart<'a> {
    /// Bytes of a message.
    Payload(&'a [u8]),
    /// A ping, whole: to be answered with these bytes.
    Ping(Box<[u8]>),
    /// The server ends the connection.
    Close,
}

/// The frames of one connection.
///
/// Invariant: `header[..have]` is the beginning of a header that is not whole, unless `left` is above 0.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; HEADER_BYTES_MAX],
    have: u8,
    opcode: u8,
    /// Bytes of the present frame that are to come.
    left: u64,
    /// What has come of a ping.
    ping: Vec<u8>,
}

impl Frames {
    /// The next part in `input`, of which it takes what it has used; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not a server's frames.
    pub(super) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<FramePart<'a>>, Fault> {
        loop {
            if self.left == 0 && !self.begin(input)? {
                return Ok(None);
            }
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
            let (bytes, rest) = input.split_at(count);
            *input = rest;
            self.left -= count as u64;
            match self.opcode {
                OPCODE_CLOSE => return Ok(Some(FramePart::Close)),
                OPCODE_PING => {
                    self.ping.extend_from_slice(bytes);
                    if self.left == 0 {
                        let ping = std::mem::take(&mut self.ping);
                        return Ok(Some(FramePart::Ping(ping.into())));
                    }
                }
                OPCODE_PONG => (),
                _ if !bytes.is_empty() => return Ok(Some(FramePart::Payload(bytes))),
                _ => (),
            }
            if self.left > 0 {
                return Ok(None);
            }
        }
    }

    /// Reads a header; whether it is whole.
    fn begin(&mut self, input: &mut &[u8]) -> Result<bool, Fault> {
        loop {
            let have = usize::from(self.have);
            if have >= 2 {
                // RFC 6455 §5.1: a server does not mask.
                if self.header[1] & 0x80 != 0 {
                    return Err(Fault::NotWebSocket);
                }
                let short = self.header[1] & 0x7f;
                let length_bytes = match short {
                    126 => 2,
                    127 => 8,
                    _ => 0,
                };
                if have == 2 + length_bytes {
                    let long = self.header[2..have].iter();
                    let length = long.fold(0, |length, &byte| length << 8 | u64::from(byte));
                    self.left = if length_bytes == 0 { u64::from(short) } else { length };
                    self.opcode = self.header[0] & 0x0f;
                    self.have = 0;
                    return Ok(true);
                }
            }
            let Some((&byte, rest)) = input.split_first() else { return Ok(false) };
            self.header[have] = byte;
            self.have += 1;
            *input = rest;
        }
    }
}

/// The answer to a ping: masked, as a client's frames must be, with nothing.
pub(super) fn pong(ping: &[u8]) -> Vec<u8> {
    // RFC 6455 §5.5: a control frame's payload is 125 bytes or less.
    let ping = &ping[..ping.len().min(125)];
    let mut frame = vec![0x80 | OPCODE_PONG, 0x80 | ping.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(ping);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Box<[u8]>>, bool) {
        let (mut frames, mut payload, mut pings, mut closed) =
            (Frames::default(), Vec::new(), Vec::new(), false);
        for piece in pieces {
            let mut input = *piece;
            while let Some(part) = frames.next(&mut input).unwrap() {
                match part {
                    FramePart::Payload(bytes) => payload.extend_from_slice(bytes),
                    FramePart::Ping(bytes) => pings.push(bytes),
                    FramePart::Close => {
                        closed = true;
                        break;
                    }
                }
            }
        }
        (payload, pings, closed)
    }

    #[test]
    fn messages_and_pings_are_told_apart_however_the_frames_are_cut() {
        let mut stream = vec![0x81, 2, b'a', b'b', 0x89, 0, 0x89, 2, 1, 2, 0x8a, 1, 9, 0x81, 0];
        let mut expected = b"ab".to_vec();
        for (header, length) in
            [(&[0x01, 126, 0, 200][..], 200), (&[0x80, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536)]
        {
            stream.extend_from_slice(header);
            stream.resize(stream.len() + length, b'x');
            expected.resize(expected.len() + length, b'x');
        }
        stream.extend_from_slice(&[0x88, 2, 3, 0xe8]);
        let pings: Vec<Box<[u8]>> = vec![[].into(), [1, 2].into()];
        assert_eq!(walk(&[&stream]), (expected.clone(), pings.clone(), true));
        for cut in (0..300).chain(65_000..stream.len()) {
            let (left, right) = stream.split_at(cut);
            assert_eq!(walk(&[left, right]), (expected.clone(), pings.clone(), true), "{cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(walk(&bytes), (expected, pings, true));
    }

    #[test]
    fn a_masked_frame_is_not_a_servers() {
        let mut input: &[u8] = &[0x81, 0x81, 1, 2, 3, 4, 5];
        assert_eq!(Frames::default().next(&mut input), Err(Fault::NotWebSocket));
    }

    #[test]
    fn a_pong_is_masked_and_echoes_its_ping() {
        assert_eq!(pong(b"hi"), [0x8a, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }
}
