//! Frames as a client sends them: masked, each with a key of its own (RFC 6455 §5.3).

use fastrand::Rng;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// A frame, as its header says: neither this nor that it is legal is checked.
pub(crate) fn frame(rng: &mut Rng, fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![(u8::from(fin) << 7) | opcode as u8];
    // RFC 6455 §5.2: the minimal number of bytes, and the mask bit.
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length => match u16::try_from(length) {
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
    let key = rng.u32(..).to_be_bytes();
    frame.extend_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A text message in one frame.
pub(crate) fn text(rng: &mut Rng, payload: &str) -> Vec<u8> {
    frame(rng, true, Opcode::Text, payload.as_bytes())
}

/// A binary message in one frame.
pub(crate) fn binary(rng: &mut Rng, payload: &[u8]) -> Vec<u8> {
    frame(rng, true, Opcode::Binary, payload)
}

/// A message in frames of these sizes, as far as the payload goes; the rest is the last frame, which may
/// be empty. Control frames may be put between them.
pub(crate) fn fragments(
    rng: &mut Rng,
    opcode: Opcode,
    payload: &[u8],
    sizes: &[usize],
) -> Vec<Vec<u8>> {
    let (mut frames, mut rest, mut opcode) = (Vec::new(), payload, opcode);
    for size in sizes {
        let (front, back) = rest.split_at((*size).min(rest.len()));
        frames.push(frame(rng, false, opcode, front));
        (rest, opcode) = (back, Opcode::Continuation);
    }
    frames.push(frame(rng, true, opcode, rest));
    frames
}

/// A ping with 125 bytes at most.
pub(crate) fn ping(rng: &mut Rng, payload: &[u8]) -> Vec<u8> {
    frame(rng, true, Opcode::Ping, payload)
}

/// The answer to a ping with this payload.
pub(crate) fn pong(rng: &mut Rng, payload: &[u8]) -> Vec<u8> {
    frame(rng, true, Opcode::Pong, payload)
}

/// A close; without a code there is no reason.
pub(crate) fn close(rng: &mut Rng, code: Option<u16>, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    frame(rng, true, Opcode::Close, &payload)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Result, Write};

    use tungstenite::protocol::Role;
    use tungstenite::{Message, WebSocket};

    use super::*;

    /// What a client sends; what the server says is dropped.
    struct Sent(Cursor<Vec<u8>>);

    impl Read for Sent {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn another_server_reads_what_is_sent() {
        let rng = &mut Rng::with_seed(1);
        let mut sent = Vec::new();
        let mut expected = Vec::new();
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
            sent.extend(binary(rng, &payload));
            expected.push(Message::Binary(payload.into()));
        }
        sent.extend(ping(rng, b"p"));
        expected.push(Message::Ping(b"p".to_vec().into()));
        sent.extend(pong(rng, b""));
        expected.push(Message::Pong(Vec::new().into()));
        // Cut within a character, and with nothing left for the last.
        sent.extend(fragments(rng, Opcode::Text, "grün".as_bytes(), &[3, 0, 9]).concat());
        sent.extend(text(rng, "rot"));
        expected.extend([Message::text("grün"), Message::text("rot")]);
        sent.extend(close(rng, Some(4321), "tschüss"));
        let mut server = WebSocket::from_raw_socket(Sent(Cursor::new(sent)), Role::Server, None);
        for message in expected {
            assert_eq!(server.read().unwrap(), message);
        }
        let Message::Close(Some(close)) = server.read().unwrap() else { panic!("a close") };
        assert_eq!((u16::from(close.code), close.reason.as_str()), (4321, "tschüss"));
    }
}
