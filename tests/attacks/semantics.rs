//! 81 to 98: methods, expectations, persistence, pipelining, HTTP/1.0.
