//! A folder of a test's own, with the logs of its processes, which are shown when the test fails.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

static NUMBER: AtomicU32 = AtomicU32::new(0);
/// Lines of a log that are shown.
const LINES: usize = 30;

pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidings-cluster-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The log of the one process of this folder, which is appended to.
    pub fn log(&self) -> File {
        File::options().create(true).append(true).open(self.0.join("log")).unwrap()
    }

    pub fn log_text(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            show("a process said last", &self.log_text().lines().collect::<Vec<_>>());
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Shows the end of a log.
pub fn show(whose: &str, lines: &[&str]) {
    let from = lines.len().saturating_sub(LINES);
    eprintln!("--- {whose}:\n{}", lines[from..].join("\n"));
}

/// A port that is free now. Another process may take it in between: who starts something there tries again.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Asks a question, again and again, until the answer is yes; returns how long that took.
#[track_caller]
pub fn until(what: &str, patience: Duration, mut question: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !question() {
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}
