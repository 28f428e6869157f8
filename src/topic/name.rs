//! The name of a topic, checked once.

use std::fmt;
use std::sync::Arc;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::problem_kind::ProblemKind;

/// Bytes of a topic's name.
pub const NAME_BYTES_MAX: usize = 200;

/// A topic's name: 1 to 200 bytes of UTF-8 without control and format characters, line and paragraph
/// separators, `,`, `*` and `>`. Compared as bytes. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// Why a name is refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// No byte at all.
    Empty,
    /// More than 200 bytes.
    TooLong,
    /// Not UTF-8.
    NotUtf8,
    /// A control or format character, or a line or paragraph separator.
    Unprintable,
    /// `,`, `*` or `>`.
    Reserved,
}

impl NameError {
    /// What it is called.
    pub const fn kind(self) -> ProblemKind {
        match self {
            Self::Empty => ProblemKind::TopicNameMissing,
            Self::TooLong => ProblemKind::TopicNameTooLong,
            Self::NotUtf8 => ProblemKind::TopicNameNotUtf8,
            Self::Unprintable => ProblemKind::TopicNameUnprintable,
            Self::Reserved => ProblemKind::TopicNameReserved,
        }
    }

    /// What is wrong and what to do; `{limit}` stands for the bound that was reached.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Empty => "A topic's name is missing. Name it behind /topics/, in 1 to 200 bytes.",
            Self::TooLong => "The topic's name has more than {limit} bytes. Shorten it.",
            Self::NotUtf8 => {
                "The topic's name is not UTF-8 after percent-decoding. Encode it as UTF-8."
            }
            Self::Unprintable => {
                "The topic's name has a control or format character. Use visible characters and spaces."
            }
            Self::Reserved => {
                "The topic's name has one of , * > which are reserved. Use another character."
            }
        }
    }
}

impl TopicName {
    /// Checks a name that is percent-decoded already.
    pub fn parse(bytes: &[u8]) -> Result<Self, NameError> {
        if bytes.is_empty() {
            return Err(NameError::Empty);
        }
        if bytes.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        let name = std::str::from_utf8(bytes).map_err(|_| NameError::NotUtf8)?;
        for character in name.chars() {
            if matches!(character, ',' | '*' | '>') {
                return Err(NameError::Reserved);
            }
            // ASCII is nearly everything, and needs no table.
            let unprintable = if character.is_ascii() {
                character.is_ascii_control()
            } else {
                matches!(
                    character.general_category(),
                    GeneralCategory::Control
                        | GeneralCategory::Format
                        | GeneralCategory::LineSeparator
                        | GeneralCategory::ParagraphSeparator
                )
            };
            if unprintable {
                return Err(NameError::Unprintable);
            }
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_target;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_odd_but_harmless_names_are_taken() {
        for name in ["a", "news/2026", "..", "Zürich 🙂", "$SYS", "a#b", &"x".repeat(200)] {
            assert_eq!(TopicName::parse(name.as_bytes()).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_are_compared_as_bytes() {
        let composed = TopicName::parse("é".as_bytes()).unwrap();
        let decomposed = TopicName::parse("e\u{301}".as_bytes()).unwrap();
        assert_ne!(composed, decomposed);
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        let error = |name: &[u8]| TopicName::parse(name).unwrap_err();
        assert_eq!(error(b""), NameError::Empty);
        assert_eq!(error(&[b'x'; 201]), NameError::TooLong);
        for bytes in [&b"\xff"[..], b"\xc0\xae", b"\xed\xa0\x80", b"\xe2\x82"] {
            assert_eq!(error(bytes), NameError::NotUtf8);
        }
        for name in
            ["a\0", "\r\n", "\x7f", "\u{202e}", "\u{200b}", "\u{feff}", "\u{2028}", "\u{85}"]
        {
            assert_eq!(error(name.as_bytes()), NameError::Unprintable, "{name:?}");
        }
        for name in ["a,b", "*", "a>"] {
            assert_eq!(error(name.as_bytes()), NameError::Reserved);
        }
    }
}
