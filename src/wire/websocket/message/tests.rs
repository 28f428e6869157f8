//! Tests of the message reader: one behaviour each.

use super::super::client::{fragment, frame, header};
use super::super::properties::{End, read_in_pieces};
use super::*;
use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};

const LIMITS: MessageLimits = MessageLimits { message_bytes_max: 1 << 20, fragments_max: 128 };

/// Everything in these bytes, which end with a whole message; the same at every split.
fn read_all(bytes: &[u8]) -> Vec<Incoming> {
    let outcome = read_in_pieces(bytes, &LIMITS, std::iter::empty());
    let is_idle =
        End::Waiting { message_is_unfinished: false, is_idle: true, partial_header: Vec::new() };
    assert_eq!(outcome.end, is_idle);
    for split in (0..=bytes.len()).take(400) {
        assert_eq!(read_in_pieces(bytes, &LIMITS, [split].into_iter()), outcome, "split {split}");
    }
    outcome.incoming
}

/// What these bytes fail with; the same at every split.
fn read_error(bytes: &[u8], limits: &MessageLimits) -> ProtocolError {
    let outcome = read_in_pieces(bytes, limits, std::iter::empty());
    for split in (0..=bytes.len()).take(400) {
        assert_eq!(read_in_pieces(bytes, limits, [split].into_iter()), outcome, "split {split}");
    }
    match outcome.end {
        End::Failed(error) => error,
        End::Waiting { .. } => panic!("no error in {bytes:02x?}, but {:?}", outcome.incoming),
    }
}

fn text(text: &str) -> Incoming {
    Incoming::Text(text.to_owned())
}

#[test]
fn single_frames_are_messages() {
    let bytes = [frame(Text, b"Hello"), frame(Binary, &[0, 255]), frame(Text, b"")].concat();
    let expected = [text("Hello"), Incoming::Binary(vec![0, 255]), text("")];
    assert_eq!(read_all(&bytes), expected);
}

#[test]
fn fragments_are_joined() {
    let bytes = [
        fragment(false, Text, b"Hel"),
        fragment(false, Continuation, b""),
        frame(Continuation, b"lo"),
    ];
    assert_eq!(read_all(&bytes.concat()), [text("Hello")]);
}

#[test]
fn control_frames_between_fragments_come_out_at_once_and_leave_the_message_alone() {
    let bytes = [
        fragment(false, Binary, b"ab"),
        frame(Ping, b"are you there"),
        fragment(false, Continuation, b"cd"),
        frame(Pong, b"dropped"),
        frame(Continuation, b"ef"),
    ];
    let expected = [
        Incoming::Ping(b"are you there".to_vec()),
        Incoming::Pong,
        Incoming::Binary(b"abcdef".to_vec()),
    ];
    assert_eq!(read_all(&bytes.concat()), expected);
}

#[test]
fn control_frames_may_be_empty_or_of_125_bytes() {
    let long = [b'x'; 125];
    let bytes = [frame(Ping, b""), frame(Ping, &long), frame(Pong, b""), frame(Pong, &long)];
    let expected =
        [Incoming::Ping(Vec::new()), Incoming::Ping(long.to_vec()), Incoming::Pong, Incoming::Pong];
    assert_eq!(read_all(&bytes.concat()), expected);
}

#[test]
fn a_close_has_a_code_and_reason_or_none() {
    assert_eq!(read_all(&frame(Close, b"")), [Incoming::Close(None)]);
    let close = Incoming::Close(Some((CloseCode::GOING_AWAY, "bye".to_owned())));
    assert_eq!(read_all(&frame(Close, b"\x03\xe9bye")), [close]);
}

#[test]
fn a_close_may_come_in_the_middle_of_a_message() {
    let bytes = [fragment(false, Text, b"never fin"), frame(Close, b"")].concat();
    let outcome = read_in_pieces(&bytes, &LIMITS, bytes.iter().map(|_| 1));
    assert_eq!(outcome.incoming, [Incoming::Close(None)]);
}

#[test]
fn a_bad_close_body_is_an_error() {
    let error = |body: &[u8]| read_error(&frame(Close, body), &LIMITS);
    assert_eq!(error(b"\x03"), ProtocolError::CloseTooShort);
    assert_eq!(error(b"\x03\xed"), ProtocolError::CloseCodeInvalid);
    assert_eq!(error(b"\x03\xe8\xff"), ProtocolError::InvalidUtf8);
}

