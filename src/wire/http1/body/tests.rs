//! How bodies are read, and which are refused.

use super::super::properties::{BODY_LIMITS, every_split, mutations};
use super::super::{LAST_CHUNK, encode_chunk_size};
use super::*;

/// What a whole read comes to: input used, payload, whether it is complete.
type Outcome = Result<(usize, Vec<u8>, bool), BodyError>;

/// Reads `input` as it arrives at `ends`, never more than `room` bytes of payload at a time.
fn read_in_parts(framing: Framing, input: &[u8], ends: &[usize], room: usize) -> Outcome {
    let mut reader = BodyReader::new(framing, &BODY_LIMITS);
    let (mut payload, mut used) = (Vec::new(), 0);
    for end in ends {
        loop {
            let before = payload.len();
            let part = reader.read(&input[used..*end], &mut payload, room)?;
            assert!(payload.len() - before <= room);
            used += part;
            if part == 0 {
                break;
            }
        }
    }
    assert_eq!(reader.bytes_read(), payload.len() as u64);
    Ok((used, payload, reader.is_complete()))
}

fn read(framing: Framing, input: &[u8]) -> Outcome {
    read_in_parts(framing, input, &[input.len()], usize::MAX)
}

fn chunked_error(input: &[u8]) -> Option<BodyError> {
    read(Framing::Chunked, input).err()
}

const CHUNKED: &[u8] = b"5;a;b=c;d=\"e\\\"\"\r\nhello\r\nA\r\n, world!!!\r\n0\r\nX: y\r\n\r\n";

#[test]
fn a_request_without_framing_has_no_body() {
    assert_eq!(read(Framing::None, b"GET / "), Ok((0, vec![], true)));
}

#[test]
fn a_length_is_read_to_its_end_and_no_further() {
    assert_eq!(read(Framing::Length(5), b"helloGET"), Ok((5, b"hello".to_vec(), true)));
    assert_eq!(read(Framing::Length(5), b"hell"), Ok((4, b"hell".to_vec(), false)));
    assert_eq!(read(Framing::Length(0), b"GET"), Ok((0, vec![], true)));
}

#[test]
fn chunks_are_joined_and_extensions_and_trailers_dropped() {
    let next = [CHUNKED, b"GET / HTTP/1.1\r\n"].concat();
    let expected = Ok((CHUNKED.len(), b"hello, world!!!".to_vec(), true));
    assert_eq!(read(Framing::Chunked, &next), expected);
}

#[test]
fn any_split_and_any_room_give_the_same_body_or_error() {
    for input in mutations(CHUNKED) {
        let at_once = read(Framing::Chunked, &input);
        every_split(&input, |ends| {
            for room in [1, 3, usize::MAX] {
                let in_parts = read_in_parts(Framing::Chunked, &input, ends, room);
                assert_eq!(in_parts, at_once, "{} {ends:?}", input.escape_ascii());
            }
        });
        fuzz_chunked(&input);
    }
}

#[test]
fn only_three_statuses_come_out_of_broken_bodies() {
    for input in mutations(CHUNKED) {
        if let Some(error) = chunked_error(&input) {
            assert!([400, 413, 431].contains(&error.status().code()), "{error:?}");
            assert!(error.detail().ends_with('.'));
        }
    }
}

#[test]
fn chunks_that_are_encoded_are_read_back() {
    for size in [1, 2, 15, 16, 17, 1000, 65_536] {
        let payload: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let mut encoded = Vec::new();
        for chunk in payload.chunks(size) {
            encode_chunk_size(&mut encoded, chunk.len());
            encoded.extend_from_slice(chunk);
            encoded.extend_from_slice(b"\r\n");
        }
        encoded.extend_from_slice(LAST_CHUNK);
        assert_eq!(read(Framing::Chunked, &encoded), Ok((encoded.len(), payload, true)));
    }
}

#[test]
fn without_room_data_waits_but_framing_is_read() {
    let mut reader = BodyReader::new(Framing::Chunked, &BODY_LIMITS);
    let mut payload = Vec::new();
    assert_eq!(reader.read(b"2\r\nab\r\n0\r\n\r\n", &mut payload, 0), Ok(3));
    assert_eq!(reader.read(b"ab\r\n0\r\n\r\n", &mut payload, 2), Ok(9));
    assert!(reader.is_complete());
}

