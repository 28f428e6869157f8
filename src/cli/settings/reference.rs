//! The table of settings for docs/operating.md, made from the flags.

use std::fmt::Write as _;

use super::table::{Key, Table};

/// Tables in Markdown: what can be set for the server, and for some topics.
pub(crate) fn reference() -> String {
    let (server, topics) = (Table::of_server(), Table::of_topics());
    let mut out =
        String::from("| key, and `--` flag | value | default | what |\n|---|---|---|---|\n");
    let mut heading = None;
    for key in server.keys() {
        if key.heading() != heading {
            heading = key.heading();
            let title = heading.unwrap_or("Server");
            // Writing to a string cannot fail.
            let _ = writeln!(out, "| **{}** | | | |", title.trim_start_matches("Limits: "));
        }
        row(&mut out, key);
    }
    out += "\nIn a `[[topic]]`:\n\n| key | value | default | what |\n|---|---|---|---|\n";
    topics.keys().for_each(|key| row(&mut out, key));
    out
}

fn row(out: &mut String, key: Key<'_>) {
    let help = key.help();
    // Where the default depends on something, the help says on what.
    let (what, depends) = match help.split_once(" [default: ") {
        Some((what, depends)) => (what, depends.trim_end_matches(']')),
        None => (help.as_str(), ""),
    };
    let defaults = key.defaults();
    let default = if defaults.is_empty() { depends.to_owned() } else { defaults.join(", ") };
    let (name, value) = (key.name(), key.value_name());
    let _ = writeln!(out, "| `{name}` | {value} | {default} | {} |", what.replace('|', "\\|"));
}
