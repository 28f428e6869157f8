//! The terminal: taken over, drawn on, waited at for a key, and given back as it was, whatever happens.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};

/// The other screen, and no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A terminal that was taken over, until this is dropped.
pub(super) struct Terminal {
    /// How keys were read before, if they come from a terminal.
    before: Option<Termios>,
    ended: Arc<AtomicBool>,
    resized: Arc<AtomicBool>,
}

/// Why a wait is over.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Somebody has seen enough.
    ToEnd,
    /// The terminal has another size.
    ToDraw,
    /// The time has come.
    Due,
}

impl Terminal {
    pub(super) fn open() -> io::Result<Self> {
        let (ended, resized) = (Arc::default(), Arc::default());
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&ended))?;
        }
        signal_hook::flag::register(SIGWINCH, Arc::clone(&resized))?;
        let before = io::stdin().is_terminal().then(|| tcgetattr(io::stdin())).transpose()?;
        if let Some(before) = &before {
            // Keys come one by one and unseen; Ctrl-C is a signal as ever.
            let mut modes = before.clone();
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            tcsetattr(io::stdin(), OptionalActions::Flush, &modes)?;
        }
        let mut terminal = Self { before, ended, resized };
        terminal.print(ENTER)?;
        Ok(terminal)
    }

    /// Columns and lines, if it says so.
    pub(super) fn size(&self) -> Option<(usize, usize)> {
        let size = tcgetwinsize(io::stdout()).ok()?;
        let (width, height) = (usize::from(size.ws_col), usize::from(size.ws_row));
        (width > 0 && height > 0).then_some((width, height))
    }

    /// Shows these lines, which fit, in place of those that were there.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        self.print(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\n")))
    }

    /// Waits until `due`, for a key, or for a signal.
    pub(super) fn wait(&mut self, due: Instant) -> Woken {
        loop {
            if self.ended.load(Ordering::Relaxed) {
                return Woken::ToEnd;
            }
            if self.resized.swap(false, Ordering::Relaxed) {
                return Woken::ToDraw;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::Due;
            }
            if self.is_key_there(left) && !self.read_keys() {
                return Woken::ToEnd;
            }
        }
    }

    /// Whether a key was pressed within this time. A signal ends it early.
    fn is_key_there(&self, within: std::time::Duration) -> bool {
        let stdin = io::stdin();
        let mut places = [PollFd::new(&stdin, PollFlags::IN)];
        // Without a terminal there are no keys, and perhaps an end that is always there.
        let watched = if self.before.is_some() { &mut places[..] } else { &mut [] };
        let timeout = Timespec::try_from(within).ok();
        matches!(poll(watched, timeout.as_ref()), Ok(1..))
    }

    /// Takes the keys that were pressed. False if one of them was q, or none will ever come.
    fn read_keys(&mut self) -> bool {
        let mut keys = [0; 64];
        match io::stdin().read(&mut keys) {
            Ok(0) => false,
            Ok(count) => !keys[..count].iter().any(|key| matches!(key, b'q' | b'Q' | 4)),
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing is left to be done where this fails: the terminal may be gone.
        let _ = self.print(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}
