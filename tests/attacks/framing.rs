//! 51 to 80: where a request ends, and who disagrees (RFC 9112 §6, §7 and §11.2).
