//! What can be wrong with a request head, and the answer it deserves.

use super::super::Status;

/// Why a request head is refused. The connection cannot go on after any of them (RFC 9112 §9.6).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeadError {
    /// A line feed without a carriage return before it (RFC 9112 §2.2).
    BareLineFeed,
    /// A carriage return without a line feed behind it (RFC 9112 §2.2).
    BareCarriageReturn,
    /// A NUL byte (RFC 9110 §5.5).
    NulByte,
    /// More than two empty lines before the request line (RFC 9112 §2.2).
    TooManyEmptyLines,
    /// The method is not a token (RFC 9110 §9.1); what speaks here may not be HTTP at all.
    InvalidMethod,
    /// The method is longer than any there is (RFC 9112 §3).
    MethodTooLong,
    /// Not method, target and version with one space between them (RFC 9112 §3).
    InvalidRequestLine,
    /// The target is in no form that fits the method, or has a forbidden character (RFC 9112 §3.2).
    InvalidTarget,
    /// The request line is longer than the limit (RFC 9112 §3).
    UriTooLong,
    /// Not `HTTP/d.d` (RFC 9112 §2.3).
    InvalidVersion,
    /// A version other than 1.0 and 1.1 (RFC 9110 §15.6.6).
    VersionNotSupported,
    /// The head is longer than the limit (RFC 6585 §5).
    HeadTooLarge,
    /// More fields than the limit (RFC 6585 §5).
    TooManyFields,
    /// A field line without a name, with white space around it, or folded (RFC 9112 §5).
    InvalidFieldName,
    /// A control character in a field value (RFC 9110 §5.5).
    InvalidFieldValue,
    /// A field that may be there once is there twice.
    DuplicateField,
    /// HTTP/1.1 without `Host` (RFC 9112 §3.2).
    MissingHost,
    /// `Host` more than once (RFC 9112 §3.2).
    DuplicateHost,
    /// `Host` is not a host with an optional port (RFC 9112 §3.2).
    InvalidHost,
    /// The target names another authority than `Host` (docs/protocol.md 16.6).
    HostMismatch,
    /// `Content-Length` is not one number (RFC 9112 §6.3).
    InvalidContentLength,
    /// `Content-Length` of 2^64 or more.
    ContentLengthTooLarge,
    /// `Content-Length` and `Transfer-Encoding` together (RFC 9112 §6.1).
    LengthAndEncoding,
    /// `Transfer-Encoding` does not end in one `chunked` (RFC 9112 §6.3).
    InvalidTransferEncoding,
    /// A transfer coding that is not `chunked` (RFC 9112 §6.1).
    UnknownTransferCoding,
    /// `Transfer-Encoding` on HTTP/1.0 (RFC 9112 §6.1).
    EncodingOnHttp10,
    /// `Expect` with anything but `100-continue` (RFC 9110 §10.1.1).
    UnknownExpectation,
    /// The head does not end in an empty line: it was not found by a
    /// [`HeadSearch`](super::HeadSearch).
    Incomplete,
}

impl HeadError {
    /// The status to answer with.
    pub const fn status(self) -> Status {
        match self {
            HeadError::UriTooLong => Status::URI_TOO_LONG,
            HeadError::HeadTooLarge | HeadError::TooManyFields => Status::FIELDS_TOO_LARGE,
            HeadError::VersionNotSupported => Status::VERSION_NOT_SUPPORTED,
            HeadError::MethodTooLong | HeadError::UnknownTransferCoding => Status::NOT_IMPLEMENTED,
            HeadError::HostMismatch => Status::MISDIRECTED_REQUEST,
            HeadError::ContentLengthTooLarge => Status::CONTENT_TOO_LARGE,
            HeadError::UnknownExpectation => Status::EXPECTATION_FAILED,
            _ => Status::BAD_REQUEST,
        }
    }

    /// One sentence for the client: what is wrong and what to do. Never repeats what it sent.
    pub const fn detail(self) -> &'static str {
        match self {
            HeadError::BareLineFeed => "A line ends in LF alone; end every line with CRLF.",
            HeadError::BareCarriageReturn => "A CR has no LF behind it; end every line with CRLF.",
            HeadError::NulByte => "The head has a NUL byte; leave it out.",
            HeadError::TooManyEmptyLines => "Send at most two empty lines before a request.",
            HeadError::InvalidMethod => "A request begins with a method; speak HTTP/1.1 here.",
            HeadError::MethodTooLong => "No method is that long; use one that is known.",
            HeadError::InvalidRequestLine => {
                "A request line is method, target and version with one space between them."
            }
            HeadError::InvalidTarget => {
                "The request target is malformed; percent-encode what RFC 3986 does not allow."
            }
            HeadError::UriTooLong => "The request target is too long; shorten it.",
            HeadError::InvalidVersion => "The request line must end in HTTP/1.1.",
            HeadError::VersionNotSupported => "Use HTTP/1.1 or HTTP/1.0.",
            HeadError::HeadTooLarge => "The header section is too large; send less.",
            HeadError::TooManyFields => "There are too many header fields; send fewer.",
            HeadError::InvalidFieldName => {
                "A field line is a name, a colon at once, and a value on the same line."
            }
            HeadError::InvalidFieldValue => "A field value has a control character; leave it out.",
            HeadError::DuplicateField => {
                "A field that may be given only once is given twice; send it once."
            }
            HeadError::MissingHost => "HTTP/1.1 requires a Host field; send one.",
            HeadError::DuplicateHost => "Send the Host field exactly once.",
            HeadError::InvalidHost => "Host must be a host name or address and an optional port.",
            HeadError::HostMismatch => "The target and Host name different hosts; make them agree.",
            HeadError::InvalidContentLength => "Content-Length must be one decimal number.",
            HeadError::ContentLengthTooLarge => "The body is too large; send less.",
            HeadError::LengthAndEncoding => {
                "Send either Content-Length or Transfer-Encoding, not both."
            }
            HeadError::InvalidTransferEncoding => "Transfer-Encoding must be chunked, once, alone.",
            HeadError::UnknownTransferCoding => "The only transfer coding taken here is chunked.",
            HeadError::EncodingOnHttp10 => {
                "HTTP/1.0 has no Transfer-Encoding; send Content-Length or use HTTP/1.1."
            }
            HeadError::UnknownExpectation => {
                "The only expectation that can be met is 100-continue."
            }
            HeadError::Incomplete => "The head is incomplete; end it with an empty line.",
        }
    }
}
