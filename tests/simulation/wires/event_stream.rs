//! What a browser makes of an event stream: WHATWG HTML §9.2.5 and §9.2.6, step by step.
//!
//! Stricter where a browser would shrug: bytes that are not UTF-8, fields that it does not know, and a
//! `retry:` without a number are panics.

use super::received::Received;

/// What a line, or the empty line behind several, amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Comment,
    /// The reconnection time, in milliseconds.
    Retry(u64),
    /// An empty line behind one field at least.
    Event(Event),
}

/// Fields that an empty line has ended. A browser dispatches it if there is data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The event type; a browser calls one without it `message`.
    pub(crate) event: Option<String>,
    /// The data lines, joined by LF.
    pub(crate) data: Option<String>,
    /// The `id:` among these fields.
    pub(crate) id: Option<String>,
}

/// A stream, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct EventStream {
    received: Received,
    /// The byte order mark has been looked for.
    began: bool,
    /// The last line ended with CR: an LF right behind it belongs to it.
    after_cr: bool,
    event: Event,
    last_id: String,
}

impl EventStream {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.received.push(bytes);
    }

    pub(crate) fn next(&mut self) -> Option<Item> {
        self.skip_byte_order_mark()?;
        loop {
            if self.after_cr {
                let first = *self.received.as_slice().first()?;
                self.after_cr = false;
                if first == b'\n' {
                    self.received.take(1);
                }
            }
            let (line, end) = self.received.take_until(b"\r\n")?;
            self.after_cr = end == b'\r';
            let line = String::from_utf8(line).expect("a line of an event stream is UTF-8");
            if let Some(item) = self.line(&line) {
                return Some(item);
            }
        }
    }

    /// The ID that a browser would come back with.
    pub(crate) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// Whether nothing would be lost if the stream ended here: a browser drops an unfinished event.
    pub(crate) fn is_between_events(&self) -> bool {
        let rest = self.received.as_slice();
        let is_line_end = rest.is_empty() || (self.after_cr && rest == b"\n");
        is_line_end && self.event == Event::default()
    }

    /// One byte order mark at the beginning is dropped by the decoder. `None` while it may still be one.
    fn skip_byte_order_mark(&mut self) -> Option<()> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if !self.began {
            let rest = self.received.as_slice();
            if rest.len() < MARK.len() && MARK.starts_with(rest) {
                return None;
            }
            if rest.starts_with(MARK) {
                self.received.take(MARK.len());
            }
            self.began = true;
        }
        Some(())
    }

    fn line(&mut self, line: &str) -> Option<Item> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (event != Event::default()).then_some(Item::Event(event));
        }
        let (name, value) = match line.split_once(':') {
            Some(("", _)) => return Some(Item::Comment),
            Some((name, value)) => (name, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        match name {
            // An empty one is as good as none.
            "event" => self.event.event = (!value.is_empty()).then(|| value.to_owned()),
            "data" => match &mut self.event.data {
                None => self.event.data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            "id" if value.contains('\0') => (),
            "id" => {
                value.clone_into(&mut self.last_id);
                self.event.id = Some(value.to_owned());
            }
            "retry" => {
                let is_number =
                    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                assert!(is_number, "the reconnection time {value:?} is no number");
                return Some(Item::Retry(value.parse().expect("a reconnection time fits 64 bits")));
            }
            _ => panic!("a field that no browser knows: {line:?}"),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::splits::{panic_of, same_for_every_split};

    fn items(stream: &mut EventStream, pieces: &[&[u8]]) -> Vec<Item> {
        let mut items = Vec::new();
        for piece in pieces {
            stream.push(piece);
            items.extend(std::iter::from_fn(|| stream.next()));
        }
        items
    }

    fn read(text: &str) -> Vec<Item> {
        same_for_every_split(text.as_bytes(), |pieces| items(&mut EventStream::default(), pieces))
    }

    fn event(event: Option<&str>, data: Option<&str>, id: Option<&str>) -> Item {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Item::Event(Event { event: owned(event), data: owned(data), id: owned(id) })
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut() {
        let text = "\u{feff}retry: 1500\nid: e-1\n\n: tidings\n\nid: e-2\nevent: edit\r\ndata: ä\r\
                    data\rdata:  x\r\n\r\n:\n\ndata:\n\n";
        let expected = [
            Item::Retry(1500),
            event(None, None, Some("e-1")),
            Item::Comment,
            event(Some("edit"), Some("ä\n\n x"), Some("e-2")),
            Item::Comment,
            event(None, Some(""), None),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn every_mix_of_line_ends_is_one_each() {
        // LF CR, CR CR and LF LF are two ends; CR LF is one.
        let one = event(None, Some("a"), None);
        for ends in ["\n\r", "\r\r", "\n\n", "\r\n\r", "\r\n\n", "\r\r\n", "\n\r\n"] {
            assert_eq!(read(&format!("data: a{ends}")), std::slice::from_ref(&one), "{ends:?}");
        }
        assert_eq!(read("data: a\r\n"), []);
    }

    #[test]
    fn the_last_id_persists_and_one_with_nul_is_ignored() {
        let mut stream = EventStream::default();
        assert_eq!(items(&mut stream, &[b"id: 7\ndata: x\n\nid: 8\0\ndata: y\n\n"]).len(), 2);
        assert_eq!((stream.last_id(), stream.is_between_events()), ("7", true));
        assert_eq!(items(&mut stream, &[b"id\ndata: unfinished"]), []);
        assert_eq!((stream.last_id(), stream.is_between_events()), ("", false));
    }

    #[test]
    fn what_a_server_has_no_reason_to_send_is_a_panic() {
        for (text, complaint) in [
            ("dat: x\n", "no browser knows"),
            ("retry: soon\n", "no number"),
            (" data: x\n", "no browser knows"),
        ] {
            assert!(panic_of(|| drop(read(text))).contains(complaint), "{text:?}");
        }
        assert!(
            panic_of(|| drop(items(&mut EventStream::default(), &[b"data: \xff\n"])))
                .contains("UTF-8")
        );
    }
}
