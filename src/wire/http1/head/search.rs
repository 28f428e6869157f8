//! Where a request head ends: asked again on every read, answered without looking back.
//!
//! Parsing from the first byte on every partial read is quadratic: a 64 KiB head sent byte by byte
//! would take seconds. This search remembers where it is in eight bytes, and fails as soon as the
//! bytes cannot become an acceptable head, so that a peer that speaks something else is not waited
//! for.

use super::super::grammar::is_token_byte;
use super::HeadError;
use super::request_line::parse_version;

/// How large a request head may be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, from the first (empty) line to the last CRLF. Beyond: 431.
    pub head_bytes_max: usize,
    /// Bytes of the request target. Beyond: 414.
    pub target_bytes_max: usize,
    /// Field lines, at most 128 whatever is said here. Beyond: 431.
    pub fields_max: usize,
}

/// What `fields_max` cannot exceed: the fields of a head are split on the stack.
pub(super) const FIELDS_MAX: usize = 128;

/// No method in the IANA registry is longer than 17 bytes.
const METHOD_BYTES_MAX: usize = 32;

/// What a request line may have besides its target: method, two spaces, version.
const AROUND_TARGET_BYTES: usize = 32;

/// RFC 9112 §2.2 asks for one at least; some clients send CRLF behind a body.
const EMPTY_LINES_MAX: u8 = 2;

/// Where a search can be: a head of 2 GiB is too large under any limit.
const MAX_EXAMINED: usize = i32::MAX as usize;

/// Incremental search for the end of a request head: no byte is looked at twice, but for the eight
/// of the version at the end of the request line.
#[derive(Clone, Debug, Default)]
pub struct HeadSearch {
    /// How many bytes have been accepted. Stands still at a byte that is an error.
    examined: u32,
    /// Empty lines before the request line, CRLF each.
    empty_lines: u8,
    place: Place,
}

/// What the next byte belongs to.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The first byte of the request line, or of an empty line before it.
    #[default]
    Start,
    /// Behind the CR of an empty line before the request line.
    StartCr,
    Method,
    /// Behind the method's space: target and version.
    Target,
    /// Behind the CR of the request line.
    TargetCr,
    FieldStart,
    Field,
    /// Behind the CR of a field line.
    FieldCr,
    /// Behind the CR of the empty line that ends the head.
    LastCr,
    Found,
}