#[test]
fn a_continuation_needs_a_beginning() {
    let error = ProtocolError::UnexpectedContinuation;
    assert_eq!(read_error(&frame(Continuation, b"x"), &LIMITS), error);
    // A control frame is no beginning, and a message that has ended is none any more.
    let bytes = [frame(Ping, b""), frame(Text, b"x"), fragment(false, Continuation, b"")];
    assert_eq!(read_error(&bytes.concat(), &LIMITS), error);
}

#[test]
fn a_message_must_end_before_the_next_begins() {
    for opcode in [Text, Binary] {
        let bytes = [fragment(false, Text, b"x"), frame(opcode, b"y")].concat();
        assert_eq!(read_error(&bytes, &LIMITS), ProtocolError::ExpectedContinuation);
    }
}

#[test]
fn a_message_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let limits = MessageLimits { message_bytes_max: 300, fragments_max: 2 };
    for (first, second, passes) in
        [(0, 300, true), (150, 150, true), (300, 0, true), (299, 2, false)]
    {
        let bytes =
            [fragment(false, Binary, &vec![1; first]), frame(Continuation, &vec![2; second])]
                .concat();
        if passes {
            let outcome = read_in_pieces(&bytes, &limits, std::iter::empty());
            assert_eq!(outcome.incoming.len(), 1, "{first} + {second}");
        } else {
            assert_eq!(read_error(&bytes, &limits), ProtocolError::MessageTooBig);
        }
    }
    assert_eq!(read_error(&frame(Text, &[b'x'; 301]), &limits), ProtocolError::MessageTooBig);
}

#[test]
fn a_length_beyond_the_limit_is_refused_with_the_header_and_nothing_is_allocated() {
    for length in [LIMITS.message_bytes_max + 1, 1 << 32, usize::MAX >> 1] {
        let mut reader = MessageReader::default();
        let error = reader.read(&mut header(true, Binary, length), &LIMITS);
        assert_eq!(error, Err(ProtocolError::MessageTooBig), "{length}");
        assert_eq!(reader.allocated_bytes(), 0);
    }
}

#[test]
fn a_sum_of_lengths_cannot_overflow() {
    let limits = MessageLimits { message_bytes_max: usize::MAX, fragments_max: 9 };
    let mut bytes =
        [fragment(false, Binary, b"xy"), header(true, Continuation, usize::MAX >> 1)].concat();
    let mut reader = MessageReader::default();
    // 2 + 2^63 - 1 still fits; a second such frame does not.
    assert_eq!(reader.read(&mut bytes, &limits), Ok((bytes.len(), None)));
    let mut message = Message::new(Binary);
    let half = (usize::MAX >> 1) as u64;
    assert!(message.admit(half, &limits).is_ok());
    assert!(message.admit(half, &limits).is_ok());
    assert!(message.admit(1, &limits).is_ok());
    assert_eq!(message.admit(1, &limits), Err(ProtocolError::MessageTooBig));
}

#[test]
fn a_declared_length_is_not_allocated_before_it_arrives() {
    let mut reader = MessageReader::default();
    let mut bytes = header(true, Binary, 1 << 20);
    assert_eq!(reader.read(&mut bytes, &LIMITS), Ok((14, None)));
    assert_eq!(reader.allocated_bytes(), 0);
    assert_eq!(reader.read(&mut [0], &LIMITS), Ok((1, None)));
    assert_eq!(reader.allocated_bytes(), AHEAD_BYTES_MAX);
    assert_eq!(reader.read(&mut [0; 10_000], &LIMITS), Ok((10_000, None)));
    assert!(reader.allocated_bytes() <= 2 * 10_001);
}

#[test]
fn a_message_that_is_all_there_is_allocated_once_and_exactly() {
    for length in [1, 10_000] {
        let mut bytes = frame(Text, &vec![b'x'; length]);
        let read = MessageReader::default().read(&mut bytes, &LIMITS);
        let Ok((_, Some(Incoming::Text(text)))) = read else { panic!("not a text: {read:?}") };
        assert_eq!((text.len(), text.capacity()), (length, length));
    }
}

