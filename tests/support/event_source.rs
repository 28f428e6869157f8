//! What a browser makes of an event stream: WHATWG HTML §9.2.5 and §9.2.6, step by step, sharing nothing
//! with the server.

/// An event that was dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub event: String,
    pub data: String,
    /// The last event ID at that moment.
    pub id: String,
}

/// A stream, as far as it has come.
#[derive(Debug, Default)]
pub struct EventSource {
    /// Not yet made into lines.
    bytes: Vec<u8>,
    began: bool,
    /// The last line ended with CR: an LF right behind it belongs to it.
    after_cr: bool,
    data: String,
    event: String,
    last_id: String,
    /// The reconnection time, once it was given.
    pub retry: Option<u64>,
    /// Comments so far.
    pub comments: usize,
    /// The last event ID was set so often.
    pub ids: usize,
}

impl EventSource {
    /// The ID that a browser would come back with.
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    /// Takes the next bytes of the body, cut anywhere; gives the events that they complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.bytes.extend_from_slice(bytes);
        let mut heard = Vec::new();
        if !self.began {
            // One byte order mark at the beginning is dropped by the decoder.
            if self.bytes.len() < 3 {
                return heard;
            }
            if self.bytes.starts_with(b"\xef\xbb\xbf") {
                self.bytes.drain(..3);
            }
            self.began = true;
        }
        loop {
            if self.after_cr && self.bytes.first() == Some(&b'\n') {
                self.bytes.remove(0);
            }
            self.after_cr &= self.bytes.is_empty();
            let Some(end) = self.bytes.iter().position(|byte| b"\r\n".contains(byte)) else {
                return heard;
            };
            let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
            self.after_cr = line.pop() == Some(b'\r');
            let line = String::from_utf8(line).expect("a stream is UTF-8");
            heard.extend(self.line(&line));
        }
    }

    fn line(&mut self, line: &str) -> Option<Heard> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (name, value) = match line.split_once(':') {
            Some(("", _)) => {
                self.comments += 1;
                return None;
            }
            Some((name, value)) => (name, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data += value;
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => {
                self.ids += 1;
                value.clone_into(&mut self.last_id);
            }
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok();
            }
            // A browser ignores it; this server has no reason to send it.
            _ => panic!("a field that no browser knows or takes: {line:?}"),
        }
        None
    }

    fn dispatch(&mut self) -> Option<Heard> {
        let (mut data, event) = (std::mem::take(&mut self.data), std::mem::take(&mut self.event));
        if data.is_empty() {
            return None;
        }
        data.pop();
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Some(Heard { event, data, id: self.last_id.clone() })
    }
}