impl HeadSearch {
    /// Looks for the end of the head in `bytes`, which always begin at the same first byte and grow
    /// from call to call.
    ///
    /// `Ok(Some(n))`: the head is `bytes[..n]`, with its leading empty lines and its last CRLF.
    /// `Ok(None)`: more bytes are needed. Found or failed, further calls give the same answer.
    ///
    /// Fails with 400 at the first byte that cannot be right (docs/protocol.md 16.3), 501 for a
    /// method longer than 32 bytes, 414 for a request line longer than `target_bytes_max` + 32, 505
    /// for another version as soon as the request line is whole, 431 when `head_bytes_max` bytes
    /// hold no whole head.
    pub fn find_end(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HeadError> {
        let bytes_max = limits.head_bytes_max.min(MAX_EXAMINED);
        let seen = usize::try_from(self.examined).unwrap_or(MAX_EXAMINED);
        let mut fresh = bytes.get(seen..bytes.len().min(bytes_max)).unwrap_or_default();
        while self.place != Place::Found {
            let plain = self.plain_bytes(fresh, limits);
            self.advance(plain);
            let Some([byte, rest @ ..]) = fresh.get(plain..) else { break };
            let next = self.step(*byte, limits)?;
            if self.place == Place::TargetCr {
                // RFC 9112 §2.3: HTTP/0.9, or no HTTP, is not waited for.
                parse_version(self.request_line(bytes))?;
            }
            if self.place == Place::StartCr {
                self.empty_lines = self.empty_lines.saturating_add(1);
            }
            self.place = next;
            self.advance(1);
            fresh = rest;
        }
        match self.place {
            Place::Found => Ok(usize::try_from(self.examined).ok()),
            _ if bytes.len() >= bytes_max => Err(self.too_large()),
            _ => Ok(None),
        }
    }

    /// How many of the next bytes change nothing, because they stand inside a line.
    fn plain_bytes(&self, fresh: &[u8], limits: &HeadLimits) -> usize {
        let fresh = match self.place {
            Place::Field => fresh,
            Place::Target => {
                let room = line_bytes_max(limits).saturating_sub(self.line_bytes());
                fresh.get(..room).unwrap_or(fresh)
            }
            _ => return 0,
        };
        let plain = fresh.iter().position(|byte| *byte <= b'\r').unwrap_or(fresh.len());
        #[cfg(test)]
        tests::count_looks(plain);
        plain
    }

    fn advance(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.examined = self.examined.saturating_add(bytes);
    }

    /// Where `byte` leads from here.
    fn step(&self, byte: u8, limits: &HeadLimits) -> Result<Place, HeadError> {
        #[cfg(test)]
        tests::count_looks(1);
        match (self.place, byte) {
            (Place::StartCr, b'\n') => Ok(Place::Start),
            (Place::TargetCr | Place::FieldCr, b'\n') => Ok(Place::FieldStart),
            (Place::LastCr, b'\n') => Ok(Place::Found),
            (Place::StartCr | Place::TargetCr | Place::FieldCr | Place::LastCr, _) => {
                Err(HeadError::BareCarriageReturn)
            }
            (Place::Start, b'\r') if self.empty_lines < EMPTY_LINES_MAX => Ok(Place::StartCr),
            (Place::Start, b'\r') => Err(HeadError::TooManyEmptyLines),
            (Place::Method, b' ') => Ok(Place::Target),
            (Place::Target, b'\r') => Ok(Place::TargetCr),
            (Place::Target, _) if self.line_bytes() >= line_bytes_max(limits) => {
                Err(HeadError::UriTooLong)
            }
            (Place::FieldStart, b'\r') => Ok(Place::LastCr),
            (Place::Field, b'\r') => Ok(Place::FieldCr),
            (_, b'\n') => Err(HeadError::BareLineFeed),
            (_, 0) => Err(HeadError::NulByte),
            (Place::Start | Place::Method, _) if !is_token_byte(byte) => {
                Err(HeadError::InvalidMethod)
            }
            (Place::Method, _) if self.line_bytes() >= METHOD_BYTES_MAX => {
                Err(HeadError::MethodTooLong)
            }
            (Place::Start | Place::Method, _) => Ok(Place::Method),
            (Place::Target, _) => Ok(Place::Target),
            (Place::FieldStart | Place::Field, _) => Ok(Place::Field),
            (Place::Found, _) => Ok(Place::Found),
        }
    }

    /// Bytes of the request line before the one being looked at.
    fn line_bytes(&self) -> usize {
        let examined = usize::try_from(self.examined).unwrap_or(MAX_EXAMINED);
        examined.saturating_sub(self.start())
    }

    /// Where the request line begins.
    fn start(&self) -> usize {
        usize::from(self.empty_lines).saturating_mul(b"\r\n".len())
    }

    /// The request line without its end, when `examined` stands on the LF of that.
    fn request_line<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let end = usize::try_from(self.examined).unwrap_or(MAX_EXAMINED).saturating_sub(1);
        bytes.get(self.start()..end).unwrap_or_default()
    }

    fn too_large(&self) -> HeadError {
        match self.place {
            // RFC 9112 §3: what did not fit is the target.
            Place::Target => HeadError::UriTooLong,
            _ => HeadError::HeadTooLarge,
        }
    }
}

