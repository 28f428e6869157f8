//! The chunked transfer coding, read strictly (RFC 9112 §7.1).
//!
//! Ours, because a lenient decoder is half of a smuggled request: a size is 1 to 16 hexadecimal
//! digits and nothing around them, lines end in CRLF, data is followed by CRLF at once, extensions
//! keep to the grammar. White space around `;` and `=` (BWS), which only old senders make, is
//! refused.
//!
//! Invariant: the bytes of framing that were read are at most 16 KiB plus 8 for each byte of
//! payload, so that nobody pays for megabytes of extensions around single bytes.

use super::super::grammar::{hex_value, is_field_byte, is_token_byte};
use super::{BodyError, BodyLimits};

/// 16 digits are 64 bits. Leading zeros count: the grammar allows any number of them, nobody needs
/// them.
const SIZE_DIGITS_MAX: u8 = 16;

/// Framing that costs no payload: a few hundred chunks with middling extensions.
const OVERHEAD_BYTES_FREE: u64 = 16 * 1024;

/// Framing that a byte of payload pays for. A chunk of one byte without extensions needs 5.
const OVERHEAD_BYTES_PER_PAYLOAD_BYTE: u64 = 8;

/// Decodes one chunked body; its bytes may be split anywhere.
#[derive(Clone, Debug)]
pub(super) struct ChunkedDecoder {
    state: State,
    /// In `Size`: what the digits say so far. In `Data`: what is missing of the chunk, never 0.
    chunk_bytes: u64,
    /// Digits of the size.
    digits: u8,
    /// Of the chunk line, without its CRLF.
    line_bytes: usize,
    /// Everything but payload and trailers.
    framing_bytes: u64,
    payload_bytes: u64,
    trailers: usize,
    trailer_bytes: usize,
}

/// What the next byte belongs to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension(Extension),
    /// Behind the CR of a chunk line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer(Trailer),
    Done,
}

/// `*( ";" name [ "=" ( token / quoted-string ) ] )` (RFC 9112 §7.1.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Extension {
    NameStart,
    Name,
    ValueStart,
    Token,
    Quoted,
    /// Behind a backslash.
    QuotedPair,
    QuotedEnd,
}

/// Field lines, up to an empty one (RFC 9112 §7.1.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Trailer {
    Start,
    Name,
    Value,
    Lf,
    /// Behind the CR of the empty line that ends the body.
    LastLf,
}

