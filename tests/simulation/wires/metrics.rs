//! The numbers of `/metrics`: the Prometheus text exposition format, version 0.0.4.

use std::collections::BTreeMap;

/// A number, by its name and labels as they are written.
pub(crate) type Samples = BTreeMap<String, u64>;

/// Reads a scrape: its counters, and everything else.
pub(crate) fn metrics(body: &[u8]) -> (Samples, Samples) {
    let text = std::str::from_utf8(body).expect("metrics are UTF-8");
    assert!(text.ends_with('\n'), "the last line is ended too");
    let (mut counters, mut gauges) = (Samples::new(), Samples::new());
    let (mut helped, mut family, mut kinds) = (None, None, BTreeMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split_once(' ').map(|(name, _)| name);
            assert!(helped.is_some_and(is_name), "help without a name or a text: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            assert_eq!(helped, Some(name), "a type without its help: {line}");
            assert!(kinds.insert(name, kind).is_none(), "a family in two places: {line}");
            family = Some((name, kind));
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a name and a number");
            let name = sample.split('{').next().unwrap_or_default();
            let labels = &sample[name.len()..];
            let value = number(value).unwrap_or_else(|| panic!("not a number: {line}"));
            assert!(labels.is_empty() || is_label(labels), "a label that is none: {line}");
            let samples = match family {
                Some((family, "counter")) if family == name => &mut counters,
                Some((family, "gauge")) if family == name => &mut gauges,
                Some((family, "histogram")) if is_of_histogram(name, family) => &mut counters,
                _ => panic!("a number outside its family {family:?}: {line}"),
            };
            assert!(samples.insert(sample.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    (counters, gauges)
}

/// A whole number, or one with six decimals, which is taken in millionths.
fn number(text: &str) -> Option<u64> {
    match text.split_once('.') {
        None => text.parse().ok(),
        Some((whole, decimals)) if decimals.len() == 6 => format!("{whole}{decimals}").parse().ok(),
        Some(_) => None,
    }
}

fn is_of_histogram(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| matches!(rest, "_bucket" | "_sum" | "_count"))
}

fn is_name(name: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    !name.is_empty() && name.bytes().all(is_fit) && !name.as_bytes()[0].is_ascii_digit()
}

/// `{name="value"}`, without escapes.
fn is_label(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix("\"}"));
    let pair = inner.and_then(|inner| inner.split_once("=\""));
    pair.is_some_and(|(name, value)| is_name(name) && !value.contains(['"', '\\', '{', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wires::splits::panic_of;

    #[test]
    fn counters_are_kept_apart_from_gauges() {
        let text = "# HELP a_total As.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n\
                    a_total{x=\"2\"} 3\n# HELP b Bs.\n# TYPE b gauge\nb 0\n";
        let (counters, gauges) = metrics(text.as_bytes());
        assert_eq!(counters.into_values().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(gauges.get("b"), Some(&0));
    }

    #[test]
    fn what_prometheus_would_not_take_is_a_panic() {
        let head = "# HELP a As.\n# TYPE a gauge\n";
        for (text, wanted) in [
            ("a 1\n".to_owned(), "outside"),
            ("# TYPE a gauge\na 1\n".to_owned(), "without its help"),
            (format!("{head}a 1"), "ended too"),
            (format!("{head}a one\n"), "not a number"),
            (format!("{head}a 1.5\n"), "not a number"),
            (format!("{head}b 1\n"), "outside"),
            (format!("{head}a 1\na 2\n"), "twice"),
            (format!("{head}a 1\n{head}"), "two places"),
            (format!("{head}a{{x=1}} 1\n"), "a label"),
        ] {
            let complaint = panic_of(|| drop(metrics(text.as_bytes())));
            assert!(complaint.contains(wanted), "{text}: {complaint}");
        }
    }
}
