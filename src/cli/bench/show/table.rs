//! Findings as text: aligned columns for a terminal, or Markdown; what is said is the same in both.

use super::super::findings::{Findings, Table};
use super::{figures_as_table, printable};

/// How wide a terminal is taken to be.
const COLUMNS_MAX: usize = 100;
/// Between two columns.
const GAP: usize = 2;
/// A heading may be broken into as many lines to make its column narrower.
const HEADING_LINES_MAX: usize = 4;

/// `findings` for a terminal.
pub(super) fn text(findings: &Findings) -> String {
    let mut out = String::new();
    let heading = format!("{}: {}", findings.scenario, printable(&findings.summary));
    push_wrapped(&mut out, "", "", &heading);
    let widest = findings.conditions.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    for (name, value) in &findings.conditions {
        let name = printable(name);
        let first = format!("  {name}{}  ", " ".repeat(widest - width(&name)));
        push_wrapped(&mut out, &first, &" ".repeat(widest + 4), &printable(value));
    }
    for table in tables(findings) {
        out.push('\n');
        push_aligned(&mut out, &table);
    }
    if !findings.remarks.is_empty() {
        out.push_str("\nRemarks\n");
    }
    for remark in &findings.remarks {
        push_wrapped(&mut out, "  ! ", "    ", &printable(remark));
    }
    out
}

/// `findings` for a document.
pub(super) fn markdown(findings: &Findings) -> String {
    let mut out = format!("## {}\n", escaped(findings.scenario));
    if !findings.summary.is_empty() {
        out.push_str(&format!("\n{}\n", escaped(&findings.summary)));
    }
    if !findings.conditions.is_empty() {
        out.push('\n');
    }
    for (name, value) in &findings.conditions {
        out.push_str(&format!("- **{}**: {}\n", escaped(name), escaped(value)));
    }
    for table in tables(findings) {
        out.push('\n');
        push_markdown(&mut out, &table);
    }
    if !findings.remarks.is_empty() {
        out.push_str("\n**Remarks**\n\n");
    }
    for remark in &findings.remarks {
        out.push_str(&format!("- {}\n", escaped(remark)));
    }
    out
}

/// The tables, or where a scenario made none, all its figures in one.
fn tables(findings: &Findings) -> Vec<Table> {
    let empty = |table: &Table| table.columns.is_empty() || table.rows.is_empty();
    let some: Vec<Table> = findings.tables.iter().filter(|table| !empty(table)).cloned().collect();
    match some.is_empty() && !findings.figures.is_empty() {
        true => vec![figures_as_table(findings)],
        false => some,
    }
}

fn push_aligned(out: &mut String, table: &Table) {
    if !table.title.is_empty() {
        push_wrapped(out, "", "", &printable(&table.title));
    }
    let widths = column_widths(table);
    let headings: Vec<Vec<String>> = (table.columns.iter().zip(&widths))
        .map(|(heading, &most)| wrapped(&printable(heading), most))
        .collect();
    let lines = headings.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..lines {
        // The last lines stand together, above the rule.
        let cell = |words: &Vec<String>| {
            let above = lines - words.len();
            line.checked_sub(above).map_or(String::new(), |index| words[index].clone())
        };
        push_row(out, &headings.iter().map(cell).collect::<Vec<_>>(), &widths);
    }
    let rules: Vec<String> = widths.iter().map(|&most| "─".repeat(most)).collect();
    push_row(out, &rules, &widths);
    for row in &table.rows {
        push_row(out, &row.iter().map(|cell| printable(cell)).collect::<Vec<_>>(), &widths);
    }
}

