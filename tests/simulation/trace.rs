//! What happened in a run, line by line: all of it as a fingerprint, the end of it as text.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Lines that are kept.
const LINES_KEPT: usize = 40000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    fingerprint: DefaultHasher,
    lines: VecDeque<String>,
    /// Everything, if somebody wants it.
    whole: Option<String>,
    step: u32,
}

impl Trace {
    /// A trace that keeps every line.
    pub(crate) fn whole() -> Self {
        Self { whole: Some(String::new()), ..Self::default() }
    }

    /// Another step begins.
    pub(crate) fn begin_step(&mut self, step: u32) {
        self.step = step;
    }

    pub(crate) fn note(&mut self, now_ms: u64, what: impl FnOnce() -> String) {
        let line =
            format!("{:>6} {:>9}.{:03} {}", self.step, now_ms / 1_000, now_ms % 1_000, what());
        line.hash(&mut self.fingerprint);
        if let Some(whole) = &mut self.whole {
            whole.push_str(&line);
            whole.push('\n');
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The same for the same lines.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint.finish()
    }

    /// The last lines, at most `most`.
    pub(crate) fn tail(&self, most: usize) -> impl Iterator<Item = &str> {
        let skipped = self.lines.len().saturating_sub(most);
        self.lines.iter().skip(skipped).map(String::as_str)
    }

    /// Every line, of a trace that keeps them.
    pub(crate) fn text(&self) -> &str {
        self.whole.as_deref().unwrap_or_default()
    }
}
