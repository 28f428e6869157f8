//! Codecs: bytes to values and back. Nothing here waits, reads a clock or knows a connection.

pub mod command;
pub mod envelope;
pub mod http1;
pub mod json;
pub mod resp3;
pub mod sse;
pub mod websocket;
