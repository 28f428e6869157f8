//! What must hold of any payload that says that it is JSON, and of any text that becomes a string.

use serde_json::Value;

use super::*;

/// For fuzzing: checks `bytes` as a JSON text, and writes them as a string.
///
/// # Panics
/// If a text is taken that is none, or too deep; if one is refused that is a text; if what is written on one
/// line is not on one line to everybody, or is not the same text.
pub fn fuzz_json(bytes: &[u8]) {
    let value = serde_json::from_slice::<Value>(bytes);
    match check(bytes) {
        Ok(text) => {
            assert_eq!(text.as_bytes(), bytes.trim_ascii());
            let mut line = Vec::new();
            encode_on_one_line(&mut line, text);
            check_line(&line);
            assert!(check(&line).is_ok());
            // What is taken, a common parser takes as well (RFC 8259 §6, §8.2).
            let value = value.expect("every reader can take it");
            assert!(depth_of(&value) <= DEPTH_MAX);
            assert_eq!(serde_json::from_slice::<Value>(&line).ok(), Some(value));
        }
        Err(JsonError::Invalid) => assert!(value.is_err(), "{value:?}"),
        Err(JsonError::TooDeep) => {
            // The parser stops at a depth of 128 by itself, and at whatever else is wrong.
            assert!(value.map_or(true, |value| depth_of(&value) > DEPTH_MAX));
            assert!(serde_json::from_slice::<&RawValue>(bytes).is_ok());
        }
        Err(JsonError::HalfSurrogate | JsonError::NumberTooLarge) => {
            assert!(value.is_err(), "{value:?}");
            assert!(serde_json::from_slice::<&RawValue>(bytes).is_ok());
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let mut line = Vec::new();
    encode_string(&mut line, &text);
    check_line(&line);
    assert_eq!(serde_json::from_slice::<String>(&line).ok().as_deref(), Some(text.as_ref()));
}

/// Nobody sees more than one line: not readers of text, of JSON, or of Unicode.
fn check_line(line: &[u8]) {
    let text = str::from_utf8(line).expect("JSON is UTF-8");
    let ends = [
        '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}',
        '\u{2029}',
    ];
    assert!(!text.contains(ends), "{text:?}");
}

fn depth_of(value: &Value) -> u32 {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn the_corpus_of_json_texts_keeps_every_promise() {
    crate::fuzzing::replay("json", fuzz_json);
}
