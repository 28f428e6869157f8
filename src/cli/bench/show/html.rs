//! Findings as one page that needs nothing but itself: no request to anywhere, no script.

use super::super::findings::{Findings, Table};
use super::{figures_as_table, plot, printable};

const STYLE: &str = include_str!("page.css");

/// The page about all of `findings`, `written` at such a time.
pub(super) fn page(findings: &[Findings], written: &str) -> String {
    let names: Vec<&str> = findings.iter().map(|one| one.scenario).collect();
    // The policy holds the page to its promise, even if text were not escaped somewhere.
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>tidings bench: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>tidings bench</h1>\n",
        escaped(&names.join(", ")),
    );
    if findings.len() > 1 {
        out.push_str("<nav aria-label=\"Scenarios\"><ul>\n");
        for (index, name) in names.iter().enumerate() {
            out.push_str(&format!("<li><a href=\"#s{index}\">{}</a></li>\n", escaped(name)));
        }
        out.push_str("</ul></nav>\n");
    }
    out.push_str("</header>\n<main>\n");
    for (index, one) in findings.iter().enumerate() {
        push_section(&mut out, one, index);
    }
    let version = env!("CARGO_PKG_VERSION");
    let written = escaped(written);
    out.push_str(&format!(
        "</main>\n<footer>Written by tidings {version}, {written}.</footer>\n</body>\n</html>\n"
    ));
    out
}

fn push_section(out: &mut String, findings: &Findings, index: usize) {
    out.push_str(&format!(
        "<section id=\"s{index}\" aria-labelledby=\"s{index}-name\">\n\
         <h2 id=\"s{index}-name\">{}</h2>\n<p>{}</p>\n",
        escaped(findings.scenario),
        escaped(&findings.summary),
    ));
    if !findings.remarks.is_empty() {
        out.push_str("<aside class=\"remarks\" role=\"note\">\n<h3>Remarks</h3>\n<ul>\n");
        for remark in &findings.remarks {
            out.push_str(&format!("<li>{}</li>\n", escaped(remark)));
        }
        out.push_str("</ul>\n</aside>\n");
    }
    if !findings.conditions.is_empty() {
        out.push_str("<h3>Conditions</h3>\n<dl>\n");
        for (name, value) in &findings.conditions {
            let (name, value) = (escaped(name), escaped(value));
            out.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
        }
        out.push_str("</dl>\n");
    }
    for table in findings.tables.iter().filter(|table| !table.columns.is_empty()) {
        push_table(out, table, 1);
    }
    if !findings.plots.is_empty() {
        out.push_str("<div class=\"plots\">\n");
        for (number, one) in findings.plots.iter().enumerate() {
            out.push_str(&plot::figure(one, &format!("s{index}-p{number}")));
        }
        out.push_str("</div>\n");
    }
    if !findings.figures.is_empty() {
        let open = if findings.tables.is_empty() { " open" } else { "" };
        out.push_str(&format!("<details{open}>\n<summary>All figures, by name</summary>\n"));
        push_table(out, &figures_as_table(findings), 2);
        out.push_str("</details>\n");
    }
    out.push_str("</section>\n");
}

