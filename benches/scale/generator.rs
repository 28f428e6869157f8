//! The load generator, `tidings bench`, in a process and on a core of its own, and what it found.

use std::process::Stdio;

use serde_json::Value;

use super::server::{GENERATOR_CORE, Server, binary, pinned};

/// The figures of one run.
#[derive(Debug)]
pub(crate) struct Found {
    figures: Vec<(String, String, f64)>,
}

/// Runs a scenario against `server`; `flags` are the scenario's own, separated by spaces.
pub(crate) fn measure(scenario: &str, server: &Server, flags: &str) -> Found {
    let mut command = pinned(GENERATOR_CORE, &binary());
    command.args([
        "bench",
        scenario,
        "--json",
        "--quiet",
        "--server-pid",
        &server.id().to_string(),
    ]);
    command.args(["--url", &format!("http://{}", server.address)]);
    command.args(flags.split_whitespace());
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{command:?} printed no JSON ({error}): {said}"));
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
