//! The house is in order: floors, no I/O below the reactor, one clock, and what else a compiler does not
//! check (DESIGN: "The house", invariant 6).
//!
//! Code under test only (what follows `#[cfg(test)]`, and files that are declared under it) may do I/O and
//! be as long as it likes. It keeps to the floors all the same: a test that needs a higher floor belongs
//! there, or into `tests/`.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Rooms by floor, from the bottom.
const FLOORS: [&[&str]; 7] = [
    &[
        "addresses",
        "buffer",
        "config",
        "counters",
        "fuse",
        "fuzzing",
        "key",
        "limits",
        "planted",
        "problem_kind",
        "time",
        "timers",
    ],
    &["wire"],
    &["topic"],
    &["connection", "hub", "outbound"],
    &["worker"],
    &["reactor"],
    &["main", "cli", "server", "lib"],
];
/// From this floor on up there is I/O.
const IO_FLOOR: usize = 5;
/// Imports between rooms of one floor that are meant, with their reasons.
const SAME_FLOOR: [(&str, &str, &str); 9] = [
    ("addresses", "time", "plain values"),
    ("counters", "time", "plain values"),
    ("main", "cli", "the program is its command line"),
    ("cli", "server", "`tidings serve` starts it"),
    ("config", "limits", "what the operator chose includes every bound"),
    ("config", "fuse", "what a test chose"),
    ("counters", "problem_kind", "refusals are counted by their kind"),
    ("timers", "planted", "in builds with planted faults only"),
    ("timers", "time", "plain values"),
];
/// Columns of a line of code. rustfmt sees to it, except where it gives up.
const CODE_COLUMNS_MAX: usize = 100;
/// Columns of a comment: a drawing may be a little wider, and a flag's help is one line.
const COMMENT_COLUMNS_MAX: usize = 120;
/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 600;
/// Files that are longer, with their reasons.
const LONG_FILES: [(&str, &str); 0] = [];

/// What code under test only is marked with.
const TESTS: [&str; 2] = ["#[cfg(test)]", "#[cfg(any(test, fuzzing))]"];

/// A file and what is known of it.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    /// The text with comments, strings and characters blanked out, line by line.
    code: Vec<String>,
    /// Lines from this one on are under test only.
    tests_from: usize,
}

/// A violation: where, and what is wrong.
type Complaint = String;

