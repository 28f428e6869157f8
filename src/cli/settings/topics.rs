//! `[[topic]]` tables: settings for some topics, by name or prefix.

use std::collections::HashMap;
use std::path::Path;

use clap::{Args as _, Command, FromArgMatches as _};

use super::Complaints;
use super::file::Entry;
use super::table::{Key, Table, explain};
use crate::config::{Publishers, Scope, TopicRule, TopicRules};
use crate::limits::{Limits, parse_message_size, parse_seconds, parse_size};
use crate::topic::TopicName;

/// The settings of a `[[topic]]`.
#[derive(Debug, clap::Args)]
pub(super) struct TopicArguments {
    /// The topic with exactly this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Topics whose names begin with this; empty for all
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Messages that it retains
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    log_messages: Option<u32>,
    /// Bytes of messages that it retains
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    log_bytes: Option<usize>,
    /// Age in seconds at which it forgets a message
    #[arg(long = "log-age", value_name = "SECONDS", value_parser = parse_seconds)]
    log_age_ms: Option<u64>,
    /// Bytes of a published payload (at most body-bytes-max)
    #[arg(long, value_name = "SIZE", value_parser = parse_message_size)]
    message_bytes_max: Option<usize>,
    /// Who may publish to it, or delete it: anyone, or no client
    #[arg(long, value_name = "WHO", value_enum)]
    publish: Option<Publishers>,
}

/// A `[[topic]]` of a file: values that were checked one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicEntry {
    pub(super) line: usize,
    pub(super) entries: Vec<Entry>,
}

/// Makes rules of what a file says. What is wrong with it goes into `complaints`.
pub(super) fn settle(
    path: &Path,
    topics: &[TopicEntry],
    limits: &Limits,
    complaints: &mut Complaints,
) -> Vec<TopicRule> {
    let mut seen = HashMap::new();
    let mut rules = Vec::new();
    for topic in topics {
        let place = |entry: &str| {
            let line = topic.entries.iter().find(|one| one.key == entry).map(|one| one.line);
            format!("{}:{}", path.display(), line.unwrap_or(topic.line))
        };
        match settle_one(topic, limits) {
            Err((entry, error)) => complaints.push(format!("{}: {error}", place(entry))),
            Ok(rule) => {
                if let Some(line) = seen.insert(rule.scope.clone(), topic.line) {
                    let error = format!("the [[topic]] in line {line} is for the same");
                    complaints.push(format!("{}: {error}", place("")));
                }
                rules.push(rule);
            }
        }
    }
    if rules.len() > TopicRules::MAX {
        let most = TopicRules::MAX;
        complaints.push(format!("{}: there may be {most} [[topic]] at most", path.display()));
        rules.clear();
    }
    rules
}

/// A rule, or which of its entries is wrong and why.
fn settle_one(topic: &TopicEntry, limits: &Limits) -> Result<TopicRule, (&'static str, String)> {
    let table = Table::of_topics();
    let words = topic.entries.iter().flat_map(|entry| {
        table.key(&entry.key).map_or(Vec::new(), |key: Key<'_>| key.words(&entry.values))
    });
    let command = Command::new("topic").no_binary_name(true);
    let matches = TopicArguments::augment_args(command).try_get_matches_from(words);
    let arguments = matches.and_then(|matches| TopicArguments::from_arg_matches(&matches));
    let arguments = arguments.map_err(|error| ("", explain(&error)))?;
    let scope = match (arguments.name, arguments.prefix) {
        (Some(name), None) => {
            let checked = TopicName::parse(name.as_bytes());
            checked.map_err(|error| ("name", format!("name: {}", error.detail())))?;
            Scope::Name(name)
        }
        (None, Some(prefix)) => {
            if !prefix.is_empty() {
                let checked = TopicName::parse(prefix.as_bytes());
                checked.map_err(|error| ("prefix", format!("prefix: {}", error.detail())))?;
            }
            Scope::Prefix(prefix)
        }
        (None, None) => {
            return Err(("", "a [[topic]] needs a name or a prefix (which may be empty)".into()));
        }
        (Some(_), Some(_)) => return Err(("prefix", "give a name or a prefix, not both".into())),
    };
    if arguments.message_bytes_max.is_some_and(|size| size > limits.body_bytes_max) {
        let error = format!(
            "message-bytes-max: the server takes {} bytes at most: lower it, or raise body-bytes-max",
            limits.body_bytes_max
        );
        return Err(("message-bytes-max", error));
    }
    if arguments.log_bytes.is_some_and(|size| size > limits.memory_bytes_max) {
        let error = "log-bytes: this is larger than memory: lower it, or raise memory";
        return Err(("log-bytes", error.to_owned()));
    }
    Ok(TopicRule {
        scope,
        log_messages: arguments.log_messages,
        log_bytes: arguments.log_bytes,
        log_age_ms: arguments.log_age_ms,
        message_bytes_max: arguments.message_bytes_max,
        publish: arguments.publish,
    })
}

#[cfg(test)]
mod tests {
    use super::super::file::read;
    use super::*;

    fn settle_text(text: &str) -> (Vec<TopicRule>, Complaints) {
        let (path, mut complaints) = (Path::new("t.toml"), Complaints::new());
        let contents = read(path, text, &mut complaints);
        let rules = settle(path, &contents.topics, &Limits::default(), &mut complaints);
        (rules, complaints)
    }

    #[test]
    fn tables_become_rules() {
        let (rules, complaints) = settle_text(
            "[[topic]]\nname = 'a'\nlog-messages = 5\nlog-bytes = '1K'\nlog-age = 0.5\n\
             [[topic]]\nprefix = ''\nmessage-bytes-max = '1K'\npublish = 'nobody'\n",
        );
        assert_eq!(complaints, Complaints::new());
        assert_eq!(rules[0].scope, Scope::Name("a".to_owned()));
        assert_eq!((rules[0].log_messages, rules[0].log_bytes), (Some(5), Some(1024)));
        assert_eq!((rules[0].log_age_ms, rules[0].publish), (Some(500), None));
        assert_eq!(rules[1].scope, Scope::Prefix(String::new()));
        assert_eq!(rules[1].message_bytes_max, Some(1024));
        assert_eq!(rules[1].publish, Some(Publishers::Nobody));
    }

    #[test]
    fn what_is_wrong_with_a_topic_is_told_with_its_line() {
        let (_, complaints) = settle_text(
            "[[topic]]\nlog-age = 1\n[[topic]]\nname = 'a,b'\n[[topic]]\nname = 'a'\nprefix = 'a'\n\
             [[topic]]\nname = 'a'\n[[topic]]\nname = 'a'\n\
             [[topic]]\nname = 'b'\nmessage-bytes-max = '2M'\n\
             [[topic]]\nname = 'c'\nlog-bytes = '2G'\n[[topic]]\nname = 'd'\npublish = 'me'\n",
        );
        let starts = [
            "t.toml:20: publish: \"me\": give one of: anyone, nobody",
            "t.toml:1: a [[topic]] needs a name or a prefix",
            "t.toml:4: name: The topic's name has one of , * >",
            "t.toml:7: give a name or a prefix, not both",
            "t.toml:10: the [[topic]] in line 8 is for the same",
            "t.toml:14: message-bytes-max: the server takes 1048576 bytes at most",
            "t.toml:17: log-bytes: this is larger than memory",
        ];
        assert_eq!(complaints.len(), starts.len(), "{complaints:?}");
        for (complaint, start) in complaints.iter().zip(starts) {
            assert!(complaint.starts_with(start), "{complaint}");
        }
    }
}
