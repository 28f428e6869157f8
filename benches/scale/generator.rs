//! The load generator, `tidings bench`, in a process and on a core of its own, and what it found.

use std::fs::DirEntry;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::server::{GENERATOR_CORE, Server, binary, pinned};

/// Runs until one can be counted.
const TRIES: usize = 3;

/// The figures of one run.
#[derive(Debug)]
pub(crate) struct Found {
    figures: Vec<(String, String, f64)>,
}

/// Runs a scenario against `server`; `flags` are the scenario's own, separated by spaces. A run in which
/// something was missed, refused or repeated is not counted: it is made again.
pub(crate) fn measure(scenario: &str, server: &Server, flags: &str) -> Found {
    flawless(scenario, || measure_once(scenario, server, flags))
}

/// The same, for who counts himself what was missed: whatever it is, it is made once.
pub(crate) fn measure_once(scenario: &str, server: &Server, flags: &str) -> Found {
    wait(start(scenario, server, flags), scenario, server)
}

/// The first of a few runs that says of itself that everything came, once, and was taken.
fn flawless(scenario: &str, run: impl Fn() -> Found) -> Found {
    for _ in 0..TRIES {
        let found = run();
        let flaws = found.flaws();
        if flaws.is_empty() {
            return found;
        }
        eprintln!("{scenario}: not counted, and made again: {flaws}");
    }
    panic!("{scenario}: {TRIES} runs in a row cannot be counted");
}

/// The same as `measure`, and as soon as it has a thread for the small topic, that one goes before all others: with one core
/// for both, what it measures would else be how long it waits for the other. Who may not have that (it needs
/// root) is told by the generator how late it was.
pub(crate) fn measure_preferring_small(scenario: &str, server: &Server, flags: &str) -> Found {
    flawless(scenario, || prefer_small(scenario, server, flags))
}

fn prefer_small(scenario: &str, server: &Server, flags: &str) -> Found {
    let mut generator = start(scenario, server, flags);
    let id = generator.id().to_string();
    let small = || {
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let name = |thread: &DirEntry| std::fs::read_to_string(thread.path().join("comm"));
        let mut found =
            threads.filter(|thread| name(thread).is_ok_and(|name| name == "small-topic\n"));
        found.next().map(|thread| thread.file_name())
    };
    while generator.try_wait().unwrap().is_none() {
        if let Some(small) = small() {
            let mut command = Command::new("chrt");
            let done = command.args(["--rr", "--pid", "1"]).arg(small).output().unwrap();
            if !done.status.success() {
                eprintln!("{scenario}: {}", String::from_utf8_lossy(&done.stderr).trim());
            }
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
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
    /// What was missed, refused or repeated; empty if nothing was.
    fn flaws(&self) -> String {
        let is_flaw = |name: &str| ["missed", "refused", "repeated"].contains(&name);
        let flaws = self.figures.iter().filter(|(name, _, value)| is_flaw(name) && *value > 0.0);
        let describe = |(name, of, value): &(String, String, f64)| format!("{value} {name} {of}");
        flaws.map(describe).collect::<Vec<_>>().join(", ")
    }

    /// The figure of this name, of a wire or a way of publishing, or of everything.
    pub(crate) fn figure(&self, name: &str, of: &str) -> f64 {
        let found = self.figures.iter().find(|(known, whose, _)| known == name && whose == of);
        let (_, _, value) = found.unwrap_or_else(|| panic!("no {name} of {of:?} in {self:?}"));
        *value
    }
}
