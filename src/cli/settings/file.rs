//! A file of settings: TOML, whose keys are the long names of flags, each with the line that it stands on.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Complaints;
use super::table::{Key, Table, suggestion};
use super::topics::TopicEntry;

/// What a file says: values that the flags take.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Settings of the server.
    pub(super) entries: Vec<Entry>,
    /// Its `[[topic]]` tables.
    pub(super) topics: Vec<TopicEntry>,
}

/// A setting in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) values: Vec<String>,
    pub(super) line: usize,
}

/// A file that is read, and what is wrong with it.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    complaints: &'a mut Complaints,
}

/// Reads `text`, which stands in the file `path`. What is wrong with it goes into `complaints`.
pub(super) fn read(path: &Path, text: &str, complaints: &mut Complaints) -> Contents {
    let mut reader = Reader { path, text, complaints };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map_or(1, |span| reader.line(span.start));
        reader.complain(line, &format!("this is not TOML: {}", error.message()));
    }
    // What follows a mistake in the syntax may have been taken for something else.
    if !errors.is_empty() {
        return Contents::default();
    }
    reader.read_server(table.get_ref())
}

impl Reader<'_> {
    fn read_server(&mut self, table: &DeTable<'_>) -> Contents {
        let known = Table::of_server();
        let mut contents = Contents::default();
        for (name, value) in in_order(table) {
            let line = self.line(name.span().start);
            let key_name = name.get_ref().as_ref();
            if key_name == "topic" {
                contents.topics = self.read_topics(line, value.get_ref());
            } else if let Some(key) = known.key(key_name) {
                contents.entries.extend(self.read_entry(line, key, value.get_ref()));
            } else if key_name == "config" {
                self.complain(line, "config: a file does not name another file");
            } else if matches!(value.get_ref(), DeValue::Table(_)) {
                self.complain(
                    line,
                    &format!("[{key_name}]: settings stand by themselves, not in a table"),
                );
            } else {
                let names = known.keys().map(Key::name).chain(["topic"]);
                let meant = suggestion(key_name, names);
                self.complain(line, &format!("{key_name}: there is no such setting{meant}"));
            }
        }
        contents
    }

    fn read_topics(&mut self, line: usize, value: &DeValue<'_>) -> Vec<TopicEntry> {
        let known = Table::of_topics();
        let DeValue::Array(tables) = value else {
            self.complain(line, "topic: write [[topic]], in two brackets: there may be several");
            return Vec::new();
        };
        let mut topics = Vec::new();
        for table in tables {
            let line = self.line(table.span().start);
            match table.get_ref() {
                DeValue::Table(table) => {
                    let entries = self.read_topic(&known, table);
                    topics.push(TopicEntry { line, entries });
                }
                _ => self.complain(line, "topic: write [[topic]], and its settings below"),
            }
        }
        topics
    }

    fn read_topic(&mut self, known: &Table, table: &DeTable<'_>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (name, value) in in_order(table) {
            let line = self.line(name.span().start);
            let key_name = name.get_ref().as_ref();
            if let Some(key) = known.key(key_name) {
                entries.extend(self.read_entry(line, key, value.get_ref()));
            } else if Table::of_server().key(key_name).is_some() {
                let text = "is a setting of the server: write it above the first [[topic]]";
                self.complain(line, &format!("{key_name}: {text}"));
            } else {
                let meant = suggestion(key_name, known.keys().map(Key::name));
                self.complain(line, &format!("{key_name}: a topic has no such setting{meant}"));
            }
        }
        entries
    }

    fn read_entry(&mut self, line: usize, key: Key<'_>, value: &DeValue<'_>) -> Option<Entry> {
        let name = key.name();
        let values = match value {
            DeValue::Array(array) if key.is_list() => {
                array.iter().map(|value| scalar(value.get_ref())).collect()
            }
            DeValue::Array(_) => Err("give one value, not a list"),
            value => scalar(value).map(|text| vec![text]),
        };
        let checked = values.map_err(str::to_owned).and_then(|values| {
            let shown = values.join(", ");
            key.check(&values)
                .map(|()| values)
                .map_err(|error| format!("{}: {error}", key.quoted(&shown)))
        });
        match checked {
            Ok(values) => Some(Entry { key: name.to_owned(), values, line }),
            Err(error) => {
                self.complain(line, &format!("{name}: {error}"));
                None
            }
        }
    }

    /// The line, from 1, that holds the byte at `offset`.
    fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    fn complain(&mut self, line: usize, text: &str) {
        self.complaints.push(format!("{}:{line}: {text}", self.path.display()));
    }
}

