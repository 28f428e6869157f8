//! What a client prefers: `Accept` (RFC 9110 §12.5.1) and `Prefer` (RFC 7240).
//!
//! Preferences are no demands: what cannot be read is skipped, never refused.

use super::grammar::{Digits, parse_digits, split_unquoted, unquote};

/// Which of the three ways to wait an `Accept` field prefers.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Preference {
    /// `application/json`, or nothing that is known: a poll.
    Json,
    /// `text/event-stream`
    EventStream,
    /// `application/x-ndjson`
    Ndjson,
}

/// A weight of 1, in thousandths.
const WEIGHT_MAX: u16 = 1000;

/// The type of the highest weight among the three, each named exactly; of equal ones the first;
/// JSON if there is none. Takes the members of the `Accept` list.
///
/// A weight of 0 excludes a member, wildcards and members that are malformed count for nothing.
/// Other parameters than the weight make no difference.
pub fn preferred<'a>(accept: impl Iterator<Item = &'a [u8]>) -> Preference {
    let mut best = (Preference::Json, 0);
    for (preference, weight) in accept.filter_map(parse_member) {
        if weight > best.1 {
            best = (preference, weight);
        }
    }
    best.0
}

/// `media-range [ weight ]` of RFC 9110 §12.5.1.
fn parse_member(member: &[u8]) -> Option<(Preference, u16)> {
    let mut parts = split_unquoted(member, b';');
    let name = parts.next()?;
    let preference = if name.eq_ignore_ascii_case(b"application/json") {
        Preference::Json
    } else if name.eq_ignore_ascii_case(b"text/event-stream") {
        Preference::EventStream
    } else if name.eq_ignore_ascii_case(b"application/x-ndjson") {
        Preference::Ndjson
    } else {
        return None;
    };
    let weight = parts.find_map(|part| match part {
        [b'q' | b'Q', b'=', weight @ ..] => Some(parse_weight(weight)),
        _ => None,
    });
    Some((preference, weight.unwrap_or(Some(WEIGHT_MAX))?))
}

