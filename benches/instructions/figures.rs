//! The committed figures, and for which machine they hold.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cases::CASES;
use crate::counting::Cost;

/// What instruction counts depend on beside the code: each a name and a value.
pub(crate) type Machine = Vec<(&'static str, String)>;

const COMMENT: &str = "\
# What an operation takes: instructions and allocations, counted by callgrind (docs/hacking.md, Counting
# instructions).
# Written by `cargo bench --bench instructions -- --accept`. They hold for this compiler, C library and
# kind of processor, and for the bench profile of Cargo.toml; elsewhere nothing is compared with them.
";

/// What a file of figures says.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) machine: BTreeMap<String, String>,
    pub(crate) cases: BTreeMap<String, Cost>,
}

impl Figures {
    /// Reads a file of figures; there need not be one.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|line| format!("{}: {line}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// `name = value` of a machine, `name instructions allocations …` of a case. What is wrong is a line.
    fn parse(text: &str) -> Result<Self, String> {
        let mut figures = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some((name, value)) = line.split_once(" = ") {
                figures.machine.insert(name.trim().to_owned(), value.to_owned());
                continue;
            }
            let mut words = line.split_whitespace();
            let name = words.next();
            let mut number = || words.next().and_then(|word| word.parse().ok());
            let (Some(name), Some(instructions), Some(allocations)) = (name, number(), number())
            else {
                return Err(format!("neither a machine nor a case: {line}"));
            };
            figures.cases.insert(name.to_owned(), Cost { instructions, allocations });
        }
        Ok(figures)
    }

    /// Why nothing here can be compared with these figures; `None`: it can.
    pub(crate) fn differs(&self, machine: &Machine) -> Option<String> {
        let other = |(name, value): &(&str, String)| {
            let theirs = self.machine.get(*name).map_or("unknown", String::as_str);
            (theirs != value).then(|| format!("{name} {theirs}, here it is {value}"))
        };
        machine.iter().find_map(other)
    }

    /// Writes them in the order of the cases, each with what it is.
    pub(crate) fn write(&self, path: &Path, machine: &Machine) -> Result<(), String> {
        let mut text = COMMENT.to_owned();
        for (name, value) in machine {
            text += &format!("{name:<8} = {value}\n");
        }
        text += "\n# case          instructions allocations\n";
        for case in CASES {
            if let Some(Cost { instructions, allocations }) = self.cases.get(case.name) {
                let name = case.name;
                text +=
                    &format!("{name:<19} {instructions:>8} {allocations:>11.2}  {}\n", case.what);
            }
        }
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// What counts depend on, as it is here.
pub(crate) fn machine() -> Result<Machine, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let rustc = said(Command::new(rustc).arg("-vV"))?;
    let line = |name: &str| {
        let value = rustc.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or("unknown").trim().to_owned()
    };
    let libc = said(Command::new("getconf").arg("GNU_LIBC_VERSION"));
    let valgrind = said(Command::new("valgrind").arg("--version"));
    let valgrind = valgrind.map_err(|error| format!("{error}: apt-get install valgrind"))?;
    Ok(vec![
        ("rustc", line("rustc ")),
        ("target", format!("{}, {}", env::consts::ARCH, vectors())),
        ("libc", libc.unwrap_or_else(|_| "unknown".to_owned()).trim().to_owned()),
        ("valgrind", valgrind.trim().trim_start_matches("valgrind-").to_owned()),
    ])
}

/// Valgrind plays one of a few processors, of the kind that it runs on; libraries choose by that.
fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return "AVX2";
    }
    "plain"
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
