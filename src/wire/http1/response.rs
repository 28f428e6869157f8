//! What goes out: response heads and the framing of chunks (RFC 9112 §4, §7.1).

use super::Status;
use super::grammar::{is_field_byte, is_token};

/// The chunk that ends a chunked body, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The most digits of a `u64`, in decimal.
const DECIMAL_DIGITS_MAX: usize = 20;

/// Writes a response head into a byte vector, line by line; nothing is held back.
#[derive(Debug)]
#[must_use = "a head ends with `end`"]
pub struct ResponseHead<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> ResponseHead<'a> {
    /// Appends the status line. It says HTTP/1.1 whatever the client speaks (RFC 9110 §2.5).
    pub fn new(out: &'a mut Vec<u8>, status: Status) -> Self {
        out.extend_from_slice(b"HTTP/1.1 ");
        encode_decimal(out, u64::from(status.code()));
        out.push(b' ');
        out.extend_from_slice(status.reason().as_bytes());
        out.extend_from_slice(b"\r\n");
        ResponseHead { out }
    }

    /// Appends a field line. `name` is a token of ours, `value` has no control characters but HTAB:
    /// what a peer sent must have been checked before it is echoed.
    ///
    /// Should that fail, a response must not be split in two: a byte that has no place in a value
    /// (RFC 9110 §5.5) is written as a space. In debug builds it panics.
    pub fn field(self, name: &str, value: &str) -> Self {
        debug_assert!(value.bytes().all(is_field_byte), "{name} has a control character");
        self.field_checked(name, value)
    }

    fn field_checked(self, name: &str, value: &str) -> Self {
        let name = self.name(name);
        name.out.extend(value.bytes().map(|byte| if is_field_byte(byte) { byte } else { b' ' }));
        name.line_end()
    }

    /// Appends a field line with a number. Allocates nothing but room in the vector.
    pub fn field_integer(self, name: &str, value: u64) -> Self {
        let name = self.name(name);
        encode_decimal(name.out, value);
        name.line_end()
    }

    /// Appends the empty line that ends the head.
    pub fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn name(self, name: &str) -> Self {
        debug_assert!(is_token(name.as_bytes()), "{name:?} is no field name");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self
    }

    fn line_end(self) -> Self {
        self.out.extend_from_slice(b"\r\n");
        self
    }
}

/// Appends the line before the data of a chunk of `n` bytes: hexadecimal digits and CRLF. The data
/// and another CRLF follow.
///
/// Panics if `n` is 0: that would end the body (RFC 9112 §7.1), which [`LAST_CHUNK`] does.
pub fn encode_chunk_size(out: &mut Vec<u8>, n: usize) {
    assert!(n > 0, "a chunk of 0 bytes ends the body");
    let mut shift = usize::BITS.saturating_sub(n.leading_zeros()).div_ceil(4);
    while shift > 0 {
        shift = shift.saturating_sub(1);
        let digit = (n >> shift.saturating_mul(4)) & 0xf;
        out.push(b"0123456789abcdef"[digit]);
    }
    out.extend_from_slice(b"\r\n");
}

fn encode_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; DECIMAL_DIGITS_MAX];
    let mut used = 0usize;
    for digit in digits.iter_mut().rev() {
        // A remainder of ten fits in a byte.
        *digit = b'0'.saturating_add(u8::try_from(value % 10).unwrap_or_default());
        value /= 10;
        used = used.saturating_add(1);
        if value == 0 {
            break;
        }
    }
    let start = DECIMAL_DIGITS_MAX.saturating_sub(used);
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_status_line_fields_and_an_empty_line() {
        let mut out = b"before".to_vec();
        ResponseHead::new(&mut out, Status::CREATED)
            .field("Content-Type", "application/json")
            .field_integer("Content-Length", 1024)
            .field("ETag", "")
            .end();
        let expected = "beforeHTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\
            Content-Length: 1024\r\nETag: \r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn every_status_line_is_read_back_as_it_was_written() {
        for status in Status::ALL {
            let mut out = Vec::new();
            ResponseHead::new(&mut out, *status).field("A", "b c").end();
            let mut fields = [httparse::EMPTY_HEADER; 2];
            let mut response = httparse::Response::new(&mut fields);
            assert_eq!(response.parse(&out).unwrap(), httparse::Status::Complete(out.len()));
            assert_eq!(response.code, Some(status.code()));
            assert_eq!(response.reason, Some(status.reason()));
            assert_eq!((response.headers[0].name, response.headers[0].value), ("A", &b"b c"[..]));
        }
    }

    #[test]
    fn a_value_cannot_split_a_response() {
        let mut out = Vec::new();
        let head = ResponseHead { out: &mut out };
        head.field_checked("A", "b\r\nSet-Cookie: c\0\u{7f}d").end();
        assert_eq!(out, b"A: b  Set-Cookie: c  d\r\n\r\n");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "control character")]
    fn a_value_with_a_line_end_is_our_bug() {
        let mut out = Vec::new();
        ResponseHead::new(&mut out, Status::OK).field("A", "b\r\nc").end();
    }

    #[test]
    fn numbers_are_written_in_full() {
        for value in [0, 7, 10, 99, 100, 4_294_967_296, u64::MAX] {
            let mut out = Vec::new();
            encode_decimal(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }

    #[test]
    fn chunk_sizes_are_hexadecimal_without_leading_zeros() {
        for n in [1, 9, 10, 15, 16, 255, 256, 4096, 65_535, usize::MAX] {
            let mut out = Vec::new();
            encode_chunk_size(&mut out, n);
            assert_eq!(out, format!("{n:x}\r\n").into_bytes());
        }
    }

    #[test]
    #[should_panic(expected = "ends the body")]
    fn a_chunk_of_nothing_is_our_bug() {
        encode_chunk_size(&mut Vec::new(), 0);
    }
}
