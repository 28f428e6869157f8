//! The characters and lists of fields, targets and chunk lines (RFC 9110 §5.6, RFC 3986).
//!
//! White space is SP and HTAB, nothing else: what Unicode calls white space has no meaning in HTTP,
//! and a recipient that trims it reads another message than its neighbour.

/// tchar (RFC 9110 §5.6.2).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
        )
        || matches!(byte, b'`' | b'|' | b'~')
}

/// token = 1*tchar.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

/// What may stand in a field value: HTAB, SP, VCHAR and obs-text (RFC 9110 §5.5).
pub(super) const fn is_field_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff)
}

/// pchar without pct-encoded (RFC 3986 §3.3): unreserved, sub-delims, `:` and `@`.
pub(super) const fn is_path_byte(byte: u8) -> bool {
    is_unreserved_or_sub_delim(byte) || matches!(byte, b':' | b'@')
}

/// unreserved and sub-delims (RFC 3986 §2.2, §2.3).
pub(super) const fn is_unreserved_or_sub_delim(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// The value of one hexadecimal digit, either case.
pub(super) const fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(byte.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

/// Whether `bytes` consist of `allowed` bytes and whole percent-encodings (RFC 3986 §2.1).
pub(super) fn is_encoded_text(bytes: &[u8], allowed: impl Fn(u8) -> bool) -> bool {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, tail @ ..] if hex_value(*high).and(hex_value(*low)).is_some() => tail,
            [byte, tail @ ..] if *byte != b'%' && allowed(*byte) => tail,
            _ => return false,
        };
    }
}

/// Without the SP and HTAB around it (OWS, RFC 9110 §5.6.3).
pub(super) fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Digits only, at least one. A number too large to count saturates.
///
/// `str::parse` is no good here: it accepts `+5`.
pub(super) fn parse_digits(bytes: &[u8]) -> Option<Digits> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut value = 0u64;
    for byte in bytes {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        match value.checked_mul(10).and_then(|value| value.checked_add(digit)) {
            Some(larger) => value = larger,
            None => return Some(Digits::TooLarge),
        }
    }
    Some(Digits::Value(value))
}

/// What a run of digits says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    /// A number of 64 bits.
    Value(u64),
    /// 2^64 or more.
    TooLarge,
}

/// The parts of `bytes` between `separator`s, trimmed; empty parts are given too.
///
/// A separator inside a quoted string (RFC 9110 §5.6.4) does not count; a string that is not closed
/// reaches to the end. Each byte is looked at once.
pub(super) fn split_unquoted(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    bytes
        .split(move |byte| {
            if quoted {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => quoted = false,
                    _ => {}
                }
                return false;
            }
            quoted = *byte == b'"';
            *byte == separator
        })
        .map(trim_ows)
}

/// The inside of a quoted string without escapes, or the bytes themselves.
pub(super) fn unquote(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'"', inside @ .., b'"'] => inside,
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_space_and_tab_are_trimmed() {
        assert_eq!(trim_ows(b" \t a b\t "), b"a b");
        assert_eq!(trim_ows(b" \t"), b"");
        assert_eq!(trim_ows(b"\x0ba\xa0"), b"\x0ba\xa0");
        assert_eq!(trim_ows("\u{a0}a\u{85}".as_bytes()), "\u{a0}a\u{85}".as_bytes());
    }

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        assert_eq!(parse_digits(b"0"), Some(Digits::Value(0)));
        assert_eq!(parse_digits(b"18446744073709551615"), Some(Digits::Value(u64::MAX)));
        assert_eq!(parse_digits(b"18446744073709551616"), Some(Digits::TooLarge));
        for wrong in ["", "+5", "-5", "5 ", "0x5", "5_0", "５"] {
            assert_eq!(parse_digits(wrong.as_bytes()), None, "{wrong:?}");
        }
        // A long number with a letter at its end is wrong before it is large.
        assert_eq!(parse_digits(b"99999999999999999999999x"), None);
    }

    #[test]
    fn a_separator_inside_quotes_does_not_separate() {
        let parts: Vec<_> = split_unquoted(br#"a , "b,\",c",, d "x,y"#, b',').collect();
        assert_eq!(parts, [&b"a"[..], br#""b,\",c""#, b"", br#"d "x,y"#]);
    }

    #[test]
    fn a_percent_sign_needs_two_digits_behind_it() {
        assert!(is_encoded_text(b"/a%2Fb%aF", |byte| byte == b'/' || is_path_byte(byte)));
        for wrong in ["%", "%4", "%zz", "a%2", "%%41", "a b", "\u{e9}"] {
            assert!(!is_encoded_text(wrong.as_bytes(), is_path_byte), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_has_the_fifteen_marks_and_letters_and_digits() {
        assert_eq!((0..=255).filter(|byte| is_token_byte(*byte)).count(), 15 + 62);
        assert!(!is_token(b""));
    }
}
