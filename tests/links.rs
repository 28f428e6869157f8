//! What one page says of another is true: every link inside the project leads to a file, and to a heading of it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no page of ours.
const FOREIGN: [&str; 6] = ["target", ".git", ".tools", "node_modules", "corpus", "artifacts"];

/// Every file below `folder` with that ending, in order.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && !FOREIGN.iter().any(|name| entry.file_name() == *name) {
            files(&path, ending, found);
        } else if kind.is_file() && path.extension().is_some_and(|own| own == ending) {
            found.push(path);
        }
    }
}

/// The lines of a page that are text, numbered from 1: without those between fences.
fn text_lines(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    page.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
}

/// `line` without what stands between backticks, which no reader follows.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The anchors that a page's headings have on the usual sites: letters, digits, `_` and `-` in lower case, blanks as
/// `-`, and a number behind what was there already.
fn anchors(page: &str) -> BTreeSet<String> {
    let (mut all, mut seen) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    let headings = text_lines(page).filter_map(|(_, line)| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len() && heading.starts_with(' ')).then_some(heading.trim())
    });
    for heading in headings {
        let kept = heading.chars().filter(|&one| one.is_alphanumeric() || " _-".contains(one));
        let slug = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let times = seen.entry(slug.clone()).or_default();
        all.insert(if *times == 0 { slug } else { format!("{slug}-{times}") });
        *times += 1;
    }
    all
}

/// The targets of the links of a page, with the line that each stands in.
fn links(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text_lines(page) {
        let line = without_code(line);
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                let target = target.split(' ').next().unwrap_or_default();
                found.push((number, target.trim_matches(['<', '>']).to_owned()));
            }
        }
    }
    found
}

/// What is wrong with a link that stands in `page`, if something is. `read` gives the text of a page.
fn complaint(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { page.to_owned() } else { page.parent()?.join(path) };
    if !file.exists() {
        return Some(format!("there is no {path}"));
    }
    if anchor.is_empty() || anchors(&fs::read_to_string(&file).ok()?).contains(anchor) {
        return None;
    }
    Some(format!("{} has no heading #{anchor}", file.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let (root, mut pages) = (Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    files(root, "md", &mut pages);
    assert!(pages.len() > 10, "the pages were not found");
    let mut wrong = Vec::new();
    for page in &pages {
        for (line, target) in links(&fs::read_to_string(page).unwrap()) {
            if let Some(complaint) = complaint(page, &target) {
                let page = page.strip_prefix(root).unwrap().display();
                wrong.push(format!("{page}:{line}: ({target}): {complaint}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sources and tests cite pages by their path from the root: `docs/protocol.md 5.3`.
#[test]
fn every_page_that_the_sources_cite_is_there() {
    let (root, mut sources) = (Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    for folder in ["src", "tests", "benches", "fuzz"] {
        for ending in ["rs", "py", "mjs", "js", "html"] {
            files(&root.join(folder), ending, &mut sources);
        }
    }
    let (mut cited, mut wrong) = (0, Vec::new());
    for source in &sources {
        let text = fs::read_to_string(source).unwrap();
        for (index, _) in text.match_indices("docs/") {
            let path: String = text[index..]
                .chars()
                .take_while(|&one| one.is_ascii_alphanumeric() || "/._-".contains(one))
                .collect();
            if let Some(end) = path.find(".md") {
                cited += 1;
                if !root.join(&path[..end + 3]).exists() {
                    wrong.push(format!("{}: {path}", source.display()));
                }
            }
        }
    }
    assert!(cited > 50, "the citations were not found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn anchors_are_those_of_headings_outside_of_code() {
    let page =
        "# One\n## Two, and `three`!\n```sh\n# no heading\n```\n## One\n#hashtag\n### é_-x\n";
    let expected = ["one", "two-and-three", "one-1", "é_-x"].map(str::to_owned);
    assert_eq!(anchors(page), BTreeSet::from(expected));
}

#[test]
fn links_are_found_where_a_reader_would_follow_them() {
    let page = "[a](b.md) and [c](#d), `[no](link)`\n```\n[no](code)\n```\n![p](q.png \"title\")\n";
    let expected = [(1, "b.md"), (1, "#d"), (5, "q.png")].map(|(line, to)| (line, to.to_owned()));
    assert_eq!(links(page), expected);
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    for good in ["../README.md", "#1-topics", "design.md", "https://example.org/#x"] {
        assert_eq!(complaint(&page, good), None, "{good}");
    }
    for bad in ["nothing.md", "#nothing", "design.md#nothing", "../src/nothing.rs"] {
        assert!(complaint(&page, bad).is_some(), "{bad}");
    }
}
