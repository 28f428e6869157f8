//! docs/security.md and the tests hold together: each row names a test that exists and carries its number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The last number of the catalogue.
const LAST: u16 = 294;

/// A row of a table: its numbers, and its last cell.
struct Row<'a> {
    line: usize,
    numbers: Vec<u16>,
    test: &'a str,
}

/// The rows of all tables whose first cell is a number or a range of numbers.
fn rows(page: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (index, line) in page.lines().enumerate() {
        let Some(inner) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            continue;
        };
        // A bar inside a cell is written `\|`.
        let cells: Vec<&str> = inner.split(" | ").collect();
        let (first, last) = (cells[0], cells[cells.len() - 1]);
        let range = first.split_once('–').unwrap_or((first, first));
        if let (Ok(from), Ok(to)) = (range.0.parse::<u16>(), range.1.parse::<u16>()) {
            rows.push(Row { line: index + 1, numbers: (from..=to).collect(), test: last });
        }
    }
    rows
}

/// The names in backticks in a cell.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The numbers in a test's name: what follows `attack_`, as long as it is three digits.
fn numbers_of(name: &str) -> BTreeSet<u16> {
    let Some((_, rest)) = name.split_once("attack_") else { return BTreeSet::new() };
    rest.split('_')
        .take_while(|part| part.len() == 3)
        .map_while(|part| part.parse::<u16>().ok())
        .collect()
}

/// The names of all tests that carry a number, with where they are.
fn tests_in(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "node_modules" {
                tests_in(&path, found);
            }
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for line in text.lines() {
            let line = line.trim_start();
            // Rust, Python, and the shell-like names of Node's tests.
            let name = ["fn ", "async fn ", "def ", "async def ", "test('", "test(\""]
                .iter()
                .find_map(|start| line.strip_prefix(start));
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if let Some(name) = name.and_then(|rest| rest.split(|c| !is_word(c)).next())
                && !numbers_of(name).is_empty()
            {
                let twice = found.insert(name.to_owned(), path.display().to_string());
                assert!(twice.is_none(), "{name} is in {twice:?} and in {}", path.display());
            }
        }
    }
}

#[test]
fn every_row_names_a_test_that_carries_its_number() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut tests = BTreeMap::new();
    tests_in(&root.join("tests"), &mut tests);
    tests_in(&root.join("src"), &mut tests);
    let (mut complaints, mut seen, mut named) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for row in rows(&page) {
        for &number in &row.numbers {
            if !seen.insert(number) {
                complaints.push(format!("line {}: {number} has a row already", row.line));
            }
        }
        let is_range = row.numbers.len() > 1;
        if is_range || row.test.starts_with("out of scope: ") {
            continue;
        }
        let mut carried = false;
        for name in names(row.test) {
            carried |= numbers_of(name).contains(&row.numbers[0]);
            if tests.contains_key(name) {
                named.insert(name.to_owned());
            } else {
                complaints.push(format!("line {}: there is no test `{name}`", row.line));
            }
        }
        if !carried {
            complaints.push(format!("line {}: no test carries the number", row.line));
        }
    }
    for (name, file) in &tests {
        if !named.contains(name) {
            complaints.push(format!("{file}: no row names `{name}`"));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    let all: BTreeSet<u16> = (1..=LAST).collect();
    assert_eq!(all.symmetric_difference(&seen).collect::<Vec<_>>(), Vec::<&u16>::new());
}
