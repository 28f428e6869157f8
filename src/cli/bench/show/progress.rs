//! How far a run is, on a terminal; nothing anywhere else.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the time is counted on: seldom enough that what is measured does not feel it.
const TICK: Duration = Duration::from_millis(250);

/// What is counted, and what is not: a phase without a known end has no bar.
const COUNTED: &str = "{prefix}: {msg} [{bar:24}] {human_pos}/{human_len}, {elapsed}";
const UNCOUNTED: &str = "{prefix}: {msg}, {elapsed}";

/// A line on standard error that says what is being done and how far it is; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shows `what` (the scenario) until the end, if standard error is a terminal.
    pub(crate) fn begin(what: &str) -> Progress {
        Progress::on(ProgressDrawTarget::stderr(), what)
    }

    /// Shows nothing: the user asked for quiet.
    pub(crate) fn hidden() -> Progress {
        Progress { bar: ProgressBar::hidden() }
    }

    fn on(target: ProgressDrawTarget, what: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(None, target).with_prefix(what.to_owned());
        let progress = Progress { bar };
        progress.lay_out(UNCOUNTED);
        if !progress.bar.is_hidden() {
            progress.bar.enable_steady_tick(TICK);
        }
        progress
    }

    /// Begins a phase of `total` steps (0: nobody knows how many): "opening 10,000 connections".
    pub(crate) fn phase(&self, text: &str, total: u64) {
        self.bar.set_message(text.to_owned());
        if total == 0 {
            self.lay_out(UNCOUNTED);
            self.bar.unset_length();
        } else {
            self.lay_out(COUNTED);
            self.bar.set_length(total);
        }
        self.bar.set_position(0);
    }

    /// `done` steps of this phase are done. Cheap enough for once in a tick of an event loop: it reads
    /// the clock and draws 20 times a second at most.
    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    fn lay_out(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// A terminal that remembers everything that was written to it.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl Paper {
        fn take(&self) -> String {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.write_str("<cleared>")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn progress() -> (Progress, Paper) {
        let paper = Paper::default();
        let target = ProgressDrawTarget::term_like(Box::new(paper.clone()));
        (Progress::on(target, "fanout"), paper)
    }

    #[test]
    fn a_phase_is_shown_with_its_count() {
        let (progress, paper) = progress();
        progress.phase("opening 10,000 connections", 10_000);
        progress.set(2_500);
        paper.take();
        progress.bar.force_draw();
        let line = paper.take();
        let want = "fanout: opening 10,000 connections [======>                 ] 2,500/10,000,";
        assert!(line.contains(want), "{line}");
    }

    #[test]
    fn a_phase_begins_at_nothing_and_one_without_end_has_no_bar() {
        let (progress, paper) = progress();
        progress.phase("publishing", 10);
        progress.set(10);
        progress.phase("waiting for the last deliveries", 0);
        paper.take();
        progress.bar.force_draw();
        let line = paper.take();
        assert!(line.contains("fanout: waiting for the last deliveries, "), "{line}");
        assert!(!line.contains('[') && !line.contains("10"), "{line}");
        assert_eq!(progress.bar.position(), 0);
    }

    #[test]
    fn the_line_is_cleared_at_the_end() {
        let (progress, paper) = progress();
        progress.phase("publishing", 10);
        progress.bar.force_draw();
        paper.take();
        drop(progress);
        let written = paper.take();
        assert!(written.contains("<cleared>") && !written.contains("fanout"), "{written}");
    }
}
