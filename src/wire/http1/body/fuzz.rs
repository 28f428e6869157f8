//! What must hold of any chunked body, whatever is sent.

use super::super::{LAST_CHUNK, encode_chunk_size};
use super::*;
use crate::fuzzing::arrivals;

/// Small, so that short inputs reach them.
const LIMITS: BodyLimits = BodyLimits {
    payload_bytes_max: 1024,
    chunk_line_bytes_max: 64,
    trailers_max: 4,
    trailer_bytes_max: 256,
};

/// For fuzzing: reads `bytes` as a chunked body, and writes them as one.
///
/// # Panics
/// If what comes of it depends on how it arrives or how much room there is; if more is read than is there or
/// allowed; if it is refused with a status that is not documented; if a body that is taken is another one to
/// a reader of lines; if what is written is not read back.
pub fn fuzz_chunked(bytes: &[u8]) {
    let outcome = read(bytes, &[bytes.len()], usize::MAX);
    for ends in arrivals(bytes) {
        for room in [1, 7, usize::MAX] {
            assert_eq!(read(bytes, &ends, room), outcome, "{ends:?}, room for {room}");
        }
    }
    match outcome {
        Ok((used, payload, is_complete)) => {
            assert!(payload.len() <= 1024 && used <= bytes.len());
            if is_complete {
                assert_eq!(read_elsewhere(&bytes[..used]), payload);
            } else {
                assert_eq!(used, bytes.len(), "it waits, with bytes to read");
            }
        }
        Err(error) => assert!([400, 413, 431].contains(&error.status().code()), "{error:?}"),
    }
    check_written(bytes);
}

/// Bytes used, payload, and whether it is complete.
type Outcome = Result<(usize, Vec<u8>, bool), BodyError>;

fn read(bytes: &[u8], ends: &[usize], room: usize) -> Outcome {
    let mut reader = BodyReader::new(Framing::Chunked, &LIMITS);
    let (mut payload, mut used) = (Vec::new(), 0);
    for &end in ends {
        loop {
            let before = payload.len();
            let part = reader.read(&bytes[used..end], &mut payload, room)?;
            assert!(payload.len() - before <= room && used + part <= end);
            used += part;
            if part == 0 {
                break;
            }
        }
        assert_eq!(reader.bytes_read(), payload.len() as u64);
    }
    Ok((used, payload, reader.is_complete()))
}

/// A complete body, as somebody reads it who trusts it.
fn read_elsewhere(bytes: &[u8]) -> Vec<u8> {
    let (mut payload, mut rest) = (Vec::new(), bytes);
    loop {
        let size = httparse::parse_chunk_size(rest);
        let Ok(httparse::Status::Complete((start, size))) = size else {
            panic!("no chunk size elsewhere")
        };
        assert!(rest[..start].ends_with(b"\r\n"));
        let size = usize::try_from(size).expect("a small chunk");
        if size == 0 {
            rest = &rest[start..];
            break;
        }
        payload.extend_from_slice(&rest[start..start + size]);
        rest = rest[start + size..].strip_prefix(b"\r\n").expect("CRLF behind a chunk");
    }
    let mut fields = [httparse::EMPTY_HEADER; 8];
    let trailers = httparse::parse_headers(rest, &mut fields).expect("trailers are fields");
    assert!(matches!(trailers, httparse::Status::Complete((end, _)) if end == rest.len()));
    payload
}

/// Writes a payload in chunks of different sizes, and reads it back.
fn check_written(payload: &[u8]) {
    let payload = &payload[..payload.len().min(1024)];
    let mut body = Vec::new();
    let mut ends = arrivals(payload)[3].clone();
    ends.dedup();
    let mut start = 0;
    for end in ends.into_iter().filter(|end| *end > 0) {
        let chunk = &payload[start..end];
        encode_chunk_size(&mut body, chunk.len());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
        start = end;
    }
    body.extend_from_slice(LAST_CHUNK);
    let length = body.len();
    body.extend_from_slice(b"GET ");
    let outcome = read(&body, &[body.len()], usize::MAX);
    assert_eq!(outcome, Ok((length, payload.to_vec(), true)));
}

#[test]
fn the_corpus_of_chunked_bodies_keeps_every_promise() {
    crate::fuzzing::replay("chunked", fuzz_chunked);
}
