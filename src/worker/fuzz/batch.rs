//! A batch under fuzz: its body split in every way, against lines that are read one by one.

use serde_json::Value;

use super::answers::read_batch;
use super::world::{World, limits};
use crate::fuzzing::arrivals;
use crate::limits::BATCH_ERRORS_MAX;
use crate::wire::command::parse_line;

/// For fuzzing: sends `bytes` as the body of a batch, at once, in pieces and in chunks.
///
/// # Panics
/// If the reports depend on how the body arrives; if there is not one for every line that is not blank, in
/// order; if a line is taken that is no line, or the other way round for its shape.
pub fn fuzz_batch(bytes: &[u8]) {
    if bytes.iter().filter(|byte| **byte == b'\n').count() >= BATCH_ERRORS_MAX as usize {
        // There may be too many wrong lines among so many: docs/protocol.md 5.3.
        return;
    }
    let mut reports =
        arrivals(bytes).into_iter().enumerate().map(|(at, ends)| send(bytes, &ends, at % 2 == 1));
    let at_once = reports.next().expect("it arrives at once");
    for other in reports {
        assert_eq!(other, at_once, "the reports depend on how the body was split");
    }
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let longest = limits().body_bytes_max;
    let expected: Vec<_> = (1_u64..)
        .zip(lines)
        .filter(|(_, line)| line.len() > longest || !line.trim_ascii().is_empty())
        .collect();
    assert_eq!(at_once.len(), expected.len());
    for (report, (number, line)) in at_once.iter().zip(expected) {
        assert_eq!(report["line"], number);
        let is_taken = report["error"].is_null();
        let is_shaped = line.len() <= longest && parse_line(line).is_ok();
        assert!(is_shaped || !is_taken, "{report}");
        match report["error"]["status"].as_u64() {
            None => assert!(report["id"].is_string() && report["topic"].is_string(), "{report}"),
            Some(413) => (),
            Some(status) => assert!([400, 415, 503].contains(&status), "{report}"),
        }
    }
}

/// The reports on a body that arrives at `ends`, in a chunk each or with its length in the head.
fn send(bytes: &[u8], ends: &[usize], in_chunks: bool) -> Vec<Value> {
    let mut world = World::new(1);
    let client = world.connect(0).expect("there is room");
    let framing = match in_chunks {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {}", bytes.len()),
    };
    let head = "POST /topics HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson";
    world.send(client, format!("{head}\r\n{framing}\r\n\r\n").as_bytes());
    world.settle();
    let mut start = 0;
    for &end in ends.iter().filter(|end| **end > 0) {
        let piece = &bytes[start..end];
        match in_chunks {
            true if piece.is_empty() => (),
            true => world.send(client, &super::chunk(piece)),
            false => world.send(client, piece),
        }
        world.settle();
        start = end;
    }
    if in_chunks {
        world.send(client, b"0\r\n\r\n");
    }
    world.settle();
    assert!(world.clients[client].closed.is_none(), "a batch that was whole goes on");
    read_batch(&world.clients[client].received)
}

#[test]
fn the_corpus_of_batches_keeps_every_promise() {
    crate::fuzzing::replay("batch", fuzz_batch);
}
