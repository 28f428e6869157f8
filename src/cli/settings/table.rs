//! The table of settings: the flags of `tidings serve`, as clap has them, are the keys of a file too.

use clap::builder::ArgAction;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, Command};

use super::topics::TopicArguments;
use crate::cli::serve::ServeArguments;

/// How alike two names are, from 0 to 1, for one to be offered in place of the other.
const ALIKE_MIN: f64 = 0.75;

/// All settings of one kind.
pub(super) struct Table(Command);

/// One of them.
#[derive(Copy, Clone)]
pub(crate) struct Key<'a>(&'a Arg);

impl Table {
    /// The settings of a server.
    pub(super) fn of_server() -> Self {
        Self(ServeArguments::augment_args(Command::new("serve")))
    }

    /// The settings of a `[[topic]]`.
    pub(super) fn of_topics() -> Self {
        Self(TopicArguments::augment_args(Command::new("topic")))
    }

    /// Every setting, in the order of its definition.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        let is_setting = |arg: &&Arg| arg.get_long().is_some_and(|long| long != "config");
        self.0.get_arguments().filter(is_setting).map(Key)
    }

    /// The setting with that name.
    pub(super) fn key(&self, name: &str) -> Option<Key<'_>> {
        self.keys().find(|key| key.name() == name)
    }
}

impl<'a> Key<'a> {
    /// Its name, as in a file, and behind `--` on the command line.
    pub(crate) fn name(self) -> &'a str {
        self.0.get_long().unwrap_or_default()
    }

    /// How clap calls it.
    pub(super) fn id(self) -> &'a str {
        self.0.get_id().as_str()
    }

    /// Its environment variable.
    pub(crate) fn variable(self) -> Option<&'a str> {
        self.0.get_env()?.to_str()
    }

    /// Under which heading the help has it.
    pub(crate) fn heading(self) -> Option<&'a str> {
        self.0.get_help_heading()
    }

    /// What it is for, in a line.
    pub(crate) fn help(self) -> String {
        self.0.get_help().map(ToString::to_string).unwrap_or_default()
    }

    /// What a value is called.
    pub(crate) fn value_name(self) -> String {
        let names = self.0.get_value_names().unwrap_or_default();
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// What it is when nobody says so. Empty for some whose help says what that means.
    pub(crate) fn defaults(self) -> Vec<String> {
        let defaults = self.0.get_default_values();
        defaults.iter().map(|value| value.to_string_lossy().into_owned()).collect()
    }

    /// Whether its value is for nobody's eyes. The help shows no variable's value either, then.
    pub(crate) fn is_secret(self) -> bool {
        self.0.is_hide_env_values_set()
    }

    /// A value of it in quotes, or what may be said in its place.
    pub(super) fn quoted(self, value: &str) -> String {
        if self.is_secret() { "what it says".to_owned() } else { format!("{value:?}") }
    }

    /// Whether it may be given several times.
    pub(crate) fn is_list(self) -> bool {
        matches!(self.0.get_action(), ArgAction::Append)
    }

    /// Whether its flag stands alone.
    fn is_switch(self) -> bool {
        matches!(self.0.get_action(), ArgAction::SetTrue)
    }

    /// Whether its values are true and false.
    pub(crate) fn is_truth(self) -> bool {
        let type_id = self.0.get_value_parser().type_id();
        self.is_switch() || type_id == std::any::TypeId::of::<bool>()
    }

    /// The words of a command line that give it these values.
    pub(super) fn words(self, values: &[String]) -> Vec<String> {
        let name = self.name();
        match values {
            [value] if self.is_switch() && is_no(value) => Vec::new(),
            [value] if self.is_switch() && is_yes(value) => vec![format!("--{name}")],
            _ => values.iter().map(|value| format!("--{name}={value}")).collect(),
        }
    }

    /// Whether the flag would take these values.
    ///
    /// # Errors
    /// What it says against them.
    pub(super) fn check(self, values: &[String]) -> Result<(), String> {
        if self.is_switch() && !matches!(values, [value] if is_yes(value) || is_no(value)) {
            return Err("give true or false".to_owned());
        }
        let alone = self.0.clone().env(None::<&'static str>);
        let command = Command::new("tidings").no_binary_name(true).arg(alone);
        match command.try_get_matches_from(self.words(values)) {
            Ok(_) => Ok(()),
            Err(error) => Err(explain(&error)),
        }
    }
}

/// What clap says against a value, without the name of the flag.
pub(super) fn explain(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            format!("give one of: {}", valid.join(", "))
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    }
}

/// The name that was probably meant, with `, did you mean …?` in front; nothing if none is alike.
pub(super) fn suggestion<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let alike = names.map(|name| (strsim::jaro_winkler(wrong, name), name));
    match alike.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((alike, name)) if alike >= ALIKE_MIN => format!(", did you mean {name}?"),
        _ => String::new(),
    }
}

fn is_yes(value: &str) -> bool {
    ["true", "yes", "on", "1", "y", "t"].contains(&value.to_ascii_lowercase().as_str())
}

fn is_no(value: &str) -> bool {
    ["false", "no", "off", "0", "n", "f"].contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, values: &[&str]) -> Result<(), String> {
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        Table::of_server().key(key).unwrap().check(&values)
    }

    #[test]
    fn a_value_is_checked_as_on_the_command_line() {
        assert_eq!(check("log-bytes", &["8M"]), Ok(()));
        assert_eq!(check("listen", &["127.0.0.1:1,127.0.0.1:2", "[::1]:3"]), Ok(()));
        assert_eq!(check("log-age", &["soon"]), Err("give seconds, such as 15 or 0.5".to_owned()));
        assert_eq!(check("workers", &["0"]), Err("0 is not in 1..=128".to_owned()));
        assert!(check("workers", &["-1"]).unwrap_err().contains("-1"));
        assert!(check("log-age", &["1", "2"]).unwrap_err().contains("multiple times"));
    }

    #[test]
    fn what_was_meant_is_named_only_if_it_is_alike() {
        let names = ["log-age", "log-bytes", "workers"];
        assert_eq!(suggestion("log_age", names.into_iter()), ", did you mean log-age?");
        assert_eq!(suggestion("worker", names.into_iter()), ", did you mean workers?");
        assert_eq!(suggestion("xyz", names.into_iter()), "");
    }

    #[test]
    fn every_setting_has_its_name_as_a_variable() {
        for key in Table::of_server().keys() {
            let variable = format!("TIDINGS_{}", key.name().replace('-', "_").to_uppercase());
            assert_eq!(key.variable(), Some(variable.as_str()));
        }
    }
}
