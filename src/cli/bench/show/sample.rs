//! Made-up findings, as a run would have them.

use super::super::findings::{Axis, Figure, Findings, Plot, Scale, Series, Table};

fn texts(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|&cell| cell.to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn series(name: &str, points: impl Iterator<Item = (f64, f64)>) -> Series {
    Series { name: name.to_owned(), points: points.collect() }
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis { label: label.to_owned(), scale }
}

fn figure(name: &'static str, of: &str, value: f64) -> Figure {
    Figure { name, of: of.to_owned(), value }
}

const WIRES: [&str; 4] = ["sse", "ndjson", "websocket", "long-poll"];

/// Four wires, every kind of axis, a remark, and text that has to be escaped.
pub(super) fn fanout() -> Findings {
    let latency = |(wire, name): (usize, &&str)| {
        let point = |step: i32| {
            let nines = f64::from(step) / 20.0;
            let percentile = if step == 85 { 100.0 } else { 100.0 * (1.0 - 10f64.powf(-nines)) };
            (percentile, 310.0 * (1.0 + wire as f64 * 0.35) * (0.75 * nines).exp())
        };
        series(name, (0..=85).map(point))
    };
    let deliveries = |(wire, name): (usize, &&str)| {
        let point = |step: u32| {
            let wave = f64::from(step * 7919 % 97) / 97.0;
            (f64::from(step) / 10.0, 1.9e5 - 3e4 * wire as f64 + 1.5e4 * wave)
        };
        series(name, (0..100).map(point))
    };
    Findings {
        scenario: "fanout",
        summary: "10,000 subscribers on four wires hear each message of one topic; one message is \
                  outstanding at a time."
            .to_owned(),
        conditions: pairs(&[
            ("server", "tidings 0.1.0 (process 4711, 1 worker)"),
            ("subscribe", "http://127.0.0.1:8080/topics?topic=<news>&x=1"),
            ("machine", "2 cores, AMD EPYC 7B13, Linux 6.1.0, 8 GB"),
            ("subscribers", "10,000 (2,500 sse, 2,500 ndjson, 2,500 websocket, 2,500 long-poll)"),
            ("message", "200 bytes, 20 a second for 10 s after 2 s of warming up"),
        ]),
        figures: vec![
            figure("cpu_us_per_delivery", "sse", 1.42),
            figure("cpu_us_per_delivery", "websocket", 1.39),
            figure("deliveries", "", 2_000_000.0),
            figure("missed", "", 0.0),
        ],
        tables: vec![
            Table {
                title: "Publish to each subscriber".to_owned(),
                columns: texts(&[
                    "wire",
                    "deliveries",
                    "deliveries a second",
                    "server CPU µs a delivery",
                    "p50 µs",
                    "p90 µs",
                    "p99 µs",
                    "p99.9 µs",
                    "max µs",
                    "missed",
                ]),
                rows: WIRES
                    .iter()
                    .map(|wire| {
                        let numbers = "500,000 175,322 1.42 8,120 14,310 16,402 19,877 24,101 0";
                        let cells: Vec<&str> = numbers.split(' ').collect();
                        texts(&[&[*wire], &cells[..]].concat())
                    })
                    .collect(),
            },
            Table {
                title: "Publish to the last subscriber".to_owned(),
                columns: texts(&["wire", "p50 µs", "p99 µs", "max µs"]),
                rows: vec![texts(&["all", "15,900", "19,100", "24,101"])],
            },
        ],
        plots: vec![
            Plot {
                title: "Latency, publish to each subscriber".to_owned(),
                x: axis("percentile", Scale::Percentile),
                y: axis("microseconds", Scale::Logarithmic),
                series: WIRES.iter().enumerate().map(latency).collect(),
            },
            Plot {
                title: "Deliveries over time".to_owned(),
                x: axis("seconds", Scale::Linear),
                y: axis("deliveries per second", Scale::Linear),
                series: WIRES.iter().enumerate().map(deliveries).collect(),
            },
        ],
        remarks: texts(&[
            "The generator was up to 12 ms late with publishing; what it was late by is part of the \
             latencies, as it would be for users.",
            "3 of 10,000 connections failed: connection refused by 127.0.0.1:8080. Raise `ulimit -n`.",
        ]),
        ..Findings::default()
    }
}

/// One line with few points.
pub(super) fn idle() -> Findings {
    let counts = [1000.0, 5000.0, 10_000.0, 15_000.0, 19_000.0];
    let lines = WIRES.iter().enumerate().map(|(wire, name)| {
        series(
            name,
            counts.iter().map(|&count| (count, 2.1 + count * (250.0 + 40.0 * wire as f64) / 1e6)),
        )
    });
    Findings {
        scenario: "idle",
        summary: "19,000 connections that wait for a message that does not come.".to_owned(),
        conditions: pairs(&[("server", "http://127.0.0.1:8080")]),
        figures: vec![figure("bytes_per_connection", "sse", 251.0)],
        tables: vec![Table {
            title: "Idle connections".to_owned(),
            columns: texts(&["", "bytes each", "CPU at rest, % of a core"]),
            rows: WIRES.iter().map(|wire| texts(&[*wire, "251", "0.29"])).collect(),
        }],
        plots: vec![Plot {
            title: "Memory of the server".to_owned(),
            x: axis("connections", Scale::Linear),
            y: axis("resident megabytes", Scale::Linear),
            series: lines.collect(),
        }],
        ..Findings::default()
    }
}
