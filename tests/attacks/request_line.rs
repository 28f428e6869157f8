//! 1 to 30: what may be wrong with a request line and its target (RFC 9112 §2 and §3).
