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
            // Of what the grammar allows it takes all but numbers beyond a double's and escapes of half a
            // character (RFC 8259 §6, §8.2).
            match value {
                Ok(value) => {
                    assert!(depth_of(&value) <= DEPTH_MAX);
                    assert_eq!(serde_json::from_slice::<Value>(&line).ok(), Some(value));
                }
                Err(error) => {
                    let is_number = error.to_string().contains("number out of range");
                    assert!(is_number || text.contains("\\u"), "{error}");
                }
            }
        }
        Err(JsonError::Invalid | JsonError::HalfSurrogate | JsonError::NumberTooLarge) => {
            assert!(value.is_err(), "{value:?}");
        }
        // It stops at a depth of 128 by itself.
        Err(JsonError::TooDeep) => assert!(
            value.is_ok_and(|value| depth_of(&value) > DEPTH_MAX)
                || depth(str::from_utf8(bytes).unwrap_or_default()) > 127
        ),
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

/// How deep a text is nested that may be too deep to be read.
fn depth(text: &str) -> u32 {
    let (mut depth, mut deepest) = (0_u32, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => (),
                    }
                }
            }
            _ => (),
        }
    }
    deepest
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
