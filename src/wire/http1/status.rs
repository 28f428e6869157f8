//! The status codes this server gives, with their reason phrases (RFC 9110 §15).

use crate::problem_kind::ProblemKind;

/// A status code with its reason phrase.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Status(u16);

/// Declares each status once: its constant, its code and its phrase.
macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Status = Status($code);)*

            /// The reason phrase that goes behind the code in a status line (RFC 9112 §4).
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    // The constants are the only constructors.
                    _ => "",
                }
            }

            /// Every status there is, for tests that must not miss one.
            #[cfg(test)]
            pub(super) const ALL: &'static [Status] = &[$(Status::$name,)*];
        }
    };
}

statuses! {
    /// RFC 9110 §15.2.1: the body is wanted.
    CONTINUE = 100 "Continue";
    /// RFC 9110 §15.2.2: what follows is WebSocket.
    SWITCHING_PROTOCOLS = 101 "Switching Protocols";
    /// RFC 9110 §15.3.1.
    OK = 200 "OK";
    /// RFC 9110 §15.3.2: the message has its place in the log.
    CREATED = 201 "Created";
    /// RFC 9110 §15.3.5: never has a body.
    NO_CONTENT = 204 "No Content";
    /// RFC 9110 §15.5.1.
    BAD_REQUEST = 400 "Bad Request";
    /// RFC 9110 §15.5.4.
    FORBIDDEN = 403 "Forbidden";
    /// RFC 9110 §15.5.5.
    NOT_FOUND = 404 "Not Found";
    /// RFC 9110 §15.5.6: goes with `Allow`.
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    /// RFC 9110 §15.5.9: goes with `Connection: close`.
    REQUEST_TIMEOUT = 408 "Request Timeout";
    /// RFC 9110 §15.5.12.
    LENGTH_REQUIRED = 411 "Length Required";
    /// RFC 9110 §15.5.14.
    CONTENT_TOO_LARGE = 413 "Content Too Large";
    /// RFC 9110 §15.5.15.
    URI_TOO_LONG = 414 "URI Too Long";
    /// RFC 9110 §15.5.16.
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type";
    /// RFC 9110 §15.5.18.
    EXPECTATION_FAILED = 417 "Expectation Failed";
    /// RFC 9110 §15.5.20.
    MISDIRECTED_REQUEST = 421 "Misdirected Request";
    /// RFC 9110 §15.5.22: goes with `Upgrade`.
    UPGRADE_REQUIRED = 426 "Upgrade Required";
    /// RFC 6585 §4.
    TOO_MANY_REQUESTS = 429 "Too Many Requests";
    /// RFC 6585 §5.
    FIELDS_TOO_LARGE = 431 "Request Header Fields Too Large";
    /// RFC 9110 §15.6.1.
    INTERNAL = 500 "Internal Server Error";
    /// RFC 9110 §15.6.2.
    NOT_IMPLEMENTED = 501 "Not Implemented";
    /// RFC 9110 §15.6.4: goes with `Retry-After`.
    UNAVAILABLE = 503 "Service Unavailable";
    /// RFC 9110 §15.6.6.
    VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported";
}

impl Status {
    /// The status of a refusal of this kind.
    pub const fn of(kind: ProblemKind) -> Self {
        Self(kind.status_code())
    }

    /// The code: three digits, 100 to 505.
    pub const fn code(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_three_digits_and_a_phrase() {
        for status in Status::ALL {
            assert!((100..600).contains(&status.code()), "{status:?}");
            assert!(!status.reason().is_empty(), "{status:?}");
        }
        for &kind in ProblemKind::ALL {
            assert!(Status::ALL.contains(&Status::of(kind)), "{kind:?}");
        }
        assert_eq!(Status::CONTENT_TOO_LARGE.code(), 413);
        assert_eq!(Status::FIELDS_TOO_LARGE.reason(), "Request Header Fields Too Large");
    }
}
