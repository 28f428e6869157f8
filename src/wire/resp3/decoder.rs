//! Bytes to values, a piece at a time.
//!
//! ```text
//!   input ──▶ a line: type and text ──▶ a scalar ────────────────────────────┐
//!                │        └── a length ──▶ that many bytes of a string ──────┤
//!                └── the length of an aggregate ──▶ one more open aggregate  ▼
//!                                                      the innermost open aggregate, or the caller
//! ```
//!
//! Invariant: each byte is looked at once, and once more when it is copied.
//! Invariant: memory follows what has come, never what was announced.

use std::mem;

use super::scalar::{Length, parse_length, parse_scalar};
use super::{RespError, Value};

/// Bytes of a line, at most. The longest are errors, which name a command or a key.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Elements that an aggregate has room for before any has come.
const ELEMENTS_AT_FIRST: usize = 8;
/// The types that there are.
const TYPES: &[u8] = b"+-:$*_,#!=(%~|>";
/// The first two bytes of a TLS alert, which is what a server of TLS answers a plain command with (RFC 8446 §5.1).
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// What one value may take.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of one string.
    pub bytes_max: usize,
    /// Bytes of a whole value, as it is sent; at least 2.
    pub value_bytes_max: usize,
    /// Aggregates within one another. Dropping a value takes as much of the stack.
    pub depth_max: usize,
    /// Elements of a whole value, over all that is nested; a pair of a map is two.
    pub elements_max: usize,
}

/// Reads values from bytes as they arrive. After an error it is of no more use.
#[derive(Debug)]
pub struct Decoder {
    bounds: Bounds,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The string that is being read. `line` is empty then.
    string: Option<PartialString>,
    /// The aggregates around it, the outermost first. Each lacks an element at least.
    open: Vec<Aggregate>,
    /// Bytes of this value that were taken or announced, but for `line`.
    value_bytes: usize,
    /// Elements of this value that were announced.
    elements: usize,
}

#[derive(Debug)]
struct PartialString {
    kind: u8,
    length: usize,
    bytes: Vec<u8>,
    /// Bytes of the CR LF behind it that have come.
    ended: usize,
}

#[derive(Debug)]
struct Aggregate {
    /// Values that have not come, at least 1.
    lacking: usize,
    elements: Elements,
}

#[derive(Debug)]
enum Elements {
    Array(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    /// The pairs, and a key whose value has not come.
    Map(Vec<(Value, Value)>, Option<Value>),
    /// They are not wanted.
    Attribute,
}

/// Bytes that were taken, and what is complete with them.
type Progress<T> = Result<(usize, Option<T>), RespError>;

impl Decoder {
    /// A reader of a connection's first bytes.
    pub fn new(bounds: Bounds) -> Self {
        debug_assert!(bounds.value_bytes_max >= 2);
        let open = Vec::new();
        Self { bounds, line: Vec::new(), string: None, open, value_bytes: 0, elements: 0 }
    }

