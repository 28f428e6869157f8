//! The same frames through an independent implementation: both must read the same messages.

use tungstenite::Error;
use tungstenite::protocol::Role;

use super::client::{Numbers, fragment};
use super::close::CloseCode;
use super::frame::{Opcode, encode_close, encode_frame};
use super::fuzz::read_elsewhere;
use super::message::{Incoming, MessageLimits};
use super::properties::{random_lengths, read_in_pieces};

const LIMITS: MessageLimits = MessageLimits { message_bytes_max: 1 << 20, fragments_max: 128 };

/// Messages in random fragments with control frames between them, and a close.
fn conversation(numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + numbers.below(6) {
        let length = [0, 3, 125, 126, 4000, 66_000][numbers.below(6)];
        let text: String = "aé✓😀".chars().cycle().take(length / 2).collect();
        let (mut opcode, payload) = match numbers.below(2) {
            0 => (Opcode::Text, text.into_bytes()),
            _ => (Opcode::Binary, numbers.bytes(length)),
        };
        let mut rest = &payload[..];
        loop {
            let (piece, behind) = rest.split_at(numbers.below(rest.len() + 1));
            let fin = numbers.below(3) == 0;
            let piece = if fin { rest } else { piece };
            bytes.extend(fragment(fin, opcode, piece));
            if fin {
                break;
            }
            (rest, opcode) = (behind, Opcode::Continuation);
            if numbers.below(2) == 0 {
                let length = numbers.below(126);
                let control = [Opcode::Ping, Opcode::Pong][numbers.below(2)];
                bytes.extend(fragment(true, control, &numbers.bytes(length)));
            }
        }
    }
    bytes.extend(fragment(true, Opcode::Close, b"\x03\xe9bye"));
    bytes
}

#[test]
fn messages_of_a_client_are_read_as_elsewhere() {
    let mut numbers = Numbers(5);
    for round in 0..200 {
        let bytes = conversation(&mut numbers);
        let ours = read_in_pieces(&bytes, &LIMITS, random_lengths(round, bytes.len()));
        let (theirs, _) = read_elsewhere(bytes, Role::Server);
        assert!(ours.incoming == theirs, "round {round}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_here_as_elsewhere() {
    let mut numbers = Numbers(6);
    let mut refused = 0;
    for _ in 0..2000 {
        let mut payload = "aé✓😀 κόσμε".as_bytes().to_vec();
        let place = numbers.below(payload.len());
        payload[place] = numbers.bytes(1)[0];
        let split = numbers.below(payload.len());
        let bytes = [
            fragment(false, Opcode::Text, &payload[..split]),
            fragment(true, Opcode::Continuation, &payload[split..]),
        ]
        .concat();
        let ours = read_in_pieces(&bytes, &LIMITS, std::iter::empty());
        let (theirs, error) = read_elsewhere(bytes, Role::Server);
        assert_eq!(ours.incoming, theirs, "{payload:02x?}");
        assert_eq!(ours.incoming.is_empty(), matches!(error, Error::Utf8(_)), "{error}");
        refused += usize::from(ours.incoming.is_empty());
    }
    assert!((100..1900).contains(&refused), "{refused} refused: the test has lost its sense");
}

#[test]
fn frames_of_the_server_are_read_elsewhere_as_they_were_meant() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
        let payload = vec![b'x'; length];
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, Opcode::Text, &payload);
        encode_frame(&mut bytes, Opcode::Binary, &payload);
        encode_frame(&mut bytes, Opcode::Ping, &payload[..length.min(125)]);
        encode_frame(&mut bytes, Opcode::Pong, b"");
        encode_close(&mut bytes, CloseCode::SERVICE_RESTART, "retry_ms=1234");
        let (read, _) = read_elsewhere(bytes, Role::Client);
        let expected = [
            Incoming::Text(String::from_utf8(payload.clone()).expect("ASCII")),
            Incoming::Binary(payload.clone()),
            Incoming::Ping(payload[..length.min(125)].to_vec()),
            Incoming::Pong,
            Incoming::Close(Some((CloseCode::SERVICE_RESTART, "retry_ms=1234".to_owned()))),
        ];
        assert!(read == expected, "length {length}");
    }
}
