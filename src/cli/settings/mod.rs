//! Where settings come from: a file, the environment and flags, in rising order of precedence.
//!
//! The flags of `tidings serve` are the one table. What a file or a variable says is put to the same clap
//! definitions, value by value, so that it is taken or refused exactly as on the command line; then one command line
//! is made of what each setting comes to, and parsed as a whole.

mod file;
mod place;
mod print;
mod reference;
mod reload;
mod table;
mod topics;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};

pub(crate) use self::reference::reference;
pub(crate) use self::reload::Reloader;

use self::file::{Contents, Entry};
use self::table::{Key, Table, explain, suggestion};
use self::topics::TopicEntry;
use super::serve::ServeArguments;
use crate::config::TopicRule;

/// What is wrong with settings: each says where, and what to do.
pub(crate) type Complaints = Vec<String>;

/// What a process was started with. Settings are loaded from it, and again when they are to be reloaded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Invocation {
    /// By name, what the command line says.
    flags: BTreeMap<String, Vec<String>>,
    /// `--config`.
    config: Option<OsString>,
    variables: BTreeMap<OsString, OsString>,
}

/// What each setting comes to.
#[derive(Debug)]
pub(crate) struct Settings {
    /// As values.
    pub(crate) arguments: ServeArguments,
    /// Rules for some topics.
    pub(crate) topics: Vec<TopicRule>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// What is odd, but no reason to refuse.
    pub(crate) warnings: Vec<String>,
    settings: Vec<Setting>,
    topic_entries: Vec<TopicEntry>,
}

/// One setting as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Its name.
    pub(crate) key: String,
    /// None for one that is not set and has no default.
    pub(crate) values: Vec<String>,
    /// Who said so.
    pub(crate) source: Source,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody said anything.
    Default,
    /// This line of this file.
    File(PathBuf, usize),
    /// This environment variable.
    Variable(String),
    /// The command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path, line) => write!(formatter, "{}:{line}", path.display()),
            Self::Variable(name) => formatter.write_str(name),
            Self::Flag => formatter.write_str("flag"),
        }
    }
}

/// The same command, whose server flags do not look at the environment: what variables say is looked at with
/// the file.
pub(crate) fn without_variables(command: Command) -> Command {
    let stripped = strip(command).mut_subcommand("serve", strip);
    stripped.mut_subcommand("config", |config| {
        config.mut_subcommand("check", strip).mut_subcommand("print", strip)
    })
}