    /// Takes bytes of `input` until a value is complete, and says how many it took: all of them, if none is.
    /// The rest belongs to the values behind it.
    ///
    /// # Errors
    /// If this is not RESP3, or is more than the bounds allow. The connection has to be given up.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Value>), RespError> {
        let mut taken = 0;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            let (count, value) = match self.string.take() {
                Some(string) => self.read_string(string, rest)?,
                None => self.read_line(rest)?,
            };
            taken += count;
            if let Some(value) = value.and_then(|value| self.place(value)) {
                (self.value_bytes, self.elements) = (0, 0);
                return Ok((taken, Some(value)));
            }
        }
        Ok((taken, None))
    }

    /// Whether a value has begun and is not complete.
    pub fn is_within_value(&self) -> bool {
        self.value_bytes > 0 || !self.line.is_empty()
    }

    /// A line, of `input` that is not empty, or the part of it that has come.
    fn read_line(&mut self, input: &[u8]) -> Progress<Value> {
        let left = self.bounds.value_bytes_max.saturating_sub(self.value_bytes);
        let (line_bytes_max, too_long) = if left < LINE_BYTES_MAX {
            (left, RespError::ValueTooLong)
        } else {
            (LINE_BYTES_MAX, RespError::LineTooLong)
        };
        let room = line_bytes_max.checked_sub(self.line.len()).filter(|room| *room > 0);
        let input = &input[..input.len().min(room.ok_or(too_long)?)];
        self.check_type(input)?;
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(input);
            return Ok((input.len(), None));
        };
        let taken = end + 1;
        let kept = mem::take(&mut self.line);
        self.value_bytes += kept.len() + taken;
        let value = if kept.is_empty() {
            self.handle_line(&input[..taken])?
        } else {
            self.handle_line(&[&kept, &input[..taken]].concat())?
        };
        Ok((taken, value))
    }

    /// What does not speak RESP3 is recognised at its first byte: it may never end a line.
    fn check_type(&self, input: &[u8]) -> Result<(), RespError> {
        let mut bytes = self.line.iter().chain(input).copied();
        match (bytes.next(), bytes.next()) {
            (Some(first), second) if first == TLS_ALERT[0] && self.value_bytes == 0 => match second
            {
                None => Ok(()),
                Some(second) if second == TLS_ALERT[1] => Err(RespError::Tls),
                Some(_) => Err(RespError::UnknownType(first)),
            },
            (Some(first), _) if !TYPES.contains(&first) => Err(RespError::UnknownType(first)),
            _ => Ok(()),
        }
    }

    /// A whole line, its end included.
    fn handle_line(&mut self, line: &[u8]) -> Result<Option<Value>, RespError> {
        let line = line.strip_suffix(b"\r\n").ok_or(RespError::LineEnd)?;
        let Some((&kind, text)) = line.split_first().filter(|_| !line.contains(&b'\r')) else {
            return Err(RespError::LineEnd);
        };
        if let Some(value) = parse_scalar(kind, text)? {
            return Ok(Some(value));
        }
        match parse_length(text)? {
            Length::Null if matches!(kind, b'$' | b'*') => Ok(Some(Value::Null)),
            Length::Null => Err(RespError::Length),
            Length::Known(length) if matches!(kind, b'$' | b'!' | b'=') => {
                self.begin_string(kind, length)?;
                Ok(None)
            }
            Length::Known(length) => self.begin_aggregate(kind, length),
        }
    }

    fn begin_string(&mut self, kind: u8, length: usize) -> Result<(), RespError> {
        if length > self.bounds.bytes_max {
            return Err(RespError::StringTooLong);
        }
        self.value_bytes = self.value_bytes.saturating_add(length).saturating_add(2);
        if self.value_bytes > self.bounds.value_bytes_max {
            return Err(RespError::ValueTooLong);
        }
        self.string = Some(PartialString { kind, length, bytes: Vec::new(), ended: 0 });
        Ok(())
    }

    /// Returns the aggregate if it has no elements.
    fn begin_aggregate(&mut self, kind: u8, length: usize) -> Result<Option<Value>, RespError> {
        if kind == b'>' && !self.open.is_empty() {
            return Err(RespError::NestedPush);
        }
        let lacking = if matches!(kind, b'%' | b'|') { length.saturating_mul(2) } else { length };
        self.elements = self.elements.saturating_add(lacking);
        if self.elements > self.bounds.elements_max {
            return Err(RespError::TooManyElements);
        }
        if self.open.len() >= self.bounds.depth_max {
            return Err(RespError::TooDeep);
        }
        let room = length.min(ELEMENTS_AT_FIRST);
        let elements = match kind {
            b'*' => Elements::Array(Vec::with_capacity(room)),
            b'~' => Elements::Set(Vec::with_capacity(room)),
            b'>' => Elements::Push(Vec::with_capacity(room)),
            b'%' => Elements::Map(Vec::with_capacity(room), None),
            b'|' => Elements::Attribute,
            _ => return Err(RespError::UnknownType(kind)),
        };
        if lacking == 0 {
            return Ok(elements.finish());
        }
        self.open.push(Aggregate { lacking, elements });
        Ok(None)
    }

    /// A string, or the part of it that has come.
    fn read_string(&mut self, mut string: PartialString, input: &[u8]) -> Progress<Value> {
        let wanted = string.length - string.bytes.len();
        let (piece, rest) = input.split_at(wanted.min(input.len()));
        string.append(piece);
        if string.bytes.len() == string.length {
            let end = &b"\r\n"[string.ended..];
            let count = end.len().min(rest.len());
            if rest[..count] != end[..count] {
                return Err(RespError::StringEnd);
            }
            string.ended += count;
            if string.ended == 2 {
                return Ok((piece.len() + count, Some(string.finish()?)));
            }
        }
        self.string = Some(string);
        Ok((input.len(), None))
    }

    /// Puts a value where it belongs, and closes what it completes. Returns the outermost value, if that is complete.
    fn place(&mut self, mut value: Value) -> Option<Value> {
        while let Some(aggregate) = self.open.last_mut() {
            aggregate.elements.push(value);
            aggregate.lacking -= 1;
            if aggregate.lacking > 0 {
                return None;
            }
            // An attribute is no value: the one that it is about comes behind it.
            value = self.open.pop()?.elements.finish()?;
        }
        Some(value)
    }
}

