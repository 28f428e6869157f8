//! Percent-encoding and query strings (RFC 3986 §2.1, §3.4).
//!
//! Decoding happens once, behind the splitting at `/`, `?`, `&` and `=`, and what comes out is
//! opaque: nothing is normalized, so `%2F` and `..` are text like any other.

use std::borrow::Cow;

use super::Status;
use super::grammar::hex_value;
use crate::problem_kind::ProblemKind;

/// How many pairs a query may have.
pub const QUERY_PAIRS_MAX: usize = 64;

/// What can be wrong with the inside of a request target.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetError {
    /// A `%` without two hexadecimal digits behind it.
    BadEscape,
    /// Not UTF-8 after decoding.
    NotUtf8,
    /// A key of the query is there twice.
    Duplicate,
    /// More than 64 pairs in the query.
    TooManyPairs,
}

impl TargetError {
    /// What it is called.
    pub const fn kind(self) -> ProblemKind {
        match self {
            TargetError::BadEscape => ProblemKind::MalformedTarget,
            TargetError::NotUtf8 => ProblemKind::QueryNotUtf8,
            TargetError::Duplicate => ProblemKind::DuplicateParameter,
            TargetError::TooManyPairs => ProblemKind::TooManyParameters,
        }
    }

    /// The status to answer with: 400.
    pub const fn status(self) -> Status {
        Status::of(self.kind())
    }

    /// One sentence for the client: what is wrong and what to do.
    pub const fn detail(self) -> &'static str {
        match self {
            TargetError::BadEscape => {
                "A % in the request target has no two hexadecimal digits behind it. Write a percent sign as %25."
            }
            TargetError::NotUtf8 => "The query of the request target is not percent-encoded UTF-8.",
            TargetError::Duplicate => {
                "A parameter of the query is given twice, and only one can count. Give it once."
            }
            TargetError::TooManyPairs => "The query has more than {limit} parameters. Give fewer.",
        }
    }
}

/// Decodes percent-encoding, once. Copies only if there is something to decode. `+` stays `+`.
pub fn percent_decode(raw: &str) -> Result<Cow<'_, [u8]>, TargetError> {
    if !raw.contains('%') {
        return Ok(Cow::Borrowed(raw.as_bytes()));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    loop {
        rest = match rest {
            [] => return Ok(Cow::Owned(decoded)),
            [b'%', tail @ ..] => {
                let (byte, tail) = decode_escape(tail).ok_or(TargetError::BadEscape)?;
                decoded.push(byte);
                tail
            }
            [byte, tail @ ..] => {
                decoded.push(*byte);
                tail
            }
        };
    }
}

/// The byte that two digits stand for, and what is behind them.
fn decode_escape(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, tail @ ..] = bytes else { return None };
    // Four bits each, so nothing is shifted out.
    Some(((hex_value(*high)? << 4) | hex_value(*low)?, tail))
}

/// A query, decoded: keys and values, each key once, in a list short enough to be searched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Parses `raw`, the query without its `?`, as forms are encoded: pairs between `&`, key and
    /// value around the first `=`, `+` for a space. Empty pairs are skipped; without `=` the value
    /// is empty.
    ///
    /// Fails on a bad escape, on what is not UTF-8, on a key that is there twice (which of them
    /// counts would be a guess) and on more than 64 pairs. Linear in the length of `raw`.
    pub fn parse(raw: &'a str) -> Result<Self, TargetError> {
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() >= QUERY_PAIRS_MAX {
                return Err(TargetError::TooManyPairs);
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decode_text(key)?;
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(TargetError::Duplicate);
            }
            pairs.push((key, decode_text(value)?));
        }
        Ok(Query(pairs))
    }

    /// The value of `key`, decoded; empty if it was given without one.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_ref())
    }
}

/// One side of a pair.
fn decode_text(raw: &str) -> Result<Cow<'_, str>, TargetError> {
    let decoded = match raw.contains('+') {
        // An encoded plus (%2B) is decoded after this, and stays a plus.
        true => Cow::Owned(percent_decode(&raw.replace('+', " "))?.into_owned()),
        false => percent_decode(raw)?,
    };
    match decoded {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).ok(),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
    }
    .ok_or(TargetError::NotUtf8)
}

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_query;

#[cfg(test)]
mod tests {
    use super::super::properties::mutations;
    use super::*;

    #[test]
    fn text_without_escapes_is_not_copied() {
        assert!(matches!(percent_decode("/a+b"), Ok(Cow::Borrowed(b"/a+b"))));
    }

    #[test]
    fn decoding_happens_once() {
        assert_eq!(percent_decode("a%2Fb%252F%00%FF").unwrap().as_ref(), b"a/b%2F\0\xff");
    }

    #[test]
    fn an_escape_has_two_digits() {
        for raw in ["%", "%4", "a%zz", "%4g", "%%41", "%+1"] {
            assert_eq!(percent_decode(raw), Err(TargetError::BadEscape), "{raw}");
        }
    }

    #[test]
    fn a_query_is_pairs_of_decoded_text() {
        let query = Query::parse("after=a%2Bb+c&&wait=&flag&x=1=2&%77=%C3%A9").unwrap();
        assert_eq!(query.value("after"), Some("a+b c"));
        assert_eq!(query.value("wait"), Some(""));
        assert_eq!(query.value("flag"), Some(""));
        assert_eq!(query.value("x"), Some("1=2"));
        assert_eq!(query.value("w"), Some("é"));
        assert_eq!(query.value("W"), None);
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_however_it_is_written() {
        for raw in ["a=1&a=1", "a&b&a", "after=1&%61fter=2", "a+b=1&a%20b=2"] {
            assert_eq!(Query::parse(raw), Err(TargetError::Duplicate), "{raw}");
        }
    }

    #[test]
    fn sixty_four_pairs_are_taken_and_one_more_is_not() {
        let raw = |pairs: usize| {
            let pairs: Vec<_> = (0..pairs).map(|pair| format!("k{pair}=v")).collect();
            pairs.join("&")
        };
        assert_eq!(Query::parse(&raw(64)).unwrap().value("k63"), Some("v"));
        assert_eq!(Query::parse(&raw(65)), Err(TargetError::TooManyPairs));
        assert_eq!(Query::parse(&raw(100_000)), Err(TargetError::TooManyPairs));
    }

    #[test]
    fn a_query_is_utf_8() {
        for raw in ["a=%FF", "a=%C0%AE", "a=%ED%A0%80", "%E2%82=1"] {
            assert_eq!(Query::parse(raw), Err(TargetError::NotUtf8), "{raw}");
        }
    }

    #[test]
    fn whatever_is_sent_is_decoded_without_harm_or_refused_with_400() {
        for input in mutations(b"after=a%2Fb&wait=25&x+y=%C3%A9") {
            fuzz_query(&input);
            if let Some(Err(error)) = str::from_utf8(&input).ok().map(Query::parse) {
                assert_eq!(error.status(), Status::BAD_REQUEST);
            }
        }
    }
}