fn room(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Blanks out comments, strings and character literals, keeping every line's place.
fn blank(text: &str) -> Vec<String> {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut index = 0;
    let starts = |index: usize, what: &str| {
        what.chars().enumerate().all(|(ahead, want)| bytes.get(index + ahead) == Some(&want))
    };
    while index < bytes.len() {
        let from = index;
        let after_name = from > 0 && (bytes[from - 1].is_alphanumeric() || bytes[from - 1] == '_');
        if starts(index, "//") {
            while index < bytes.len() && bytes[index] != '\n' {
                index += 1;
            }
        } else if starts(index, "/*") {
            while index < bytes.len() && !starts(index, "*/") {
                index += 1;
            }
            index += 2;
        } else if !after_name && (starts(index, "r\"") || starts(index, "r#")) {
            let hashes = bytes[index + 1..].iter().take_while(|&&one| one == '#').count();
            if bytes.get(index + 1 + hashes) == Some(&'"') {
                let end = format!("\"{}", "#".repeat(hashes));
                index += 2 + hashes;
                while index < bytes.len() && !starts(index, &end) {
                    index += 1;
                }
                index += end.len();
            } else {
                index += 1;
            }
        } else if bytes[index] == '"' {
            index += 1;
            while index < bytes.len() && bytes[index] != '"' {
                index += if bytes[index] == '\\' { 2 } else { 1 };
            }
            index += 1;
        } else if bytes[index] == '\'' && starts(index + 1, "\\") {
            index += 3;
            while index < bytes.len() && bytes[index] != '\'' {
                index += 1;
            }
            index += 1;
        } else if bytes[index] == '\'' && bytes.get(index + 2) == Some(&'\'') {
            index += 3;
        } else {
            out.push(bytes[index]);
            index += 1;
            continue;
        }
        let gone = &bytes[from..index.min(bytes.len())];
        out.extend(gone.iter().map(|&one| if one == '\n' { '\n' } else { ' ' }));
    }
    out.lines().map(str::to_owned).collect()
}

/// Every path in `code` that begins with one of `roots`, its groups spelled out, with its line.
fn paths(code: &[String], roots: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut tokens: Vec<(usize, String)> = Vec::new();
    for (number, line) in code.iter().enumerate() {
        let mut name = String::new();
        for character in line.chars().chain([' ']) {
            if character.is_alphanumeric() || character == '_' {
                name.push(character);
                continue;
            }
            if !name.is_empty() {
                tokens.push((number + 1, std::mem::take(&mut name)));
            }
            if !character.is_whitespace() {
                tokens.push((number + 1, character.to_string()));
            }
        }
    }
    let mut found = Vec::new();
    for index in 0..tokens.len() {
        let is_first = index == 0 || tokens[index - 1].1 != ":";
        if is_first && roots.contains(&tokens[index].1.as_str()) {
            spell_out(&tokens, index, &Vec::new(), &mut found);
        }
    }
    found
}

/// Spells out the path at `index`; returns where it ends.
fn spell_out(
    tokens: &[(usize, String)],
    mut index: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let token = |index: usize| tokens.get(index).map_or("", |(_, text)| text.as_str());
    let mut path = prefix.to_vec();
    let line = tokens.get(index).map_or(0, |(line, _)| *line);
    loop {
        if token(index) == "{" && !path.is_empty() {
            index += 1;
            while index < tokens.len() && token(index) != "}" {
                index = spell_out(tokens, index, &path, found);
                if token(index) == "," {
                    index += 1;
                }
            }
            return index + 1;
        }
        path.push(token(index).to_owned());
        index += 1;
        if token(index) != ":" || token(index + 1) != ":" {
            break;
        }
        index += 2;
    }
    if token(index) == "as" {
        index += 2;
    }
    found.push((line, path));
    index.max(1)
}

/// The files that are declared under `#[cfg(test)]` or `#[cfg(any(test, fuzzing))]`, as `src/hub/tests` for `src/hub/tests.rs` and
/// everything in `src/hub/tests/`.
fn declared_for_tests(path: &str, text: &str) -> Vec<String> {
    let folder = path.trim_end_matches("mod.rs").trim_end_matches("lib.rs");
    let folder = folder.trim_end_matches(".rs").trim_end_matches('/');
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let modules = lines.windows(2).filter(|pair| TESTS.contains(&pair[0])).filter_map(|pair| {
        let name = pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ")?;
        name.strip_suffix(';').map(|name| format!("{folder}/{name}"))
    });
    modules.collect()
}

/// Looks at all files of `src`, given as path and text.
fn inspect(files: &[(String, String)]) -> Vec<Complaint> {
    let for_tests: HashSet<String> =
        files.iter().flat_map(|(path, text)| declared_for_tests(path, text)).collect();
    let mut complaints = Vec::new();
    for (path, text) in files {
        let is_test = for_tests.iter().any(|module| {
            path.strip_prefix(module.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
        let inline = text.lines().collect::<Vec<_>>();
        let tests_from = match inline.windows(2).position(|pair| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        }) {
            _ if is_test => 0,
            Some(index) => index,
            None => usize::MAX,
        };
        let source = Source { path, text, code: blank(text), tests_from };
        let start = complaints.len();
        look_at_layout(&source, &mut complaints);
        look_at_floors(&source, &mut complaints);
        look_at_io(&source, &mut complaints);
        look_at_words(&source, &mut complaints);
        complaints[start..].sort();
    }
    for (path, _) in LONG_FILES {
        let is_long =
            files.iter().any(|(other, text)| other == path && lines_of(text) > FILE_LINES_MAX);
        if files.iter().any(|(other, _)| other == path) && !is_long {
            complaints.push(format!("{path}: is no longer long: take it off the list"));
        }
    }
    complaints
}

fn lines_of(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1] == "mod tests {")
        .unwrap_or(lines.len())
}

fn look_at_layout(source: &Source<'_>, complaints: &mut Vec<Complaint>) {
    let path = source.path;
    if !source.text.lines().next().is_some_and(|first| first.starts_with("//! ")) {
        complaints.push(format!("{path}:1: begins without `//! ` and what it is"));
    }
    for (number, line) in source.text.lines().enumerate() {
        let (columns, trimmed) = (line.chars().count(), line.trim_start());
        // rustfmt breaks neither a string nor an attribute that holds one.
        let is_unbreakable = line.contains('"') || trimmed.starts_with("#[");
        let most = match trimmed.starts_with("//") {
            true => COMMENT_COLUMNS_MAX,
            false if is_unbreakable => usize::MAX,
            false => CODE_COLUMNS_MAX,
        };
        if columns > most {
            complaints.push(format!("{path}:{}: has {columns} columns", number + 1));
        }
    }
    let is_listed = LONG_FILES.iter().any(|(listed, _)| *listed == path);
    let lines = lines_of(source.text);
    if lines > FILE_LINES_MAX && source.tests_from > 0 && !is_listed {
        complaints.push(format!("{path}: has {lines} lines before its tests; look for the seam"));
    }
}

fn look_at_floors(source: &Source<'_>, complaints: &mut Vec<Complaint>) {
    let path = source.path;
    let own = room(path);
    let Some(own_floor) = floor(own) else {
        complaints.push(format!("{path}: room `{own}` is on no floor: add it to FLOORS"));
        return;
    };
    if own == "lib" {
        return;
    }
    let depth = path.trim_end_matches("/mod.rs").matches('/').count();
    for (line, path_of) in paths(&source.code, &["crate", "tidings", "super", "self"]) {
        // `super` once too often arrives at the root too. A module of tests is one deeper.
        let inside = usize::from(line > source.tests_from && source.tests_from > 0);
        let climbs = path_of.iter().skip_while(|part| *part == "self");
        let supers = climbs.clone().take_while(|part| *part == "super").count();
        let at_root = matches!(path_of[0].as_str(), "crate" | "tidings");
        let target = match at_root {
            true => path_of.get(1),
            false if supers > 0 && supers >= depth + inside => climbs.clone().nth(supers),
            false => continue,
        };
        let Some(target) = target.map(String::as_str).filter(|&target| target != own) else {
            continue;
        };
        let Some(target_floor) = floor(target) else { continue };
        let is_meant = SAME_FLOOR.iter().any(|(from, to, _)| (*from, *to) == (own, target));
        if target_floor >= own_floor && !is_meant {
            complaints.push(format!(
                "{path}:{line}: `{own}` (floor {own_floor}) imports `{target}` (floor {target_floor})"
            ));
        }
    }
}

fn look_at_io(source: &Source<'_>, complaints: &mut Vec<Complaint>) {
    let path = source.path;
    let own = room(path);
    let is_below = floor(own).is_some_and(|floor| floor < IO_FLOOR);
    let roots = ["std", "mio", "socket2", "crossbeam_channel", "rustix", "libc"];
    for (line, path_of) in paths(&source.code, &roots) {
        if line > source.tests_from {
            continue;
        }
        let parts: Vec<&str> = path_of.iter().map(String::as_str).collect();
        let io = match parts[..] {
            ["std", "io", "IoSlice", ..] => false,
            ["std", "io" | "fs" | "thread" | "process", ..] => true,
            ["std", "net", name, ..] => {
                name.starts_with("Tcp") || name.starts_with("Udp") || name == "*"
            }
            ["std", ..] => false,
            // A word that is no path: a variable, a field.
            [_] => false,
            _ => true,
        };
        let spelled = parts.join("::");
        if is_below && io {
            complaints.push(format!("{path}:{line}: `{spelled}` below the reactor"));
        }
        let is_clock = path == "src/reactor/clock.rs" || own == "cli";
        if parts.starts_with(&["std", "time", "Instant"]) && !is_clock {
            complaints.push(format!("{path}:{line}: `{spelled}` outside the clock"));
        }
        let is_lock = matches!(parts[..], ["std", "sync", "Mutex" | "RwLock" | "Condvar", ..]);
        if is_lock && own != "cli" {
            complaints.push(format!("{path}:{line}: `{spelled}`: workers share no locks"));
        }
    }
}

fn look_at_words(source: &Source<'_>, complaints: &mut Vec<Complaint>) {
    let path = source.path;
    let is_clock = path == "src/reactor/clock.rs" || room(path) == "cli";
    for (number, line) in source.code.iter().enumerate() {
        let mut complain = |what: &str| complaints.push(format!("{path}:{}: {what}", number + 1));
        if line.contains("unbounded(") || line.contains("unbounded::<") {
            complain("a channel without a bound");
        }
        if line.contains("mpsc::channel(") && number < source.tests_from {
            complain("a channel without a bound");
        }
        if line.contains("todo!") || line.contains("unimplemented!") {
            complain("something is missing");
        }
        // Looking up a name and asking for entropy may wait; the command line may, before it listens, and so may a
        // thread that does nothing else.
        let waits = ["ToSocketAddrs", "to_socket_addrs", "getaddrinfo", "getrandom", "RandomState"];
        let may_wait = room(path) == "cli" || path == "src/reactor/resolver.rs";
        if !may_wait && waits.iter().any(|name| line.contains(name)) {
            complain("a name or entropy is asked for");
        }
        let reads_clock = line.contains("Instant::now") || line.contains("SystemTime::now");
        if reads_clock && !is_clock && number < source.tests_from {
            complain("a clock is read");
        }
    }
    for (number, line) in source.text.lines().enumerate() {
        // A payload in a test may say what it likes.
        if (line.contains("TODO") || line.contains("FIXME")) && line.contains("//") {
            complaints.push(format!("{path}:{}: something is missing", number + 1));
        }
    }
}

fn read_all(folder: &Path, root: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            read_all(&path, root, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("it is inside").to_string_lossy();
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            files.push((name.replace('\\', "/"), text));
        }
    }
}

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    read_all(&root.join("src"), root, &mut files);
    files.sort();
    assert!(files.len() > 50, "the sources are there");
    let complaints = inspect(&files);
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// A client that shares a mistake with the server does not see it (docs/simulation.md).
#[test]
fn the_simulated_clients_share_nothing_with_the_server() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for room in ["clients", "wires"] {
        read_all(&root.join("tests/simulation").join(room), root, &mut files);
    }
    assert!(files.len() > 20, "the clients are there");
    for (path, text) in files {
        let uses = blank(&text).iter().any(|line| line.contains("tidings::"));
        assert!(!uses, "{path} uses the server's own code");
    }
}

