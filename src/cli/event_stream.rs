//! Server-Sent Events, the receiving side: bytes in any pieces to events (WHATWG HTML §9.2.6).

use std::collections::VecDeque;
use std::mem;

use super::lines::LINE_BYTES_MAX;

/// What a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// An event with data; `id` is the last event id, set by this event or an earlier one.
    Event { id: String, event: Option<String>, data: String },
    /// A block that dispatched nothing but set the last event id.
    Id(String),
    /// The reconnection time, in milliseconds.
    Retry(u64),
    /// A comment line: nothing but a sign of life.
    Comment,
}

/// The stream grew a line or an event beyond what a client keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The parser of one stream, fed with what was read.
#[derive(Debug, Default)]
pub(crate) struct EventStream {
    line: Vec<u8>,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_carriage_return: bool,
    after_first_line: bool,
    data: String,
    event: String,
    /// Set by `id:` since the last empty line.
    id_is_new: bool,
    id: String,
    items: VecDeque<Item>,
}

impl EventStream {
    /// Takes bytes in; what they complete waits for [`EventStream::poll_item`].
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if mem::take(&mut self.after_carriage_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if (self.line.len() + self.data.len() + part.len()) as u64 > LINE_BYTES_MAX {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { break };
            self.after_carriage_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.handle_line();
        }
        Ok(())
    }

    /// What was said next, in order.
    pub(crate) fn poll_item(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    fn handle_line(&mut self) {
        let bytes = mem::take(&mut self.line);
        let mut line = &bytes[..];
        if !mem::replace(&mut self.after_first_line, true) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        match line.iter().position(|byte| *byte == b':') {
            None if line.is_empty() => self.dispatch(),
            None => self.handle_field(line, b""),
            Some(0) => self.items.push_back(Item::Comment),
            Some(colon) => {
                let value = &line[colon + 1..];
                self.handle_field(&line[..colon], value.strip_prefix(b" ").unwrap_or(value));
            }
        }
        // Keep the allocation for the next line.
        self.line = bytes;
        self.line.clear();
    }

    fn handle_field(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"data" => {
                self.data.push_str(&String::from_utf8_lossy(value));
                self.data.push('\n');
            }
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            // An id with a NUL is ignored.
            b"id" if !value.contains(&0) => {
                self.id = String::from_utf8_lossy(value).into_owned();
                self.id_is_new = true;
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let text = String::from_utf8_lossy(value);
                self.items.push_back(Item::Retry(text.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let id_is_new = mem::take(&mut self.id_is_new);
        let event = mem::take(&mut self.event);
        let mut data = mem::take(&mut self.data);
        // One empty `data:` line has left its LF here: such an event is dispatched.
        if data.pop().is_some() {
            let event = (!event.is_empty()).then_some(event);
            self.items.push_back(Item::Event { id: self.id.clone(), event, data });
        } else if id_is_new {
            self.items.push_back(Item::Id(self.id.clone()));
        }
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses all at once and byte by byte, which must not differ.
    fn items(input: &[u8]) -> Vec<Item> {
        let mut whole = EventStream::default();
        whole.feed(input).unwrap();
        let items: Vec<Item> = std::iter::from_fn(|| whole.poll_item()).collect();
        let mut bytewise = EventStream::default();
        for byte in input {
            bytewise.feed(&[*byte]).unwrap();
        }
        assert_eq!(std::iter::from_fn(|| bytewise.poll_item()).collect::<Vec<_>>(), items);
        items
    }

    fn event(id: &str, event: Option<&str>, data: &str) -> Item {
        Item::Event { id: id.into(), event: event.map(Into::into), data: data.into() }
    }

    #[test]
    fn every_line_end_ends_a_line() {
        let expected = vec![event("1", None, "a\nb")];
        for input in [
            "id:1\ndata:a\ndata:b\n\n",
            "id:1\rdata:a\rdata:b\r\r",
            "id:1\r\ndata:a\r\ndata:b\r\n\r\n",
            "id:1\rdata:a\ndata:b\r\n\n",
        ] {
            assert_eq!(items(input.as_bytes()), expected, "{input:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_once() {
        assert_eq!(items(b"\xEF\xBB\xBFdata: a\n\n"), [event("", None, "a")]);
        assert_eq!(items(b"\n\xEF\xBB\xBFdata: a\n\n"), []);
    }

    #[test]
    fn one_space_after_the_colon_is_not_part_of_the_value() {
        assert_eq!(items(b"data:  a\ndata:b \nevent: e\n\n"), [event("", Some("e"), " a\nb ")]);
        assert_eq!(items(b"data: a:b\n\n"), [event("", None, "a:b")]);
    }

    #[test]
    fn empty_data_is_an_event_and_no_data_is_none() {
        assert_eq!(items(b"data\n\n"), [event("", None, "")]);
        assert_eq!(items(b"data:\ndata:\n\n"), [event("", None, "\n")]);
        assert_eq!(items(b"event: e\n\ndata: a\n\n"), [event("", None, "a")]);
    }

    #[test]
    fn an_id_lasts_until_the_next_and_one_with_nul_is_ignored() {
        assert_eq!(items(b"id: 1\n\n"), [Item::Id("1".into())]);
        let input = b"id: 1\ndata: a\n\nid: x\0y\ndata: b\n\nid\ndata: c\n\n";
        let expected = [event("1", None, "a"), event("1", None, "b"), event("", None, "c")];
        assert_eq!(items(input), expected);
    }

    #[test]
    fn retry_is_digits() {
        assert_eq!(items(b"retry: 1500\nretry: 1s\nretry:\n"), [Item::Retry(1500)]);
        assert_eq!(items(b"retry: 99999999999999999999999\n"), [Item::Retry(u64::MAX)]);
    }

    #[test]
    fn comments_and_unknown_fields_dispatch_nothing() {
        assert_eq!(items(b": hi\nfoo: bar\n data: a\n\n"), [Item::Comment]);
    }

    #[test]
    fn an_event_that_is_cut_is_dropped() {
        assert_eq!(items(b"id: 1\ndata: a\n"), []);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut stream = EventStream::default();
        let part = vec![b'x'; 1 << 20];
        let fed = (0..65).try_for_each(|_| stream.feed(&part));
        assert_eq!(fed, Err(TooLong));
    }
}
