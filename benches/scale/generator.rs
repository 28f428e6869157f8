//! The load generator, `tidings bench`, in a process and on a core of its own, and what it found.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::server::{GENERATOR_CORE, Server, binary, pinned};

/// The figures of one run.
#[derive(Debug)]
pub(crate) struct Found {
    figures: Vec<(String, String, f64)>,
}

/// Runs a scenario against `server`; `flags` are the scenario's own, separated by spaces.
pub(crate) fn measure(scenario: &str, server: &Server, flags: &str) -> Found {
    wait(start(scenario, server, flags), scenario, server)
}

/// The same, and as soon as it has a second thread, that one goes before the first: with one core for both,
/// what the second measures would else be how long it waits for the first.
pub(crate) fn measure_preferring_second(scenario: &str, server: &Server, flags: &str) -> Found {
    let mut generator = start(scenario, server, flags);
    let id = generator.id().to_string();
    let threads = || std::fs::read_dir(format!("/proc/{id}/task")).map_or(0, Iterator::count);
    while threads() < 2 && generator.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // On Linux this is the first thread alone, whose id is that of the process. Niceness would not do: a
    // thread that has begun its slice may finish it, however nice it is, unless it is of this class.
    let idle = Command::new("chrt").args(["--idle", "--pid", "0", &id]).output().unwrap();
    assert!(idle.status.success(), "chrt failed: {idle:?}");
    wait(generator, scenario, server)
}

fn start(scenario: &str, server: &Server, flags: &str) -> Child {
    let mut command = pinned(GENERATOR_CORE, &binary());
    let (id, url) = (server.id().to_string(), format!("http://{}", server.address));
    command.args(["bench", scenario, "--json", "--quiet", "--server-pid", &id, "--url", &url]);
    command.args(flags.split_whitespace());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait(generator: Child, scenario: &str, server: &Server) -> Found {
    let output = generator.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario} failed: {said}");
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{scenario} printed no JSON ({error}): {said}"));
    let figures = found["figures"].as_array().unwrap().iter().map(|figure| {
        let text = |member: &str| figure[member].as_str().unwrap_or_default().to_owned();
        (text("name"), text("of"), figure["value"].as_f64().unwrap())
    });
    let figures = figures.collect();
    for remark in found["remarks"].as_array().into_iter().flatten() {
        eprintln!("{scenario} {:?}: {remark}", server.who);
    }
    Found { figures }
}

impl Found {
    /// The figure of this name, of a wire or a way of publishing, or of everything.
    pub(crate) fn figure(&self, name: &str, of: &str) -> f64 {
        let found = self.figures.iter().find(|(known, whose, _)| known == name && whose == of);
        let (_, _, value) = found.unwrap_or_else(|| panic!("no {name} of {of:?} in {self:?}"));
        *value
    }
}
