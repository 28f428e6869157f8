//! Request bodies: from the bytes behind a head to the payload (RFC 9112 §6).

mod chunked;

use super::{Framing, Status};
use crate::problem_kind::ProblemKind;
use chunked::ChunkedDecoder;

/// How large a body, and what frames it, may be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of payload; `u64::MAX` for a body that is taken piece by piece. Beyond: 413.
    pub payload_bytes_max: u64,
    /// Bytes of a chunk's first line, without CRLF. Beyond: 400.
    pub chunk_line_bytes_max: usize,
    /// Trailer fields. Beyond: 431.
    pub trailers_max: usize,
    /// Bytes of all trailer lines, with CRLF. Beyond: 431.
    pub trailer_bytes_max: usize,
}

/// Why a body is refused. Where the next request begins is not known after any of them.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum BodyError {
    /// More payload than the limit. Raised before it is read.
    TooLarge,
    /// A chunk size that is not 1 to 16 hexadecimal digits.
    InvalidChunkSize,
    /// A chunk extension against the grammar (RFC 9112 §7.1.1).
    InvalidChunkExtension,
    /// A chunk line beyond the limit.
    ChunkLineTooLong,
    /// A chunk or trailer line that does not end in CRLF.
    InvalidLineEnd,
    /// Chunk data that is not followed by CRLF.
    InvalidChunkEnd,
    /// Far more framing than payload.
    TooMuchFraming,
    /// A trailer that is not a field line.
    InvalidTrailer,
    /// More trailers than the limits.
    TrailersTooLarge,
}

impl BodyError {
    /// What it is called.
    pub const fn kind(self) -> ProblemKind {
        match self {
            BodyError::TooLarge => ProblemKind::BodyTooLarge,
            BodyError::InvalidChunkSize
            | BodyError::InvalidChunkExtension
            | BodyError::ChunkLineTooLong
            | BodyError::InvalidLineEnd
            | BodyError::InvalidChunkEnd => ProblemKind::MalformedChunk,
            BodyError::TooMuchFraming => ProblemKind::ChunksTooSmall,
            BodyError::InvalidTrailer => ProblemKind::MalformedTrailer,
            BodyError::TrailersTooLarge => ProblemKind::TrailersTooLarge,
        }
    }

    /// The status to answer with.
    pub const fn status(self) -> Status {
        Status::of(self.kind())
    }

    /// For the client: what is wrong and what to do; `{limit}` stands for the bound that was reached.
    pub const fn detail(self) -> &'static str {
        match self {
            BodyError::TooLarge => {
                "The body has more than {limit} bytes (--body-bytes-max). Send less, or several messages."
            }
            BodyError::InvalidChunkSize => "The size of a chunk is not 1 to 16 hexadecimal digits.",
            BodyError::InvalidChunkExtension => {
                "The extension of a chunk is malformed. Leave it out."
            }
            BodyError::ChunkLineTooLong => "The extension of a chunk is too long. Leave it out.",
            BodyError::InvalidLineEnd => "A line of the chunked body does not end in CRLF.",
            BodyError::InvalidChunkEnd => {
                "A chunk has not as many bytes as its size says, and then CRLF."
            }
            BodyError::TooMuchFraming => {
                "The chunks are so small that they are mostly framing. Send larger ones."
            }
            BodyError::InvalidTrailer => {
                "A field behind the last chunk is malformed. Leave it out: trailers are dropped."
            }
            BodyError::TrailersTooLarge => {
                "There are more than 16 fields or 4096 bytes behind the last chunk. Leave them out: trailers are dropped."
            }
        }
    }
}

/// Reads one request body by its framing, split anywhere, up to any amount at a time.
///
/// Invariant: it never takes a byte behind the end of the body. A connection that ends before
/// [`is_complete`](BodyReader::is_complete) leaves a body that must not be used (RFC 9112 §8).
#[derive(Clone, Debug)]
pub struct BodyReader {
    limits: BodyLimits,
    progress: Progress,
}

#[derive(Clone, Debug)]
enum Progress {
    /// By `Content-Length`, or without a body (of 0 bytes).
    Length {
        read: u64,
        missing: u64,
    },
    Chunked(ChunkedDecoder),
    /// After an error nothing is read any more.
    Failed {
        read: u64,
        error: BodyError,
    },
}

impl BodyReader {
    /// A reader at the first byte behind the head. A `Content-Length` beyond the limit fails at the
    /// first [`read`](BodyReader::read), which needs no input for it.
    pub fn new(framing: Framing, limits: &BodyLimits) -> Self {
        let progress = match framing {
            Framing::Length(length) if length > limits.payload_bytes_max => {
                Progress::Failed { read: 0, error: BodyError::TooLarge }
            }
            Framing::None => Progress::Length { read: 0, missing: 0 },
            Framing::Length(length) => Progress::Length { read: 0, missing: length },
            Framing::Chunked => Progress::Chunked(ChunkedDecoder::new()),
        };
        BodyReader { limits: *limits, progress }
    }

    /// Appends what `input` has of the payload to `payload`, `room` bytes at most, and returns how
    /// many bytes of `input` were used.
    ///
    /// Fewer than all are used when the body is complete, or when more payload is there than room.
    /// What frames the payload is read even without room, so a body can be completed by it. An
    /// error stays.
    pub fn read(
        &mut self,
        input: &[u8],
        payload: &mut Vec<u8>,
        room: usize,
    ) -> Result<usize, BodyError> {
        match &mut self.progress {
            Progress::Length { read, missing } => {
                let wanted = usize::try_from(*missing).unwrap_or(usize::MAX).min(room);
                let data = input.get(..wanted).unwrap_or(input);
                payload.extend_from_slice(data);
                let taken = u64::try_from(data.len()).unwrap_or(u64::MAX);
                *read = read.saturating_add(taken);
                *missing = missing.saturating_sub(taken);
                Ok(data.len())
            }
            Progress::Chunked(decoder) => {
                let outcome = decoder.read(input, payload, room, &self.limits);
                if let Err(error) = outcome {
                    let read = decoder.payload_bytes();
                    self.progress = Progress::Failed { read, error };
                }
                outcome
            }
            Progress::Failed { error, .. } => Err(*error),
        }
    }

    /// Whether the body has been read to its end, trailers included.
    pub fn is_complete(&self) -> bool {
        match &self.progress {
            Progress::Length { missing, .. } => *missing == 0,
            Progress::Chunked(decoder) => decoder.is_complete(),
            Progress::Failed { .. } => false,
        }
    }

    /// Bytes of payload so far.
    pub fn bytes_read(&self) -> u64 {
        match &self.progress {
            Progress::Length { read, .. } | Progress::Failed { read, .. } => *read,
            Progress::Chunked(decoder) => decoder.payload_bytes(),
        }
    }
}

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_chunked;

#[cfg(test)]
mod tests;