fn line_bytes_max(limits: &HeadLimits) -> usize {
    limits.target_bytes_max.saturating_add(AROUND_TARGET_BYTES)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::super::properties::{LIMITS, every_split, mutations};
    use super::*;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count_looks(bytes: usize) {
        LOOKS.set(LOOKS.get() + bytes);
    }

    fn find(bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        HeadSearch::default().find_end(bytes, &LIMITS)
    }

    /// What the search says when `bytes` arrive in `parts`: the first answer that is not "more".
    fn find_in_parts(bytes: &[u8], parts: &[usize]) -> Result<Option<usize>, HeadError> {
        let mut search = HeadSearch::default();
        for end in parts {
            match search.find_end(&bytes[..*end], &LIMITS) {
                Ok(None) => {}
                answer => return answer,
            }
        }
        Ok(None)
    }

    const HEAD: &[u8] = b"\r\nGET /topics/a?wait=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";

    #[test]
    fn a_search_is_eight_bytes() {
        assert_eq!(size_of::<HeadSearch>(), 8);
    }

    #[test]
    fn the_end_is_behind_the_empty_line_and_what_follows_is_left_alone() {
        let mut bytes = HEAD.to_vec();
        bytes.extend_from_slice(b"POST / HT\n\0");
        assert_eq!(find(&bytes), Ok(Some(HEAD.len())));
    }

    #[test]
    fn a_found_head_stays_found() {
        let mut search = HeadSearch::default();
        assert_eq!(search.find_end(HEAD, &LIMITS), Ok(Some(HEAD.len())));
        assert_eq!(search.find_end(HEAD, &LIMITS), Ok(Some(HEAD.len())));
    }

    #[test]
    fn an_error_stays_the_same_error() {
        let mut search = HeadSearch::default();
        for _ in 0..3 {
            let answer = search.find_end(b"GET /a\nb HTTP/1.1\r\n", &LIMITS);
            assert_eq!(answer, Err(HeadError::BareLineFeed));
        }
    }

    #[test]
    fn any_split_gives_the_same_answer() {
        for input in mutations(HEAD) {
            let at_once = find(&input);
            every_split(&input, |parts| {
                assert_eq!(find_in_parts(&input, parts), at_once, "{}", input.escape_ascii());
            });
        }
    }

    #[test]
    fn attack_044_a_head_of_64_kib_sent_byte_by_byte_is_looked_at_once() {
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        while head.len() < 65_536 - 6 {
            head.extend_from_slice(b"a: b\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let limits = HeadLimits { head_bytes_max: 65_536, ..LIMITS };
        let mut search = HeadSearch::default();
        LOOKS.set(0);
        for end in 0..head.len() {
            assert_eq!(search.find_end(&head[..end], &limits), Ok(None));
        }
        assert_eq!(search.find_end(&head, &limits), Ok(Some(head.len())));
        assert_eq!(LOOKS.get(), head.len());
    }

    #[test]
    fn a_head_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
        let limits = HeadLimits { head_bytes_max: HEAD.len(), ..LIMITS };
        assert_eq!(HeadSearch::default().find_end(HEAD, &limits), Ok(Some(HEAD.len())));
        let limits = HeadLimits { head_bytes_max: HEAD.len() - 1, ..LIMITS };
        let answer = HeadSearch::default().find_end(HEAD, &limits);
        assert_eq!(answer, Err(HeadError::HeadTooLarge));
    }

    #[test]
    fn a_full_head_buffer_is_refused_without_another_byte() {
        let limits = HeadLimits { head_bytes_max: 40, ..LIMITS };
        let bytes = b"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaa";
        assert_eq!(HeadSearch::default().find_end(&bytes[..39], &limits), Ok(None));
        let answer = HeadSearch::default().find_end(&bytes[..40], &limits);
        assert_eq!(answer, Err(HeadError::HeadTooLarge));
    }

    #[test]
    fn the_limits_of_method_and_request_line_are_exact() {
        let method = |bytes: usize| find(format!("{} /", "M".repeat(bytes)).as_bytes());
        assert_eq!(method(32), Ok(None));
        assert_eq!(method(33), Err(HeadError::MethodTooLong));
        let line_bytes_max = LIMITS.target_bytes_max + 32;
        let line = |bytes: usize| find(format!("{:a<bytes$}", "GET /").as_bytes());
        assert_eq!(line(line_bytes_max), Ok(None));
        assert_eq!(line(line_bytes_max + 1), Err(HeadError::UriTooLong));
    }

    #[test]
    fn a_long_target_is_refused_before_its_line_ends() {
        let bytes = [b"GET /".as_slice(), &vec![b'a'; 70_000]].concat();
        assert_eq!(find(&bytes), Err(HeadError::UriTooLong));
        let limits = HeadLimits { head_bytes_max: 100, ..LIMITS };
        let answer = HeadSearch::default().find_end(&bytes, &limits);
        assert_eq!(answer, Err(HeadError::UriTooLong));
    }

    #[test]
    fn what_is_not_http_is_refused_at_its_first_byte() {
        for byte in [0x16, 0x05, 0x03, 0x80, b' ', b'\t', b'{', b'"'] {
            assert_eq!(find(&[byte]), Err(HeadError::InvalidMethod), "{byte:#x}");
        }
    }
}
