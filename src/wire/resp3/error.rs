//! What may be wrong with what Redis sends.

use std::fmt;

/// Why a connection to Redis has to be given up: from here on nobody knows where a value begins.
///
/// Nothing that is merely incomplete is an error.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum RespError {
    /// A TLS record: this port wants TLS.
    Tls,
    /// This byte begins no value of RESP3.
    UnknownType(u8),
    /// A string or an aggregate whose length is not told beforehand.
    Streamed,
    /// A line that does not end with CR LF, or has another CR in it.
    LineEnd,
    /// A line that is longer than any that Redis writes.
    LineTooLong,
    /// A length that is not a number.
    Length,
    /// A number, a boolean or a null that is none.
    Scalar,
    /// A string of more bytes than [`super::Bounds::bytes_max`].
    StringTooLong,
    /// A string that is not followed by CR LF.
    StringEnd,
    /// A verbatim string that does not begin with three letters and a colon.
    Verbatim,
    /// More bytes than [`super::Bounds::value_bytes_max`].
    ValueTooLong,
    /// More elements than [`super::Bounds::elements_max`].
    TooManyElements,
    /// Nested deeper than [`super::Bounds::depth_max`].
    TooDeep,
    /// A push inside of another value.
    NestedPush,
}

impl RespError {
    /// What was wrong, for the log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Tls => "it answers with a TLS record",
            Self::UnknownType(_) => "it sends something that is not RESP3",
            Self::Streamed => "it sends a value whose length it does not tell",
            Self::LineEnd => "it sends a line that does not end with CR LF",
            Self::LineTooLong => "it sends a line that is too long",
            Self::Length => "it sends a length that is not a number",
            Self::Scalar => "it sends a number, a boolean or a null that is none",
            Self::StringTooLong => "it sends a string that is too long",
            Self::StringEnd => "it sends a string that is longer than it said",
            Self::Verbatim => "it sends a verbatim string without its kind",
            Self::ValueTooLong => "it sends a value that is too long",
            Self::TooManyElements => "it sends a value of too many elements",
            Self::TooDeep => "it sends a value that is nested too deep",
            Self::NestedPush => "it sends a push inside of another value",
        }
    }
}

impl fmt::Display for RespError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl std::error::Error for RespError {}