/// A table whose first `texts` columns are no numbers. It scrolls by itself where it is too wide, also
/// by keyboard.
fn push_table(out: &mut String, table: &Table, texts: usize) {
    let title = escaped(&table.title);
    let label = if title.is_empty() { "Figures" } else { &title };
    out.push_str(&format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{label}\">\n<table>\n"
    ));
    if !title.is_empty() {
        out.push_str(&format!("<caption>{title}</caption>\n"));
    }
    let class = |index: usize| if index < texts { " class=\"text\"" } else { "" };
    out.push_str("<thead><tr>");
    for (index, heading) in table.columns.iter().enumerate() {
        let heading = kept_together(&escaped(heading));
        out.push_str(&match heading.is_empty() {
            true => format!("<td{}></td>", class(index)),
            false => format!("<th scope=\"col\"{}>{heading}</th>", class(index)),
        });
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let cell = escaped(cell);
            out.push_str(&match index {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                _ => format!("<td{}>{cell}</td>", class(index)),
            });
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

/// A heading in which a unit is not parted from its number's name: `p50 µs`.
fn kept_together(heading: &str) -> String {
    let mut out = String::new();
    for word in heading.split(' ') {
        if !out.is_empty() {
            out.push(if word.chars().count() <= 2 { '\u{a0}' } else { ' ' });
        }
        out.push_str(word);
    }
    out
}

/// `text` for between tags and within quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for one in printable(text).chars() {
        match one {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(one),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// What stands between `before` and `after`, wherever they occur.
    fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
        let rest = text.split(before).skip(1);
        rest.filter_map(|part| part.split_once(after).map(|(inside, _)| inside)).collect()
    }

    #[test]
    fn text_is_escaped_wherever_it_stands() {
        let hostile = "<script>\"&'\u{0}";
        let mut findings = sample::fanout();
        findings.scenario = hostile;
        findings.summary = hostile.to_owned();
        findings.conditions = vec![(hostile.to_owned(), hostile.to_owned())];
        findings.figures[0].of = hostile.to_owned();
        findings.remarks = vec![hostile.to_owned()];
        for table in &mut findings.tables {
            table.title = hostile.to_owned();
            table.columns.fill(hostile.to_owned());
            table.rows.iter_mut().for_each(|row| row.fill(hostile.to_owned()));
        }
        for plot in &mut findings.plots {
            plot.title = hostile.to_owned();
            plot.x.label = hostile.to_owned();
            plot.y.label = hostile.to_owned();
            plot.series.iter_mut().for_each(|series| series.name = hostile.to_owned());
        }
        let page = page(&[findings], hostile);
        assert!(page.matches("&lt;script&gt;&quot;&amp;&#39;\u{fffd}").count() > 20, "{page}");
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains('\0'), "{page}");
    }

    #[test]
    fn the_page_asks_for_nothing() {
        let page = page(&[sample::fanout(), sample::idle()], "now");
        let mut without_conditions = page.clone();
        for text in between(&page, "<dd>", "</dd>") {
            without_conditions = without_conditions.replace(text, "");
        }
        for outside in ["http:", "https:", "src=", "@import", "url(", "<script", "<link"] {
            assert!(!without_conditions.contains(outside), "{outside}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn every_id_is_given_once_and_what_is_referred_to_is_there() {
        let page = page(&[sample::fanout(), sample::idle(), sample::fanout()], "now");
        let ids = between(&page, " id=\"", "\"");
        let once: std::collections::HashSet<&str> = ids.iter().copied().collect();
        assert_eq!(once.len(), ids.len());
        let mut wanted: Vec<&str> = between(&page, "href=\"#", "\"");
        assert_eq!(wanted.len(), 3);
        for many in between(&page, "aria-labelledby=\"", "\"") {
            wanted.extend(many.split(' '));
        }
        assert!(wanted.iter().all(|id| once.contains(id)), "{wanted:?} of {ids:?}");
    }

    #[test]
    fn a_table_names_its_rows_and_columns() {
        let mut out = String::new();
        let table = Table {
            title: "Latency".to_owned(),
            columns: vec![String::new(), "p50 µs".to_owned()],
            rows: vec![vec!["sse".to_owned(), "7".to_owned()]],
        };
        push_table(&mut out, &table, 1);
        assert!(out.contains("<caption>Latency</caption>"), "{out}");
        assert!(
            out.contains("<td class=\"text\"></td><th scope=\"col\">p50\u{a0}µs</th>"),
            "{out}"
        );
        assert!(out.contains("<tr><th scope=\"row\">sse</th><td>7</td></tr>"), "{out}");
    }

    #[test]
    fn conditions_and_remarks_are_on_the_page() {
        let page = page(&[sample::fanout()], "now");
        assert!(
            page.contains("<dt>machine</dt><dd>2 cores, AMD EPYC 7B13, Linux 6.1.0, 8 GB</dd>")
        );
        assert!(page.contains("<li>3 of 10,000 connections failed: "));
    }

    #[test]
    fn a_page_about_nothing_is_a_page() {
        let empty = Findings { scenario: "idle", ..Findings::default() };
        let page = page(&[empty], "now");
        for nothing in ["<dl>", "<table>", "<figure>", "<details", "Remarks"] {
            assert!(!page.contains(nothing), "{nothing}");
        }
        assert!(page.contains("<h2 id=\"s0-name\">idle</h2>"), "{page}");
    }
}
