//! A reader of endless answers: events and lines, as they come.

use serde_json::Value;

use super::http::{Client, Head};

/// Heartbeats that are passed over while something else is waited for.
const HEARTBEATS_MAX: u32 = 300;

/// An answer that is read while it is being sent.
pub struct Stream {
    pub client: Client,
    pub head: Head,
    chunked: bool,
    text: Vec<u8>,
    ended: bool,
}

/// A block of an event stream, up to its empty line; it need not dispatch anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub event: Option<String>,
    /// The `data` lines, joined as a browser would; `None` if there are none.
    pub data: Option<String>,
    pub retry: Option<u64>,
    pub comments: Vec<String>,
}

impl Stream {
    pub fn new(client: Client, head: Head) -> Self {
        let chunked = head.field("Transfer-Encoding") == Some("chunked");
        Self { client, head, chunked, text: Vec::new(), ended: false }
    }

    /// The next line without its end; `None` when the answer has ended properly.
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.text.drain(..=end).collect();
                line.pop();
                return Some(String::from_utf8(line).unwrap());
            }
            if !self.fill() {
                assert!(self.text.is_empty(), "the last line is whole");
                return None;
            }
        }
    }

    fn fill(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let more = if self.chunked {
            self.client.chunk()
        } else {
            self.client.byte().map(|byte| vec![byte])
        };
        self.ended = more.is_none();
        self.text.extend_from_slice(&more.unwrap_or_default());
        !self.ended
    }

    /// The next line, which is a JSON text. Heartbeats are skipped.
    pub fn json_line(&mut self) -> Value {
        for _ in 0..HEARTBEATS_MAX {
            let line = self.line().expect("a line, not the end");
            if !line.is_empty() {
                return serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
            }
        }
        panic!("nothing but heartbeats");
    }

    /// The next event, comment or opening; `None` at the end of the answer.
    pub fn next_event(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let Some(line) = self.line() else {
                assert_eq!(event, Event::default(), "the last event is whole");
                return None;
            };
            if line.is_empty() {
                return Some(event);
            }
            assert!(!line.contains('\r'), "{line:?}");
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match name {
                "" => event.comments.push(value),
                "id" => event.id = Some(value),
                "event" => event.event = Some(value),
                "retry" => event.retry = Some(value.parse().unwrap()),
                "data" => match &mut event.data {
                    None => event.data = Some(value),
                    Some(data) => *data = format!("{data}\n{value}"),
                },
                _ => panic!("a field that no browser knows: {line:?}"),
            }
        }
    }

    /// The next block of any kind.
    pub fn event(&mut self) -> Event {
        self.next_event().expect("an event, not the end")
    }

    /// The next event that a browser would dispatch.
    pub fn dispatched(&mut self) -> Event {
        for _ in 0..HEARTBEATS_MAX {
            let event = self.event();
            if event.data.is_some() {
                return event;
            }
        }
        panic!("nothing but heartbeats");
    }
}
