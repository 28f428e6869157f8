//! Positions in logs, and their text: what a client has already received.
//!
//! `7n2m4k8q-42` is message 42 of epoch `7n2m4k8q`; a cursor on several topics has such a position for each,
//! joined by dots, in the order of the topics' names.

use std::fmt::Write as _;

/// Characters of an epoch: Crockford's base 32, which has no letters that look like digits.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters in an epoch's text.
const EPOCH_CHARACTERS: usize = 8;
/// Positions in one cursor; more than any connection may subscribe to.
const POSITIONS_MAX: usize = 1024;

/// Which life of a log a sequence number belongs to: 40 random bits, drawn when the log begins.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of no log.
    pub const NONE: Self = Self(0);

    /// The epoch made of the low 40 bits of `random`; never [`Epoch::NONE`].
    pub const fn from_random(random: u64) -> Self {
        match random & ((1 << 40) - 1) {
            0 => Self(1),
            bits => Self(bits),
        }
    }

    /// The epoch of a text that [`Epoch::text`] made.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digit = |value: u64, byte: &u8| {
            let digit = ALPHABET.iter().position(|character| character == byte)?;
            Some(value << 5 | digit as u64)
        };
        let is_whole = text.len() == EPOCH_CHARACTERS;
        is_whole.then(|| text.iter().try_fold(0, digit)).flatten().map(Self)
    }

    /// Its text, as it is in cursors.
    pub fn text(self) -> String {
        let mut text = Position { epoch: self, sequence: 0 }.text();
        text.truncate(EPOCH_CHARACTERS);
        text
    }
}

/// A place in a topic's life: everything up to and including message `sequence` was received.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which life of the log.
    pub epoch: Epoch,
    /// The last message received; 0 before the first.
    pub sequence: u64,
}

impl Position {
    /// A position that is good in no log.
    pub const NOWHERE: Self = Self { epoch: Epoch::NONE, sequence: 0 };

    /// Appends the position's text, at most 28 bytes.
    pub fn encode(self, out: &mut String) {
        for character in (0..EPOCH_CHARACTERS).rev() {
            let digit = (self.epoch.0 >> (5 * character)) & 31;
            out.push(char::from(ALPHABET[digit as usize]));
        }
        write!(out, "-{}", self.sequence).expect("writing to a string cannot fail");
    }

    /// The position's text.
    pub fn text(self) -> String {
        let mut out = String::with_capacity(28);
        self.encode(&mut out);
        out
    }

    /// Parses one position: exactly what [`Position::encode`] writes, nothing else.
    fn parse(text: &[u8]) -> Result<Self, CursorError> {
        let (epoch, rest) = text.split_at_checked(EPOCH_CHARACTERS).ok_or(CursorError)?;
        let digits = rest.strip_prefix(b"-").ok_or(CursorError)?;
        // `str::parse` would take a leading plus sign.
        if digits.is_empty() || digits.len() > 1 && digits[0] == b'0' {
            return Err(CursorError);
        }
        let sequence = digits.iter().try_fold(0_u64, |value, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        });
        match (Epoch::parse(epoch), sequence) {
            (Some(epoch), Some(sequence)) => Ok(Self { epoch, sequence }),
            _ => Err(CursorError),
        }
    }
}

/// A cursor as a client sent it: a position for each topic, in the order of the topics' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Vec<Position>);

/// The text is not a cursor.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CursorError;

impl Cursor {
    /// Parses a cursor's text.
    pub fn parse(text: &[u8]) -> Result<Self, CursorError> {
        let mut positions = Vec::new();
        for part in text.split(|&byte| byte == b'.') {
            if positions.len() == POSITIONS_MAX {
                return Err(CursorError);
            }
            positions.push(Position::parse(part)?);
        }
        Ok(Self(positions))
    }

    /// For how many topics it is.
    pub fn topics(&self) -> usize {
        self.0.len()
    }

    /// The positions if there are `topics` of them, else none (docs/protocol.md 3.4).
    pub fn positions(&self, topics: usize) -> Option<&[Position]> {
        (self.0.len() == topics).then_some(&self.0)
    }

    /// Appends the text of a cursor with these positions.
    pub fn encode(positions: impl Iterator<Item = Position>, out: &mut String) {
        for (index, position) in positions.enumerate() {
            if index > 0 {
                out.push('.');
            }
            position.encode(out);
        }
    }
}

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the earliest message retained.
    Earliest,
    /// Behind the last message there is.
    Latest,
    /// So many messages before the head.
    Last(u64),
    /// Behind what this cursor has received.
    After(Cursor),
    /// Behind something that nobody knows: all of it is a gap, then everything retained.
    Unknown,
}

impl Start {
    /// Parses a cursor, `earliest` or `latest`.
    pub fn parse(text: &[u8]) -> Result<Self, CursorError> {
        match text {
            b"earliest" => Ok(Self::Earliest),
            b"latest" => Ok(Self::Latest),
            _ => Cursor::parse(text).map(Self::After),
        }
    }
}

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_cursor;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_parsed_again() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in 1..40 {
            let positions: Vec<Position> = (0..count)
                .map(|_| Position {
                    epoch: Epoch::from_random(random.u64(..)),
                    sequence: random.u64(..) >> random.u32(0..64),
                })
                .collect();
            let mut text = String::new();
            Cursor::encode(positions.iter().copied(), &mut text);
            assert_eq!(Cursor::parse(text.as_bytes()), Ok(Cursor(positions)));
        }
    }

    #[test]
    fn the_longest_cursor_of_one_topic_has_29_bytes() {
        let position = Position { epoch: Epoch::from_random(u64::MAX), sequence: u64::MAX };
        assert_eq!(position.text(), "zzzzzzzz-18446744073709551615");
    }

    #[test]
    fn nothing_else_is_a_cursor() {
        for bad in [
            "",
            "abc",
            "-1",
            "+1",
            "1e3",
            "0x10",
            " 5",
            "５",
            "\0",
            "1:2:3",
            "[0]",
            "0",
            "zzzzzzzz",
            "zzzzzzzz-",
            "zzzzzzzz-+1",
            "zzzzzzzz--1",
            "zzzzzzzz-01",
            "zzzzzzzz-1 ",
            "ZZZZZZZZ-1",
            "uuuuuuuu-1",
            "zzzzzzzz-18446744073709551616",
            "zzzzzzzz-340282366920938463463374607431768211456",
            "zzzzzzzz-1.",
            ".zzzzzzzz-1",
            "zzzzzzzz-1,zzzzzzzz-1",
            "zzzzzzzz-1\u{a0}",
        ] {
            assert_eq!(Start::parse(bad.as_bytes()), Err(CursorError), "{bad:?}");
        }
        assert_eq!(Cursor::parse("9".repeat(5000).as_bytes()), Err(CursorError));
        assert_eq!(Cursor::parse("zzzzzzzz-1.".repeat(5000).as_bytes()), Err(CursorError));
    }
}
