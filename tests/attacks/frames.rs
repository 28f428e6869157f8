//! 161 to 184: WebSocket frames and messages (RFC 6455 §5 to §8).
