//! 132 to 150: what is sent on an event stream, and what is not (WHATWG HTML §9.2).
