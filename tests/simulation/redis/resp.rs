//! RESP3 as a server of it speaks: whole commands out of bytes in pieces, and answers into bytes
//! (github.com/redis/redis-specifications, RESP3.md).

use crate::wires::received::Received;

/// Words of one command, and bytes of one word, that a client of ours would ever send.
const WORDS_MAX: usize = 2_000;
const WORD_BYTES_MAX: usize = 4 << 20;

/// What is answered, or pushed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Simple(&'static str),
    Error(String),
    Number(i64),
    Bulk(Vec<u8>),
    /// Text that says what it is.
    Verbatim(String),
    Null,
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Push(Vec<Self>),
}

impl Value {
    pub(super) fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(bytes.as_ref().to_vec())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut head = |kind: char, count: i64| {
            out.extend_from_slice(format!("{kind}{count}\r\n").as_bytes());
        };
        match self {
            Self::Simple(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
            Self::Error(text) => out.extend_from_slice(format!("-{text}\r\n").as_bytes()),
            Self::Number(number) => head(':', *number),
            Self::Null => out.extend_from_slice(b"_\r\n"),
            Self::Bulk(bytes) => {
                head('$', bytes.len() as i64);
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Verbatim(text) => {
                head('=', text.len() as i64 + 4);
                out.extend_from_slice(format!("txt:{text}\r\n").as_bytes());
            }
            Self::Array(values) | Self::Push(values) => {
                head(if matches!(self, Self::Push(_)) { '>' } else { '*' }, values.len() as i64);
                values.iter().for_each(|value| value.encode(out));
            }
            Self::Map(pairs) => {
                head('%', pairs.len() as i64);
                for (key, value) in pairs {
                    key.encode(out);
                    value.encode(out);
                }
            }
        }
    }
}

/// The commands of one connection: arrays of bulk strings, and nothing else.
#[derive(Debug, Default)]
pub(super) struct Commands {
    received: Received,
    /// How many words are wanted still, and the length of the next, if they are known.
    wanted: usize,
    length: Option<usize>,
    words: Vec<Vec<u8>>,
}

impl Commands {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received.push(bytes);
    }

    /// The next command that is whole.
    pub(super) fn next(&mut self) -> Option<Vec<Vec<u8>>> {
        loop {
            if self.wanted == 0 {
                self.wanted = self.number(b'*', WORDS_MAX)?;
                assert!(self.wanted > 0, "a command of no words");
            }
            let length = match self.length {
                Some(length) => length,
                None => self.number(b'$', WORD_BYTES_MAX)?,
            };
            self.length = Some(length);
            if self.received.as_slice().len() < length + 2 {
                return None;
            }
            let mut word = self.received.take(length + 2);
            assert!(word.ends_with(b"\r\n"), "a word that is longer than it says: {word:?}");
            word.truncate(length);
            self.words.push(word);
            (self.wanted, self.length) = (self.wanted - 1, None);
            if self.wanted == 0 {
                return Some(std::mem::take(&mut self.words));
            }
        }
    }

    /// A line with a number.
    fn number(&mut self, kind: u8, most: usize) -> Option<usize> {
        let (line, _) = self.received.take_until(b"\n")?;
        let text = line.strip_prefix(&[kind]).and_then(|rest| rest.strip_suffix(b"\r"));
        let number = text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let number =
            number.unwrap_or_else(|| panic!("{line:?} where {:?} is wanted", kind as char));
        assert!(number <= most, "{number} is more than anybody sends");
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::splits::panic_of;

    #[test]
    fn commands_are_the_same_in_whatever_pieces_they_come() {
        let bytes = b"*2\r\n$4\r\nPING\r\n$0\r\n\r\n*1\r\n$3\r\na\r\n\r\n";
        for size in 1..bytes.len() {
            let (mut commands, mut seen) = (Commands::default(), Vec::new());
            for piece in bytes.chunks(size) {
                commands.push(piece);
                while let Some(command) = commands.next() {
                    seen.push(command);
                }
            }
            assert_eq!(seen, [vec![b"PING".to_vec(), Vec::new()], vec![b"a\r\n".to_vec()]]);
        }
    }

    #[test]
    fn what_is_no_command_is_complained_of() {
        for wrong in ["PING\r\n", "*1\r\n:1\r\n", "*0\r\n", "*1\r\n$1\r\nabc", "*-1\r\n"] {
            let complaint = panic_of(|| {
                let mut commands = Commands::default();
                commands.push(wrong.as_bytes());
                while commands.next().is_some() {}
            });
            assert!(!complaint.is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn values_are_written_as_the_specification_has_them() {
        let value = Value::Push(vec![
            Value::Map(vec![(Value::bulk("a"), Value::Number(-1))]),
            Value::Array(vec![Value::Null, Value::Simple("OK"), Value::Verbatim("x\r\n".into())]),
            Value::Error("ERR no".into()),
        ]);
        let mut out = Vec::new();
        value.encode(&mut out);
        let wanted =
            ">3\r\n%1\r\n$1\r\na\r\n:-1\r\n*3\r\n_\r\n+OK\r\n=7\r\ntxt:x\r\n\r\n-ERR no\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}
