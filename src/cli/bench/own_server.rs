//! A server of our own to measure: `tidings serve`, in a process of its own, for as long as it is needed.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::{Clock, SECOND};
use super::feed::is_interrupted;

/// How long it may take to say where it listens.
const START_MAX: u64 = 10 * SECOND;
/// How often an interrupt is looked for meanwhile.
const START_LOOK: Duration = Duration::from_millis(50);

/// Those that run, for an end of this process in which nothing is dropped.
static RUNNING: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// What it is told beside what the scenario and the user want: nothing that a generator does may meet a
/// limit that is there for strangers.
const FLAGS: [&str; 11] = [
    "serve",
    "--config=none",
    "--listen",
    "127.0.0.1:0",
    "--connections-per-address",
    "1000000",
    "--reads-per-second",
    "1000000",
    "--requests-max",
    "4294967295",
    "--keep-alive=3600",
];

/// A running server; it is ended with this value.
#[derive(Debug)]
pub(super) struct OwnServer {
    child: Arc<Mutex<Child>>,
    id: u32,
    url: String,
}

/// Kills all that run: this process ends at once.
pub(super) fn kill_all() {
    for child in lock(&RUNNING).iter() {
        // It may have ended by itself.
        let _ = lock(child).kill();
    }
}

/// What is guarded is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OwnServer {
    /// Starts `program` with `flags`, on the processors in `cpus` if they are given.
    ///
    /// # Errors
    /// When it does not start, with what it said.
    pub(super) fn start(
        program: &Path,
        flags: &[String],
        cpus: Option<&str>,
    ) -> Result<Self, String> {
        let mut command = match cpus {
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", cpus]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(FLAGS).args(flags);
        command.env("RUST_LOG", "info").env("RUST_LOG_STYLE", "never");
        // Ctrl-C is for the generator, which ends it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let name = program.display();
        let mut child = command.spawn().map_err(|error| match cpus {
            Some(_) => format!("cannot start {name} by taskset (--server-cpus): {error}"),
            None => format!("cannot start {name}: {error}"),
        })?;
        let stderr = child.stderr.take().ok_or("the server has no standard error")?;
        let (id, child) = (child.id(), Arc::new(Mutex::new(child)));
        lock(&RUNNING).push(Arc::clone(&child));
        let mut server = Self { child, id, url: String::new() };
        server.url = read_url(stderr, START_MAX)?;
        Ok(server)
    }

    /// The base URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub(super) const fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        lock(&RUNNING).retain(|other| !Arc::ptr_eq(other, &self.child));
    }
}

/// The URL in the first line that has one; what is said later is read and dropped, so that the pipe does not
/// fill up.
fn read_url(stderr: ChildStderr, wait: u64) -> Result<String, String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            // Once the URL is known nobody wants it.
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    let (clock, mut said) = (Clock::start(), String::new());
    let deadline = clock.now() + wait;
    while clock.now() < deadline {
        if is_interrupted() {
            return Err("interrupted before the server had started".to_owned());
        }
        match lines.recv_timeout(START_LOOK) {
            Ok(line) => match parse_url(&line) {
                Some(url) => return Ok(url),
                None => said = format!("{said}{line}\n"),
            },
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(format!("the server did not start: {}", said.trim()));
            }
        }
    }
    let seconds = wait / SECOND;
    Err(format!("the server did not say within {seconds} s where it listens: {}", said.trim()))
}

/// The URL behind `listening on`, without the slash at its end.
fn parse_url(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    let authority = rest.strip_prefix("http://")?.split('/').next()?;
    Some(format!("http://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_first_line() {
        let line =
            "[2026-01-01T00:00:00Z INFO  tidings] listening on http://127.0.0.1:4711/ with 2";
        assert_eq!(parse_url(line).as_deref(), Some("http://127.0.0.1:4711"));
        assert_eq!(parse_url("[WARN] something else"), None);
    }

    #[test]
    fn a_program_that_says_nothing_is_not_waited_for_for_ever() {
        let mut child = Command::new("sleep").arg("60").stderr(Stdio::piped()).spawn().unwrap();
        let url = read_url(child.stderr.take().unwrap(), SECOND / 5);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(url.unwrap_err().contains("did not say"));
    }

    #[test]
    fn a_program_that_does_not_start_says_why() {
        let missing = OwnServer::start(Path::new("/nonexistent/tidings"), &[], None);
        assert!(missing.unwrap_err().contains("/nonexistent/tidings"));
        let ended = OwnServer::start(Path::new("/bin/false"), &[], None);
        assert!(ended.unwrap_err().contains("did not start"));
    }
}
