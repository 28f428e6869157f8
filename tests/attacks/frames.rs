//! 161 to 184: WebSocket frames and messages (RFC 6455 §5 to §8).

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use self::frames_page::{Vector, parse_page};
use crate::refusal::*;
use crate::support::*;

#[path = "../vectors/frames_page.rs"]
mod frames_page;

const PAGE: &str = include_str!("../vectors/websocket-frames.md");
/// The key of RFC 6455 §1.3, in a request that is written by hand.
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The bytes of a frame masked with zeros; `length` is the second byte with what follows it.
fn masked(first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let second = 0x80 | length[0];
    [&[first, second], &length[1..], &[0; 4], payload].concat()
}

/// Frames that fail the connection: one close with this code, no answer to what stands behind, the end.
#[track_caller]
fn failed(server: &Server, bytes: &[u8], code: u16) {
    eprintln!("{code} to {:02x?}", &bytes[..bytes.len().min(40)]);
    for step in [usize::MAX, 1] {
        let mut socket = server.raw_websocket("/topics/smuggled");
        for piece in bytes.chunks(step.min(bytes.len())) {
            socket.client.try_send(piece);
        }
        socket.client.try_send(&WebSocket::encode(FIN | PING, b"behind"));
        socket.client.try_send(&WebSocket::encode(FIN | TEXT, b"behind"));
        assert_eq!(socket.close().0, code);
        socket.client.assert_closed();
    }
}

/// What a published message is called on the page.
fn describe(message: &Value, payload: &[u8]) -> String {
    if message["encoding"].is_null() {
        return format!("text {:?}", std::str::from_utf8(payload).unwrap());
    }
    let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("binary {hex}").trim_end().to_owned()
}

/// Sends an example in pieces of `step` bytes, and expects of the server what its line says of the reader.
fn replay(server: &Server, vector: &Vector, topic: &str, step: usize) {
    let mut socket = server.raw_websocket(topic);
    for piece in vector.input.chunks(step.min(vector.input.len())) {
        socket.client.try_send(piece);
    }
    let said = |start: &str| vector.expect.iter().filter(|line| line.starts_with(start)).count();
    let messages: Vec<&str> = vector
        .expect
        .iter()
        .copied()
        .filter(|line| line.starts_with("text") || line.starts_with("binary"))
        .collect();
    // An error is its name and its code, a close what the client said.
    let code =
        vector.expect.last().and_then(|last| match last.split(' ').collect::<Vec<_>>()[..] {
            ["close"] => Some(None),
            ["close", code, ..] => Some(Some(code.parse::<u16>().unwrap())),
            [name, code] if name.starts_with(char::is_uppercase) => {
                Some(Some(code.parse().unwrap()))
            }
            _ => None,
        });
    let (mut pongs, mut echoes) = (0, 0);
    loop {
        if code.is_none() && pongs == said("ping") && echoes == messages.len() {
            break;
        }
        let frame = socket.frame();
        match frame.opcode {
            PONG => pongs += 1,
            TEXT | BINARY => echoes += 1,
            CLOSE => {
                let expected = code.unwrap().map(u16::to_be_bytes).unwrap_or_default();
                let expected = if code == Some(None) { &[][..] } else { &expected };
                assert_eq!(
                    frame.payload.get(..2).unwrap_or_default(),
                    expected,
                    "{}",
                    vector.heading
                );
                socket.client.assert_closed();
                break;
            }
            _ => panic!("{frame:?}"),
        }
    }
    assert_eq!(pongs, said("ping"), "{}", vector.heading);
    // Nothing of what is unfinished or wrong is published, and all of what is whole.
    let poll = server.poll(topic);
    let published: Vec<String> =
        std::iter::zip(poll["messages"].as_array().unwrap(), payloads(server, topic))
            .map(|(message, payload)| describe(message, &payload))
            .collect();
    assert_eq!(published, messages, "{}", vector.heading);
}

