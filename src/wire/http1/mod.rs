//! HTTP/1.1 on the wire (RFC 9110, RFC 9112): request heads in, bodies in, response heads out.
//!
//! Pure functions and small state machines over bytes. `httparse` splits a head into fields; it is
//! a tokenizer, not a validator, so everything that decides where a message ends or whom it is for
//! is checked here.
//!
//! ```text
//! inbox ──▶ HeadSearch ──▶ parse_head ──▶ Head ──▶ BodyReader ──▶ payload
//!           where is its    is it well     what is    what is
//!           end?            formed?        asked      said
//! ```
//!
//! Invariant: whatever the peer sends, the same bytes give the same answer however they were split.
//!
//! Deliberately absent: line ends other than CRLF, folded lines, white space where the grammar only
//! tolerates it (BWS), transfer codings other than `chunked`, and trailers (checked, then dropped).
//! What one recipient repairs and another does not is how requests are smuggled (RFC 9112 §11.2).

mod accept;
mod body;
mod grammar;
mod head;
mod response;
mod status;
mod target;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

#[cfg(any(test, fuzzing))]
pub use accept::fuzz_accept;
pub use accept::{Preference, prefer_wait, preferred};
#[cfg(any(test, fuzzing))]
pub use body::fuzz_chunked;
pub use body::{BodyError, BodyLimits, BodyReader};
#[cfg(any(test, fuzzing))]
pub use head::fuzz_head;
pub use head::{Framing, Head, HeadError, HeadLimits, HeadSearch, Method, Version, parse_head};
pub use response::{LAST_CHUNK, ResponseHead, encode_chunk_size};
pub use status::Status;
#[cfg(any(test, fuzzing))]
pub use target::fuzz_query;
pub use target::{QUERY_PAIRS_MAX, Query, TargetError, percent_decode};
