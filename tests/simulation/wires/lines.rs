//! Lines of NDJSON: UTF-8, each ended by LF. Empty ones are heartbeats (docs/protocol.md 10.2).

use super::received::Received;

#[derive(Debug, Default)]
pub(crate) struct Lines {
    received: Received,
}

impl Lines {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.received.push(bytes);
    }

    /// The next line that is not empty, without its end.
    pub(crate) fn next(&mut self) -> Option<String> {
        loop {
            let (line, _) = self.received.take_until(b"\n")?;
            if !line.is_empty() {
                return Some(String::from_utf8(line).expect("a line is UTF-8"));
            }
        }
    }

    /// Whether everything so far was whole lines.
    pub(crate) fn is_between_lines(&self) -> bool {
        self.received.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::splits::same_for_every_split;

    #[test]
    fn lines_are_the_same_however_they_are_cut_and_empty_ones_are_skipped() {
        let (lines, is_whole) =
            same_for_every_split("\n{\"a\":\"ü\"}\n\n2\nhalf".as_bytes(), |pieces| {
                let mut lines = Lines::default();
                let mut read = Vec::new();
                for piece in pieces {
                    lines.push(piece);
                    read.extend(std::iter::from_fn(|| lines.next()));
                }
                (read, lines.is_between_lines())
            });
        assert_eq!(lines, ["{\"a\":\"ü\"}", "2"]);
        assert!(!is_whole);
    }
}
