//! 151 to 160: WebSocket opening handshakes (RFC 6455 §4).
