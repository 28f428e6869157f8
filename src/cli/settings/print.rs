//! What settings come to, as a file that says the same, with where each value came from.

use std::fmt::Write as _;

use super::table::{Key, Table};
use super::{Settings, Source};

/// Columns at which the comments begin, if the values leave room.
const COMMENT_COLUMN: usize = 40;

/// The settings as a file.
pub(super) fn to_toml(settings: &Settings) -> String {
    let mut out = String::new();
    let read = match &settings.file {
        Some(path) => format!("read from {}, the environment and flags", path.display()),
        None => "of the environment and flags; no file was read".to_owned(),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# Settings of tidings {}, {read}.", env!("CARGO_PKG_VERSION"));
    let table = Table::of_server();
    let mut heading = None;
    for (key, setting) in table.keys().zip(&settings.settings) {
        if heading != Some(key.heading()) {
            heading = Some(key.heading());
            let _ = writeln!(out, "\n# {}", key.heading().unwrap_or("Server"));
        }
        let what = if setting.values.is_empty() && !key.is_list() {
            format!("# {} is not set", key.name())
        } else if key.is_secret() {
            format!("# {} is set, and not shown", key.name())
        } else {
            format!("{} = {}", key.name(), to_value(key, &setting.values))
        };
        comment(&mut out, &what, &setting.source);
    }
    let topics = Table::of_topics();
    for topic in &settings.topic_entries {
        let path = settings.file.clone().unwrap_or_default();
        out.push('\n');
        comment(&mut out, "[[topic]]", &Source::File(path.clone(), topic.line));
        for entry in &topic.entries {
            if let Some(key) = topics.key(&entry.key) {
                let what = format!("{} = {}", entry.key, to_value(key, &entry.values));
                comment(&mut out, &what, &Source::File(path.clone(), entry.line));
            }
        }
    }
    out
}

fn comment(out: &mut String, what: &str, source: &Source) {
    let _ = writeln!(out, "{what:<COMMENT_COLUMN$}  # {source}");
}

/// Values as TOML has them.
pub(super) fn to_value(key: Key<'_>, values: &[String]) -> String {
    if key.is_list() {
        let items: Vec<String> = values.iter().map(|value| to_string(value)).collect();
        return format!("[{}]", items.join(", "));
    }
    let value = values.first().map_or("", String::as_str);
    let is_bare = key.is_truth() && matches!(value, "true" | "false") || is_number(value);
    if is_bare { value.to_owned() } else { to_string(value) }
}

/// Whether TOML takes it as the number that a flag would take it as: no zeros in front.
fn is_number(value: &str) -> bool {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// A basic string (TOML 1.0, "String").
fn to_string(value: &str) -> String {
    let mut out = String::from("\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            _ if character.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_escaped() {
        assert_eq!(to_string("a\"\\\n\u{7f}é"), "\"a\\\"\\\\\\u000A\\u007Fé\"");
    }

    #[test]
    fn only_what_toml_takes_for_the_same_number_is_bare() {
        for good in ["0", "15", "0.5", "1000000"] {
            assert!(is_number(good), "{good}");
        }
        for bad in ["", "007", "1.", ".5", "-1", "1e3", "64K", "1_000"] {
            assert!(!is_number(bad), "{bad}");
        }
    }
}
