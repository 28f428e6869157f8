//! What must hold of any frames and messages, whatever is sent; and an independent implementation to compare
//! with, `tungstenite`.

use std::io::{Cursor, Read, Result, Write};

use tungstenite::protocol::frame::FrameHeader as TheirHeader;
use tungstenite::protocol::frame::coding::OpCode;
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Error, Message};

use super::client;
use super::close::CloseCode;
use super::error::ProtocolError;
use super::frame::{Opcode, parse_header};
use super::message::{Incoming, MessageLimits};
use super::properties::{End, check_any_bytes, read_in_pieces};
use crate::fuzzing::arrivals;

/// Bytes to read; what is written is dropped.
struct Tape(Cursor<Vec<u8>>);

impl Read for Tape {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What the other implementation makes of these bytes, and the error it stops at.
pub(super) fn read_elsewhere(bytes: Vec<u8>, role: Role) -> (Vec<Incoming>, Error) {
    let mut socket = WebSocket::from_raw_socket(Tape(Cursor::new(bytes)), role, None);
    let mut incoming = Vec::new();
    loop {
        incoming.push(match socket.read() {
            Ok(Message::Text(text)) => Incoming::Text(text.to_string()),
            Ok(Message::Binary(bytes)) => Incoming::Binary(bytes.to_vec()),
            Ok(Message::Ping(payload)) => Incoming::Ping(payload.to_vec()),
            Ok(Message::Pong(_)) => Incoming::Pong,
            Ok(Message::Close(close)) => Incoming::Close(close.map(|close| {
                let code = CloseCode::new(close.code.into()).expect("a code that may be sent");
                (code, close.reason.to_string())
            })),
            Ok(Message::Frame(frame)) => panic!("a raw frame: {frame:?}"),
            Err(error) => return (incoming, error),
        });
    }
}

/// For fuzzing: reads `bytes` as the header of a client's frame.
///
/// # Panics
/// If it is found later, or otherwise, when it arrives in pieces; if `tungstenite` reads another header, or
/// takes one that we refuse for another reason than those it leaves to others; if a header that is written
/// is not read back.
pub fn fuzz_frames(bytes: &[u8]) {
    let at_once = parse_header(bytes);
    for ends in arrivals(bytes) {
        let mut answers = ends.iter().map(|end| parse_header(&bytes[..*end]));
        let answer = answers.find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
        assert_eq!(answer, at_once, "{ends:?}");
    }
    let mut cursor = Cursor::new(bytes);
    let theirs = TheirHeader::parse(&mut cursor);
    match at_once {
        Ok(None) => assert!(matches!(theirs, Ok(None)), "{theirs:?}"),
        Ok(Some((ours, used))) => {
            let Ok(Some((theirs, length))) = theirs else { panic!("{theirs:?}") };
            assert_eq!((cursor.position(), length), (used as u64, ours.length));
            assert_eq!((theirs.is_final, theirs.mask), (ours.fin, Some(ours.mask)));
            assert_eq!(u8::from(theirs.opcode), ours.opcode.value());
            assert!(!theirs.rsv1 && !theirs.rsv2 && !theirs.rsv3);
            check_written_header(ours.fin, ours.opcode, ours.length);
        }
        Err(error) => check_refusal(error, bytes, &theirs),
    }
}

/// What is wrong with the frame can be seen in what they say of it.
fn check_refusal(
    error: ProtocolError,
    bytes: &[u8],
    theirs: &tungstenite::Result<Option<(TheirHeader, u64)>>,
) {
    let Ok(Some((header, length))) = theirs else { return };
    let is_control = matches!(header.opcode, OpCode::Control(_));
    let is_meant = match error {
        ProtocolError::NotMasked => header.mask.is_none(),
        ProtocolError::ReservedBits => header.rsv1 || header.rsv2 || header.rsv3,
        ProtocolError::FragmentedControl => is_control && !header.is_final,
        ProtocolError::ControlTooLong => is_control && bytes[1] & 0x7f > 125,
        ProtocolError::LengthNotMinimal => {
            *length < 126 || bytes[1] & 0x7f == 127 && *length <= 0xffff
        }
        ProtocolError::LengthHighBit => length >> 63 == 1,
        _ => false,
    };
    assert!(is_meant, "{error:?} in {header:?} of {length}");
}

fn check_written_header(fin: bool, opcode: Opcode, length: u64) {
    let Ok(length) = usize::try_from(length) else { return };
    let written = client::header(fin, opcode, length);
    let Ok(Some((header, used))) = parse_header(&written) else { panic!("{written:?}") };
    assert_eq!((header.fin, header.opcode, header.length), (fin, opcode, length as u64));
    assert_eq!((header.mask, used), (client::MASK, written.len()));
}

/// For fuzzing: reads `bytes` as limits (a byte), a seed (a byte) and the frames of a client.
///
/// # Panics
/// If what comes of them depends on how they arrive; if the reader holds more memory than it may; if
/// `tungstenite` reads other messages, or fewer.
pub fn fuzz_messages(bytes: &[u8]) {
    check_any_bytes(bytes);
    let frames = bytes.get(2..).unwrap_or_default();
    let limits = MessageLimits { message_bytes_max: 1 << 20, fragments_max: 1 << 20 };
    let mut ours = read_in_pieces(frames, &limits, std::iter::empty());
    let (mut theirs, error) = read_elsewhere(frames.to_vec(), Role::Server);
    // Neither reads behind a close; ours leaves that to the connection.
    for incoming in [&mut ours.incoming, &mut theirs] {
        let close = incoming.iter().position(|one| matches!(one, Incoming::Close(_)));
        incoming.truncate(close.map_or(usize::MAX, |at| at + 1));
    }
    // 1014 is in the IANA registry, and unknown to them.
    if let Some(Incoming::Close(Some((code, _)))) = ours.incoming.last()
        && code.value() == 1014
    {
        assert_eq!(ours.incoming.len(), theirs.len());
        drop((ours.incoming.pop(), theirs.pop()));
    }
    match ours.end {
        End::Waiting { .. } => assert_eq!(ours.incoming, theirs, "{error}"),
        // They are more lenient, but never with what came before.
        End::Failed(error) => assert!(theirs.starts_with(&ours.incoming), "{error:?}: {theirs:?}"),
    }
}

#[test]
fn the_corpus_of_frames_keeps_every_promise() {
    crate::fuzzing::replay("websocket_frames", fuzz_frames);
}

#[test]
fn the_corpus_of_messages_keeps_every_promise() {
    crate::fuzzing::replay("websocket_messages", fuzz_messages);
}
