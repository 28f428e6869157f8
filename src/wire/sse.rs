//! Server-Sent Events out (WHATWG HTML §9.2): events, comments, reconnection times.

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub(crate) mod whatwg;

#[cfg(any(test, fuzzing))]
pub use self::fuzz::fuzz_sse;

/// Appends `id:`. With nothing behind it but an empty line it dispatches nothing, yet is remembered.
pub fn encode_id(out: &mut Vec<u8>, id: &str) {
    debug_assert!(!id.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "ids are our cursors");
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(id.as_bytes());
    out.push(b'\n');
}

/// Appends the rest of an event behind its `id:`, if it has one: type, data, and the empty line.
///
/// `event` has no CR, LF or NUL; its type checked that. `data` is valid UTF-8.
pub fn encode_event(out: &mut Vec<u8>, event: Option<&str>, data: &str) {
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.push(b'\n');
    }
    for line in lines(data) {
        // The space is always there: a client drops one, so that a line may begin with another.
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// Appends how long a client should wait before it comes back, in milliseconds.
pub fn encode_retry(out: &mut Vec<u8>, ms: u64) {
    out.extend_from_slice(b"retry: ");
    super::json::encode_integer(out, ms);
    out.push(b'\n');
}

/// Splits at CRLF, LF and CR, each of which ends a line in a client's eyes. There is always one line
/// more than line ends, so that a trailing one is kept.
fn lines(data: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            rest = None;
            return Some(text);
        };
        let width = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event: Option<&str>, data: &str) -> String {
        let mut out = Vec::new();
        encode_event(&mut out, event, data);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_has_its_type_its_data_and_an_empty_line() {
        assert_eq!(event(Some("edit"), "hi"), "event: edit\ndata: hi\n\n");
    }

    #[test]
    fn every_kind_of_line_end_begins_a_data_line() {
        assert_eq!(event(None, "a\rb\nc\r\nd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
        assert_eq!(event(None, "a\n\r"), "data: a\ndata: \ndata: \n\n");
    }

    #[test]
    fn an_empty_payload_is_still_an_event() {
        assert_eq!(event(None, ""), "data: \n\n");
    }

    #[test]
    fn a_leading_space_or_colon_survives() {
        assert_eq!(event(None, " :x"), "data:  :x\n\n");
    }

    #[test]
    fn separators_of_other_standards_do_not_split() {
        assert_eq!(event(None, "a\u{2028}b\0c\u{b}"), "data: a\u{2028}b\0c\u{b}\n\n");
    }
}
