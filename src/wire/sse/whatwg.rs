//! An event stream read as WHATWG HTML §9.2.6 says, for checking what we write. It shares nothing with the
//! encoder, and takes its time.

/// What a stream led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interpretation {
    /// What was dispatched.
    pub(crate) events: Vec<Event>,
    /// The last event ID at the end: where a client would resume.
    pub(crate) last_event_id: String,
    /// The reconnection time in milliseconds, if it was set.
    pub(crate) retry: Option<u64>,
}

/// An event as a listener gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// `message` if the stream gave none.
    pub(crate) kind: String,
    pub(crate) data: String,
    pub(crate) last_event_id: String,
}

/// Interprets a whole stream. What is behind the last blank line is discarded.
pub(crate) fn interpret(stream: &[u8]) -> Interpretation {
    // "Streams must be decoded using the UTF-8 decode algorithm", which drops one byte order mark.
    let text = String::from_utf8_lossy(stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream));
    let mut interpretation = Interpretation::default();
    let (mut data, mut kind, mut id) = (String::new(), String::new(), String::new());
    let mut line = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => continue,
            '\r' | '\n' => (),
            _ => {
                line.push(character);
                continue;
            }
        }
        let line = std::mem::take(&mut line);
        if line.is_empty() {
            interpretation.last_event_id.clone_from(&id);
            let (mut text, kind) = (std::mem::take(&mut data), std::mem::take(&mut kind));
            if text.is_empty() {
                continue;
            }
            if text.ends_with('\n') {
                text.pop();
            }
            let kind = if kind.is_empty() { "message".to_owned() } else { kind };
            interpretation.events.push(Event { kind, data: text, last_event_id: id.clone() });
            continue;
        }
        let (name, value) = match line.find(':') {
            Some(0) => continue,
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (&line[..], ""),
        };
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut kind),
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            // A value without digits is no number; too many of them are none that we would send.
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                interpretation.retry = value.parse().ok().or(interpretation.retry);
            }
            _ => (),
        }
    }
    interpretation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(stream: &str) -> Vec<(String, String, String)> {
        let events = interpret(stream.as_bytes()).events.into_iter();
        events.map(|event| (event.kind, event.data, event.last_event_id)).collect()
    }

    fn event(kind: &str, data: &str, id: &str) -> (String, String, String) {
        (kind.to_owned(), data.to_owned(), id.to_owned())
    }

    /// The examples of WHATWG HTML §9.2.6.
    #[test]
    fn the_examples_of_the_standard_are_understood() {
        assert_eq!(
            events("data: YHOO\ndata: +2\ndata: 10\n\n"),
            [event("message", "YHOO\n+2\n10", "")]
        );
        assert_eq!(
            events(
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"
            ),
            [event("message", "first event", "1"), event("message", "second event", "")]
        );
        assert_eq!(
            events("data\n\ndata\ndata\n\ndata:"),
            [event("message", "", ""), event("message", "\n", "")]
        );
        assert_eq!(
            events("data:test\n\ndata: test\n\n"),
            [event("message", "test", ""), event("message", "test", "")]
        );
    }

    #[test]
    fn every_line_end_ends_a_line_and_a_byte_order_mark_is_dropped() {
        assert_eq!(
            events("\u{feff}event: a\rdata: 1\r\ndata: 2\n\r\nid: 7\r\r"),
            [event("a", "1\n2", "")]
        );
        let interpretation = interpret(b"id: 7\rid: 8\0\rretry: 10\nretry: x\n\n");
        assert_eq!(interpretation.last_event_id, "7");
        assert_eq!(interpretation.retry, Some(10));
    }
}
