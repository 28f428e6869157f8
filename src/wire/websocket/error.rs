//! What a client can do wrong on an open WebSocket, and the close code each mistake gets.

use std::fmt;

use super::close::CloseCode;
use super::utf8::InvalidUtf8;

/// Why the server has to fail the connection (RFC 6455 §7.1.7).
///
/// Nothing that is merely incomplete is an error. After one, the reader that returned it is of no
/// more use: a later frame has no beginning that could be trusted.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ProtocolError {
    /// A client frame without a mask (§5.1: the server MUST close the connection).
    NotMasked,
    /// RSV1, RSV2 or RSV3 is set though no extension was agreed on (§5.2).
    ReservedBits,
    /// Opcode 3-7 or B-F (§5.2).
    ReservedOpcode,
    /// A close, ping or pong without FIN (§5.5).
    FragmentedControl,
    /// A close, ping or pong of more than 125 bytes (§5.5).
    ControlTooLong,
    /// A length that is not in its shortest form (§5.2: the minimal number of bytes MUST be used).
    LengthNotMinimal,
    /// A 64-bit length with its most significant bit set (§5.2: it MUST be 0).
    LengthHighBit,
    /// A continuation frame when no message has begun (§5.4).
    UnexpectedContinuation,
    /// A new text or binary frame before the last message has ended (§5.4).
    ExpectedContinuation,
    /// A close frame with a body of a single byte (§5.5.1: two bytes of code come first).
    CloseTooShort,
    /// A close code which may not be sent (§7.4).
    CloseCodeInvalid,
    /// A text message or close reason that is not UTF-8 (§8.1).
    InvalidUtf8,
    /// A message of more bytes than `MessageLimits::message_bytes_max`.
    MessageTooBig,
    /// A message of more frames than `MessageLimits::fragments_max`.
    TooManyFragments,
}

impl ProtocolError {
    /// The close code that the connection is failed with (§7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::NotMasked
            | Self::ReservedBits
            | Self::ReservedOpcode
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::LengthNotMinimal
            | Self::LengthHighBit
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::CloseTooShort
            | Self::CloseCodeInvalid => CloseCode::PROTOCOL_ERROR,
            Self::InvalidUtf8 => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooBig | Self::TooManyFragments => CloseCode::TOO_BIG,
        }
    }

    /// What was wrong, for the log and for the reason in the close frame: ASCII, at most 123 bytes.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotMasked => "a client frame must be masked",
            Self::ReservedBits => "a reserved bit is set, but no extension was agreed on",
            Self::ReservedOpcode => "this opcode is reserved",
            Self::FragmentedControl => "a control frame must not be fragmented",
            Self::ControlTooLong => "a control frame must not be longer than 125 bytes",
            Self::LengthNotMinimal => "a frame's length must take the fewest bytes",
            Self::LengthHighBit => "a frame's length must be below 2^63",
            Self::UnexpectedContinuation => "a continuation frame, but no message has begun",
            Self::ExpectedContinuation => "a new message before the last one has ended",
            Self::CloseTooShort => "a close frame needs two bytes for its code",
            Self::CloseCodeInvalid => "this close code must not be sent",
            Self::InvalidUtf8 => "text must be UTF-8",
            Self::MessageTooBig => "the message is too big; publish it with POST",
            Self::TooManyFragments => "the message has too many fragments",
        }
    }

    /// Every error there is, for those who count them or check that nothing else comes out.
    pub const ALL: [Self; 14] = [
        Self::NotMasked,
        Self::ReservedBits,
        Self::ReservedOpcode,
        Self::FragmentedControl,
        Self::ControlTooLong,
        Self::LengthNotMinimal,
        Self::LengthHighBit,
        Self::UnexpectedContinuation,
        Self::ExpectedContinuation,
        Self::CloseTooShort,
        Self::CloseCodeInvalid,
        Self::InvalidUtf8,
        Self::MessageTooBig,
        Self::TooManyFragments,
    ];
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl std::error::Error for ProtocolError {}

impl From<InvalidUtf8> for ProtocolError {
    fn from(_: InvalidUtf8) -> Self {
        Self::InvalidUtf8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::websocket::close::{REASON_BYTES_MAX, parse_close};

    #[test]
    fn every_error_has_a_close_code_that_may_be_sent() {
        for error in ProtocolError::ALL {
            let body = error.close_code().value().to_be_bytes();
            assert_eq!(parse_close(&body), Ok(Some((error.close_code(), ""))), "{error:?}");
        }
    }

    #[test]
    fn every_reason_fits_a_close_frame_and_is_its_own() {
        for (index, error) in ProtocolError::ALL.iter().enumerate() {
            assert!(error.reason().is_ascii() && error.reason().len() <= REASON_BYTES_MAX);
            for other in &ProtocolError::ALL[..index] {
                assert_ne!(error.reason(), other.reason());
            }
        }
    }
}
