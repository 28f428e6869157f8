//! WebSocket with the subprotocol `tidings.json` (protocol 11.3).

use std::net::TcpStream;

use tungstenite::client::{ClientRequestBuilder, client_with_config};
use tungstenite::error::ProtocolError;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::{Response, Uri, header};
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::Session;
use super::streams::handle_json;
use crate::cli::coming_back::{Failure, hint_from_ms, parse_retry_after};
use crate::cli::http::{connect, problem_text};
use crate::cli::lines::LINE_BYTES_MAX;

const SUBPROTOCOL: &str = "tidings.json";

/// Prints messages off one WebSocket until there were enough.
pub(super) fn follow(session: &mut Session<'_>) -> Result<(), Failure> {
    session.hint = None;
    let mut socket = open(session)?;
    loop {
        match socket.read().map_err(|error| failure(session, error))? {
            Message::Text(text) => {
                if handle_json(session, text.as_str())?.is_break() {
                    // The messages are here; how the goodbye fares changes nothing.
                    let _ = socket.close(None);
                    let _ = socket.flush();
                    return Ok(());
                }
            }
            Message::Close(frame) => {
                // Sends the answer that is due (RFC 6455 §5.5.1), if it still can.
                let _ = socket.flush();
                return Err(closed(frame));
            }
            // A ping was answered by the library.
            _ => session.heard = true,
        }
    }
}

fn open(session: &Session<'_>) -> Result<WebSocket<TcpStream>, Failure> {
    let stream = connect(&session.base)?;
    stream.set_read_timeout(Some(session.silence_max))?;
    stream.set_write_timeout(Some(session.silence_max))?;
    let uri = format!("ws://{}{}", session.base.authority(), session.target(None));
    let uri: Uri = uri.parse().map_err(|error| {
        Failure::Final(format!("{} is not a usable base URL: {error}", session.base))
    })?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
    let bytes_max = usize::try_from(LINE_BYTES_MAX).ok();
    let config = WebSocketConfig::default().max_message_size(bytes_max).max_frame_size(bytes_max);
    match client_with_config(request, stream, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Interrupted(_)) => Err(Failure::lost("the server has fallen silent")),
        Err(HandshakeError::Failure(error)) => Err(failure(session, error)),
    }
}

fn failure(session: &Session<'_>, error: Error) -> Failure {
    match error {
        Error::Io(error) => error.into(),
        Error::Http(response) => refused(&response),
        Error::ConnectionClosed | Error::AlreadyClosed => {
            Failure::lost("the server closed the connection")
        }
        Error::Protocol(
            ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake,
        ) => Failure::lost("the connection was cut"),
        error => Failure::Final(format!("{} does not speak {SUBPROTOCOL}: {error}", session.base)),
    }
}

fn refused(response: &Response<Option<Vec<u8>>>) -> Failure {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let hint = retry_after.and_then(|value| parse_retry_after(value.to_str().ok()?));
    let body = response.body().as_deref().unwrap_or_default();
    Failure::refused(status, problem_text(status, body), hint)
}

/// The server ends the connection; protocol 11.7 has the codes.
fn closed(frame: Option<CloseFrame>) -> Failure {
    let Some(frame) = frame else {
        return Failure::lost("the server closed the connection");
    };
    let retry_ms = frame.reason.as_str().strip_prefix("retry_ms=").and_then(|ms| ms.parse().ok());
    Failure::Lost {
        why: format!("the server closed the connection ({})", u16::from(frame.code)),
        hint: retry_ms.map(hint_from_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_drain_says_when_to_come_back() {
        let frame = CloseFrame { code: 1012.into(), reason: "retry_ms=1234".into() };
        let Failure::Lost { hint, .. } = closed(Some(frame)) else { panic!("not temporary") };
        assert_eq!(hint, Some(hint_from_ms(1234)));
        let frame = CloseFrame { code: 1013.into(), reason: "memory".into() };
        assert!(matches!(closed(Some(frame)), Failure::Lost { hint: None, .. }));
    }
}