/// The first column to the left, the numbers to the right; no blanks at the end.
fn push_row(out: &mut String, cells: &[String], widths: &[usize]) {
    let mut line = String::new();
    for (index, (cell, &most)) in cells.iter().zip(widths).enumerate() {
        let blanks = " ".repeat(most.saturating_sub(width(cell)));
        if index == 0 {
            line.push_str(&format!("{cell}{blanks}"));
        } else {
            line.push_str(&format!("{}{blanks}{cell}", " ".repeat(GAP)));
        }
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

/// As wide as cells and headings want it, if that fits; else with headings on more and more lines. What
/// is left over then goes to the headings that a few columns make whole.
fn column_widths(table: &Table) -> Vec<usize> {
    let whole = widths_with(table, 1);
    let total = |widths: &[usize]| widths.iter().map(|most| most + GAP).sum::<usize>() - GAP;
    let fits = |widths: &Vec<usize>| total(widths) <= COLUMNS_MAX;
    let broken = (1..=HEADING_LINES_MAX).map(|lines| widths_with(table, lines));
    let narrowest = widths_with(table, HEADING_LINES_MAX);
    let mut widths = broken.into_iter().find(fits).unwrap_or(narrowest);
    let mut cheapest: Vec<usize> = (0..widths.len()).collect();
    cheapest.sort_by_key(|&index| whole[index] - widths[index]);
    for index in cheapest {
        let before = std::mem::replace(&mut widths[index], whole[index]);
        if total(&widths) > COLUMNS_MAX {
            widths[index] = before;
        }
    }
    widths
}

/// The least widths with which no heading takes more than so many lines.
fn widths_with(table: &Table, lines: usize) -> Vec<usize> {
    let column = |(index, heading): (usize, &String)| {
        let cells = table.rows.iter().filter_map(|row| row.get(index));
        let widest = cells.map(|cell| width(cell)).max().unwrap_or(0);
        let heading = printable(heading);
        let fits = |&most: &usize| wrapped(&heading, most).len() <= lines;
        let most = width(&heading).max(widest);
        (widest.max(longest_word(&heading))..most).find(fits).unwrap_or(most)
    };
    table.columns.iter().enumerate().map(column).collect()
}

fn push_markdown(out: &mut String, table: &Table) {
    if !table.title.is_empty() {
        out.push_str(&format!("### {}\n\n", escaped(&table.title)));
    }
    let mut push = |cells: Vec<String>| out.push_str(&format!("| {} |\n", cells.join(" | ")));
    push(table.columns.iter().map(|heading| escaped(heading)).collect());
    let rule = |index: usize| if index == 0 { "---" } else { "---:" }.to_owned();
    push((0..table.columns.len()).map(rule).collect());
    for row in &table.rows {
        push(row.iter().map(|cell| escaped(cell)).collect());
    }
}

/// As it is written where Markdown would see a tag, an entity, a column or emphasis in it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for one in printable(text).chars() {
        match one {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '|' | '\\' | '`' | '*' | '[' => out.extend(['\\', one]),
            _ => out.push(one),
        }
    }
    out
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn longest_word(text: &str) -> usize {
    text.split_whitespace().map(width).max().unwrap_or(0)
}

fn push_wrapped(out: &mut String, first: &str, others: &str, text: &str) {
    for (index, line) in wrapped(text, COLUMNS_MAX - width(first)).iter().enumerate() {
        out.push_str(if index == 0 { first } else { others });
        out.push_str(line);
        out.push('\n');
    }
}

/// `text` in lines of at most `most`, but for words that are longer; at least one line.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the beginning");
        if line.is_empty() {
            line.push_str(word);
        } else if width(line) + 1 + width(word) <= most {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::cli::bench::findings::Figure;

    fn table(columns: &[&str], rows: &[&[&str]]) -> Table {
        let owned = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect();
        Table {
            title: String::new(),
            columns: owned(columns),
            rows: rows.iter().map(|row| owned(row)).collect(),
        }
    }

    fn aligned(table: &Table) -> String {
        let mut out = String::new();
        push_aligned(&mut out, table);
        out
    }

    #[test]
    fn names_stand_to_the_left_and_numbers_to_the_right() {
        let rows: [&[&str]; 2] = [&["sse", "1,234", "7 µs"], &["long-poll", "9", "1,000 µs"]];
        let want = "\
wire       deliveries       p50
─────────  ──────────  ────────
sse             1,234      7 µs
long-poll           9  1,000 µs
";
        assert_eq!(aligned(&table(&["wire", "deliveries", "p50"], &rows)), want);
    }

    #[test]
    fn headings_are_broken_only_where_the_table_is_too_wide() {
        let columns =
            ["way", "bytes down per delivered message", "server CPU per delivered message"];
        let row: &[&str] = &["sse", "1", "2"];
        assert_eq!(aligned(&table(&columns, &[row])).lines().count(), 3);
        let columns = [&columns[..], &columns[1..], &columns[1..]].concat();
        let row: &[&str] = &["sse", "1", "2", "3", "4", "5", "6"];
        let text = aligned(&table(&columns, &[row]));
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.lines().all(|line| width(line) <= COLUMNS_MAX), "{text}");
        assert!(text.lines().nth(2).unwrap().starts_with("way "), "{text}");
    }

    #[test]
    fn short_headings_stay_whole_where_there_is_room() {
        let text = text(&sample::fanout());
        assert!(text.contains("  p50 µs  p90 µs  p99 µs"), "{text}");
    }

    #[test]
    fn everything_fits_into_a_hundred_columns() {
        let text = text(&sample::fanout());
        assert!(text.lines().all(|line| width(line) <= COLUMNS_MAX), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
        assert!(text.starts_with("fanout: "), "{text}");
        assert!(text.contains("\n  server "), "{text}");
        assert!(text.contains("\nRemarks\n  ! "), "{text}");
    }

    #[test]
    fn figures_are_the_table_where_there_is_no_other() {
        let mut findings = Findings { scenario: "idle", ..Findings::default() };
        assert_eq!(text(&findings), "idle:\n");
        findings.tables.push(table(&["wire"], &[]));
        let name = "bytes_per_connection";
        findings.figures.push(Figure { name, of: "sse".to_owned(), value: 251.0 });
        assert!(
            text(&findings).contains("bytes_per_connection  sse    251\n"),
            "{}",
            text(&findings)
        );
    }

    #[test]
    fn markdown_says_which_columns_are_numbers() {
        let mut out = String::new();
        push_markdown(&mut out, &table(&["wire", "p50 µs"], &[&["a|b", "12"]]));
        assert_eq!(out, "| wire | p50 µs |\n| --- | ---: |\n| a\\|b | 12 |\n");
    }

    #[test]
    fn markdown_shows_what_would_be_markup() {
        assert_eq!(escaped("<b>&lt;*x*"), "&lt;b>&amp;lt;\\*x\\*");
        let text = markdown(&sample::fanout());
        assert!(text.starts_with("## fanout\n\n"), "{text}");
        assert!(text.contains("\n- **server**: "), "{text}");
        assert!(text.contains("topic=&lt;news>&amp;x=1"), "{text}");
    }

    #[test]
    fn what_would_steer_a_terminal_is_not_passed_on() {
        let conditions = vec![("server".to_owned(), "\u{1b}[31mred\nline".to_owned())];
        let findings = Findings { scenario: "idle", conditions, ..Findings::default() };
        assert_eq!(text(&findings), "idle:\n  server  \u{fffd}[31mred line\n");
    }
}
