//! What must hold of any request target and the topic's name in it, whatever is sent.

use super::*;
use crate::wire::http1::{HeadLimits, HeadSearch, parse_head, percent_decode};

const LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 4_096, target_bytes_max: 1_024, fields_max: 4 };

/// For fuzzing: takes `bytes` for a request target, for a path segment, and for a name.
///
/// # Panics
/// If a target is taken with a character that RFC 3986 has no place for, or cut elsewhere than at its first
/// question mark; if a segment is decoded otherwise than byte by byte, once; if a name is taken that could
/// end a line, hide itself, or be taken for several; if a name is not the same when it comes back encoded.
pub fn fuzz_target(bytes: &[u8]) {
    check_target(bytes);
    if let Ok(raw) = str::from_utf8(bytes) {
        assert_eq!(percent_decode(raw).as_deref().ok(), decode(raw).as_deref());
        if let Ok(decoded) = percent_decode(raw) {
            check_name(&decoded);
        }
    }
    check_name(bytes);
}

fn check_target(target: &[u8]) {
    let head = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let Ok(Some(end)) = HeadSearch::default().find_end(&head, &LIMITS) else { return };
    let Ok(head) = parse_head(&head[..end], &LIMITS) else { return };
    let target = str::from_utf8(target).expect("what is taken is ASCII");
    assert!(target.len() <= LIMITS.target_bytes_max);
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte)));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    assert_eq!(head.query, query);
    let authority = path.split_once("://").filter(|(scheme, _)| !scheme.contains('/'));
    let path = authority.map_or(path, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    assert_eq!(head.path, path);
}

/// Percent-decoding, byte by byte.
fn decode(raw: &str) -> Option<Vec<u8>> {
    let mut bytes = raw.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        decoded.push(if byte == b'%' {
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

fn check_name(bytes: &[u8]) {
    let is_long = bytes.len() > NAME_BYTES_MAX;
    let text = str::from_utf8(bytes);
    match TopicName::parse(bytes) {
        Ok(name) => {
            assert_eq!(Ok(name.as_str()), text);
            assert!((1..=NAME_BYTES_MAX).contains(&bytes.len()));
            let hidden =
                ['\u{ad}', '\u{200b}', '\u{200f}', '\u{2028}', '\u{202e}', '\u{2066}', '\u{feff}'];
            assert!(!name.as_str().contains([',', '*', '>']) && !name.as_str().contains(hidden));
            assert!(!name.as_str().chars().any(char::is_control));
            let encoded: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
            let decoded = percent_decode(&encoded).expect("it is encoded");
            assert_eq!(TopicName::parse(&decoded), Ok(name));
        }
        Err(NameError::Empty) => assert!(bytes.is_empty()),
        Err(NameError::TooLong) => assert!(is_long),
        Err(NameError::NotUtf8) => assert!(text.is_err()),
        Err(NameError::Reserved) => assert!(text.is_ok_and(|text| text.contains([',', '*', '>']))),
        Err(error @ NameError::Unprintable) => {
            let is_plain = |character: char| character.is_alphanumeric() || character == ' ';
            assert!(text.is_ok_and(|text| !text.chars().all(is_plain)), "{error:?}");
        }
    }
}

#[test]
fn the_corpus_of_targets_keeps_every_promise() {
    crate::fuzzing::replay("target", fuzz_target);
}
