//! Reads http1-heads.md and http1-bodies.md: bytes, and what must come of them.

/// One block of a page.
pub(super) struct Vector<'a> {
    pub(super) heading: &'a str,
    pub(super) input: Vec<u8>,
    /// The line behind the block, without its arrow.
    pub(super) expected: &'a str,
}

/// The bytes that a block stands for: escapes resolved, repetitions written out.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut used = first.len_utf8();
        match first {
            '\\' => {
                let escape = rest.as_bytes()[1];
                used = if escape == b'x' { 4 } else { 2 };
                bytes.push(match escape {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    b'x' => u8::from_str_radix(&rest[2..4], 16).expect("two digits behind \\x"),
                    b'\\' | b'{' => escape,
                    _ => panic!("unknown escape in {rest:?}"),
                });
            }
            '{' => {
                let end = rest.find('}').expect("a repetition is closed");
                let (unit, times) =
                    rest[1..end].rsplit_once('*').expect("a repetition has a count");
                bytes.extend(decode(unit).repeat(times.parse().expect("a count is a number")));
                used = end + 1;
            }
            _ => bytes.extend_from_slice(&rest.as_bytes()[..used]),
        }
        rest = &rest[used..];
    }
    bytes
}

pub(super) fn vectors(page: &str) -> Vec<Vector<'_>> {
    let mut vectors = Vec::new();
    for section in page.split("\n## ").skip(1).filter(|section| !section.starts_with("Elsewhere")) {
        let heading = section.lines().next().expect("a section has a heading");
        let blocks: Vec<_> = section.split("```http\n").skip(1).collect();
        assert!(!blocks.is_empty(), "{heading}: no block");
        for block in blocks {
            let (input, behind) = block.split_once("```\n").expect("a block is closed");
            let expected = behind.lines().next().and_then(|line| line.strip_prefix("→ "));
            let expected = expected.expect("a block has an expectation");
            vectors.push(Vector { heading, input: decode(&input.replace('\n', "")), expected });
        }
    }
    vectors
}
