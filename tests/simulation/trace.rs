//! What happened in a run, line by line: all of it as a fingerprint, the end of it as text.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Lines that are kept.
const LINES_KEPT: usize = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    fingerprint: DefaultHasher,
    lines: VecDeque<String>,
    /// Everything, if somebody wants it.
    whole: Option<String>,
    /// None: before the first or after the last.
    step: Option<u32>,
}

impl Trace {
    /// A trace that keeps every line.
    pub(crate) fn whole() -> Self {
        Self { whole: Some(String::new()), ..Self::default() }
    }

    /// Another step begins; none: what follows the last.
    pub(crate) fn begin_step(&mut self, step: Option<u32>) {
        self.step = step;
    }

    /// The step that is carried out now.
    pub(crate) fn step(&self) -> Option<u32> {
        self.step
    }

    pub(crate) fn note(&mut self, now_ms: u64, what: impl FnOnce() -> String) {
        let (seconds, ms, what) = (now_ms / 1_000, now_ms % 1_000, what());
        let line = match self.step {
            Some(step) => format!("{step:>6} {seconds:>9}.{ms:03} {what}"),
            None => format!("       {seconds:>9}.{ms:03} {what}"),
        };
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
