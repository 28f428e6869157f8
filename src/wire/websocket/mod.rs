//! The WebSocket protocol on the wire (RFC 6455): handshake, frames, messages, closing.
//!
//! ```text
//! handshake   the three header fields that need more than comparing        §4.2
//! frame       a frame's header, in and out                                 §5.2
//! mask        the exclusive-or over what clients send                      §5.3
//! utf8        text that is checked as it arrives                           §8.1
//! message     frames in, whole messages out                                §5.4
//! close       why a connection ends                                        §7.4
//! error       what a client can do wrong, and the close code it gets       §7.1.7
//! ```
//!
//! The server's side only: what is read is masked, what is written is not. There are no extensions,
//! so the three reserved bits are always an error. When to ping, how long to wait for a close and
//! what follows an error are decided by the connection; nothing here waits or remembers a clock.

pub mod close;
pub mod error;
pub mod frame;
pub mod handshake;
pub mod mask;
pub mod message;
pub mod utf8;

#[cfg(any(test, fuzzing))]
mod client;
#[cfg(test)]
mod differential;
#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
mod properties;
#[cfg(test)]
mod vectors;

pub use close::{CloseCode, parse_close};
pub use error::ProtocolError;
pub use frame::{Opcode, encode_close, encode_frame, encode_header, parse_header};
#[cfg(any(test, fuzzing))]
pub use fuzz::{fuzz_frames, fuzz_messages};
pub use handshake::{HandshakeError, accept_key, check_version, offers_subprotocol};
pub use message::{Incoming, MessageLimits, MessageReader};
