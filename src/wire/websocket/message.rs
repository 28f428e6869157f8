//! Whole messages out of a client's frames (RFC 6455 §5.4): fragments are joined, control frames
//! between them pass through, limits and UTF-8 are checked as early as they can be.
//!
//! What is kept between reads is the frame whose payload is arriving and the message it belongs to.
//! A partial frame *header* is not kept: it stays with the caller, 13 bytes at most.
//!
//! Invariant: no more is allocated than has arrived, rounded up to at most twice that or 4 KiB, and
//! never more than the lengths that were declared and found within the limits.

use super::close::{CloseCode, parse_close};
use super::error::ProtocolError;
use super::frame::{FrameHeader, Opcode, parse_header};
use super::mask::unmask;
use super::utf8::Utf8Check;

/// How much is allocated ahead of what has arrived, in bytes.
const AHEAD_BYTES_MAX: usize = 4096;

/// What a client may send as one message.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MessageLimits {
    /// The most bytes of payload in a message, over all its frames. Control frames do not count.
    pub message_bytes_max: usize,
    /// The most frames in a message, empty ones included; at least 1, or nothing passes.
    pub fragments_max: usize,
}

/// What a client has said, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping, with the payload (0..=125 bytes) that its pong must have (§5.5.3).
    Ping(Vec<u8>),
    /// A pong. Its payload is dropped: the server only asks whether somebody is there.
    Pong,
    /// A close frame: its code and reason if it has a body. What follows it is not to be read
    /// (§5.5.1); the caller stops.
    Close(Option<(CloseCode, String)>),
}

/// Assembles what a client sends. Holds no allocation while [`is_idle`](Self::is_idle).
#[derive(Default, Debug)]
pub struct MessageReader {
    /// The frame whose payload has not arrived completely.
    frame: Option<Frame>,
    /// The message whose last frame has not arrived completely.
    message: Option<Message>,
    /// What has arrived of the payload of `frame`, if that is a close or ping.
    control: Vec<u8>,
}

impl MessageReader {
    /// Consumes some of `input`, unmasking it in place, and returns how many bytes were used and
    /// what they completed.
    ///
    /// After `(used, None)` more bytes are needed: `used` is `input.len()`, or what is left is the
    /// beginning of a frame header (at most 13 bytes), to be given again with what follows. After
    /// `(used, Some(_))` the rest may hold more; call again.
    ///
    /// An error ends the connection: neither the reader nor the rest of `input` is of use after it.
    pub fn read(
        &mut self,
        input: &mut [u8],
        limits: &MessageLimits,
    ) -> Result<(usize, Option<Incoming>), ProtocolError> {
        let mut rest = &mut *input;
        let mut used = 0;
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => {
                    let Some((header, header_bytes)) = parse_header(rest)? else {
                        return Ok((used, None));
                    };
                    rest = rest.get_mut(header_bytes..).unwrap_or_default();
                    used += header_bytes;
                    self.begin(&header, limits)?
                }
            };
            let taken = (frame.length - frame.arrived).min(rest.len());
            let (piece, behind) = rest.split_at_mut(taken);
            unmask(piece, frame.mask, frame.arrived);
            self.append(&frame, piece)?;
            rest = behind;
            used += taken;
            frame.arrived += taken;
            if frame.arrived < frame.length {
                self.frame = Some(frame);
                return Ok((used, None));
            }
            if let Some(incoming) = self.finish(&frame)? {
                return Ok((used, Some(incoming)));
            }
        }
    }

    /// Whether nothing of a message or of a frame's payload is pending, so that this reader is
    /// worth no more than a new one. A partial header may still lie with the caller.
    pub fn is_idle(&self) -> bool {
        self.frame.is_none() && self.message.is_none()
    }

    /// Whether a text or binary message has begun and not ended. Control frames change nothing.
    pub fn message_is_unfinished(&self) -> bool {
        self.message.is_some()
    }

    /// Bytes of heap that this reader holds: 0 when idle, else at most 125 more than the greater of
    /// 4 KiB and twice what has arrived, and at most 125 more than `message_bytes_max`.
    pub fn allocated_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| match &message.payload {
            Payload::Text(text, _) => text.capacity(),
            Payload::Binary(bytes) => bytes.capacity(),
        });
        message + self.control.capacity()
    }

    /// Checks a frame's place among the others and its length before anything is allocated for it.
    fn begin(
        &mut self,
        header: &FrameHeader,
        limits: &MessageLimits,
    ) -> Result<Frame, ProtocolError> {
        let length = match (header.opcode, &mut self.message) {
            // RFC 6455 §5.5: at most 125 bytes, checked with the header.
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                usize::try_from(header.length).map_err(|_| ProtocolError::ControlTooLong)?
            }
            // §5.4: the fragments of one message MUST NOT be interleaved with those of another.
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(ProtocolError::ExpectedContinuation);
            }
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (opcode, message) => {
                message.get_or_insert_with(|| Message::new(opcode)).admit(header.length, limits)?
            }
        };
        Ok(Frame { fin: header.fin, opcode: header.opcode, mask: header.mask, length, arrived: 0 })
    }

    /// Takes a piece of the frame's payload, unmasked.
    fn append(&mut self, frame: &Frame, piece: &[u8]) -> Result<(), ProtocolError> {
        match (frame.opcode, &mut self.message) {
            (Opcode::Close | Opcode::Ping, _) => {
                self.control.reserve_exact(frame.length - frame.arrived);
                self.control.extend_from_slice(piece);
                Ok(())
            }
            (Opcode::Text | Opcode::Binary | Opcode::Continuation, Some(message)) => {
                message.append(piece)
            }
            _ => Ok(()),
        }
    }

    /// What a frame completes, now that its payload is all there.
    fn finish(&mut self, frame: &Frame) -> Result<Option<Incoming>, ProtocolError> {
        match frame.opcode {
            Opcode::Ping => Ok(Some(Incoming::Ping(std::mem::take(&mut self.control)))),
            Opcode::Pong => Ok(Some(Incoming::Pong)),
            Opcode::Close => {
                let body = std::mem::take(&mut self.control);
                let close = parse_close(&body)?;
                Ok(Some(Incoming::Close(close.map(|(code, reason)| (code, reason.to_owned())))))
            }
            // RFC 6455 §5.4: a message ends with the frame whose FIN bit is set.
            Opcode::Text | Opcode::Binary | Opcode::Continuation if frame.fin => {
                self.message.take().map(Message::into_incoming).transpose()
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => Ok(None),
        }
    }
}

