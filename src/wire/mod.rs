//! Codecs: bytes to values and back. Nothing here waits, reads a clock or knows a connection.

pub mod http1;
pub mod websocket;
