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

/// Appends a valid JSON text with its line breaks replaced by spaces. Inside strings they can only be
/// escaped (RFC 8259 §7), so every CR or LF byte is white space between tokens.
pub fn encode_on_one_line(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
}

/// Appends `text` as a JSON string, quotes included.
pub fn encode_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing a string to a vector cannot fail");
}

/// Appends `number` in decimal digits.
pub fn encode_integer(out: &mut Vec<u8>, number: u64) {
    serde_json::to_writer(out, &number).expect("writing a number to a vector cannot fail");
}

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
}