/// A frame whose header was accepted.
#[derive(Debug)]
struct Frame {
    fin: bool,
    opcode: Opcode,
    mask: [u8; 4],
    /// Bytes of payload in all; within the limits.
    length: usize,
    /// Bytes of payload so far, at most `length`.
    arrived: usize,
}

/// A message of which at least one frame header was accepted.
#[derive(Debug)]
struct Message {
    payload: Payload,
    /// Frames so far, the arriving one included.
    frames: usize,
    /// Bytes of payload in those frames, as declared; at most `message_bytes_max`.
    declared: usize,
}

#[derive(Debug)]
enum Payload {
    /// What is whole, and the code point that is not.
    Text(String, Utf8Check),
    Binary(Vec<u8>),
}

impl Message {
    fn new(opcode: Opcode) -> Self {
        let payload = match opcode {
            Opcode::Text => Payload::Text(String::new(), Utf8Check::default()),
            _ => Payload::Binary(Vec::new()),
        };
        Self { payload, frames: 0, declared: 0 }
    }

    /// Counts a frame of this length in, if the limits allow it.
    fn admit(&mut self, length: u64, limits: &MessageLimits) -> Result<usize, ProtocolError> {
        // Empty frames count as well: each costs the sender six bytes and us a turn.
        if self.frames >= limits.fragments_max {
            return Err(ProtocolError::TooManyFragments);
        }
        self.frames += 1;
        let length = usize::try_from(length).map_err(|_| ProtocolError::MessageTooBig)?;
        // RFC 6455 §7.4.1, 1009: the sum is compared before anything is stored.
        self.declared = self
            .declared
            .checked_add(length)
            .filter(|&declared| declared <= limits.message_bytes_max)
            .ok_or(ProtocolError::MessageTooBig)?;
        Ok(length)
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        match &mut self.payload {
            Payload::Text(text, check) => {
                // RFC 6455 §8.1: fail as soon as the text cannot be UTF-8 any more.
                let (joined, whole) = check.accept(piece)?;
                let more = joined.map_or(0, char::len_utf8) + whole.len();
                text.reserve_exact(room(text.len(), text.capacity(), more, self.declared));
                text.extend(joined);
                text.push_str(whole);
            }
            Payload::Binary(bytes) => {
                let more = piece.len();
                bytes.reserve_exact(room(bytes.len(), bytes.capacity(), more, self.declared));
                bytes.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    fn into_incoming(self) -> Result<Incoming, ProtocolError> {
        match self.payload {
            Payload::Text(text, check) => {
                check.finish()?;
                Ok(Incoming::Text(text))
            }
            Payload::Binary(bytes) => Ok(Incoming::Binary(bytes)),
        }
    }
}

/// How much to reserve behind `length` bytes for `more` bytes that have arrived, when the message
/// is known to become `declared` bytes long: what doubles, but not beyond what was declared.
fn room(length: usize, capacity: usize, more: usize, declared: usize) -> usize {
    let needed = length.saturating_add(more);
    if needed <= capacity {
        return 0;
    }
    let ahead = needed.saturating_mul(2).max(AHEAD_BYTES_MAX).min(declared);
    ahead.max(needed) - length
}

#[cfg(test)]
mod tests;
