//! Replays the page of frames and what they must lead to, `tests/vectors/websocket-frames.md`.

use std::fmt::Write;

use super::message::{Incoming, MessageLimits};
use super::properties::{End, Outcome, read_in_pieces};

const PAGE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/websocket-frames.md"));

/// One example: everything between two headings.
struct Vector {
    heading: &'static str,
    limits: MessageLimits,
    input: Vec<u8>,
    expect: Vec<&'static str>,
}

fn parse_page() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for section in PAGE.split("\n## ").skip(1) {
        let heading = section.lines().next().expect("split leaves one line at least");
        let mut vector = Vector {
            heading,
            limits: MessageLimits { message_bytes_max: 65_536, fragments_max: 128 },
            input: Vec::new(),
            expect: Vec::new(),
        };
        let block =
            section.split("```text\n").nth(1).unwrap_or_else(|| panic!("{heading}: no block"));
        for line in block.lines().take_while(|line| !line.starts_with("```")) {
            let (key, value) = line.trim().split_once(' ').unwrap_or((line, ""));
            match key {
                "bytes-max" => vector.limits.message_bytes_max = value.trim().parse().expect(line),
                "frames-max" => vector.limits.fragments_max = value.trim().parse().expect(line),
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

/// The outcome in the words of the page.
fn describe(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> = outcome.incoming.iter().map(describe_incoming).collect();
    match &outcome.end {
        End::Failed(error) => lines.push(format!("{error:?} {}", error.close_code().value())),
        End::Waiting { message_is_unfinished: true, .. } => lines.push("unfinished".to_owned()),
        End::Waiting { is_idle, partial_header, .. } if !is_idle || !partial_header.is_empty() => {
            lines.push("partial frame".to_owned());
        }
        End::Waiting { .. } => {}
    }
    lines
}

fn describe_incoming(incoming: &Incoming) -> String {
    match incoming {
        Incoming::Text(text) => format!("text {text:?}"),
        Incoming::Binary(bytes) => format!("binary {}", hex(bytes)).trim_end().to_owned(),
        Incoming::Ping(bytes) => format!("ping {}", hex(bytes)).trim_end().to_owned(),
        Incoming::Pong => "pong".to_owned(),
        Incoming::Close(None) => "close".to_owned(),
        Incoming::Close(Some((code, reason))) => format!("close {} {reason:?}", code.value()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[test]
fn every_example_on_the_page_is_read_as_it_says_at_any_split() {
    let vectors = parse_page();
    for Vector { heading, limits, input, expect } in &vectors {
        let at_once = read_in_pieces(input, limits, std::iter::empty());
        assert_eq!(describe(&at_once), *expect, "{heading}");
        for split in 0..=input.len() {
            let outcome = read_in_pieces(input, limits, std::iter::once(split));
            assert_eq!(outcome, at_once, "{heading}, split at {split}");
        }
        let one_by_one = read_in_pieces(input, limits, input.iter().map(|_| 1));
        assert_eq!(one_by_one, at_once, "{heading}, one by one");
    }
    assert!(vectors.len() >= 50, "only {} examples were found", vectors.len());
}
