//! WebSocket as a client speaks it (RFC 6455): the handshake, frames out, frames in.

pub(crate) mod client;
pub(crate) mod frames;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::http::{self, Head};

pub(crate) use self::frames::{Frame, Frames};

/// RFC 6455 §1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// 16 bytes in base64; the same for everybody, because nothing depends on it here.
const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEA==";
const PROTOCOL: &str = "tidings.json";

/// The opening handshake; `json` asks for `tidings.json`.
pub(crate) fn handshake(target: &str, json: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut all = vec![
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ];
    if json {
        all.push(("Sec-WebSocket-Protocol", PROTOCOL));
    }
    all.extend(fields);
    http::get(target, &all)
}

/// Checks a 101 (RFC 6455 §4.1).
pub(crate) fn check_handshake(head: &Head, json: bool) {
    let upgrade = head.field("upgrade").unwrap_or_default();
    assert!(upgrade.eq_ignore_ascii_case("websocket"), "Upgrade in {head:?}");
    let connection = head.field("connection").unwrap_or_default();
    assert!(connection.eq_ignore_ascii_case("upgrade"), "Connection in {head:?}");
    let accept = head.field("sec-websocket-accept");
    assert_eq!(accept, Some(accept_of(KEY).as_str()), "Sec-WebSocket-Accept in {head:?}");
    let protocol = head.field("sec-websocket-protocol");
    assert_eq!(protocol, json.then_some(PROTOCOL), "the subprotocol in {head:?}");
    let extensions = head.field("sec-websocket-extensions");
    assert_eq!(extensions, None, "nobody offered extensions: {head:?}");
}

fn accept_of(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}

/// The delay in the reason of a close 1012 (docs/protocol.md 11.7).
pub(crate) fn retry_ms(reason: &str) -> Option<u64> {
    let text = reason.strip_prefix("retry_ms=")?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_in_rfc_6455() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_delay_of_a_close_is_a_number() {
        assert_eq!(retry_ms("retry_ms=1234"), Some(1234));
        assert_eq!(
            (retry_ms("retry_ms="), retry_ms("retry_ms=+1"), retry_ms("x")),
            (None, None, None)
        );
    }
}