/// qvalue (RFC 9110 §12.4.2) in thousandths: 0 or 1 with at most three decimals, at most 1.
fn parse_weight(bytes: &[u8]) -> Option<u16> {
    let (whole, decimals) = match bytes {
        [whole] => (whole, &b""[..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    if !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = decimals.iter().zip([100u16, 10, 1]).fold(0u16, |sum, (digit, scale)| {
        sum.saturating_add(u16::from(digit.wrapping_sub(b'0')).saturating_mul(scale))
    });
    match (whole, thousandths) {
        (b'0', _) => Some(thousandths),
        (b'1', 0) => Some(WEIGHT_MAX),
        _ => None,
    }
}

/// The seconds of `wait=N`, capped at `u32::MAX`; `None` if it is absent or no number. Takes the
/// members of the `Prefer` list. Of several, the first counts (RFC 7240 §2); other preferences are
/// ignored.
pub fn prefer_wait<'a>(mut prefer: impl Iterator<Item = &'a [u8]>) -> Option<u32> {
    let value = prefer.find_map(|member| {
        let preference = split_unquoted(member, b';').next()?;
        let mut parts = split_unquoted(preference, b'=');
        parts.next().filter(|name| name.eq_ignore_ascii_case(b"wait"))?;
        // Without a value the preference is there, but says nothing.
        Some((parts.next().unwrap_or_default(), parts.next()))
    });
    match value {
        Some((value, None)) => match parse_digits(unquote(value))? {
            Digits::Value(seconds) => Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
            Digits::TooLarge => Some(u32::MAX),
        },
        _ => None,
    }
}

/// For fuzzing: reads `bytes` as the values of `Accept` and `Prefer`.
///
/// # Panics
/// If something is preferred that is not named.
#[cfg(any(test, fuzzing))]
pub fn fuzz_accept(bytes: &[u8]) {
    let names = |name: &str| {
        bytes.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name.as_bytes()))
    };
    match preferred(split_unquoted(bytes, b',')) {
        Preference::Json => {}
        Preference::EventStream => assert!(names("text/event-stream")),
        Preference::Ndjson => assert!(names("application/x-ndjson")),
    }
    if prefer_wait(split_unquoted(bytes, b',')).is_some() {
        assert!(names("wait"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties::mutations;
    use super::*;

    fn prefers(accept: &str) -> Preference {
        preferred(split_unquoted(accept.as_bytes(), b','))
    }

    fn waits(prefer: &str) -> Option<u32> {
        prefer_wait(split_unquoted(prefer.as_bytes(), b','))
    }

    #[test]
    fn nothing_known_is_a_poll() {
        for accept in ["", "*/*", "text/*", "text/html, application/xhtml+xml;q=0.9, */*;q=0.8"] {
            assert_eq!(prefers(accept), Preference::Json, "{accept}");
        }
    }

    #[test]
    fn a_type_is_named_exactly_in_any_case_with_any_parameters() {
        assert_eq!(prefers("text/event-stream"), Preference::EventStream);
        assert_eq!(prefers("TEXT/Event-Stream; charset=utf-8"), Preference::EventStream);
        assert_eq!(prefers(r#"application/x-ndjson;a=",;q=0""#), Preference::Ndjson);
        assert_eq!(prefers("text/event-streams"), Preference::Json);
    }

    #[test]
    fn the_highest_weight_wins_and_of_equal_ones_the_first() {
        let json_first = "application/json;q=0.5, text/event-stream;q=0.501";
        assert_eq!(prefers(json_first), Preference::EventStream);
        assert_eq!(prefers("application/x-ndjson, text/event-stream"), Preference::Ndjson);
        assert_eq!(prefers("text/event-stream;q=1.000, application/json"), Preference::EventStream);
        assert_eq!(prefers("text/event-stream;Q=0.2, */*"), Preference::EventStream);
    }

    #[test]
    fn a_weight_of_zero_excludes() {
        assert_eq!(prefers("text/event-stream;q=0"), Preference::Json);
        assert_eq!(
            prefers("text/event-stream;q=0.000, application/x-ndjson;q=0.001"),
            Preference::Ndjson
        );
    }

    #[test]
    fn a_malformed_weight_makes_a_member_count_for_nothing() {
        for weight in ["", "2", "1.001", "0.1234", "-1", "+1", ".5", "0,5", "1.", "00", "nan"] {
            let expected = match weight {
                // qvalue = "1" [ "." 0*3("0") ]: a dot with nothing behind it is allowed.
                "1." => Preference::EventStream,
                _ => Preference::Json,
            };
            assert_eq!(prefers(&format!("text/event-stream;q={weight}")), expected, "{weight}");
        }
    }

    #[test]
    fn wait_is_found_among_other_preferences() {
        assert_eq!(waits("respond-async, wait=25"), Some(25));
        assert_eq!(waits("Wait = \"10\"; x=1"), Some(10));
        assert_eq!(waits("wait=0"), Some(0));
        assert_eq!(waits("wait=99999999999999999999999"), Some(u32::MAX));
    }

    #[test]
    fn of_two_waits_the_first_counts_even_if_it_is_wrong() {
        assert_eq!(waits("wait=1, wait=2"), Some(1));
        assert_eq!(waits("wait=x, wait=2"), None);
    }

    #[test]
    fn a_wait_that_is_no_number_is_ignored() {
        for prefer in
            ["", "wait", "wait=", "wait=+5", "wait=-1", "wait=1.5", "wait=1=2", "waiting=3"]
        {
            assert_eq!(waits(prefer), None, "{prefer}");
        }
    }

    #[test]
    fn the_corpus_of_preferences_keeps_every_promise() {
        crate::fuzzing::replay("accept", fuzz_accept);
    }

    #[test]
    fn whatever_is_sent_is_read_without_harm() {
        for input in mutations(b"text/event-stream;q=0.5;a=\"b\\\"\", wait=25;x, */*") {
            fuzz_accept(&input);
        }
    }
}
