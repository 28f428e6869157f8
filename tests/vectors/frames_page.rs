//! Reads websocket-frames.md: bytes, and what must come of them.

/// One example: everything between two headings.
pub(super) struct Vector {
    pub(super) heading: &'static str,
    /// Bytes and frames that one message may have.
    pub(super) bytes_max: usize,
    pub(super) frames_max: usize,
    pub(super) input: Vec<u8>,
    pub(super) expect: Vec<&'static str>,
}

pub(super) fn parse_page(page: &'static str) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for section in page.split("\n## ").skip(1) {
        let heading = section.lines().next().expect("split leaves one line at least");
        let mut vector = Vector {
            heading,
            bytes_max: 65_536,
            frames_max: 128,
            input: Vec::new(),
            expect: Vec::new(),
        };
        let block =
            section.split("```text\n").nth(1).unwrap_or_else(|| panic!("{heading}: no block"));
        for line in block.lines().take_while(|line| !line.starts_with("```")) {
            let (key, value) = line.trim().split_once(' ').unwrap_or((line, ""));
            match key {
                "bytes-max" => vector.bytes_max = value.trim().parse().expect(line),
                "frames-max" => vector.frames_max = value.trim().parse().expect(line),
                "input" => vector.input.extend(parse_hex(value)),
                "expect" => vector.expect.push(value.trim()),
                _ => panic!("{heading}: {line:?} is not understood"),
            }
        }
        assert!(!vector.expect.is_empty(), "{heading}: nothing is expected");
        vectors.push(vector);
    }
    vectors
}

fn parse_hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text:?}");
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}