/// Replays the examples of these rows.
fn replay_rows(rows: &[u16]) {
    let vectors = parse_page(PAGE);
    let row = |vector: &Vector| vector.heading.split(' ').next().unwrap().parse::<u16>();
    let mut limits: Vec<(usize, usize)> =
        vectors.iter().map(|vector| (vector.bytes_max, vector.frames_max)).collect();
    limits.sort_unstable();
    limits.dedup();
    let mut replayed = 0;
    for (bytes_max, frames_max) in limits {
        let flags = [
            "--websocket-message-bytes-max",
            &bytes_max.to_string(),
            "--websocket-fragments-max",
            &frames_max.to_string(),
            "--pings-per-second",
            "10000",
        ];
        let of_rows: Vec<(usize, &Vector)> = vectors
            .iter()
            .enumerate()
            .filter(|(_, vector)| (vector.bytes_max, vector.frames_max) == (bytes_max, frames_max))
            .filter(|(_, vector)| row(vector).is_ok_and(|row| rows.contains(&row)))
            .collect();
        if of_rows.is_empty() {
            continue;
        }
        attack(&flags, |server| {
            for (index, vector) in &of_rows {
                eprintln!("{}", vector.heading);
                for step in [usize::MAX, 1] {
                    replay(server, vector, &format!("/topics/v{index}-{}", step.min(2)), step);
                }
            }
        });
        replayed += of_rows.len();
    }
    assert!(replayed >= rows.len(), "the page has something for {rows:?}");
}

#[test]
fn attack_161_162_163_164_165_frames_that_are_none() {
    replay_rows(&[161, 162, 163, 164, 165]);
    attack(&[], |server| {
        // Every first byte: what is known and whole is taken, all else fails the connection.
        for first in 0..=255u8 {
            let (fin, reserved, opcode) = (first & FIN != 0, first & 0x70, first & 15);
            let known = matches!(opcode, 1 | 2 | 9 | 10) && reserved == 0;
            if known && (fin || opcode < 8) || first == FIN | CLOSE {
                continue;
            }
            failed(server, &masked(first, &[1], b"x"), 1002);
        }
        for first in [FIN | TEXT, FIN | BINARY, FIN | PING, FIN | PONG, FIN | CLOSE, TEXT] {
            // Not masked, with every form of length.
            failed(server, &[first, 0], 1002);
            failed(server, &[first, 5, b'h', b'e', b'l', b'l', b'o'], 1002);
            failed(server, &[first, 126, 0, 200], 1002);
            failed(server, &[first, 127, 0, 0, 0, 0, 0, 1, 0, 0], 1002);
        }
        for first in [FIN | PING, FIN | PONG, FIN | CLOSE] {
            failed(server, &masked(first, &[126, 0, 126], &[b'x'; 126]), 1002);
            failed(server, &masked(first, &[127, 0, 0, 0, 0, 0, 1, 0, 0], b"x"), 1002);
            failed(server, &masked(first & 15, &[1], b"x"), 1002);
        }
        let begun = masked(TEXT, &[1], b"x");
        for second in [FIN | TEXT, TEXT, FIN | BINARY, BINARY] {
            failed(server, &[&begun[..], &masked(second, &[1], b"x")].concat(), 1002);
        }
        for reserved in [0x10, 0x20, 0x40, 0x70] {
            failed(server, &[&begun[..], &masked(FIN | reserved, &[1], b"x")].concat(), 1002);
        }
    });
}

