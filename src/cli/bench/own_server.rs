//! A server of our own to measure: `tidings serve`, in a process of its own, for as long as it is needed.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

/// What it is told beside what the scenario and the user want: nothing that a generator does may meet a
/// limit that is there for strangers.
const FLAGS: [&str; 10] = [
    "serve",
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
    child: Child,
    url: String,
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
        let mut server = Self { child, url: String::new() };
        server.url = read_url(stderr)?;
        Ok(server)
    }

    /// The base URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The URL in the first line that has one; what is said later is read and dropped, so that the pipe does not
/// fill up.
fn read_url(stderr: ChildStderr) -> Result<String, String> {
    let mut lines = BufReader::new(stderr);
    let mut said = String::new();
    loop {
        let start = said.len();
        if lines.read_line(&mut said).map_err(|error| error.to_string())? == 0 {
            return Err(format!("the server did not start: {}", said.trim()));
        }
        if let Some(url) = parse_url(&said[start..]) {
            std::thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
            return Ok(url);
        }
    }
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
    fn a_program_that_does_not_start_says_why() {
        let missing = OwnServer::start(Path::new("/nonexistent/tidings"), &[], None);
        assert!(missing.unwrap_err().contains("/nonexistent/tidings"));
        let ended = OwnServer::start(Path::new("/bin/false"), &[], None);
        assert!(ended.unwrap_err().contains("did not start"));
    }
}
