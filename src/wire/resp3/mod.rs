//! RESP3, what Redis speaks, from the client's side: commands out, values in
//! (<https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md>).
//!
//! Redis is a peer like any other: it may be something else that listens there, or be gone wrong. What it
//! sends is bounded in bytes, elements and depth, and read once, however it is split.
//!
//! Deliberately absent: strings and aggregates whose length is not known beforehand (`$?`, `*?`), which
//! Redis itself never sends; and inline commands.

mod decoder;
mod error;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod scalar;
#[cfg(test)]
mod tests;

pub use decoder::{Bounds, Decoder};
pub use error::RespError;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_resp3;

/// One value that Redis has sent. Attributes are gone; so are the three letters of a verbatim string.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A line, such as `OK`.
    Simple(Vec<u8>),
    /// An error, simple or of several lines: a word in capitals, then text.
    Error(Vec<u8>),
    /// A number.
    Integer(i64),
    /// Any bytes.
    Bulk(Vec<u8>),
    /// Nothing, in RESP3's way or in one of RESP2's.
    Null,
    /// Yes or no.
    Boolean(bool),
    /// Infinities and NaN included.
    Double(f64),
    /// A number of any size: digits, perhaps behind a sign.
    BigNumber(Vec<u8>),
    /// A list.
    Array(Vec<Value>),
    /// Keys and values, in the order in which they came. A key may come twice.
    Map(Vec<(Value, Value)>),
    /// A list whose order means nothing. Whether there are equal ones is not checked.
    Set(Vec<Value>),
    /// What is no answer, but was sent by itself: a message of a channel.
    Push(Vec<Value>),
}

impl Value {
    /// The bytes of a string, simple or not.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// As [`Value::as_bytes`], if they are UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// As [`Value::as_bytes`].
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of an array, a set or a push.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => Some(values),
            _ => None,
        }
    }

    /// As [`Value::as_array`].
    pub fn into_array(self) -> Option<Vec<Value>> {
        match self {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => Some(values),
            _ => None,
        }
    }

    /// What an error says.
    pub fn as_error(&self) -> Option<&[u8]> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// What stands beside the first key of a map that is this string.
    pub fn field(&self, key: &[u8]) -> Option<&Value> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(name, _)| name.as_bytes() == Some(key)).map(|(_, value)| value)
    }
}

/// Appends one command: its name and what it is given. Whatever bytes these are, it stays one command.
pub fn encode_command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    let bytes: usize = arguments.iter().map(|argument| argument.len() + 16).sum();
    out.reserve(bytes + 8);
    encode_length(out, b'*', arguments.len());
    for argument in arguments {
        encode_length(out, b'$', argument.len());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a line of a type and a length.
fn encode_length(out: &mut Vec<u8>, kind: u8, length: usize) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), length);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push(kind);
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}
