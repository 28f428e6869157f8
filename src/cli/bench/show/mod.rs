//! Findings as people and programs want them: a table, JSON, a page with plots; and how far a run is.
//!
//! Everything is rendered to a string first, by functions that know no file and no terminal.

mod axis;
mod html;
mod plot;
mod progress;
#[cfg(test)]
mod sample;
mod table;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use super::findings::Findings;

pub(crate) use progress::Progress;

/// What the shape of the JSON is called; another number when a program that reads it has to change.
const SCHEMA: u32 = 1;

/// How findings are written to standard output.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Plain text in aligned columns, within 100 of them.
    Text,
    /// The same as Markdown.
    Markdown,
    /// One JSON object on a line of its own.
    Json,
}

/// Writes `findings` to standard output; fails when that cannot be written to.
pub(crate) fn print(findings: &Findings, form: Form) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(render(findings, form)?.as_bytes())?;
    out.flush()
}

/// Writes one page about all of `findings` to `path`, over what was there; fails with a sentence that
/// says what to do.
pub(crate) fn write_report(path: &Path, findings: &[Findings]) -> Result<(), String> {
    let written = httpdate::fmt_http_date(SystemTime::now());
    fs::write(path, html::page(findings, &written)).map_err(|error| {
        let path = path.display();
        format!("cannot write the report to {path}: {error}; name a file that can be with --report")
    })
}

fn render(findings: &Findings, form: Form) -> io::Result<String> {
    Ok(match form {
        Form::Text => table::text(findings),
        Form::Markdown => table::markdown(findings),
        Form::Json => json(findings)? + "\n",
    })
}

fn json(findings: &Findings) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema: u32,
        #[serde(flatten)]
        findings: &'a Findings,
    }
    serde_json::to_string(&Document { schema: SCHEMA, findings })
}

/// A number as people read it: thousands apart, three digits where it is small.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let decimals = match size {
        _ if size >= 100.0 || size == 0.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ if size >= 0.001 => 3,
        _ => return format!("{value:.1e}"),
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut spaced = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            spaced.push(',');
        }
        spaced.push(digit);
    }
    if !fraction.is_empty() {
        spaced.push('.');
        spaced.push_str(fraction);
    }
    spaced
}

/// `text` without characters that would steer a terminal or are no part of a page.
fn printable(text: &str) -> String {
    let show = |one: char| if one.is_control() { '\u{fffd}' } else { one };
    text.chars().map(|one| if one == '\n' || one == '\t' { ' ' } else { show(one) }).collect()
}

/// Every figure as a table, for whoever wants them all.
fn figures_as_table(findings: &Findings) -> super::findings::Table {
    let row = |figure: &super::findings::Figure| {
        vec![figure.name.to_owned(), figure.of.clone(), number(figure.value)]
    };
    super::findings::Table {
        title: String::new(),
        columns: ["figure", "of", "value"].map(str::to_owned).to_vec(),
        rows: findings.figures.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_line_with_the_stable_names() {
        let text = render(&sample::fanout(), Form::Json).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.ends_with("}\n"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["scenario"], "fanout");
        assert_eq!(value["figures"][0]["name"], "cpu_us_per_delivery");
        assert_eq!(value["figures"][0]["of"], "sse");
        assert_eq!(value["figures"][0]["value"], 1.42);
        assert_eq!(value["plots"][0]["x"]["scale"], "percentile");
        assert_eq!(value["plots"][0]["series"][0]["name"], "sse");
        assert_eq!(value["conditions"][0][0], "server");
        assert_eq!(value["tables"][0]["columns"][0], "wire");
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for (value, text) in [
            (0.0, "0"),
            (1_234_567.8, "1,234,568"),
            (-1_000.0, "-1,000"),
            (999.0, "999"),
            (12.34, "12.3"),
            (1.5, "1.5"),
            (0.25, "0.25"),
            (0.000_012, "1.2e-5"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_report_that_cannot_be_written_says_where_and_what_to_do() {
        let nowhere = Path::new("/nowhere-at-all/report.html");
        let why = write_report(nowhere, &[]).unwrap_err();
        assert!(why.contains("/nowhere-at-all/report.html"), "{why}");
        assert!(why.contains("--report"), "{why}");
    }

    #[test]
    fn a_report_replaces_the_one_that_was_there() {
        let path = std::env::temp_dir().join(format!("tidings-report-{}.html", std::process::id()));
        fs::write(&path, "old".repeat(100_000)).unwrap();
        write_report(&path, &[sample::fanout()]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(text.starts_with("<!doctype html>"));
        assert!(text.ends_with("</html>\n"));
    }
}
