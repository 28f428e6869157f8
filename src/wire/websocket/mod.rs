//! The WebSocket protocol on the wire (RFC 6455): handshake, frames, messages, closing.
