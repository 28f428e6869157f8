//! What can be wrong with a request head, and the answer it deserves.

use super::super::Status;
use crate::problem_kind::{FieldName, Part, ProblemKind};

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
    /// This field may be there once, and is there twice.
    DuplicateField(FieldName),
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
    /// What it is called.
    pub const fn kind(self) -> ProblemKind {
        match self {
            HeadError::BareLineFeed | HeadError::BareCarriageReturn => {
                ProblemKind::MalformedLineEnd
            }
            HeadError::NulByte | HeadError::TooManyEmptyLines | HeadError::Incomplete => {
                ProblemKind::MalformedHead
            }
            HeadError::InvalidMethod
            | HeadError::InvalidRequestLine
            | HeadError::InvalidVersion => ProblemKind::MalformedRequestLine,
            HeadError::MethodTooLong => ProblemKind::UnknownMethod,
            HeadError::InvalidTarget => ProblemKind::MalformedTarget,
            HeadError::UriTooLong => ProblemKind::TargetTooLong,
            HeadError::VersionNotSupported => ProblemKind::UnsupportedVersion,
            HeadError::HeadTooLarge => ProblemKind::HeadTooLarge,
            HeadError::TooManyFields => ProblemKind::TooManyFields,
            HeadError::InvalidFieldName | HeadError::InvalidFieldValue => {
                ProblemKind::MalformedField
            }
            HeadError::DuplicateField(_) | HeadError::DuplicateHost => ProblemKind::DuplicateField,
            HeadError::MissingHost => ProblemKind::MissingHost,
            HeadError::InvalidHost => ProblemKind::MalformedHost,
            HeadError::HostMismatch => ProblemKind::HostMismatch,
            HeadError::InvalidContentLength => ProblemKind::MalformedContentLength,
            HeadError::ContentLengthTooLarge => ProblemKind::BodyTooLarge,
            HeadError::LengthAndEncoding => ProblemKind::LengthAndEncoding,
            HeadError::InvalidTransferEncoding | HeadError::EncodingOnHttp10 => {
                ProblemKind::MalformedTransferEncoding
            }
            HeadError::UnknownTransferCoding => ProblemKind::UnknownTransferCoding,
            HeadError::UnknownExpectation => ProblemKind::UnknownExpectation,
        }
    }

    /// The field that it is about, if it is about one.
    pub const fn part(self) -> Option<Part> {
        let field = match self {
            HeadError::DuplicateField(field) => field,
            HeadError::MissingHost
            | HeadError::DuplicateHost
            | HeadError::InvalidHost
            | HeadError::HostMismatch => FieldName::Host,
            HeadError::InvalidContentLength | HeadError::ContentLengthTooLarge => {
                FieldName::ContentLength
            }
            HeadError::LengthAndEncoding
            | HeadError::InvalidTransferEncoding
            | HeadError::UnknownTransferCoding
            | HeadError::EncodingOnHttp10 => FieldName::TransferEncoding,
            HeadError::UnknownExpectation => FieldName::Expect,
            _ => return None,
        };
        Some(Part::Field(field))
    }

    /// The status to answer with.
    pub const fn status(self) -> Status {
        Status::of(self.kind())
    }

    /// For the client: what is wrong and what to do; `{limit}` and `{part}` stand for the bound that was
    /// reached and the part that it is about. Never repeats what it sent.
    pub const fn detail(self) -> &'static str {
        match self {
            HeadError::BareLineFeed => {
                "A line of the head ends in LF alone. End every line with CRLF."
            }
            HeadError::BareCarriageReturn => {
                "A CR in the head has no LF behind it. End every line with CRLF, and leave CR out of values."
            }
            HeadError::NulByte => "The head has a NUL byte. Leave it out.",
            HeadError::TooManyEmptyLines => {
                "There are more than two empty lines before the request line. Send none."
            }
            HeadError::InvalidMethod => {
                "The request line does not begin with a method. Speak HTTP/1.1 here, without TLS."
            }
            HeadError::MethodTooLong => {
                "The method is longer than any there is. Use one of docs/protocol.md."
            }
            HeadError::InvalidRequestLine => {
                "The request line is not method, target and version with one space between them."
            }
            HeadError::InvalidTarget => {
                "The request target is malformed. Begin it with a slash, and percent-encode what RFC 3986 does not allow."
            }
            HeadError::UriTooLong => {
                "The request target has more than {limit} bytes (--target-bytes-max). Shorten it."
            }
            HeadError::InvalidVersion => "The request line does not end in HTTP/1.1.",
            HeadError::VersionNotSupported => {
                "The version in the request line is another one. Use HTTP/1.1 or HTTP/1.0."
            }
            HeadError::HeadTooLarge => {
                "The request line and the fields have more than {limit} bytes (--head-bytes-max). Send less, cookies for example."
            }
            HeadError::TooManyFields => {
                "The head has more than {limit} fields (--fields-max). Send fewer."
            }
            HeadError::InvalidFieldName => {
                "A field line of the head is not a name, a colon at once, and a value on the same line."
            }
            HeadError::InvalidFieldValue => {
                "The value of a field has a control character. Leave it out."
            }
            HeadError::DuplicateField(_) | HeadError::DuplicateHost => {
                "The field {part} is given twice, and only one can count. Send it once."
            }
            HeadError::MissingHost => {
                "The field {part} is missing, which HTTP/1.1 requires. Send it."
            }
            HeadError::InvalidHost => {
                "The field {part} is not a host name or address and an optional port."
            }
            HeadError::HostMismatch => {
                "The request target names another host than the field {part}. Make them agree, or send the path alone."
            }
            HeadError::InvalidContentLength => "The field {part} is not one decimal number.",
            HeadError::ContentLengthTooLarge => {
                "The field {part} announces 2^64 bytes or more, and a body may have {limit} (--body-bytes-max). Send less."
            }
            HeadError::LengthAndEncoding => {
                "The fields Content-Length and Transfer-Encoding say the same thing twice. Send one of them."
            }
            HeadError::InvalidTransferEncoding => {
                "The field {part} is not chunked, once and alone, so nobody knows where the body ends."
            }
            HeadError::UnknownTransferCoding => {
                "The field {part} names another coding than chunked, which is the only one taken here."
            }
            HeadError::EncodingOnHttp10 => {
                "The field {part} does not exist in HTTP/1.0. Send Content-Length, or use HTTP/1.1."
            }
            HeadError::UnknownExpectation => {
                "The field {part} has another expectation than 100-continue, the only one that can be met."
            }
            HeadError::Incomplete => "The head does not end in an empty line.",
        }
    }
}
