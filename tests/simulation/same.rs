//! Whether a history played twice is the same history: its traces are equal, line by line, and in another
//! thread as well.

use std::thread;

use crate::history::{History, Played};
use crate::trace::Trace;

/// Lines before the first that differs.
const LINES_BEFORE: usize = 5;

/// Plays a history three times.
///
/// # Panics
/// When one of them is another than the others.
pub(crate) fn check(history: &History) {
    let seed = history.seed;
    let [one, other] = [(); 2].map(|()| history.play(Trace::whole()));
    if let Some(text) = difference(one.trace.text(), other.trace.text()) {
        panic!("seed {seed} is not the same twice:\n{text}");
    }
    assert_eq!(one.result, other.result, "of seed {seed}, though the traces are equal");
    let fingerprint = |played: &Played| played.trace.fingerprint();
    let elsewhere = thread::scope(|scope| {
        let thread = scope.spawn(|| fingerprint(&history.play(Trace::default())));
        thread.join().expect("what fails is listened to")
    });
    assert_eq!(fingerprint(&one), elsewhere, "seed {seed} is another in another thread");
}

/// The first lines that differ, with those before.
fn difference(one: &str, other: &str) -> Option<String> {
    let mut lines: Vec<&str> = Vec::new();
    let (mut ones, mut others) = (one.lines(), other.lines());
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return None,
            (Some(line), Some(same)) if line == same => lines.push(line),
            (line, same) => {
                let before = lines.split_off(lines.len().saturating_sub(LINES_BEFORE)).join("\n");
                let [line, same] = [line, same].map(|line| line.unwrap_or("(it is over)"));
                return Some(format!("{before}\nonce:  {line}\ntwice: {same}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_shown_with_what_was_before() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let shown = difference("1\n2\n3\n4\n5\n6\nx\n", "1\n2\n3\n4\n5\n6\ny\nz\n");
        assert_eq!(shown.as_deref(), Some("2\n3\n4\n5\n6\nonce:  x\ntwice: y"));
        let shown = difference("a\n", "a\nb\n");
        assert_eq!(shown.as_deref(), Some("a\nonce:  (it is over)\ntwice: b"));
    }
}
