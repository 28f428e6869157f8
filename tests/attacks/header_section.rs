//! 31 to 50: what may be wrong with header fields (RFC 9112 §5, RFC 9110 §5, RFC 6585).
