//! A message as it lies in the backplane, for other servers to read.
//!
//! ```text
//!   <time ms> <bytes of the content type> <bytes of the event name> LF <content type> <event name> <payload>
//! ```

use super::message::{EventName, Message, MessageError};

/// Bytes of the first line, at most.
const LINE_BYTES_MAX: usize = 20 + 1 + 3 + 1 + 3;

/// Why a record is none.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Its first line is not three numbers, or they say more than there is.
    Malformed,
    /// What it says is no message.
    Message(MessageError),
}

impl Message {
    /// Appends the message's record.
    pub fn encode_record(&self, out: &mut Vec<u8>) {
        let (content_type, event) = (self.content_type(), self.event().unwrap_or_default());
        let line = format!("{} {} {}\n", self.time_ms(), content_type.len(), event.len());
        out.reserve(line.len() + content_type.len() + event.len() + self.payload().len());
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(content_type.as_bytes());
        out.extend_from_slice(event.as_bytes());
        out.extend_from_slice(self.payload());
    }

    /// The message of a record. It is checked like one that a client publishes: whoever may write to the
    /// backplane must not be able to break a stream.
    ///
    /// # Errors
    /// When it is not what [`Message::encode_record`] writes, or no message at all.
    pub fn parse_record(record: &[u8]) -> Result<Self, RecordError> {
        let malformed = RecordError::Malformed;
        let line = &record[..record.len().min(LINE_BYTES_MAX + 1)];
        let end = line.iter().position(|&byte| byte == b'\n').ok_or(malformed)?;
        let mut numbers = line[..end].split(|&byte| byte == b' ').map(parse_number);
        let mut number = || numbers.next().flatten().ok_or(malformed);
        let (time_ms, content_type, event) = (number()?, number()?, number()?);
        if numbers.next().is_some() {
            return Err(malformed);
        }
        let length = |number: u64| usize::try_from(number).map_err(|_| malformed);
        let rest = &record[end + 1..];
        let (content_type, rest) = rest.split_at_checked(length(content_type)?).ok_or(malformed)?;
        let (event, payload) = rest.split_at_checked(length(event)?).ok_or(malformed)?;
        let event = (!event.is_empty()).then(|| EventName::parse(event)).transpose();
        let event = event.map_err(RecordError::Message)?;
        Self::new(payload.to_vec(), Some(content_type), event, time_ms)
            .map_err(RecordError::Message)
    }
}

/// Digits only, as few as there can be.
fn parse_number(text: &[u8]) -> Option<u64> {
    let is_plain =
        text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text.first() != Some(&b'0'));
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &[u8], content_type: Option<&str>, event: Option<&str>) -> Message {
        let event = event.map(|event| EventName::parse(event.as_bytes()).unwrap());
        Message::new(payload.to_vec(), content_type.map(str::as_bytes), event, 1_764_547_200_123)
            .unwrap()
    }

    #[test]
    fn what_is_encoded_is_parsed_again() {
        let cases = [
            message(b"", None, None),
            message(b"hello\nworld", None, Some("edit")),
            message(b"\xff\0\r\n", None, None),
            message(b"{\"a\":1}", Some("application/json; charset=utf-8"), Some("ein Ereignis ü")),
            message(b"x", Some("application/x-www-form-urlencoded"), None),
            message(b"<p>", Some("text/html"), None),
        ];
        for message in cases {
            let mut record = Vec::new();
            message.encode_record(&mut record);
            assert_eq!(Message::parse_record(&record), Ok(message));
        }
    }

    #[test]
    fn nothing_else_is_a_record() {
        let long = [b"1 ".repeat(20), b"\n".to_vec()].concat();
        let cases: [&[u8]; 12] = [
            b"",
            b"\n",
            b"1 2\n",
            b"1 0 0",
            b"01 10 0\ntext/plainx",
            b"+1 10 0\ntext/plainx",
            b"1 10 0 0\ntext/plain",
            b"1 11 0\ntext/plain",
            b"1 10 1\ntext/plain",
            b"1 10 18446744073709551616\ntext/plain",
            b"-1 0 0\n",
            &long,
        ];
        for record in cases {
            assert_eq!(Message::parse_record(record), Err(RecordError::Malformed), "{record:?}");
        }
        let not_utf8 = Message::parse_record(b"1 10 0\ntext/plain\xff");
        assert_eq!(not_utf8, Err(RecordError::Message(MessageError::NotUtf8)));
        let event = Message::parse_record(b"1 10 3\ntext/plaina\nb");
        assert_eq!(event, Err(RecordError::Message(MessageError::Event)));
    }
}
