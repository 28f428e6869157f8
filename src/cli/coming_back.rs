//! What went wrong, whether it is worth coming back, and when.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

/// First and largest ceiling of the delay between two attempts.
const BASE: Duration = Duration::from_millis(500);
const CEILING_MAX: Duration = Duration::from_secs(30);

/// A server's hint is believed up to here.
const HINT_MAX: Duration = Duration::from_secs(600);

/// Why a client cannot go on as it is.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection was lost or the server said "not now": coming back helps. `hint` is the delay
    /// that the server asked for, already random per client (protocol 17.1).
    Lost { why: String, hint: Option<Duration> },
    /// Repeating would fail again.
    Final(String),
    /// What was received or asked for cannot be written or read on this side.
    Local(io::Error),
}

impl Failure {
    /// A loss without a hint.
    pub(crate) fn lost(why: impl Into<String>) -> Failure {
        Failure::Lost { why: why.into(), hint: None }
    }

    /// What an answer with this status means, whose problem was `text`.
    pub(crate) fn refused(status: u16, text: String, hint: Option<Duration>) -> Failure {
        let why = format!("the server refused: {text}");
        if is_temporary(status) { Failure::Lost { why, hint } } else { Failure::Final(why) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Final(why) | Failure::Lost { why, .. } => formatter.write_str(why),
            Failure::Local(error) => error.fmt(formatter),
        }
    }
}

/// An error of the network, never one of standard output or a file.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::lost(match error.kind() {
            // A socket's time limit is reported as either.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                "the server has fallen silent".to_owned()
            }
            io::ErrorKind::UnexpectedEof => "the connection was cut".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// Whether the same request may succeed later.
pub(crate) fn is_temporary(status: u16) -> bool {
    // 501 and 505 are about what was asked, not about now.
    matches!(status, 408 | 429 | 500..=599) && !matches!(status, 501 | 505)
}

/// The delay in a `Retry-After` value: seconds or a date (RFC 9110 §10.2.3).
pub(crate) fn parse_retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().map_or(HINT_MAX, Duration::from_secs).min(HINT_MAX));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default().min(HINT_MAX))
}

/// A delay that a `retry:` or `retry_ms` gave, within reason.
pub(crate) fn hint_from_ms(ms: u64) -> Duration {
    Duration::from_millis(ms).min(HINT_MAX)
}

/// Exponential back-off with full jitter: each delay is uniform between nothing and a ceiling that
/// doubles, so that clients which were lost together do not come back together.
#[derive(Debug, Default)]
pub(crate) struct BackOff {
    attempts: u32,
}

impl BackOff {
    /// How many delays were taken since the last success.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The delay before the next attempt; the server's hint is obeyed as it is.
    pub(crate) fn next_delay(&mut self, hint: Option<Duration>) -> Duration {
        let ceiling = BASE.saturating_mul(1 << self.attempts.min(16)).min(CEILING_MAX);
        self.attempts = self.attempts.saturating_add(1);
        hint.unwrap_or_else(|| ceiling.mul_f64(fastrand::f64()))
    }

    /// Something worked: the next failure is the first again.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_below_a_doubling_ceiling() {
        let mut back_off = BackOff::default();
        let mut longest = Duration::ZERO;
        for round in 0..40 {
            let ceiling = Duration::from_millis(500 << round.min(6)).min(CEILING_MAX);
            let delay = back_off.next_delay(None);
            assert!(delay <= ceiling, "{delay:?} in round {round}");
            longest = longest.max(delay);
        }
        assert!(longest > Duration::from_secs(5), "{longest:?}: does not grow");
    }

    #[test]
    fn a_hint_is_obeyed_and_a_success_starts_over() {
        let mut back_off = BackOff::default();
        let hint = Duration::from_millis(1234);
        assert_eq!(back_off.next_delay(Some(hint)), hint);
        assert_eq!(back_off.attempts(), 1);
        back_off.reset();
        assert_eq!(back_off.attempts(), 0);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("99999999999999999999999"), Some(HINT_MAX));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon"), None);
        assert_eq!(parse_retry_after(""), None);
    }

    #[test]
    fn what_was_asked_wrongly_is_final() {
        for status in [400, 404, 413, 426, 501, 505, 301] {
            assert!(!is_temporary(status), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(is_temporary(status), "{status}");
        }
    }
}
