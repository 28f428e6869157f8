//! Frames that nobody should send, behind a right handshake. On a WebSocket that publishes what it is sent
//! none of them completes a message that may be taken.

use super::Mischief;
use crate::clients::line::Pace;
use crate::clients::{Hands, path};
use crate::wires::Wire;
use crate::wires::websocket::client::{Opcode, close, fragments, frame, ping};

/// Headers, as they are: (what, bytes).
const RAW_BYTES: [(&str, &[u8]); 10] = [
    ("no mask", b"\x81\x05#none"),
    ("a reserved bit", b"\xc1\x80\0\0\0\0"),
    ("a reserved opcode", b"\x83\x80\0\0\0\0"),
    ("a long control frame", b"\x89\xfe\0\x7e\0\0\0\0"),
    ("a fragmented control frame", b"\x09\x80\0\0\0\0"),
    ("a continuation of nothing", b"\x80\x85\0\0\0\0#none"),
    ("a length that is not minimal", b"\x81\xfe\0\x05\0\0\0\0#none"),
    ("more than there can be", b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0"),
    ("a large message", b"\x82\xff\0\0\x01\0\0\0\0\0\0\0\0\0"),
    ("half a header", b"\x82"),
];

/// Closes that there cannot be.
const CLOSES: [&[u8]; 4] = [b"\x03", b"\x03\xed", b"\x03\xe8\xff\xff", b"\0\0"];

pub(super) fn draw(hands: &mut Hands<'_>) -> Mischief {
    let wire = if hands.random.bool() { Wire::Raw } else { Wire::Json };
    let topic = path(&[hands.random.usize(..hands.topics)]);
    let mut bytes = wire.request(&format!("{topic}?after=earliest"), &[]);
    let random = &mut *hands.random;
    let (mut pace, mut floods, mut closes) = (Pace::EAGER, false, false);
    let (what, frames) = match random.u8(0..9) {
        0..3 => {
            let (what, frames) = RAW_BYTES[random.usize(..RAW_BYTES.len())];
            (what, frames.to_vec())
        }
        3 => {
            let payload = CLOSES[random.usize(..CLOSES.len())];
            ("a wrong close", frame(random, true, Opcode::Close, payload))
        }
        4 => ("text that is none", frame(random, true, Opcode::Text, b"#none\xff")),
        5 => {
            let sizes = vec![1; random.usize(1..200)];
            let mut frames = fragments(random, Opcode::Text, &[b'x'; 300], &sizes);
            frames.pop();
            ("a message that never ends", frames.concat())
        }
        6 => {
            let count = random.usize(1..60);
            floods = true;
            ("a flood of pings", (0..count).flat_map(|_| ping(random, b"?")).collect())
        }
        7 => {
            pace = Pace::NEVER;
            ("never reads its WebSocket", Vec::new())
        }
        _ => {
            closes = true;
            let frames = [close(random, None, ""), b"#none".to_vec(), ping(random, b"")];
            ("closes, and goes on", frames.concat())
        }
    };
    let commands = if wire == Wire::Json { random.usize(0..120) } else { 0 };
    for _ in 0..commands {
        let text = ["nonsense", "{}", "{\"type\":\"publish\",\"topic\":\"a*\",\"data\":\"#none\"}"];
        let text = text[random.usize(..text.len())];
        bytes.extend(frame(random, true, Opcode::Text, text.as_bytes()));
    }
    bytes.extend(frames);
    Mischief { wire: Some(wire), pace, floods, closes, ..Mischief::new(what, bytes) }
}