#[test]
fn empty_fragments_count() {
    let limits = MessageLimits { message_bytes_max: 100, fragments_max: 3 };
    let empty = fragment(false, Continuation, b"");
    let within = [fragment(false, Text, b""), empty.clone(), frame(Continuation, b"")].concat();
    let outcome = read_in_pieces(&within, &limits, std::iter::empty());
    assert_eq!(outcome.incoming, [text("")]);
    let beyond = [fragment(false, Text, b""), empty.clone(), empty.clone(), empty].concat();
    let error = read_error(&beyond, &limits);
    assert_eq!(error, ProtocolError::TooManyFragments);
    assert_eq!(error.close_code(), CloseCode::TOO_BIG);
}

#[test]
fn control_frames_between_fragments_do_not_count() {
    let limits = MessageLimits { message_bytes_max: 2, fragments_max: 2 };
    let mut bytes = fragment(false, Text, b"a");
    for _ in 0..50 {
        bytes.extend(frame(Ping, b"long enough to be over the limit"));
    }
    bytes.extend(frame(Continuation, b"b"));
    let outcome = read_in_pieces(&bytes, &limits, std::iter::empty());
    assert_eq!(outcome.incoming.last(), Some(&text("ab")));
}

#[test]
fn text_may_be_split_inside_a_character() {
    let whole = "κόσμε 😀";
    let bytes = whole.as_bytes();
    for split in 0..=bytes.len() {
        let frames = [
            fragment(false, Text, &bytes[..split]),
            frame(Ping, b""),
            frame(Continuation, &bytes[split..]),
        ];
        assert_eq!(read_all(&frames.concat()), [Incoming::Ping(Vec::new()), text(whole)]);
    }
}

#[test]
fn text_that_cannot_be_utf8_fails_at_that_byte_and_not_at_the_end_of_the_frame() {
    // Autobahn 6.4: a valid beginning, then a code point beyond U+10FFFF.
    let payload = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";
    let mut bytes = fragment(false, Text, payload);
    let header_bytes = bytes.len() - payload.len();
    let mut reader = MessageReader::default();
    let (before, from) = bytes.split_at_mut(header_bytes + 12);
    assert_eq!(reader.read(before, &LIMITS), Ok((before.len(), None)));
    assert_eq!(reader.read(&mut from[..1], &LIMITS), Err(ProtocolError::InvalidUtf8));
}

#[test]
fn text_that_ends_inside_a_character_is_refused() {
    let error = read_error(&frame(Text, b"x\xe2\x9c"), &LIMITS);
    assert_eq!(error, ProtocolError::InvalidUtf8);
    let bytes = [fragment(false, Text, b"\xe2\x9c"), frame(Continuation, b"")].concat();
    assert_eq!(read_error(&bytes, &LIMITS), ProtocolError::InvalidUtf8);
}

#[test]
fn binary_messages_may_hold_anything() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(read_all(&frame(Binary, &all)), [Incoming::Binary(all)]);
}

#[test]
fn a_reader_says_what_is_pending() {
    let mut reader = MessageReader::default();
    let pending = |reader: &MessageReader| (reader.is_idle(), reader.message_is_unfinished());
    assert_eq!(pending(&reader), (true, false));
    // Part of a header is the caller's to keep.
    assert_eq!(reader.read(&mut [0x81, 0x85, 0x37], &LIMITS), Ok((0, None)));
    assert_eq!(pending(&reader), (true, false));
    // Part of a ping is pending, but no message is.
    let mut ping = frame(Ping, b"x");
    let (head, tail) = ping.split_at_mut(6);
    assert_eq!(reader.read(head, &LIMITS), Ok((6, None)));
    assert_eq!(pending(&reader), (false, false));
    assert_eq!(reader.read(tail, &LIMITS), Ok((1, Some(Incoming::Ping(b"x".to_vec())))));
    assert_eq!(pending(&reader), (true, false));
    // A message is unfinished from its first header, through its fragments, to its end.
    let mut begun = [fragment(false, Text, b""), frame(Pong, b"")].concat();
    assert_eq!(reader.read(&mut begun, &LIMITS), Ok((12, Some(Incoming::Pong))));
    assert_eq!(pending(&reader), (false, true));
    assert_eq!(reader.read(&mut [], &LIMITS), Ok((0, None)));
    let mut end = frame(Continuation, b"x");
    assert_eq!(reader.read(&mut end, &LIMITS), Ok((7, Some(text("x")))));
    assert_eq!(pending(&reader), (true, false));
    assert_eq!(reader.allocated_bytes(), 0);
}

#[test]
fn a_reader_is_small() {
    assert!(size_of::<MessageReader>() <= 128, "{}", size_of::<MessageReader>());
}
