//! The header fields of the opening handshake that need more than comparing (RFC 6455 §4.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::problem_kind::{FieldName, ProblemKind};

/// RFC 6455 §1.3: what is put behind the key before hashing.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What is wrong with a client's handshake.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HandshakeError {
    /// `Sec-WebSocket-Version` is absent or not 13 (§4.4).
    WrongVersion,
    /// `Sec-WebSocket-Key` is not the base64 of 16 bytes (§4.2.1).
    BadKey,
    /// `Sec-WebSocket-Protocol` has a member that is not a token (§4.2.1, §11.3.4).
    BadSubprotocol,
}

impl HandshakeError {
    /// What it is called. A wrong version goes with `Sec-WebSocket-Version: 13` (§4.2.2).
    pub const fn kind(self) -> ProblemKind {
        match self {
            Self::WrongVersion => ProblemKind::WebSocketVersion,
            Self::BadKey => ProblemKind::WebSocketKey,
            Self::BadSubprotocol => ProblemKind::WebSocketSubprotocol,
        }
    }

    /// The field that it is about.
    pub const fn field(self) -> FieldName {
        match self {
            Self::WrongVersion => FieldName::SecWebSocketVersion,
            Self::BadKey => FieldName::SecWebSocketKey,
            Self::BadSubprotocol => FieldName::SecWebSocketProtocol,
        }
    }

    /// What is wrong, as one ASCII sentence; `{part}` stands for the field.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::WrongVersion => {
                "The field {part} is missing or not 13, the only version spoken here."
            }
            Self::BadKey => "The field {part} is missing or not 16 random bytes in base64.",
            Self::BadSubprotocol => "The field {part} is not a list of tokens.",
        }
    }
}

/// The `Sec-WebSocket-Accept` that answers a client's key: 28 ASCII characters (§4.2.2, 5.4).
///
/// Fails with `BadKey` unless the key, without white space around it, is 24 characters that decode
/// to 16 bytes. The four bits that the last character has to spare are not looked at: the key is
/// hashed as text and, as §4.2.2 says, never needs to be decoded.
pub fn accept_key(key: &[u8]) -> Result<[u8; 28], HandshakeError> {
    // RFC 6455 §4.2.1, 5: base64 of 16 bytes is 22 characters of the alphabet and two of padding.
    let (digits, padding) = key.split_at_checked(22).ok_or(HandshakeError::BadKey)?;
    if padding != b"==" || !digits.iter().all(|&byte| is_base64_digit(byte)) {
        return Err(HandshakeError::BadKey);
    }
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    let mut accept = [0; 28];
    match STANDARD.encode_slice(hash.finalize(), &mut accept) {
        Ok(28) => Ok(accept),
        _ => unreachable!("20 bytes are 28 characters of base64"),
    }
}

/// Checks `Sec-WebSocket-Version`: exactly `13`, given once (§4.2.1, 6). Fails with `WrongVersion`.
pub fn check_version(version: Option<&[u8]>) -> Result<(), HandshakeError> {
    if version == Some(b"13") { Ok(()) } else { Err(HandshakeError::WrongVersion) }
}

/// Whether a client offers the subprotocol `wanted`, compared with regard to case.
///
/// `offered` are the members of all `Sec-WebSocket-Protocol` fields, split at commas. White space
/// around a member and empty members are skipped (RFC 9110 §5.6.1.2). Every member is looked at
/// once; fails with `BadSubprotocol` if any is not a token, wherever it stands.
pub fn offers_subprotocol<'a>(
    offered: impl Iterator<Item = &'a [u8]>,
    wanted: &str,
) -> Result<bool, HandshakeError> {
    let mut found = false;
    for member in offered {
        let member = trim_white_space(member);
        if !member.iter().all(|&byte| is_token_byte(byte)) {
            return Err(HandshakeError::BadSubprotocol);
        }
        found |= !member.is_empty() && member == wanted.as_bytes();
    }
    Ok(found)
}

/// RFC 4648 §4.
const fn is_base64_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// RFC 9110 §5.6.2, which took the place of the RFC 2616 grammar that RFC 6455 §11.3.4 names.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// RFC 9110 §5.6.3: optional white space is spaces and tabs.
fn trim_white_space(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(list: &str) -> Result<bool, HandshakeError> {
        offers_subprotocol(list.as_bytes().split(|&byte| byte == b','), "tidings.json")
    }

    #[test]
    fn the_example_of_the_rfc_is_answered() {
        // RFC 6455 §1.3.
        let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==").expect("a valid key");
        assert_eq!(&accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_answer_agrees_with_an_independent_implementation() {
        for seed in 0..=255_u8 {
            let key = STANDARD.encode([seed.wrapping_mul(37); 16]);
            let accept = accept_key(key.as_bytes()).expect("a valid key");
            let expected = tungstenite::handshake::derive_accept_key(key.as_bytes());
            assert_eq!(accept, expected.as_bytes());
        }
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for length in (0..=120).filter(|&length| length != 16) {
            let key = STANDARD.encode(vec![7; length]);
            assert_eq!(accept_key(key.as_bytes()), Err(HandshakeError::BadKey), "{length} bytes");
        }
    }

    #[test]
    fn a_key_that_is_not_base64_is_refused() {
        for key in [
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ=A",
            "dGhlIHNhbXBsZSBub25j====",
            "dGhlIHNhbXBsZSBub25jZ_==",
            "dGhlIHNhbXBsZSBub25jZ ==",
            " dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==,",
            "dGhlIHNhbXBsZSBub25jZé==",
        ] {
            assert_eq!(accept_key(key.as_bytes()), Err(HandshakeError::BadKey), "{key}");
        }
    }

    #[test]
    fn spare_bits_in_the_last_character_of_a_key_are_not_looked_at() {
        assert!(accept_key(b"AAAAAAAAAAAAAAAAAAAAAB==").is_ok());
    }

    #[test]
    fn only_version_13_is_spoken() {
        assert_eq!(check_version(Some(b"13")), Ok(()));
        for version in [None, Some(""), Some("8"), Some("12"), Some("14"), Some("013"), Some("13 ")]
        {
            let error = check_version(version.map(str::as_bytes)).expect_err("another version");
            assert_eq!(error.kind().status_code(), 426, "{version:?}");
        }
        assert!(check_version(Some(b"13, 8")).is_err());
    }

    #[test]
    fn a_subprotocol_is_found_anywhere_in_the_list() {
        for list in ["tidings.json", "a, tidings.json", "tidings.json ,b", ",, \ttidings.json\t,"] {
            assert_eq!(offers(list), Ok(true), "{list}");
        }
    }

    #[test]
    fn a_subprotocol_that_only_looks_alike_is_not_found() {
        for list in ["", ",", "tidings", "tidings.jsonx", "Tidings.JSON", "x.tidings.json"] {
            assert_eq!(offers(list), Ok(false), "{list}");
        }
        assert_eq!(offers_subprotocol([&b""[..]].into_iter(), ""), Ok(false));
    }

    #[test]
    fn a_subprotocol_that_is_not_a_token_is_refused_wherever_it_stands() {
        for list in ["a b", "tidings.json, a/b", "\"a\", tidings.json", "a\0", "a=b", "é", "a;b"] {
            assert_eq!(offers(list), Err(HandshakeError::BadSubprotocol), "{list}");
        }
        assert_eq!(HandshakeError::BadSubprotocol.kind().status_code(), 400);
    }

    #[test]
    fn a_thousand_subprotocols_are_looked_through() {
        let list = format!("{}tidings.json", "x, ".repeat(1000));
        assert_eq!(offers(&list), Ok(true));
    }
}
