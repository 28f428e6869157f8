//! A WebSocket client that sends the frames it is told to and shows those that come.

use serde_json::Value;

use super::Server;
use super::http::{Client, Head};

pub const FIN: u8 = 0x80;
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The fields of an opening handshake, with the key of RFC 6455 §1.3.
pub fn handshake<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let given = |name: &str| more.iter().any(|(field, _)| *field == name);
    fields.into_iter().filter(|(name, _)| !given(name)).chain(more.iter().copied()).collect()
}

/// An open WebSocket.
pub struct WebSocket {
    pub client: Client,
    pub head: Head,
}

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl WebSocket {
    pub fn open(server: &Server, target: &str, fields: &[(&str, &str)]) -> Self {
        Self::open_on(server.client(), target, fields)
    }

    pub fn open_on(mut client: Client, target: &str, fields: &[(&str, &str)]) -> Self {
        client.send_request("GET", target, &handshake(fields), b"");
        let head = client.head();
        assert_eq!(head.status, 101, "{head:?}");
        Self { client, head }
    }

    /// Sends a masked frame; `first` is its first byte.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let frame = Self::encode(first, payload);
        self.client.send(frame);
    }

    /// The bytes of a masked frame.
    pub fn encode(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ ..126 => frame.push(0x80 | length as u8),
            length @ ..65_536 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let key = [0x37, 0xfa, 0x21, 0x3d];
        frame.extend_from_slice(&key);
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    pub fn send_text(&mut self, text: &str) {
        self.send_frame(FIN | TEXT, text.as_bytes());
    }

    /// The next frame of any kind.
    pub fn frame(&mut self) -> Frame {
        let start = self.client.take(2);
        assert_eq!(start[0] & 0x70, 0, "no extension was agreed on");
        assert_eq!(start[1] & 0x80, 0, "a server does not mask");
        let length = match start[1] {
            126 => usize::from(u16::from_be_bytes(self.client.take(2).try_into().unwrap())),
            127 => u64::from_be_bytes(self.client.take(8).try_into().unwrap()) as usize,
            length => usize::from(length),
        };
        let payload = self.client.take(length);
        Frame { fin: start[0] & FIN != 0, opcode: start[0] & 15, payload }
    }

    /// The next frame, which is a whole text.
    #[track_caller]
    pub fn text(&mut self) -> String {
        let frame = self.frame();
        assert_eq!((frame.fin, frame.opcode), (true, TEXT), "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// The next frame, which is a JSON object.
    #[track_caller]
    pub fn json(&mut self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text:?}"))
    }

    /// Sends a command and reads the next frame.
    #[track_caller]
    pub fn command(&mut self, command: &str) -> Value {
        self.send_text(command);
        self.json()
    }

    /// The next frame, which closes: its code and reason. The server closes the connection then.
    #[track_caller]
    pub fn close(&mut self) -> (u16, String) {
        let frame = self.frame();
        assert_eq!((frame.fin, frame.opcode), (true, CLOSE), "{frame:?}");
        let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        (code, String::from_utf8(frame.payload[2..].to_vec()).unwrap())
    }
}
