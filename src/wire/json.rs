//! JSON texts (RFC 8259) that pass through: checked, put on one line, and written as strings.
//!
//! Parsing itself is serde_json's. Its check of a text that is only passed on bounds neither nesting nor
//! numbers, and lets half a surrogate pair through. An answer holds the messages of many publishers, and a
//! reader who fails at one of them has lost all; so what a common parser fails at is refused.

use serde_json::value::RawValue;

/// Depth of nesting that a payload may have.
pub const DEPTH_MAX: u32 = 100;

/// The largest double is about 1.8e308.
const DIGITS_ALWAYS_FIT: usize = 308;

/// Why a text is not accepted as JSON.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not one JSON text in UTF-8.
    Invalid,
    /// Nested more than [`DEPTH_MAX`] deep.
    TooDeep,
    /// A string with half a surrogate pair (RFC 8259 §8.2: what readers make of it is unpredictable).
    HalfSurrogate,
    /// A number that no double can hold (RFC 8259 §6 allows such a limit).
    NumberTooLarge,
}

impl JsonError {
    /// What is wrong and what to do.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Invalid => {
                "The content type says JSON, and the payload is not valid JSON. Mend it, or publish it with another content type."
            }
            Self::TooDeep => "The JSON of the payload is nested more than 100 deep. Flatten it.",
            Self::HalfSurrogate => {
                "The JSON of the payload has half a surrogate pair. Escape a character with both halves, or not at all."
            }
            Self::NumberTooLarge => {
                "The JSON of the payload has a number that is too large for a double. Send it as a string."
            }
        }
    }
}

/// Checks that `bytes` are one JSON text that every reader can take: nested at most [`DEPTH_MAX`] deep,
/// with whole characters and finite numbers. Returns it without the white space around it.
pub fn check(bytes: &[u8]) -> Result<&str, JsonError> {
    let text: &RawValue = serde_json::from_slice(bytes).map_err(|_| JsonError::Invalid)?;
    examine(text.get())?;
    Ok(text.get())
}

/// Looks for what is valid, and yet too much for some readers. Each byte is looked at once.
fn examine(text: &str) -> Result<(), JsonError> {
    let (mut depth, mut rest) = (0_u32, text.as_bytes());
    while let [byte, behind @ ..] = rest {
        rest = match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(JsonError::TooDeep);
                }
                behind
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                behind
            }
            b'"' => behind_string(behind)?,
            b'-' | b'0'..=b'9' => behind_number(rest)?,
            _ => behind,
        };
    }
    Ok(())
}

/// What follows a string whose first quote is gone.
fn behind_string(mut rest: &[u8]) -> Result<&[u8], JsonError> {
    loop {
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
        rest = match rest.get(plain..).unwrap_or_default() {
            // RFC 8259 §7: \ud800 to \udbff, then \udc00 to \udfff.
            [
                b'\\',
                b'u',
                b'd' | b'D',
                b'8' | b'9' | b'a' | b'A' | b'b' | b'B',
                _,
                _,
                second @ ..,
            ] => match second {
                [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', _, _, behind @ ..] => behind,
                _ => return Err(JsonError::HalfSurrogate),
            },
            [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..] => {
                return Err(JsonError::HalfSurrogate);
            }
            [b'\\', _, behind @ ..] => behind,
            [_, behind @ ..] => return Ok(behind),
            [] => return Ok(&[]),
        };
    }
}

/// What follows the number that `rest` begins with.
fn behind_number(rest: &[u8]) -> Result<&[u8], JsonError> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let end = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
    let (number, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    // Without an exponent, 308 digits fit whatever they are.
    if number.len() > DIGITS_ALWAYS_FIT || number.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        let value = std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
        if !value.is_some_and(f64::is_finite) {
            return Err(JsonError::NumberTooLarge);
        }
    }
    Ok(behind)
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
    fn half_a_surrogate_pair_is_refused_wherever_it_stands() {
        for whole in
            [r#""\ud83d\ude00""#, r#""\uD83D\uDE00\ud7ff\ue000""#, r#""\\ud800""#, r#""d800""#]
        {
            assert!(check(whole.as_bytes()).is_ok(), "{whole}");
        }
        for half in [
            r#""\ud800""#,
            r#""\udfff""#,
            r#""\ude00\ud83d""#,
            r#""\ud83d \ude00""#,
            r#""\ud83d\ud83d\ude00""#,
            r#""\uDBFF\n""#,
            r#""\\\ud800""#,
            r#"[1, {"\ud800": 1}]"#,
        ] {
            assert_eq!(check(half.as_bytes()), Err(JsonError::HalfSurrogate), "{half}");
        }
    }

    #[test]
    fn a_number_must_fit_a_double() {
        let digits = |count: usize| "9".repeat(count);
        for fits in
            ["0", "-0", "1e308", "1.7976931348623157e+308", "1e-9999", &digits(308), "\"1e999\""]
        {
            assert!(check(fits.as_bytes()).is_ok(), "{fits}");
        }
        assert!(check(format!("0.{}", digits(1_000)).as_bytes()).is_ok());
        for large in ["1e309", "-1E+400", "[1,2e999999999999]", "{\"a\":18e307}", &digits(310)] {
            assert_eq!(check(large.as_bytes()), Err(JsonError::NumberTooLarge), "{large}");
        }
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
