//! How the end of a request body is known (RFC 9112 §6).
//!
//! This is where requests are smuggled: a recipient that reads another length than its neighbour
//! takes the rest of a body for the next request (RFC 9112 §11.2). So nothing is repaired and
//! nothing is guessed: one `Content-Length`, or one `chunked`, or no body.

use super::super::grammar::{Digits, is_token, parse_digits, trim_ows};
use super::{HeadError, Version};

/// How the body of a request is delimited (RFC 9112 §6.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body: neither `Content-Length` nor `Transfer-Encoding`.
    None,
    /// `Content-Length`: that many bytes, 0 to 2^64 - 1.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// `length` is the value of the only `Content-Length`, `encodings` those of every
/// `Transfer-Encoding`.
pub(super) fn resolve<'a>(
    version: Version,
    length: Option<&[u8]>,
    encodings: impl Iterator<Item = &'a [u8]>,
) -> Result<Framing, HeadError> {
    let mut encodings = encodings.peekable();
    match (length, encodings.peek()) {
        (None, None) => Ok(Framing::None),
        (Some(length), None) => content_length(length).map(Framing::Length),
        // RFC 9112 §6.1: faulty framing, even if the other coding were known.
        (_, Some(_)) if version == Version::Http10 => Err(HeadError::EncodingOnHttp10),
        // RFC 9112 §6.1: ought to be handled as an error.
        (Some(_), Some(_)) => Err(HeadError::LengthAndEncoding),
        (None, Some(_)) => chunked_alone(encodings).map(|()| Framing::Chunked),
    }
}

/// RFC 9110 §8.6: 1*DIGIT. A list of equal numbers (RFC 9112 §6.3) is refused like any other.
fn content_length(value: &[u8]) -> Result<u64, HeadError> {
    match parse_digits(value) {
        Some(Digits::Value(length)) => Ok(length),
        Some(Digits::TooLarge) => Err(HeadError::ContentLengthTooLarge),
        None => Err(HeadError::InvalidContentLength),
    }
}

/// Whether the codings are exactly one `chunked`, in any case (RFC 9112 §7).
fn chunked_alone<'a>(encodings: impl Iterator<Item = &'a [u8]>) -> Result<(), HeadError> {
    let mut chunked_is_last = false;
    let mut others = false;
    // A coding is a token; parameters and quotes are no part of any that could be accepted.
    for coding in encodings.flat_map(|value| value.split(|byte| *byte == b',')).map(trim_ows) {
        if chunked_is_last || !is_token(coding) {
            // RFC 9112 §6.3, §7: chunked must be last and must not be applied twice.
            return Err(HeadError::InvalidTransferEncoding);
        }
        chunked_is_last = coding.eq_ignore_ascii_case(b"chunked");
        others |= !chunked_is_last;
    }
    match others {
        true => Err(HeadError::UnknownTransferCoding),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encodings(values: &[&str]) -> Result<Framing, HeadError> {
        resolve(Version::Http11, None, values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn chunked_is_taken_in_any_case() {
        assert_eq!(encodings(&["chunked"]), Ok(Framing::Chunked));
        assert_eq!(encodings(&["CHUNKED"]), Ok(Framing::Chunked));
    }

    #[test]
    fn chunked_twice_or_not_last_or_dressed_up_is_invalid() {
        let wrong: [&[&str]; 9] = [
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["chunked, gzip"],
            &["chunked", ""],
            &[",chunked"],
            &["chunked,"],
            &["\"chunked\""],
            &["chunked;a=b"],
            &["\u{a0}chunked"],
        ];
        for values in wrong {
            assert_eq!(encodings(values), Err(HeadError::InvalidTransferEncoding), "{values:?}");
        }
    }

    #[test]
    fn another_coding_is_not_implemented() {
        for value in ["gzip, chunked", "identity", "xchunked", "chunkedx", "gzip"] {
            assert_eq!(encodings(&[value]), Err(HeadError::UnknownTransferCoding), "{value}");
        }
    }

    #[test]
    fn a_length_and_an_encoding_together_are_refused() {
        let framing = resolve(Version::Http11, Some(b"5"), [&b"chunked"[..]].into_iter());
        assert_eq!(framing, Err(HeadError::LengthAndEncoding));
    }

    #[test]
    fn a_length_is_one_number_of_64_bits() {
        let length = |value: &str| resolve(Version::Http10, Some(value.as_bytes()), [].into_iter());
        assert_eq!(length("0"), Ok(Framing::Length(0)));
        assert_eq!(length("18446744073709551615"), Ok(Framing::Length(u64::MAX)));
        assert_eq!(length("18446744073709551616"), Err(HeadError::ContentLengthTooLarge));
        for wrong in ["", "+5", "-5", "0x5", "5.0", "5 5", "5, 5", "1_0", "abc"] {
            assert_eq!(length(wrong), Err(HeadError::InvalidContentLength), "{wrong}");
        }
    }
}