/// What is said of one file that holds `body`.
fn said_of(path: &str, body: &str) -> Vec<Complaint> {
    inspect(&[(path.to_owned(), format!("//! A sample.\n\n{body}\n"))])
}

#[test]
fn each_kind_of_disorder_is_noticed() {
    let samples = [
        ("src/topic/log.rs", "use crate::hub::Hub;", "imports `hub`"),
        ("src/hub/mod.rs", "use crate::connection::Connection;", "imports `connection`"),
        ("src/wire/sse.rs", "fn f() { crate::topic::Log::new(); }", "imports `topic`"),
        ("src/wire/sse.rs", "use crate::{\n    buffer::Chunk,\n    topic,\n};", "imports `topic`"),
        ("src/wire/sse.rs", "use super::super::topic::Log;", "imports `topic`"),
        ("src/hub/mod.rs", "use super::worker::Worker;", "imports `worker`"),
        ("src/hub/mod.rs", "#[cfg(test)]\nmod tests {\n    use crate::worker;\n}", "imports"),
        ("src/shed/mod.rs", "", "on no floor"),
        ("src/hub/mod.rs", "use std::net::TcpStream;", "below the reactor"),
        ("src/hub/mod.rs", "use std::{fmt, fs};", "`std::fs` below the reactor"),
        ("src/hub/mod.rs", "use std::io::{self, IoSlice};", "`std::io::self` below"),
        ("src/worker/mod.rs", "fn f() { std::thread::yield_now(); }", "below the reactor"),
        ("src/topic/log.rs", "use mio::Poll;", "below the reactor"),
        ("src/topic/log.rs", "use crossbeam_channel::Sender;", "below the reactor"),
        ("src/worker/mod.rs", "use std::time::{Duration, Instant};", "outside the clock"),
        ("src/server.rs", "fn f() { let now = SystemTime::now(); }", "a clock is read"),
        ("src/server.rs", "use std::sync::{Arc, Mutex};", "share no locks"),
        ("src/server.rs", "fn f() { let way = crossbeam_channel::unbounded(); }", "bound"),
        ("src/server.rs", "fn f() { todo!() }", "missing"),
        ("src/server.rs", "// FIXME: later", "missing"),
        ("src/server.rs", &format!("fn {}() {{}}", "f".repeat(100)), "108 columns"),
        ("src/server.rs", &format!("// {}", "f".repeat(118)), "121 columns"),
        ("src/server.rs", &"fn f() {}\n".repeat(600), "look for the seam"),
    ];
    for (path, body, expected) in samples {
        let said = said_of(path, body);
        assert_eq!(said.len(), 1, "{path} {body:?}: {said:?}");
        assert!(said[0].contains(expected), "{path} {body:?}: {said:?}");
    }
    let headless = [("src/server.rs".to_owned(), "use std::io;\n".to_owned())];
    assert_eq!(inspect(&headless).len(), 1);
}

