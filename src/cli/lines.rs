//! Lines of bytes with an upper bound, from anything that can be read.

use std::io::{self, BufRead, Read};

/// Longest line that a client keeps in memory: far above what a server with default limits takes or
/// gives, and a stop to an endless line.
pub(crate) const LINE_BYTES_MAX: u64 = 64 << 20;

/// Reads one line into `line` (emptied first), without its LF or CRLF; `false` at the end of the
/// input. A last line without an end counts. `InvalidData` when the line is too long.
pub(crate) fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let taken = reader.take(LINE_BYTES_MAX + 1).read_until(b'\n', line)?;
    if taken == 0 {
        return Ok(false);
    }
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    } else if line.len() as u64 > LINE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_their_ends() {
        let mut input: &[u8] = b"a\r\n\nb\rc\nlast";
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while read_line(&mut input, &mut line).unwrap() {
            lines.push(String::from_utf8(line.clone()).unwrap());
        }
        assert_eq!(lines, ["a", "", "b\rc", "last"]);
    }

    #[test]
    fn an_endless_line_is_an_error() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        let failure = read_line(&mut endless, &mut Vec::new()).unwrap_err();
        assert_eq!(failure.kind(), io::ErrorKind::InvalidData);
    }
}
