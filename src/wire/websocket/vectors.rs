//! Replays the page of frames and what they must lead to, `tests/vectors/websocket-frames.md`.

use std::fmt::Write;

use super::message::{Incoming, MessageLimits};
use super::properties::{End, Outcome, read_in_pieces};
use frames_page::{Vector, parse_page};

#[path = "../../../tests/vectors/frames_page.rs"]
mod frames_page;

const PAGE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/websocket-frames.md"));

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
    let vectors = parse_page(PAGE);
    for Vector { heading, bytes_max, frames_max, input, expect } in &vectors {
        let limits = &MessageLimits { message_bytes_max: *bytes_max, fragments_max: *frames_max };
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
