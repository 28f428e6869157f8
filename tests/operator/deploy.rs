//! The dashboard and the alert rules ask for nothing that there is not.

use std::collections::BTreeSet;

use crate::support::*;

const DASHBOARD: &str = include_str!("../../docs/deploy/grafana.json");
const ALERTS: &str = include_str!("../../docs/deploy/alerts.yml");

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words =
        text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    words.filter(|word| word.starts_with("tidings_") || word.starts_with("process_")).collect()
}

/// The names of a server's samples, those about Redis among them (which need not be there).
fn served() -> BTreeSet<String> {
    let text = Server::start(&["--redis", "redis://127.0.0.1:1"]).get("/metrics").text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn the_dashboard_is_json_and_every_metric_in_it_is_served() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
    let (named, served) = (named(DASHBOARD), served());
    assert!(named.len() > 30, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !served.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_metric_in_the_alert_rules_is_served() {
    let (named, served) = (named(ALERTS), served());
    assert!(named.len() > 8, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !served.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_metric_that_is_served_is_in_the_operators_handbook() {
    let handbook = include_str!("../../docs/operating.md");
    let described = named(handbook);
    let is_described = |name: &String| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        described.contains(name.as_str()) || base.is_some_and(|base| described.contains(base))
    };
    let missing: Vec<_> = served().into_iter().filter(|name| !is_described(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