/// The entries of a table as they stand in the file.
fn in_order<'a, 'i>(
    table: &'a DeTable<'i>,
) -> Vec<(&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// A value as it would stand on the command line.
fn scalar(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.as_ref().to_owned()),
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        DeValue::Float(float) => Ok(float.as_str().to_owned()),
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
            .map(|number| number.to_string())
            .map_err(|_| "the number is too large"),
        DeValue::Datetime(_) => Err("this is a date or a time; put quotes around it"),
        DeValue::Array(_) => Err("a list in a list"),
        DeValue::Table(_) => Err("give a value, not a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Contents, Complaints) {
        let mut complaints = Complaints::new();
        let contents = read(Path::new("t.toml"), text, &mut complaints);
        (contents, complaints)
    }

    fn entry(key: &str, values: &[&str], line: usize) -> Entry {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        Entry { key: key.to_owned(), values, line }
    }

    #[test]
    fn every_type_of_value_is_what_it_would_be_on_the_command_line() {
        let (contents, complaints) = read_text(
            "log-age = 0.5\n# a comment\nlog-messages = 1_000\nhead-bytes-max = 0x4000\nlog-bytes = \"8M\"\n\
             no-page = true\nlisten = [\n  '127.0.0.1:1',\n  '127.0.0.1:2',\n]\nallow-origin = '*'\n",
        );
        assert_eq!(complaints, Complaints::new());
        let expected = [
            entry("log-age", &["0.5"], 1),
            entry("log-messages", &["1000"], 3),
            entry("head-bytes-max", &["16384"], 4),
            entry("log-bytes", &["8M"], 5),
            entry("no-page", &["true"], 6),
            entry("listen", &["127.0.0.1:1", "127.0.0.1:2"], 7),
            entry("allow-origin", &["*"], 11),
        ];
        assert_eq!(contents.entries, expected);
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_what_to_do() {
        let (_, complaints) = read_text(
            "log_age = 5\nworkers = 0\nlog-bytes = 'much'\nconfig = 'x'\nlisten = 12:00:00\nlog-age = [1]\n\
             log-messages = 'a'\n[server]\n[[topic]]\nname = 'a'\nlisten = 'x'\nlog-ages = 1\n",
        );
        let said: Vec<&str> = complaints.iter().map(String::as_str).collect();
        assert_eq!(
            said,
            [
                "t.toml:1: log_age: there is no such setting, did you mean log-age?",
                "t.toml:2: workers: \"0\": 0 is not in 1..=128",
                "t.toml:3: log-bytes: \"much\": give a size of at least 1, such as 4096, 64K, 1M or 2G",
                "t.toml:4: config: a file does not name another file",
                "t.toml:5: listen: this is a date or a time; put quotes around it",
                "t.toml:6: log-age: give one value, not a list",
                "t.toml:7: log-messages: \"a\": invalid digit found in string",
                "t.toml:8: [server]: settings stand by themselves, not in a table",
                "t.toml:11: listen: is a setting of the server: write it above the first [[topic]]",
                "t.toml:12: log-ages: a topic has no such setting, did you mean log-age?",
            ]
        );
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        for (text, line) in [
            ("log-age = 1\nlog-bytes 5\n", 2),
            ("a = 1\n\n\nlog-age = \n", 4),
            ("log-age = 1\nlog-age = 2\n", 2),
            ("log-age = \"1\n", 1),
            ("[[topic]\n", 1),
        ] {
            let (contents, complaints) = read_text(text);
            assert!(contents.entries.is_empty(), "{text}");
            assert!(!complaints.is_empty(), "{text}");
            let start = format!("t.toml:{line}: this is not TOML: ");
            assert!(complaints[0].starts_with(&start), "{text}: {complaints:?}");
        }
    }

    #[test]
    fn a_file_that_ends_anywhere_is_read_or_refused_and_nothing_else() {
        let whole = include_str!("../../../docs/deploy/tidings.toml").replace("\n#", "\n");
        for (end, _) in whole.char_indices() {
            let (contents, complaints) = read_text(&whole[..end]);
            let last = whole[..end].lines().count().max(1);
            assert!(contents.entries.iter().all(|entry| entry.line <= last), "{end}");
            assert!(complaints.iter().all(|complaint| complaint.starts_with("t.toml:")), "{end}");
        }
    }
}