#[test]
fn attack_166_167_168_169_lengths() {
    replay_rows(&[166, 167, 168, 169]);
    attack(&[], |server| {
        for (length, code) in [
            (&[127, 0x80, 0, 0, 0, 0, 0, 0, 0][..], 1002),
            (&[127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1002),
            (&[127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009),
            (&[127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf1], 1009),
            (&[127, 0, 0, 0, 1, 0, 0, 0, 0], 1009),
            (&[127, 0, 0, 0, 1, 0, 0, 0, 5], 1009),
            (&[127, 0, 0, 0, 0, 0x80, 0, 0, 0], 1009),
            (&[127, 0, 0, 0, 0, 0, 1, 0, 1], 1009),
            (&[126, 0, 0], 1002),
            (&[126, 0, 125], 1002),
            (&[127, 0, 0, 0, 0, 0, 0, 0, 0], 1002),
            (&[127, 0, 0, 0, 0, 0, 0, 0, 5], 1002),
            (&[127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 1002),
        ] {
            for first in [FIN | TEXT, BINARY] {
                failed(server, &masked(first, length, b"hello"), code);
            }
        }
        // The sum of what has come and what is announced: over the bound, over 2^63, over 2^64.
        for second in [
            &[127, 0, 0, 0, 0, 0, 1, 0, 0][..],
            &[127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            let begun = masked(BINARY, &[126, 0x20, 0], &[b'x'; 8_192]);
            failed(server, &[&begun[..], &masked(FIN, second, b"")].concat(), 1009);
        }
        let mut socket = server.raw_websocket("/topics/a");
        socket.send_text(&"x".repeat(65_536));
        assert_eq!(socket.text().len(), 65_536);
        socket.send_frame(TEXT, &[b'x'; 65_535]);
        socket.send_frame(FIN | CONTINUATION, b"x");
        assert_eq!(socket.text().len(), 65_536);
    });
}

#[test]
fn attack_166_a_length_is_not_believed() {
    // Two hundred clients each announce the longest message there may be, and send a byte of it.
    attack(&["--websocket-message-bytes-max", "1G", "--memory", "2G"], |server| {
        let sockets: Vec<WebSocket> = (0..200)
            .map(|_| {
                let mut socket = server.raw_websocket("/topics/a");
                socket.client.send(masked(FIN | TEXT, &[127, 0, 0, 0, 0, 0x40, 0, 0, 0], b"x"));
                socket
            })
            .collect();
        assert_eq!(server.get("/healthz").status, 200);
        let resident = server.resident_bytes();
        assert!(resident < 256 << 20, "{resident} bytes");
        drop(sockets);
    });
}

#[test]
fn attack_170_171_fragments() {
    replay_rows(&[170, 171]);
    attack(&["--websocket-message-time", "0.5"], |server| {
        for payload in [&b""[..], b"x"] {
            let mut bytes = WebSocket::encode(TEXT, payload);
            for _ in 0..10_000 {
                bytes.extend(WebSocket::encode(CONTINUATION, payload));
            }
            failed_at_once(server, &bytes, 1009);
        }
        // A message that does not end has a time of its own, whatever else is said meanwhile.
        let mut socket = server.raw_websocket("/topics/smuggled");
        socket.send_frame(TEXT, b"never");
        let close = close_after(&mut socket, |socket| {
            socket.client.try_send(&WebSocket::encode(FIN | PONG, b""));
        });
        assert_eq!(close.0, 1008);
        // A ping in the middle is answered at once, and changes nothing.
        let mut socket = server.raw_websocket("/topics/a");
        socket.send_frame(TEXT, "h\u{e9}".as_bytes().split_at(2).0);
        socket.send_frame(FIN | PING, b"1");
        assert_eq!(socket.frame().payload, b"1");
        socket.send_frame(FIN | PONG, b"nobody asked");
        socket.send_frame(CONTINUATION, b"");
        socket.send_frame(FIN | PING, b"2");
        assert_eq!(socket.frame().payload, b"2");
        socket.send_frame(FIN | CONTINUATION, "h\u{e9}".as_bytes().split_at(2).1);
        assert_eq!(socket.text(), "h\u{e9}");
        // A close in the middle is a close.
        let mut socket = server.raw_websocket("/topics/smuggled");
        socket.send_frame(TEXT, b"half");
        socket.send_frame(FIN | CLOSE, &1000_u16.to_be_bytes());
        assert_eq!(socket.close().0, 1000);
        socket.client.assert_closed();
    });
}

/// As [`failed`], for what is too long to be sent byte by byte.
#[track_caller]
fn failed_at_once(server: &Server, bytes: &[u8], code: u16) {
    let mut socket = server.raw_websocket("/topics/smuggled");
    socket.client.try_send(bytes);
    assert_eq!(socket.close().0, code);
    socket.client.assert_closed();
}

/// How the server closes, who sends nothing before; `meanwhile` is done again and again.
fn close_after(socket: &mut WebSocket, mut meanwhile: impl FnMut(&mut WebSocket)) -> (u16, String) {
    let reader = socket.client.another_handle();
    for _ in 0..200 {
        reader.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let is_there = reader.peek(&mut [0]).is_ok();
        reader.set_read_timeout(Some(PATIENCE)).unwrap();
        if is_there {
            return socket.close();
        }
        meanwhile(socket);
    }
    panic!("it is never closed");
}

/// What is no UTF-8, and how many of its bytes show it.
const NOT_UTF8: [&[u8]; 16] = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc3\x28",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xe2\x28\xa1",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xfe",
    b"\xff",
];

#[test]
fn attack_172_text_that_is_none() {
    replay_rows(&[172]);
    attack(&["--websocket-message-time", "60"], |server| {
        for bad in NOT_UTF8 {
            let text = [&b"h\xc3\xa9llo "[..], bad, b" world"].concat();
            failed(server, &WebSocket::encode(FIN | TEXT, &text), 1007);
            for split in 0..=text.len() {
                let (front, back) = text.split_at(split);
                let fragments =
                    [WebSocket::encode(TEXT, front), WebSocket::encode(FIN | CONTINUATION, back)]
                        .concat();
                failed_at_once(server, &fragments, 1007);
            }
            // It is refused before its frame is whole.
            let begun = [&b"h\xc3\xa9llo "[..], bad].concat();
            failed_at_once(server, &masked(TEXT, &[126, 0, 200], &begun), 1007);
        }
        for cut in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x92", b"\xe2"] {
            failed(server, &WebSocket::encode(FIN | TEXT, &[b"abc", cut].concat()), 1007);
            let fragments =
                [WebSocket::encode(TEXT, cut), WebSocket::encode(FIN | CONTINUATION, b"")].concat();
            failed(server, &fragments, 1007);
        }
        // What is text stays what it is wherever it is cut, in fragments and in segments.
        let text =
            "a\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}\0z";
        let mut socket = server.raw_websocket("/topics/a");
        for split in 0..=text.len() {
            let (front, back) = text.as_bytes().split_at(split);
            socket.send_frame(TEXT, front);
            socket.send_frame(FIN | CONTINUATION, back);
            assert_eq!(socket.text(), text, "fragments cut at {split}");
            let frame = WebSocket::encode(FIN | TEXT, text.as_bytes());
            let (front, back) = frame.split_at(split + 6);
            socket.client.send(front);
            socket.client.send(back);
            assert_eq!(socket.text(), text, "a frame cut at {split}");
        }
        // Binary may be anything.
        for bad in NOT_UTF8 {
            socket.send_frame(FIN | BINARY, bad);
            assert_eq!(socket.frame().payload, bad);
        }
    });
}

#[test]
fn attack_173_close_frames() {
    replay_rows(&[173]);
    attack(&[], |server| {
        let answer = |payload: &[u8]| {
            let mut socket = server.raw_websocket("/topics/smuggled");
            socket.send_frame(FIN | CLOSE, payload);
            let frame = socket.frame();
            assert_eq!(frame.opcode, CLOSE, "{frame:?}");
            socket.client.assert_closed();
            frame.payload
        };
        let edges =
            [2_000, 2_999, 3_000, 3_001, 3_999, 4_000, 4_001, 4_999, 5_000, 9_999, 32_768, 65_535];
        for code in (0..20_u16).chain(990..1_110).chain(edges) {
            let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            let expected = if may_be_sent { code } else { 1002 };
            for reason in ["", "bye \u{2713}"] {
                let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
                assert_eq!(answer(&payload)[..2], u16::to_be_bytes(expected), "{code} {reason}");
            }
        }
        assert_eq!(answer(b""), b"", "none is answered with none");
        for byte in [0, 3, 255] {
            assert_eq!(answer(&[byte])[..2], 1002_u16.to_be_bytes());
        }
        let reason = |reason: &[u8]| [&1000_u16.to_be_bytes()[..], reason].concat();
        assert_eq!(answer(&reason(&[b'r'; 123]))[..2], 1000_u16.to_be_bytes());
        for bad in NOT_UTF8 {
            assert_eq!(answer(&reason(bad))[..2], 1007_u16.to_be_bytes());
        }
        assert_eq!(
            answer(&reason("\u{20ac}".as_bytes().split_at(2).0))[..2],
            1007_u16.to_be_bytes()
        );
        failed(server, &masked(FIN | CLOSE, &[126, 0, 126], &reason(&[b'r'; 124])), 1002);
    });
}

#[test]
fn attack_174_behind_a_close() {
    attack(&["--linger", "0.3"], |server| {
        let behind = [
            WebSocket::encode(FIN | TEXT, b"late"),
            WebSocket::encode(FIN | PING, b"late"),
            WebSocket::encode(FIN | CLOSE, &1001_u16.to_be_bytes()),
            vec![0xff; 100],
        ];
        // In one segment with the close, and after the answer to it.
        let mut socket = server.raw_websocket("/topics/smuggled");
        let close = WebSocket::encode(FIN | CLOSE, &1000_u16.to_be_bytes());
        socket.client.send([close.clone(), behind.concat()].concat());
        assert_eq!(socket.close().0, 1000);
        socket.client.assert_closed();
        let mut socket = server.raw_websocket("/topics/smuggled");
        socket.client.send(&close);
        assert_eq!(socket.close().0, 1000);
        for piece in behind {
            socket.client.try_send(&piece);
        }
        socket.client.assert_closed();
        drop(socket);
        // A close of the server's that is never answered: it does not wait for ever.
        let mut socket = server.raw_websocket("/topics/smuggled");
        socket.client.send([FIN | TEXT, 0]);
        assert_eq!(socket.close().0, 1002);
        socket.client.assert_closed();
        server.await_metric("tidings_connections", 1);
        // Half-closed, with a goodbye and without.
        let mut socket = server.raw_websocket("/topics/smuggled");
        socket.client.send(&close);
        socket.client.half_close();
        assert_eq!(socket.close().0, 1000);
        socket.client.assert_closed();
        let mut socket = server.raw_websocket("/topics/smuggled");
        socket.client.half_close();
        socket.client.assert_closed();
    });
}

#[test]
fn attack_175_176_floods_of_pings_and_pongs() {
    replay_rows(&[175, 176]);
    attack(&["--ping", "0.3", "--pong-wait", "0.3"], |server| {
        // By default ten a second are enough for anybody.
        let pings = WebSocket::encode(FIN | PING, &[b'p'; 125]).repeat(100_000 / 125);
        let mut socket = server.raw_websocket("/topics/smuggled");
        socket.client.try_send(&pings);
        let frames = (0..40).map(|_| socket.frame()).find(|frame| frame.opcode != PONG).unwrap();
        assert_eq!((frames.opcode, &frames.payload[..2]), (CLOSE, &1008_u16.to_be_bytes()[..]));
        // Pongs that nobody asked for are ignored. They say that somebody is there, and mean to (clause 11.6).
        let mut socket = server.raw_websocket("/topics/a");
        let pongs = WebSocket::encode(FIN | PONG, b"unsolicited").repeat(10_000);
        socket.client.send(pongs);
        socket.send_text("still here");
        loop {
            let frame = socket.frame();
            if frame.opcode != PING {
                assert_eq!(frame.payload, b"still here");
                break;
            }
        }
    });
}

#[test]
fn attack_175_pings_whose_pongs_nobody_reads() {
    attack(&["--pings-per-second", "65535", "--ping", "60"], |server| {
        let client = Client::connect_narrow(4_096, server.address());
        let mut socket = WebSocket::open_on(client, "/topics/wide", &[]);
        // Something that waits to be read, so that the pongs have to.
        for _ in 0..4 {
            server.publish("wide", &"w".repeat(1 << 20));
        }
        let before = server.metric("tidings_bytes_read_total");
        let mut writer = socket.client.another_handle();
        for number in 0..20_000_u32 {
            let mut payload = [b'p'; 125];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            writer.write_all(&WebSocket::encode(FIN | PING, &payload)).unwrap();
        }
        // Who does not read is not read from: what is owed to it is bounded, and so is what is taken.
        let read = server.metric("tidings_bytes_read_total") - before;
        assert!(read < 1 << 20, "{read} bytes were read");
        let (mut messages, mut last) = (0, None);
        while messages < 4 || last != Some(19_999) {
            let frame = socket.frame();
            match frame.opcode {
                TEXT => messages += 1,
                PONG => {
                    let number = u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
                    assert!(last.is_none_or(|last| last < number), "in order, each once at most");
                    last = Some(number);
                }
                _ => panic!("{frame:?}"),
            }
        }
    });
}

#[test]
fn attack_175_when_pongs_have_to_wait_the_newest_is_kept() {
    attack(&["--pings-per-second", "65535", "--ping", "60"], |server| {
        let client = Client::connect_narrow(4_096, server.address());
        let mut socket = WebSocket::open_on(client, "/topics/a", &[]);
        let before = server.metric("tidings_bytes_read_total");
        let mut writer = socket.client.another_handle();
        for number in 0..60_000_u32 {
            let mut payload = [b'p'; 125];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            writer.write_all(&WebSocket::encode(FIN | PING, &payload)).unwrap();
        }
        // More pongs than the kernel keeps for who reads none. The pings are read all the same.
        server.ask_until("all pings are read", || {
            server.metric("tidings_bytes_read_total") - before >= 60_000 * 131
        });
        let (mut pongs, mut last) = (0, None);
        while last != Some(59_999) {
            let frame = socket.frame();
            let number = u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
            assert!(frame.opcode == PONG && last.is_none_or(|last| last < number), "{frame:?}");
            (pongs, last) = (pongs + 1, Some(number));
        }
        assert!(pongs < 59_000, "{pongs} pongs");
    });
}

#[test]
fn attack_180_181_masks_and_headers_cut_anywhere() {
    replay_rows(&[180, 181]);
    attack(&[], |server| {
        let mut socket = server.raw_websocket("/topics/a");
        // All lengths of headers (6, 8 and 14 bytes), all cuts in them, keys that are anything.
        for length in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            for key in [[0; 4], [0xff; 4], [1, 2, 3, 4]] {
                let mut frame = WebSocket::encode(FIN | TEXT, &payload);
                let header = frame.len() - length;
                frame[header - 4..header].copy_from_slice(&key);
                for (index, byte) in frame[header..].iter_mut().enumerate() {
                    *byte = b'x' ^ key[index % 4];
                }
                for cut in 1..=header {
                    socket.client.send(&frame[..cut]);
                    // The rest is another segment: the server has seen the first when it answers this.
                    if cut % 5 == 0 {
                        assert_eq!(server.get("/healthz").status, 200);
                    }
                    socket.client.send(&frame[cut..]);
                    // The reader asserts that frames from the server have no mask (RFC 6455 §5.1).
                    let echo = socket.frame();
                    assert!(
                        (echo.opcode, echo.payload.len()) == (TEXT, length)
                            && echo.payload == payload
                    );
                }
            }
        }
    });
}

#[test]
fn attack_182_frames_are_never_interleaved() {
    attack(
        &[
            "--pings-per-second",
            "65535",
            "--websocket-message-bytes-max",
            "1M",
            "--ping",
            "0.1",
            "--pong-wait",
            "60",
        ],
        |server| {
            let client = Client::connect_narrow(4_096, server.address());
            let mut socket = WebSocket::open_on(client, "/topics/wide", &[]);
            let payload = |number: usize| {
                let mut text = format!("{number} ");
                while text.len() < 300_000 {
                    text += &format!("{} ", text.len() * (number + 7));
                }
                text
            };
            let mut writer = socket.client.another_handle();
            thread::scope(|scope| {
                scope.spawn(move || {
                    for number in 0..3_000_u32 {
                        writer
                            .write_all(&WebSocket::encode(FIN | PING, &number.to_be_bytes()))
                            .unwrap();
                    }
                });
                for number in 0..10 {
                    server.publish("wide", &payload(number));
                }
                let (mut messages, mut last_pong) = (0, None);
                while messages < 10 || last_pong != Some(2_999) {
                    let frame = socket.frame();
                    assert!(frame.fin);
                    match frame.opcode {
                        TEXT => {
                            assert!(
                                frame.payload == payload(messages).as_bytes(),
                                "message {messages}"
                            );
                            messages += 1;
                        }
                        PONG => {
                            let number = u32::from_be_bytes(frame.payload.try_into().unwrap());
                            assert!(last_pong.is_none_or(|last| last < number));
                            last_pong = Some(number);
                        }
                        PING => (),
                        _ => panic!("{frame:?}"),
                    }
                }
            });
        },
    );
}

/// A command with this as its data, or as another member.
fn command_with(member: &str, value: &str) -> String {
    format!("{{\"type\":\"publish\",\"topic\":\"smuggled\",\"data\":1,\"{member}\":{value}}}")
}

#[test]
fn attack_183_json_that_is_meant_to_hurt() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    let long = "k".repeat(60_000);
    let bad_values = [
        nested(101),
        nested(10_000),
        objects(101),
        objects(10_000),
        "[".repeat(30_000),
        "{\"a\":".repeat(10_000),
        "NaN".into(),
        "Infinity".into(),
        "-Infinity".into(),
        "+1".into(),
        "01".into(),
        ".5".into(),
        "1.".into(),
        "0x10".into(),
        "'a'".into(),
        "\"\\ud800\"".into(),
        "\"\\udc00\\ud800\"".into(),
        "\"\\u12\"".into(),
        "\"\\x41\"".into(),
        "\"a".into(),
        "\"\t\"".into(),
        "[1,]".into(),
        "{\"a\":1,}".into(),
        "{a:1}".into(),
        "1e999999".into(),
        "-1e309".into(),
        "[1, {\"a\": 1E+400}]".into(),
        "9".repeat(400),
        "[\"\\ud800\"]".into(),
        "{\"\\udfff\": 1}".into(),
        "/**/1".into(),
        "1 2".into(),
        "tru".into(),
        "nul".into(),
        "\u{feff}1".into(),
        "".into(),
    ];
    attack(&[], |server| {
        let mut errors = 0;
        let (mut socket, _) = server.json_websocket("/topics");
        let mut refuse = |command: &str| {
            let answer = socket.command(command);
            assert_eq!(
                (&answer["type"], &answer["status"]),
                (&json!("error"), &json!(400)),
                "{command:.100}"
            );
            errors += 1;
        };
        let json_type = [("Content-Type", "application/json")];
        let ndjson = [("Content-Type", "application/x-ndjson")];
        for value in &bad_values {
            eprintln!("{value:.100}");
            let command =
                format!("{{\"type\":\"publish\",\"topic\":\"smuggled\",\"data\":{value}}}");
            refuse(&command);
            let answer = server.request("POST", "/topics/smuggled", &json_type, value.as_bytes());
            answer.problem(400);
            let line = format!("{{\"topic\":\"smuggled\",\"data\":{value}}}");
            let report = server.request("POST", "/topics", &ndjson, line.as_bytes()).text();
            assert!(report.contains("\"status\":400"), "{value:.100}: {report}");
        }
        for command in [
            command_with("type", "\"publish\""),
            command_with("topic", "\"smuggled\""),
            command_with("data", "2"),
            command_with("\\u0064ata", "2"),
            command_with(&long, "1"),
            command_with("unknown", &nested(10_000)),
            command_with("event", "1"),
            command_with("event", &nested(1_000)),
            command_with("key", "{}"),
            command_with("encoding", "\"gzip\""),
            command_with("request", &format!("\"{}\"", "r".repeat(100))),
            command_with("request", &nested(20)),
            format!(
                "{{\"type\":\"subscribe\",\"topics\":[{}\"a\"]}}",
                "\"a\",".repeat(129).replace("\"a\"", "1")
            ),
            format!("{{\"type\":\"subscribe\",\"topics\":{}}}", nested(200)),
            "{\"type\":\"subscribe\",\"topic\":\"a\",\"last\":-1}".into(),
            "{\"type\":\"subscribe\",\"topic\":\"a\",\"last\":1.5}".into(),
            "{\"type\":\"subscribe\",\"topic\":\"a\",\"last\":18446744073709551616}".into(),
            "{\"type\":\"subscribe\",\"topic\":\"a\",\"last\":1e3}".into(),
            "{\"type\":\"subscribe\",\"topic\":\"a\",\"after\":1}".into(),
            "[]".into(),
            "null".into(),
            "".into(),
            "{}{}".into(),
            "{\"type\":\"ping\"} x".into(),
            "\0".into(),
            nested(30_000),
        ] {
            refuse(&command);
        }
        // What is valid is taken as it is, with more digits than a machine holds.
        for value in [
            "1e308",
            "-0",
            "[0.1,1e-999999]",
            &format!("0.{}", "9".repeat(400)),
            "123456789012345678901234567890.5e-5000",
            &nested(100),
            "\"\\ud83d\\ude00\"",
        ] {
            let command = format!("{{\"type\":\"publish\",\"topic\":\"a\",\"data\":{value}}}");
            assert_eq!(socket.command(&command)["type"], "published", "{value:.40}");
        }
        // The connection is open until the budget of errors is spent.
        assert_eq!(socket.command("{\"type\":\"ping\"}")["type"], "pong");
        while errors < 100 {
            assert_eq!(socket.command("x")["type"], "error");
            errors += 1;
        }
        assert_eq!(socket.close().0, 1008);
        socket.client.assert_closed();
    });
}

#[test]
fn attack_078_161_a_request_behind_a_handshake_is_an_unmasked_frame() {
    attack(&[], |server| {
        for method in ["GET", "POST", "HEAD", "FROB"] {
            let mut client = server.client();
            client.send(
                [
                    request("GET", "/topics/smuggled", UPGRADE),
                    request(method, "/topics/smuggled", ""),
                ]
                .concat(),
            );
            let head = client.head();
            assert_eq!(head.status, 101);
            let mut socket = WebSocket { client, head };
            assert_eq!(socket.close().0, 1002);
            socket.client.assert_closed();
        }
    });
}
