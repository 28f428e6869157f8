//! Close codes and the body of a close frame (RFC 6455 §5.5.1, §7.4).

use super::error::ProtocolError;

/// The longest reason that fits behind the code in a control frame of 125 bytes (§5.5), in bytes.
pub const REASON_BYTES_MAX: usize = 123;

/// A close code that may be sent in a frame: 1000-1003, 1007-1014, 3000-4999 (§7.4).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose was fulfilled; also the answer to a client that closes.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint is going away for good.
    pub const GOING_AWAY: Self = Self(1001);
    /// The frames were wrong.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that cannot be taken.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Data that is not what its kind promises: text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A rule of this server was broken.
    pub const POLICY: Self = Self(1008);
    /// A message too big to process.
    pub const TOO_BIG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts: come back after a delay (IANA registry).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The server is overloaded (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// Messages between the cursor and what comes next are gone (docs/protocol.md 4.1).
    pub const GAP: Self = Self(4001);

    /// `None` for a code that must not appear in a frame.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            // RFC 6455 §7.4.1: 1004 is reserved; 1005, 1006 and 1015 MUST NOT be set in a frame.
            1000..=1003 | 1007..=1011 => Some(Self(code)),
            // The IANA registry that §11.7 set up has since given these a meaning.
            1012..=1014 => Some(Self(code)),
            // §7.4.2: 3000-3999 are for libraries, 4000-4999 for private use.
            3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number as it stands in the frame.
    pub const fn value(self) -> u16 {
        self.0
    }
}

/// Takes the body of a received close frame apart: `Ok(None)` if it is empty, else the code and a
/// reason (which may be empty).
///
/// Fails with `CloseTooShort` for one byte, `CloseCodeInvalid`, or `InvalidUtf8` in the reason. The
/// length of the frame (125 bytes) was checked with its header.
pub fn parse_close(payload: &[u8]) -> Result<Option<(CloseCode, &str)>, ProtocolError> {
    if payload.is_empty() {
        return Ok(None);
    }
    // RFC 6455 §5.5.1: if there is a body, its first two bytes MUST be the code, in network order.
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return Err(ProtocolError::CloseTooShort);
    };
    let code = CloseCode::new(u16::from_be_bytes(*code)).ok_or(ProtocolError::CloseCodeInvalid)?;
    // §5.5.1: the reason is UTF-8; §8.1: anything else fails the connection.
    let reason = str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
    Ok(Some((code, reason)))
}

/// As much of `reason` as fits a close frame: at most [`REASON_BYTES_MAX`] bytes, cut between
/// characters.
pub fn cut_reason(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    // Zero is a boundary, so this ends.
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_code(code: u16) -> Result<Option<(CloseCode, &'static str)>, ProtocolError> {
        parse_close(&code.to_be_bytes()).map(|body| body.map(|(code, _)| (code, "")))
    }

    #[test]
    fn an_empty_body_has_no_code() {
        assert_eq!(parse_close(b""), Ok(None));
    }

    #[test]
    fn a_body_of_one_byte_is_too_short() {
        for byte in 0..=255 {
            assert_eq!(parse_close(&[byte]), Err(ProtocolError::CloseTooShort));
        }
    }

    #[test]
    fn codes_that_must_not_be_sent_are_refused() {
        // Autobahn 7.9, and the edges of the ranges.
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(parse_code(code), Err(ProtocolError::CloseCodeInvalid), "{code}");
        }
    }

    #[test]
    fn codes_that_may_be_sent_are_returned() {
        // Autobahn 7.7, and the edges of the ranges.
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999] {
            let (parsed, _) = parse_code(code).expect("valid").expect("not empty");
            assert_eq!(parsed.value(), code);
        }
    }

    #[test]
    fn exactly_the_documented_codes_are_valid() {
        let valid = (0..=u16::MAX).filter(|&code| CloseCode::new(code).is_some()).count();
        assert_eq!(valid, 4 + 8 + 2000);
    }

    #[test]
    fn the_reason_is_returned() {
        assert_eq!(
            parse_close(b"\x03\xe8bye \xe2\x9c\x93"),
            Ok(Some((CloseCode::NORMAL, "bye ✓")))
        );
    }

    #[test]
    fn a_reason_that_is_not_utf8_is_refused() {
        let error = parse_close(b"\x03\xe8\xce\xba\xe1").expect_err("truncated");
        assert_eq!(error, ProtocolError::InvalidUtf8);
        assert_eq!(error.close_code(), CloseCode::INVALID_PAYLOAD);
    }

    #[test]
    fn a_bad_code_is_named_before_a_bad_reason() {
        assert_eq!(parse_close(b"\x00\x00\xff"), Err(ProtocolError::CloseCodeInvalid));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(cut_reason("short"), "short");
        assert_eq!(cut_reason(&"x".repeat(123)).len(), 123);
        assert_eq!(cut_reason(&"x".repeat(124)).len(), 123);
        // 61 characters of two bytes are 122 bytes; the 62nd would end at 124.
        assert_eq!(cut_reason(&"é".repeat(80)), "é".repeat(61));
        assert_eq!(cut_reason(&format!("x{}", "😀".repeat(40))).len(), 121);
    }
}