impl ChunkedDecoder {
    pub(super) fn new() -> Self {
        ChunkedDecoder {
            state: State::Size,
            chunk_bytes: 0,
            digits: 0,
            line_bytes: 0,
            framing_bytes: 0,
            payload_bytes: 0,
            trailers: 0,
            trailer_bytes: 0,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    pub(super) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// As [`BodyReader::read`](super::BodyReader::read).
    pub(super) fn read(
        &mut self,
        input: &[u8],
        payload: &mut Vec<u8>,
        room: usize,
        limits: &BodyLimits,
    ) -> Result<usize, BodyError> {
        let mut room = room;
        let mut rest = input;
        while let [byte, tail @ ..] = rest {
            match self.state {
                State::Done => break,
                State::Data if room == 0 => break,
                State::Data => {
                    let data = self.take_data(rest, room);
                    payload.extend_from_slice(data);
                    room = room.saturating_sub(data.len());
                    rest = rest.get(data.len()..).unwrap_or_default();
                }
                _ => {
                    self.state = self.step(*byte, limits)?;
                    rest = tail;
                }
            }
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    /// As much of the chunk's data as is there and wanted.
    fn take_data<'a>(&mut self, input: &'a [u8], room: usize) -> &'a [u8] {
        let missing = usize::try_from(self.chunk_bytes).unwrap_or(usize::MAX);
        let data = input.get(..missing.min(room)).unwrap_or(input);
        let taken = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.chunk_bytes = self.chunk_bytes.saturating_sub(taken);
        self.payload_bytes = self.payload_bytes.saturating_add(taken);
        if self.chunk_bytes == 0 {
            self.state = State::DataCr;
        }
        data
    }

    /// Where a byte that is not data leads from here.
    fn step(&mut self, byte: u8, limits: &BodyLimits) -> Result<State, BodyError> {
        if let State::Trailer(trailer) = self.state {
            return self.trailer(trailer, byte, limits);
        }
        self.count_framing()?;
        match (self.state, byte) {
            (State::Size | State::Extension(_), b'\r') => self.end_line(),
            (State::Size | State::Extension(_), b'\n') => Err(BodyError::InvalidLineEnd),
            (State::Size | State::Extension(_), _) => {
                self.line_bytes = self.line_bytes.saturating_add(1);
                if self.line_bytes > limits.chunk_line_bytes_max {
                    return Err(BodyError::ChunkLineTooLong);
                }
                match self.state {
                    State::Extension(extension) => extension.step(byte).map(State::Extension),
                    _ => self.size(byte, limits),
                }
            }
            (State::SizeLf, b'\n') => Ok(self.begin_chunk()),
            (State::SizeLf, _) => Err(BodyError::InvalidLineEnd),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::DataCr | State::DataLf, _) => Err(BodyError::InvalidChunkEnd),
            (State::Data | State::Trailer(_) | State::Done, _) => Ok(self.state),
        }
    }

    /// A byte of the size, or the `;` behind it.
    fn size(&mut self, byte: u8, limits: &BodyLimits) -> Result<State, BodyError> {
        let Some(digit) = hex_value(byte) else {
            return match byte {
                b';' if self.digits > 0 => Ok(State::Extension(Extension::NameStart)),
                _ => Err(BodyError::InvalidChunkSize),
            };
        };
        if self.digits >= SIZE_DIGITS_MAX {
            return Err(BodyError::InvalidChunkSize);
        }
        self.digits = self.digits.saturating_add(1);
        let size = self.chunk_bytes.checked_mul(16).ok_or(BodyError::InvalidChunkSize)?;
        let size = size.checked_add(u64::from(digit)).ok_or(BodyError::InvalidChunkSize)?;
        // A size only grows with its digits, so there is no need to see the others.
        if size > limits.payload_bytes_max.saturating_sub(self.payload_bytes) {
            return Err(BodyError::TooLarge);
        }
        self.chunk_bytes = size;
        Ok(State::Size)
    }

    /// At the CR of a chunk line.
    fn end_line(&self) -> Result<State, BodyError> {
        match self.state {
            State::Size if self.digits == 0 => Err(BodyError::InvalidChunkSize),
            State::Extension(extension) if !extension.may_end() => {
                Err(BodyError::InvalidChunkExtension)
            }
            _ => Ok(State::SizeLf),
        }
    }

    /// Behind a chunk line: its data, or behind the last one the trailers.
    fn begin_chunk(&mut self) -> State {
        self.digits = 0;
        self.line_bytes = 0;
        match self.chunk_bytes {
            0 => State::Trailer(Trailer::Start),
            _ => State::Data,
        }
    }

    fn count_framing(&mut self) -> Result<(), BodyError> {
        self.framing_bytes = self.framing_bytes.saturating_add(1);
        let budget = self
            .payload_bytes
            .saturating_mul(OVERHEAD_BYTES_PER_PAYLOAD_BYTE)
            .saturating_add(OVERHEAD_BYTES_FREE);
        match self.framing_bytes > budget {
            true => Err(BodyError::TooMuchFraming),
            false => Ok(()),
        }
    }

    /// Checks trailer fields and forgets them: none of them may change what the head has said
    /// (RFC 9110 §6.5.1), and nothing else asks for them.
    fn trailer(
        &mut self,
        trailer: Trailer,
        byte: u8,
        limits: &BodyLimits,
    ) -> Result<State, BodyError> {
        let next = match (trailer, byte) {
            (Trailer::Start, b'\r') => return Ok(State::Trailer(Trailer::LastLf)),
            (Trailer::LastLf, b'\n') => return Ok(State::Done),
            (Trailer::Value, b'\r') => Trailer::Lf,
            (Trailer::Lf, b'\n') => Trailer::Start,
            (Trailer::LastLf | Trailer::Lf, _) | (_, b'\n') => {
                return Err(BodyError::InvalidLineEnd);
            }
            (Trailer::Name, b':') => Trailer::Value,
            (Trailer::Start | Trailer::Name, _) if is_token_byte(byte) => Trailer::Name,
            (Trailer::Value, _) if is_field_byte(byte) => Trailer::Value,
            _ => return Err(BodyError::InvalidTrailer),
        };
        self.trailer_bytes = self.trailer_bytes.saturating_add(1);
        if trailer == Trailer::Start {
            self.trailers = self.trailers.saturating_add(1);
        }
        let too_many = self.trailers > limits.trailers_max;
        match too_many || self.trailer_bytes > limits.trailer_bytes_max {
            true => Err(BodyError::TrailersTooLarge),
            false => Ok(State::Trailer(next)),
        }
    }
}

impl Extension {
    fn step(self, byte: u8) -> Result<Self, BodyError> {
        match (self, byte) {
            (Extension::NameStart | Extension::Name, _) if is_token_byte(byte) => {
                Ok(Extension::Name)
            }
            (Extension::Name, b'=') => Ok(Extension::ValueStart),
            (Extension::ValueStart, b'"') => Ok(Extension::Quoted),
            (Extension::ValueStart | Extension::Token, _) if is_token_byte(byte) => {
                Ok(Extension::Token)
            }
            (Extension::Name | Extension::Token | Extension::QuotedEnd, b';') => {
                Ok(Extension::NameStart)
            }
            (Extension::Quoted, b'"') => Ok(Extension::QuotedEnd),
            (Extension::Quoted, b'\\') => Ok(Extension::QuotedPair),
            (Extension::Quoted | Extension::QuotedPair, _) if is_field_byte(byte) => {
                Ok(Extension::Quoted)
            }
            _ => Err(BodyError::InvalidChunkExtension),
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Extension::Name | Extension::Token | Extension::QuotedEnd)
    }
}
