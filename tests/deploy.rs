//! The files in docs/deploy/ agree with the server, and with what docs/ say of them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidings::limits::Limits;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of a file that say something, without what is before and behind them.
fn lines(path: &str) -> Vec<String> {
    let text = read(path);
    let said =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    said.map(str::to_owned).collect()
}

/// What a command of the program says of its flags.
fn help(command: &str) -> String {
    let program = env!("CARGO_BIN_EXE_tidings");
    let output = Command::new(program).args([command, "--help"]).output().unwrap();
    assert!(output.status.success(), "tidings {command} --help: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that the program takes a command line, as far as its names go.
fn check_command(words: &[&str]) {
    let (command, flags) = words.split_first().unwrap();
    let help = help(command);
    for flag in flags.iter().filter_map(|word| word.strip_prefix("--")) {
        let name = flag.split('=').next().unwrap();
        assert!(help.contains(&format!("--{name} ")), "tidings {command} --{name}");
    }
}

/// The number behind `name` in a file, as in `proxy_read_timeout 75s;`; each time that it is there.
fn seconds(path: &str, name: &str) -> Vec<u64> {
    let behind = |line: &String| {
        let rest = line.strip_prefix(name)?.trim_start_matches([' ', '=']);
        rest.trim_end_matches(';').trim_end_matches('s').parse().ok()
    };
    let found: Vec<u64> = lines(path).iter().filter_map(behind).collect();
    assert!(!found.is_empty(), "{path} has no {name}");
    found
}

#[test]
fn the_unit_starts_a_command_that_there_is_and_outlasts_a_drain() {
    let unit = "docs/deploy/tidings.service";
    let limits = Limits::default();
    let start = lines(unit).into_iter().find(|line| line.starts_with("ExecStart=")).unwrap();
    check_command(&start.split_whitespace().skip(1).collect::<Vec<_>>());
    for stop in seconds(unit, "TimeoutStopSec") {
        assert!(stop * 1_000 > limits.drain_max_ms, "systemd would cut a drain short");
    }
    assert!(lines(unit).contains(&"Type=notify".to_owned()));
    assert!(seconds(unit, "WatchdogSec")[0] >= 10, "a pause of the machine is no fault");
}

#[test]
fn proxies_wait_longer_than_the_server_is_silent_and_let_go_of_idle_connections_first() {
    let limits = Limits::default();
    let silence_ms = limits.wait_max_ms.max(limits.heartbeat_ms).max(limits.ping_ms);
    let waits = [
        seconds("docs/deploy/nginx.conf", "proxy_read_timeout"),
        seconds("docs/deploy/haproxy.cfg", "timeout server"),
        seconds("docs/deploy/haproxy.cfg", "timeout client"),
    ];
    for wait in waits.concat() {
        assert!(wait * 1_000 >= silence_ms + 10_000, "{wait} s against {silence_ms} ms");
    }
    for idle in seconds("docs/deploy/Caddyfile", "keepalive") {
        assert!(idle * 1_000 < limits.keep_alive_ms, "{idle} s");
    }
}

#[test]
fn the_container_copies_what_is_there_and_runs_what_the_program_has() {
    let mut copied = Vec::new();
    let mut users = Vec::new();
    for line in lines("docs/deploy/Containerfile") {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["COPY", first, .., _] if !first.starts_with("--") => {
                copied.extend(words[1..words.len() - 1].iter().map(|path| root().join(path)));
            }
            ["ENV", variable] => {
                let (name, value) = variable.split_once('=').unwrap();
                assert!(help("serve").contains(&format!("{name}=")), "{name}");
                assert!(value.starts_with("0.0.0.0:"), "loopback inside is nobody's outside");
            }
            ["USER", user] => users.push(user.to_owned()),
            ["ENTRYPOINT", ..] | ["HEALTHCHECK", ..] => check_json_command(&line),
            _ => (),
        }
    }
    assert_eq!(users, ["65534:65534"]);
    for path in &copied {
        assert!(path.exists(), "{}", path.display());
    }
    for path in included(&root().join("src")) {
        let is_copied = copied.iter().any(|copied| path.starts_with(copied));
        assert!(is_copied, "{} is part of the program and not copied", path.display());
    }
}

/// The command of a line such as `ENTRYPOINT ["/tidings", "serve"]`.
fn check_json_command(line: &str) {
    let list = &line[line.find('[').unwrap()..];
    let words: Vec<String> = serde_json::from_str(list).unwrap();
    assert_eq!(words[0], "/tidings");
    check_command(&words[1..].iter().map(String::as_str).collect::<Vec<_>>());
}

/// The files that the program is built from beside its code.
fn included(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(included(&path));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for part in text.split("include_str!(\"").skip(1) {
            let inside = folder.join(part.split('"').next().unwrap());
            // Those of tests alone lie in tests/, which no build needs.
            if let Ok(inside) = inside.canonicalize()
                && !inside.starts_with(root().join("tests"))
            {
                found.push(inside);
            }
        }
    }
    found
}

#[test]
fn the_kernel_settings_are_those_that_scaling_reckons_with() {
    let page = read("docs/scaling.md").replace(',', "");
    let settings = lines("docs/deploy/sysctl.conf");
    assert!(settings.len() >= 8, "{settings:?}");
    for line in settings {
        let (name, value) = line.split_once('=').unwrap();
        let (name, value) = (name.trim().trim_start_matches('-'), value.trim());
        let is_said = page.lines().any(|line| line.contains(name) && line.contains(value));
        assert!(is_said, "docs/scaling.md does not say {name} = {value}");
    }
    let unit = lines("docs/deploy/tidings.service");
    for line in lines("docs/deploy/limits.conf") {
        let number = line.split_whitespace().last().unwrap().to_owned();
        assert!(unit.contains(&format!("LimitNOFILE={number}")), "{line}");
        assert!(page.contains(&number));
    }
}
