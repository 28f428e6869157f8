//! UTF-8 that is checked as it arrives and fails at the first byte that cannot be right (RFC 3629).
//!
//! The standard library checks the bulk; only a code point that was begun at the end of one piece
//! and is not complete yet is carried over to the next.

/// The bytes are not UTF-8, or end inside a code point.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct InvalidUtf8;

/// How far a text has been checked: at most the first three bytes of a code point.
///
/// Invariant: `partial[..held]` is the beginning of at least one valid code point; what lies behind
/// is zero, so that equal states compare as equal.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Utf8Check {
    partial: [u8; 4],
    held: u8,
}

impl Utf8Check {
    /// Checks the next bytes of the text. After an error the check is of no more use.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        self.accept(bytes).map(|_| ())
    }

    /// Checks the next bytes of the text and returns what they complete: a code point that was
    /// begun earlier, and the text behind it. Both in order are the text so far, less a code point
    /// that is still incomplete.
    pub fn accept<'a>(&mut self, bytes: &'a [u8]) -> Result<(Option<char>, &'a str), InvalidUtf8> {
        let (joined, bytes) = self.join(bytes)?;
        let error = match str::from_utf8(bytes) {
            Ok(text) => return Ok((joined, text)),
            Err(error) => error,
        };
        // Without an `error_len` the bytes are the beginning of a valid code point that goes on.
        if error.error_len().is_some() {
            return Err(InvalidUtf8);
        }
        let (whole, begun) = bytes.split_at_checked(error.valid_up_to()).ok_or(InvalidUtf8)?;
        for &byte in begun {
            self.hold(byte)?;
        }
        // A second look at a piece that ends inside a code point; it spares an `unsafe`.
        let text = str::from_utf8(whole).map_err(|_| InvalidUtf8)?;
        Ok((joined, text))
    }

    /// Whether the text may end here: fails if it ends inside a code point.
    pub fn finish(&self) -> Result<(), InvalidUtf8> {
        if self.held == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }

    /// Completes the code point that was begun earlier, and returns the bytes behind it.
    fn join<'a>(&mut self, bytes: &'a [u8]) -> Result<(Option<char>, &'a [u8]), InvalidUtf8> {
        let mut rest = bytes;
        while self.held > 0 {
            let Some((&byte, behind)) = rest.split_first() else { break };
            rest = behind;
            self.hold(byte)?;
            let begun = self.partial.get(..usize::from(self.held)).ok_or(InvalidUtf8)?;
            match str::from_utf8(begun) {
                Ok(text) => {
                    let joined = text.chars().next();
                    *self = Self::default();
                    return Ok((joined, rest));
                }
                Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
                Err(_) => {}
            }
        }
        Ok((None, rest))
    }

    fn hold(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        // RFC 3629 §3: a code point takes at most four bytes.
        *self.partial.get_mut(usize::from(self.held)).ok_or(InvalidUtf8)? = byte;
        self.held += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes at the edges of every range in RFC 3629 §4.
    const EDGES: [u8; 23] = [
        0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
        0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xfe, 0xff,
    ];

    /// How many bytes are taken one by one before the first failure, and whether the text may end.
    fn one_by_one(bytes: &[u8]) -> (usize, bool) {
        let mut check = Utf8Check::default();
        for (index, byte) in bytes.iter().enumerate() {
            if check.feed(&[*byte]).is_err() {
                return (index, false);
            }
        }
        (bytes.len(), check.finish().is_ok())
    }

    /// The same, from the standard library's account of the whole.
    fn expected(bytes: &[u8]) -> (usize, bool) {
        let could_go_on = |end: usize| match str::from_utf8(&bytes[..end]) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        };
        let good = (0..=bytes.len()).take_while(|&end| could_go_on(end)).count() - 1;
        (good, str::from_utf8(bytes).is_ok())
    }

    #[test]
    fn the_check_is_small() {
        assert!(size_of::<Utf8Check>() <= 8);
    }

    #[test]
    fn every_sequence_of_edge_bytes_fails_at_the_first_byte_that_cannot_be_right() {
        for a in EDGES {
            for b in EDGES {
                for c in EDGES {
                    for d in EDGES {
                        let bytes = [a, b, c, d];
                        assert_eq!(one_by_one(&bytes), expected(&bytes), "{bytes:02x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_code_point_is_accepted_at_every_split() {
        for code in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let mut buffer = [0; 4];
            let bytes = code.encode_utf8(&mut buffer).as_bytes();
            for split in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(split);
                let mut check = Utf8Check::default();
                assert_eq!(check.feed(head), Ok(()));
                assert_eq!(check.finish().is_ok(), split == 0 || split == bytes.len());
                assert_eq!(check.feed(tail), Ok(()));
                assert_eq!(check.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn what_is_returned_piece_by_piece_is_the_text() {
        let text = "aé✓😀 κόσμε \u{10ffff}\0z";
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut check = Utf8Check::default();
                let mut joined = String::new();
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    let (begun, whole) = check.accept(piece).expect("valid");
                    joined.extend(begun);
                    joined.push_str(whole);
                }
                assert_eq!(joined, text);
                assert_eq!(check, Utf8Check::default());
            }
        }
    }

    #[test]
    fn overlong_forms_surrogates_and_code_points_beyond_the_last_are_refused_at_their_second_byte()
    {
        // Autobahn 6.4: by then nothing that follows can make it right.
        for bytes in [[0xe0, 0x9f], [0xed, 0xa0], [0xf0, 0x8f], [0xf4, 0x90]] {
            assert_eq!(one_by_one(&bytes), (1, false), "{bytes:02x?}");
        }
        for byte in [0x80, 0xbf, 0xc0, 0xc1, 0xf5, 0xff] {
            assert_eq!(one_by_one(&[byte]), (0, false), "{byte:02x}");
        }
    }
}
