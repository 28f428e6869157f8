//! Frames as this server may send them: RFC 6455 §5, and each message in one frame (docs/protocol.md
//! 11.2, 11.3).

use crate::wires::received::Received;

/// RFC 6455 §5.5.
const CONTROL_BYTES_MAX: usize = 125;
/// A message in its envelope, escaped at its worst, and some more.
const FRAME_BYTES_MAX: u64 = 16 << 20;

/// A frame, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close { code: Option<u16>, reason: String },
}

/// Reads frames from pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    received: Received,
    /// Nothing may follow.
    is_closed: bool,
}

impl Frames {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.received.push(bytes);
    }

    pub(crate) fn next(&mut self) -> Option<Frame> {
        let bytes = self.received.as_slice();
        // RFC 6455 §5.5.1.
        assert!(!self.is_closed || bytes.is_empty(), "something behind a close: {bytes:?}");
        let [first, second, rest @ ..] = bytes else { return None };
        let (opcode, is_control) = (first & 0x0f, first & 0x08 != 0);
        assert_eq!(first & 0x70, 0, "reserved bits without an extension");
        assert_eq!(second & 0x80, 0, "a server does not mask (RFC 6455 §5.1)");
        assert!(matches!(opcode, 1 | 2 | 8..=10), "opcode {opcode}");
        assert_eq!(first & 0x80, 0x80, "opcode {opcode} in more than one frame");
        let (header, length) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
            length => (2, u64::from(length)),
        };
        // RFC 6455 §5.2: the minimal number of bytes.
        let least = match header {
            2 => 0,
            4 => 126,
            _ => 65_536,
        };
        assert!(length >= least, "a length of {length} in a header of {header} bytes");
        assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
        let length = usize::try_from(length).expect("it is small");
        assert!(!is_control || length <= CONTROL_BYTES_MAX, "opcode {opcode} with {length} bytes");
        if bytes.len() < header + length {
            return None;
        }
        self.received.take(header);
        let payload = self.received.take(length);
        Some(match opcode {
            1 => Frame::Text(text(payload)),
            2 => Frame::Binary(payload),
            8 => {
                self.is_closed = true;
                let rest = self.received.as_slice();
                assert!(rest.is_empty(), "something behind a close: {rest:?}");
                close(&payload)
            }
            9 => Frame::Ping(payload),
            _ => Frame::Pong(payload),
        })
    }
}

/// RFC 6455 §5.5.1, §7.4.
fn close(payload: &[u8]) -> Frame {
    let Some((code, reason)) = payload.split_first_chunk() else {
        assert!(payload.is_empty(), "half a close code: {payload:?}");
        return Frame::Close { code: None, reason: String::new() };
    };
    let code = u16::from_be_bytes(*code);
    // 1010 is the client's; 1004 to 1006 and 1015 are never sent.
    let is_legal = matches!(code, 1000..=1003 | 1007..=1009 | 1011..=1014 | 3000..=4999);
    assert!(is_legal, "close code {code}");
    Frame::Close { code: Some(code), reason: text(reason.to_vec()) }
}

fn text(payload: Vec<u8>) -> String {
    String::from_utf8(payload).expect("text is UTF-8 (RFC 6455 §8.1)")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::Role;
    use tungstenite::protocol::frame::CloseFrame;
    use tungstenite::{Message, WebSocket};

    use super::*;
    use crate::wires::splits::{panic_of, same_for_every_split};

    fn read(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut frames = Frames::default();
        let mut read = Vec::new();
        for piece in pieces {
            frames.push(piece);
            read.extend(std::iter::from_fn(|| frames.next()));
        }
        read
    }

    #[test]
    fn what_another_server_sends_reads_the_same_however_it_is_cut() {
        let stream = Cursor::new(Vec::new());
        let mut server = WebSocket::from_raw_socket(stream, Role::Server, None);
        let long = "ü".repeat(100);
        for message in [
            Message::text("grün"),
            Message::Ping(b"p".to_vec().into()),
            Message::text(long.as_str()),
            Message::Binary(vec![0xff; 125].into()),
            Message::Pong(Vec::new().into()),
        ] {
            server.send(message).unwrap();
        }
        let close = CloseFrame { code: 1012.into(), reason: "retry_ms=1234".into() };
        server.close(Some(close)).unwrap();
        let bytes = server.get_ref().get_ref();
        let expected = [
            Frame::Text("grün".into()),
            Frame::Ping(b"p".to_vec()),
            Frame::Text(long),
            Frame::Binary(vec![0xff; 125]),
            Frame::Pong(Vec::new()),
            Frame::Close { code: Some(1012), reason: "retry_ms=1234".into() },
        ];
        assert_eq!(same_for_every_split(bytes, read), expected);
        let long = vec![7; 70_000];
        let mut bytes = vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70];
        bytes.extend(&long);
        assert_eq!(read(&[&bytes[..5], &bytes[5..]]), [Frame::Binary(long)]);
    }

    #[test]
    fn what_a_server_must_not_send_is_a_panic() {
        for (bytes, wanted) in [
            (&b"\x81\x81abcde"[..], "does not mask"),
            (b"\xc1\x01a", "reserved"),
            (b"\x01\x01a", "more than one frame"),
            (b"\x80\x01a", "opcode 0"),
            (b"\x83\x00", "opcode 3"),
            (b"\x8b\x00", "opcode 11"),
            (b"\x09\x00", "more than one frame"),
            (b"\x89\x7e\x00\x7e", "opcode 9 with 126"),
            (b"\x81\x7e\x00\x7d", "a length of 125"),
            (b"\x81\x7f\0\0\0\0\0\0\xff\xff", "a length of 65535"),
            (b"\x81\x7f\x80\0\0\0\0\0\0\0", "a frame of"),
            (b"\x81\x01\xff", "UTF-8"),
            (b"\x88\x01\x03", "half a close code"),
            (b"\x88\x02\x03\xed", "close code 1005"),
            (b"\x88\x02\x03\xf2", "close code 1010"),
            (b"\x88\x03\x03\xe8\xff", "UTF-8"),
            (b"\x88\x00\x89", "behind a close"),
        ] {
            let complaint = panic_of(|| drop(read(&[bytes])));
            assert!(complaint.contains(wanted), "{bytes:x?}: {complaint}");
        }
    }
}