impl PartialString {
    /// Grows by doubling, so that a string that comes in pieces is not copied again with each, but never beyond
    /// its length.
    fn append(&mut self, piece: &[u8]) {
        let needed = self.bytes.len() + piece.len();
        if needed > self.bytes.capacity() {
            let room = needed.max(self.bytes.len() * 2).min(self.length);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
    }

    fn finish(mut self) -> Result<Value, RespError> {
        match self.kind {
            b'!' => Ok(Value::Error(self.bytes)),
            b'=' if self.bytes.get(3) == Some(&b':') => Ok(Value::Bulk(self.bytes.split_off(4))),
            b'=' => Err(RespError::Verbatim),
            _ => Ok(Value::Bulk(self.bytes)),
        }
    }
}

impl Elements {
    fn push(&mut self, value: Value) {
        match self {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => values.push(value),
            Self::Map(pairs, key) => match key.take() {
                Some(key) => pairs.push((key, value)),
                None => *key = Some(value),
            },
            Self::Attribute => {}
        }
    }

    fn finish(self) -> Option<Value> {
        match self {
            Self::Array(values) => Some(Value::Array(values)),
            Self::Set(values) => Some(Value::Set(values)),
            Self::Push(values) => Some(Value::Push(values)),
            Self::Map(pairs, _) => Some(Value::Map(pairs)),
            Self::Attribute => None,
        }
    }
}

#[cfg(any(test, fuzzing))]
impl Decoder {
    /// Bytes of memory that are held for what has come.
    pub(super) fn held_bytes(&self) -> usize {
        let string = self.string.as_ref().map_or(0, |string| string.bytes.capacity());
        let open: usize = self.open.iter().map(|aggregate| aggregate.elements.held_bytes()).sum();
        self.line.capacity() + string + self.open.capacity() * size_of::<Aggregate>() + open
    }
}

#[cfg(any(test, fuzzing))]
impl Elements {
    fn held_bytes(&self) -> usize {
        match self {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => held_by(values),
            Self::Map(pairs, key) => held_by_pairs(pairs) + key.as_ref().map_or(0, held_beyond),
            Self::Attribute => 0,
        }
    }
}

#[cfg(any(test, fuzzing))]
fn held_by(values: &Vec<Value>) -> usize {
    values.capacity() * size_of::<Value>() + values.iter().map(held_beyond).sum::<usize>()
}

#[cfg(any(test, fuzzing))]
fn held_by_pairs(pairs: &Vec<(Value, Value)>) -> usize {
    let beyond = |(key, value): &(Value, Value)| held_beyond(key) + held_beyond(value);
    pairs.capacity() * size_of::<(Value, Value)>() + pairs.iter().map(beyond).sum::<usize>()
}

/// Memory of a value, itself aside.
#[cfg(any(test, fuzzing))]
fn held_beyond(value: &Value) -> usize {
    match value {
        Value::Simple(bytes)
        | Value::Error(bytes)
        | Value::Bulk(bytes)
        | Value::BigNumber(bytes) => bytes.capacity(),
        Value::Integer(_) | Value::Null | Value::Boolean(_) | Value::Double(_) => 0,
        Value::Array(values) | Value::Set(values) | Value::Push(values) => held_by(values),
        Value::Map(pairs) => held_by_pairs(pairs),
    }
}