fn strip(command: Command) -> Command {
    command.mut_args(|arg| arg.env(None::<&'static str>))
}

impl Invocation {
    /// What this process was started with; `matches` are those of [`ServeArguments`].
    pub(crate) fn of_process(matches: &ArgMatches) -> Self {
        let mut flags = BTreeMap::new();
        for key in Table::of_server().keys() {
            let id = key.id();
            if matches.value_source(id) == Some(ValueSource::CommandLine) {
                let values = matches.get_raw(id).into_iter().flatten();
                let values = values.map(|value| value.to_string_lossy().into_owned());
                flags.insert(key.name().to_owned(), values.collect());
            }
        }
        let config = matches.get_one::<OsString>("config").cloned();
        Self { flags, config, variables: std::env::vars_os().collect() }
    }

    /// Reads the file and settles everything.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn load(&self) -> Result<Settings, Complaints> {
        let mut complaints = Complaints::new();
        let file = self.find_file().map_err(|error| vec![error])?;
        let contents = match &file {
            Some((path, text)) => file::read(path, text, &mut complaints),
            None => Contents::default(),
        };
        let path = file.map(|(path, _)| path).unwrap_or_default();
        let settings = self.settle(&path, &contents.entries, &mut complaints);
        if !complaints.is_empty() {
            // Topics are checked too, as far as that is possible: all mistakes are told at once.
            let limits = crate::limits::Limits::default();
            topics::settle(&path, &contents.topics, &limits, &mut complaints);
            return Err(complaints);
        }
        let arguments = parse(&settings).map_err(|error| vec![error])?;
        let topics = topics::settle(&path, &contents.topics, &arguments.limits, &mut complaints);
        if !complaints.is_empty() {
            return Err(complaints);
        }
        let file = Some(path).filter(|path| !path.as_os_str().is_empty());
        let (warnings, topic_entries) = (self.unknown_variables(), contents.topics);
        Ok(Settings { arguments, topics, file, warnings, settings, topic_entries })
    }

    /// What each setting comes to: the flag before the variable before the file before the default.
    fn settle(
        &self,
        path: &std::path::Path,
        entries: &[Entry],
        complaints: &mut Complaints,
    ) -> Vec<Setting> {
        let mut settings = Vec::new();
        for key in Table::of_server().keys() {
            let variable = self.variable(key, complaints);
            let entry = entries.iter().find(|entry| entry.key == key.name());
            let (values, source) = match (self.flags.get(key.name()), variable, entry) {
                (Some(values), _, _) => (values.clone(), Source::Flag),
                (None, Some((name, value)), _) => (vec![value], Source::Variable(name)),
                (None, None, Some(entry)) => {
                    (entry.values.clone(), Source::File(path.to_owned(), entry.line))
                }
                (None, None, None) => (key.defaults(), Source::Default),
            };
            settings.push(Setting { key: key.name().to_owned(), values, source });
        }
        settings
    }

    /// What the key's environment variable says; nothing if it is wrong.
    fn variable(&self, key: Key<'_>, complaints: &mut Complaints) -> Option<(String, String)> {
        let name = key.variable()?;
        let value = self.variables.get(&OsString::from(name))?;
        let Some(value) = value.to_str() else {
            complaints.push(format!("{name}: this is not UTF-8"));
            return None;
        };
        match key.check(&[value.to_owned()]) {
            Ok(()) => Some((name.to_owned(), value.to_owned())),
            Err(error) => {
                complaints.push(format!("{name}: {}: {error}", key.quoted(value)));
                None
            }
        }
    }

    /// Variables with our prefix that nobody knows. They refuse nothing: a platform sets some of that kind for
    /// a service of this name, and scripts their own.
    fn unknown_variables(&self) -> Vec<String> {
        let table = Table::of_server();
        let known: Vec<&str> = table
            .keys()
            .filter_map(Key::variable)
            .chain(["TIDINGS_CONFIG", "TIDINGS_URL"])
            .collect();
        let names = self.variables.keys().filter_map(|name| name.to_str());
        let unknown = names.filter(|name| {
            name.starts_with("TIDINGS_") && !known.contains(name) && !is_of_a_platform(name)
        });
        unknown
            .map(|name| {
                let meant = suggestion(name, known.iter().copied());
                format!("{name} is set, and there is no such variable{meant}; it is ignored")
            })
            .collect()
    }
}

impl Settings {
    /// Who said what these are.
    pub(crate) fn places(&self, keys: &[&str]) -> String {
        let named = self.settings.iter().filter(|setting| keys.contains(&setting.key.as_str()));
        let places = named.map(|setting| format!("{}: {}", setting.key, setting.source));
        places.collect::<Vec<_>>().join("; ")
    }

    /// Whether anybody has said what it is.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        let is_it = |setting: &Setting| setting.key == key && setting.source != Source::Default;
        self.settings.iter().any(is_it)
    }

    /// Which file they are from, as the end of a sentence.
    pub(crate) fn place(&self) -> String {
        let from = |file: &PathBuf| format!("from {}", file.display());
        self.file.as_ref().map_or_else(|| "without a file".to_owned(), from)
    }

    /// Everything as a file, with where each value came from.
    pub(crate) fn to_toml(&self) -> String {
        print::to_toml(self)
    }
}

/// Whether it is what Kubernetes sets in every container beside a service called tidings.
fn is_of_a_platform(name: &str) -> bool {
    name == "TIDINGS_PORT"
        || name.starts_with("TIDINGS_PORT_")
        || name.starts_with("TIDINGS_SERVICE_")
}

/// Parses what was settled as one command line.
fn parse(settings: &[Setting]) -> Result<ServeArguments, String> {
    let table = Table::of_server();
    let words =
        settings.iter().filter(|setting| setting.source != Source::Default).flat_map(|setting| {
            table.key(&setting.key).map_or(Vec::new(), |key| key.words(&setting.values))
        });
    let command = Command::new("tidings").no_binary_name(true);
    let command = strip(ServeArguments::augment_args(command));
    let matches = command.try_get_matches_from(words).map_err(|error| explain(&error))?;
    ServeArguments::from_arg_matches(&matches).map_err(|error| explain(&error))
}

#[cfg(test)]
mod tests;
