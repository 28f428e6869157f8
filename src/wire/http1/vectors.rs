//! Replays the pages in tests/vectors: input and what must come of it, as readable text.

use std::fmt::Write as _;

use super::properties::{BODY_LIMITS, LIMITS};
use super::*;
use http_page::{Vector, decode, vectors};

#[path = "../../../tests/vectors/http_page.rs"]
mod http_page;

const HEADS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/http1-heads.md"));
const BODIES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/http1-bodies.md"));

/// Compares each `key=value` of `expected` with what `actual` says of the key.
fn compare(vector: &Vector<'_>, expected: &str, actual: impl Fn(&str) -> String) {
    for (key, value) in expected.split_whitespace().filter_map(|word| word.split_once('=')) {
        let value = decode(value).escape_ascii().to_string();
        assert_eq!(actual(key), value, "{key} in {}", vector.heading);
    }
}

/// The end of the head when `input` arrives `step` bytes at a time.
fn find_end(input: &[u8], step: usize) -> Result<Option<usize>, HeadError> {
    let mut search = HeadSearch::default();
    for end in (step..input.len()).step_by(step).chain([input.len()]) {
        if let Some(found) = search.find_end(&input[..end], &LIMITS)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What a head says under the names that the page uses, as escaped text.
fn describe(head: &Head<'_>, rest: usize, key: &str) -> String {
    let escape = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let query = Query::parse(head.query);
    match key.split_once('.') {
        Some(("query", key)) => escape(query.unwrap().value(key).unwrap().as_bytes()),
        Some(("field", name)) => escape(head.field(name).unwrap()),
        _ => match key {
            "version" => if head.version == Version::Http10 { "1.0" } else { "1.1" }.to_owned(),
            "path" => head.path.to_owned(),
            "query" => head.query.to_owned(),
            "host" => head.host.to_owned(),
            "framing" => format!("{:?}", head.framing),
            "persistent" => head.persistent.to_string(),
            "websocket" => head.upgrades_to_websocket.to_string(),
            "decoded" => escape(&percent_decode(head.path).unwrap()),
            "query-error" => format!("{:?}", query.unwrap_err()),
            "rest" => rest.to_string(),
            _ => panic!("the page names {key}, which is unknown"),
        },
    }
}

#[test]
fn every_head_is_taken_or_refused_as_the_page_says() {
    for vector in vectors(HEADS) {
        let input = &vector.input;
        let found = find_end(input, usize::MAX);
        assert_eq!(find_end(input, 1), found, "{}", vector.heading);
        assert_eq!(find_end(input, 7), found, "{}", vector.heading);
        let outcome = match found {
            Ok(Some(end)) => parse_head(&input[..end], &LIMITS).map(|head| Some((head, end))),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let said = match &outcome {
            Ok(Some((head, _))) => format!("{:?}", head.method),
            Ok(None) => "more".to_owned(),
            Err(error) => format!("{} {error:?}", error.status().code()),
        };
        let is_head = matches!(outcome, Ok(Some(_)));
        let expected = vector.expected.split(' ').take(if is_head { 1 } else { 9 });
        assert_eq!(said, expected.collect::<Vec<_>>().join(" "), "{}", vector.heading);
        if let Ok(Some((head, end))) = &outcome {
            let rest = input.len() - end;
            compare(&vector, vector.expected, |key| describe(head, rest, key));
        }
        fuzz_head(input);
    }
}

/// What comes of `input`, `step` bytes at a time, in the page's words.
fn read_body(framing: Framing, input: &[u8], step: usize) -> (String, Vec<u8>, usize) {
    let mut reader = BodyReader::new(framing, &BODY_LIMITS);
    let (mut payload, mut used) = (Vec::new(), 0);
    let mut said = String::new();
    for end in (step..input.len()).step_by(step).chain([input.len()]) {
        match reader.read(&input[used..end], &mut payload, usize::MAX) {
            Ok(part) => used += part,
            Err(error) => {
                write!(said, "{} {error:?}", error.status().code()).unwrap();
                return (said, Vec::new(), 0);
            }
        }
    }
    said.push_str(if reader.is_complete() { "done" } else { "more" });
    (said, payload, input.len() - used)
}

#[test]
fn every_body_is_read_or_refused_as_the_page_says() {
    for vector in vectors(BODIES) {
        let (framing, expected) = vector.expected.split_once(": ").expect("a framing comes first");
        let framing = match framing.split_once(' ') {
            Some((_, length)) => Framing::Length(length.parse().expect("a length is a number")),
            None if framing == "none" => Framing::None,
            None => Framing::Chunked,
        };
        let outcome = read_body(framing, &vector.input, usize::MAX);
        assert_eq!(read_body(framing, &vector.input, 1), outcome, "{}", vector.heading);
        assert_eq!(read_body(framing, &vector.input, 7), outcome, "{}", vector.heading);
        let (said, payload, rest) = outcome;
        let words = expected.split(' ').filter(|word| !word.contains('='));
        assert_eq!(said, words.collect::<Vec<_>>().join(" "), "{}", vector.heading);
        compare(&vector, expected, |key| match key {
            "payload" => payload.escape_ascii().to_string(),
            "rest" => rest.to_string(),
            _ => panic!("the page names {key}, which is unknown"),
        });
        fuzz_chunked(&vector.input);
    }
}

#[test]
fn every_row_from_1_to_80_is_on_a_page_or_said_to_be_elsewhere() {
    let mut rows: Vec<u32> = [HEADS, BODIES]
        .into_iter()
        .flat_map(vectors)
        .map(|vector| vector.heading.split('.').next().unwrap().parse().unwrap())
        .collect();
    let (_, elsewhere) = HEADS.split_once("\n## Elsewhere").unwrap();
    for line in elsewhere.lines().filter_map(|line| line.strip_prefix("- ")) {
        for part in line.split(':').next().unwrap().split(", ") {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            rows.extend(first.parse::<u32>().unwrap()..=last.parse().unwrap());
        }
    }
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows, (1..=80).collect::<Vec<_>>());
}