/// `the_house_is_in_order` looks for them everywhere.
#[test]
fn attack_209_213_230_locks_channels_without_a_bound_and_lookups_are_noticed_on_every_floor() {
    for path in ["src/server.rs", "src/reactor/mailbox.rs", "src/worker/mod.rs", "src/hub/mod.rs"] {
        for (body, expected) in [
            ("static LOCK: std::sync::Mutex<u8> = std::sync::Mutex::new(0);", "share no locks"),
            ("use std::sync::RwLock;", "share no locks"),
            ("use std::sync::{Arc, Condvar};", "share no locks"),
            ("fn f() { let way = crossbeam_channel::unbounded::<u8>(); }", "without a bound"),
            ("fn f() { let way = mpsc::channel(); }", "without a bound"),
            ("fn f(name: &str) { name.to_socket_addrs(); }", "a name or entropy"),
            ("fn f() { getrandom::fill(&mut [0]); }", "a name or entropy"),
        ] {
            let said = said_of(path, body);
            assert!(said.iter().any(|one| one.contains(expected)), "{path} {body:?}: {said:?}");
        }
    }
}

#[test]
fn what_only_looks_like_disorder_is_left_alone() {
    let samples = [
        ("src/hub/mod.rs", "// use crate::worker, std::fs and Instant::now\n/* crate::cli */"),
        ("src/hub/mod.rs", "const TEXT: &str = \"crate::worker std::fs unbounded( todo!\";"),
        ("src/hub/mod.rs", "const RAW: &str = r#\"std::fs \"crate::worker\" \"#;"),
        ("src/hub/mod.rs", "const QUOTE: char = '\"';\nconst OTHER: char = '\\'';\nfn f<'a>() {}"),
        ("src/hub/mod.rs", "use std::io::IoSlice;\nuse std::net::{IpAddr, SocketAddr};"),
        ("src/hub/mod.rs", "use self::mail::Mail;\nuse crate::topic::{self, Log as Worker};"),
        ("src/hub/mail.rs", "use super::owner::Owner;\nuse super::super::topic::Log;"),
        ("src/hub/mod.rs", "fn f(std: u8, mio: u8) -> u8 { std + mio }"),
        (
            "src/hub/mod.rs",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n    use super::super::Hub;\n}",
        ),
        ("src/hub/mod.rs", &format!("const LONG: &str = \"{}\";", "x".repeat(200))),
        ("src/cli/mod.rs", "use std::time::Instant;\nuse crate::server::Server;"),
    ];
    for (path, body) in samples {
        assert_eq!(said_of(path, body), Vec::<Complaint>::new(), "{path} {body:?}");
    }
    let files = [
        ("src/hub/mod.rs", "//! Hub.\n#[cfg(test)]\nmod world;\n"),
        ("src/hub/world.rs", "//! Tests.\nuse std::fs;\n"),
        ("src/hub/world/deep.rs", "//! Tests.\nuse std::fs;\n"),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(inspect(&files), Vec::<Complaint>::new());
}
