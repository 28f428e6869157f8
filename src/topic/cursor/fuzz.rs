//! What must hold of any cursor, whatever is sent.

use super::*;

/// For fuzzing: parses `bytes` as a cursor, and writes one made of them.
///
/// # Panics
/// If a text is taken that we would not write; if one is refused that we would; if what is written is not
/// read back, or has other characters than those of docs/protocol.md 3.1.
pub fn fuzz_cursor(bytes: &[u8]) {
    let parsed = Cursor::parse(bytes);
    assert_eq!(parsed.is_ok(), is_cursor(bytes), "{:?}", String::from_utf8_lossy(bytes));
    if let Ok(cursor) = &parsed {
        let mut text = String::new();
        Cursor::encode(cursor.0.iter().copied(), &mut text);
        assert_eq!(text.as_bytes(), bytes, "one cursor has one text");
        let count = cursor.0.len();
        assert_eq!(cursor.positions(count), Some(&cursor.0[..]));
        assert_eq!((cursor.positions(count + 1), cursor.positions(count - 1)), (None, None));
    }
    match Start::parse(bytes) {
        Ok(Start::Earliest) => assert_eq!(bytes, b"earliest"),
        Ok(Start::Latest) => assert_eq!(bytes, b"latest"),
        Ok(Start::After(cursor)) => assert_eq!(Ok(cursor), parsed),
        Ok(start) => panic!("{start:?}"),
        Err(CursorError) => assert!(parsed.is_err()),
    }
    let positions: Vec<Position> = bytes.chunks(8).map(position).collect();
    let mut text = String::new();
    Cursor::encode(positions.iter().copied(), &mut text);
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)));
    assert!(positions.len() > 1 || text.len() <= 32);
    if (1..=POSITIONS_MAX).contains(&positions.len()) {
        assert_eq!(Cursor::parse(text.as_bytes()), Ok(Cursor(positions)));
    }
}

fn position(bytes: &[u8]) -> Position {
    let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    Position { epoch: Epoch::from_random(bits), sequence: bits.rotate_left(24) >> (bits % 64) }
}

/// The same by the letter.
fn is_cursor(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let parts: Vec<_> = text.split('.').collect();
    parts.len() <= POSITIONS_MAX && parts.into_iter().all(is_position)
}

fn is_position(text: &str) -> bool {
    let Some((epoch, sequence)) = text.split_once('-') else { return false };
    let is_digit = |character: char| character.is_ascii_digit();
    let is_letter = |character: char| character.is_ascii_lowercase() && !"ilou".contains(character);
    epoch.len() == 8
        && epoch.chars().all(|character| is_digit(character) || is_letter(character))
        && sequence.parse::<u64>().is_ok_and(|number| number.to_string() == sequence)
}

#[test]
fn the_corpus_of_cursors_keeps_every_promise() {
    crate::fuzzing::replay("cursor", fuzz_cursor);
}
