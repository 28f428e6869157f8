//! JSON texts (RFC 8259) that pass through: checked, put on one line, and written as strings.
//!
//! Parsing itself is serde_json's. Its check of a text that is only passed on does not bound the
//! nesting, which would be a gift to whoever wants to crash the parsers of our clients; so we do.

use serde_json::value::RawValue;

/// Depth of nesting that a payload may have.
pub const DEPTH_MAX: u32 = 100;

/// Why a text is not accepted as JSON.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not one JSON text in UTF-8.
    Invalid,
    /// Nested more than [`DEPTH_MAX`] deep.
    TooDeep,
}

impl JsonError {
    /// What is wrong and what to do.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Invalid => {
                "The payload is not valid JSON. Mend it, or publish it with another Content-Type."
            }
            Self::TooDeep => "The JSON is nested more than 100 deep. Flatten it.",
        }
    }
}

/// Checks that `bytes` are one JSON text, nested at most [`DEPTH_MAX`] deep, and returns it without the
/// white space around it.
pub fn check(bytes: &[u8]) -> Result<&str, JsonError> {
    let text: &RawValue = serde_json::from_slice(bytes).map_err(|_| JsonError::Invalid)?;
    if depth(text.get()) > DEPTH_MAX {
        return Err(JsonError::TooDeep);
    }
    Ok(text.get())
}

/// How deep a valid JSON text is nested.
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

/// Characters that some readers of lines take for line ends, though JSON and NDJSON do not.
const LINE_ENDS_OF_OTHERS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Appends a valid JSON text so that everybody sees one line. Inside strings CR and LF can only be
/// escaped (RFC 8259 §7), so those that are there are white space between tokens, and become spaces;
/// the line ends of other standards can only be inside strings, and are escaped.
pub fn encode_on_one_line(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    encode_without_line_ends_of_others(out, text);
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
}

fn encode_without_line_ends_of_others(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(LINE_ENDS_OF_OTHERS) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let mut behind = from.chars();
        if let Some(character) = behind.next() {
            out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
        }
        rest = behind.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Appends `text` as a JSON string, quotes included, which everybody sees as one line.
pub fn encode_string(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    serde_json::to_writer(&mut *out, text).expect("writing a string to a vector cannot fail");
    if text.contains(LINE_ENDS_OF_OTHERS) {
        let string = out.split_off(start);
        let string = std::str::from_utf8(&string).expect("JSON is UTF-8");
        encode_without_line_ends_of_others(out, string);
    }
}

/// Appends `number` in decimal digits.
pub fn encode_integer(out: &mut Vec<u8>, number: u64) {
    serde_json::to_writer(out, &number).expect("writing a number to a vector cannot fail");
}

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_json;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_texts_come_back_trimmed() {
        assert_eq!(check(b" {\"a\": [1, \"]\\\"[\"]}\n"), Ok("{\"a\": [1, \"]\\\"[\"]}"));
    }

    #[test]
    fn texts_that_are_not_json_are_refused() {
        for bad in [&b""[..], b"{", b"{} {}", b"nul", b"\xff", b"\"\n\"", b"NaN", b"01"] {
            assert_eq!(check(bad), Err(JsonError::Invalid), "{bad:?}");
        }
    }

    #[test]
    fn nesting_is_bounded_without_recursion() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(nested(100).as_bytes()).is_ok());
        assert_eq!(check(nested(101).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(check(nested(1_000_000).as_bytes()), Err(JsonError::TooDeep));
        assert!(check(format!("\"{}\"", "[".repeat(500)).as_bytes()).is_ok());
    }

    #[test]
    fn a_pretty_printed_text_fits_one_line() {
        let mut out = Vec::new();
        encode_on_one_line(&mut out, "{\r\n \"a\": \"x\\ny\"\n}");
        assert_eq!(out, b"{   \"a\": \"x\\ny\" }");
    }

    #[test]
    fn readers_who_split_at_other_line_ends_see_one_line_too() {
        let mut out = Vec::new();
        encode_string(&mut out, "a\u{2028}b\u{85}\n");
        encode_on_one_line(&mut out, "[\"\u{2029}\"]");
        assert_eq!(out, br#""a\u2028b\u0085\n"["\u2029"]"#);
    }
}