#[test]
fn a_length_beyond_the_limit_fails_before_anything_is_read() {
    let max = BODY_LIMITS.payload_bytes_max;
    let mut reader = BodyReader::new(Framing::Length(max + 1), &BODY_LIMITS);
    assert!(!reader.is_complete());
    assert_eq!(reader.read(b"", &mut Vec::new(), 1), Err(BodyError::TooLarge));
    let mut reader = BodyReader::new(Framing::Length(max), &BODY_LIMITS);
    assert_eq!(reader.read(b"", &mut Vec::new(), 1), Ok(0));
}

#[test]
fn chunks_beyond_the_limit_fail_at_their_size() {
    assert_eq!(chunked_error(b"100001"), Some(BodyError::TooLarge));
    assert_eq!(chunked_error(b"100000\r\n"), None);
    let limits = BodyLimits { payload_bytes_max: 4, ..BODY_LIMITS };
    let mut reader = BodyReader::new(Framing::Chunked, &limits);
    let mut payload = Vec::new();
    assert_eq!(reader.read(b"3\r\nabc\r\n2", &mut payload, 9), Err(BodyError::TooLarge));
    assert_eq!(reader.bytes_read(), 3);
}

#[test]
fn without_a_limit_a_size_of_64_bits_is_waited_for_and_a_second_one_refused() {
    let limits = BodyLimits { payload_bytes_max: u64::MAX, ..BODY_LIMITS };
    let mut reader = BodyReader::new(Framing::Chunked, &limits);
    let mut payload = Vec::new();
    assert_eq!(reader.read(b"FFFFFFFFFFFFFFFF\r\nab", &mut payload, 9), Ok(20));
    let mut reader = BodyReader::new(Framing::Chunked, &limits);
    let outcome = reader.read(b"1\r\na\r\nFFFFFFFFFFFFFFFF\r\n", &mut payload, 9);
    assert_eq!(outcome, Err(BodyError::TooLarge));
}

#[test]
fn an_error_stays() {
    let mut reader = BodyReader::new(Framing::Chunked, &BODY_LIMITS);
    let mut payload = Vec::new();
    assert_eq!(reader.read(b"x", &mut payload, 9), Err(BodyError::InvalidChunkSize));
    assert_eq!(reader.read(b"0\r\n\r\n", &mut payload, 9), Err(BodyError::InvalidChunkSize));
    assert!(!reader.is_complete());
}

#[test]
fn extensions_that_outweigh_the_payload_are_refused() {
    let chunk = format!("1;{}\r\nx\r\n", "a".repeat(200));
    assert_eq!(chunked_error(chunk.repeat(50).as_bytes()), None);
    assert_eq!(chunked_error(chunk.repeat(100).as_bytes()), Some(BodyError::TooMuchFraming));
    // Chunks of a byte without extensions may go on to the limit.
    assert_eq!(chunked_error("1\r\nx\r\n".repeat(100_000).as_bytes()), None);
}

#[test]
fn a_chunk_line_of_exactly_the_limit_is_taken() {
    let line = |bytes: usize| format!("5;{}\r\n", "a".repeat(bytes - 2));
    assert_eq!(chunked_error(line(256).as_bytes()), None);
    assert_eq!(chunked_error(line(257).as_bytes()), Some(BodyError::ChunkLineTooLong));
}

#[test]
fn trailers_are_counted_and_measured() {
    let body = |line: &str, lines: usize| format!("0\r\n{}\r\n", line.repeat(lines));
    assert_eq!(chunked_error(body("a: b\r\n", 16).as_bytes()), None);
    let error = chunked_error(body("a: b\r\n", 17).as_bytes());
    assert_eq!(error, Some(BodyError::TrailersTooLarge));
    let long = format!("a: {}\r\n", "b".repeat(4096 - 5));
    assert_eq!(chunked_error(body(&long, 1).as_bytes()), None);
    let error = chunked_error(body(&format!("b{long}"), 1).as_bytes());
    assert_eq!(error, Some(BodyError::TrailersTooLarge));
}
