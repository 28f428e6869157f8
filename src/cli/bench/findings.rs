//! What a scenario found: figures, tables and plots, as plain values for whoever shows them.

use std::path::PathBuf;

use serde::Serialize;

/// All that one run of a scenario found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    /// The scenario's name on the command line.
    pub scenario: &'static str,
    /// What was measured, in a sentence.
    pub summary: String,
    /// What it was measured under: the server, the machine, subscribers, sizes, rates.
    pub conditions: Vec<(String, String)>,
    /// Every figure, for programs and for ratios.
    pub figures: Vec<Figure>,
    /// The figures as people want to read them.
    pub tables: Vec<Table>,
    /// What is better looked at than read.
    pub plots: Vec<Plot>,
    /// What a reader has to know before he trusts the figures: failed connections, a generator that was
    /// too slow, messages that were missed.
    pub remarks: Vec<String>,
    /// What went wrong in the end: these are the findings until then.
    #[serde(skip)]
    pub failure: Option<String>,
    /// A file to be written beside them, and what is in it.
    #[serde(skip)]
    pub page: Option<(PathBuf, String)>,
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Stable, lower case, the unit last: `cpu_us_per_delivery`.
    pub name: &'static str,
    /// What it is a figure of, where there are several: a wire, a way of publishing. May be empty.
    pub of: String,
    /// The number, finite.
    pub value: f64,
}

/// Rows under columns; the first column names the row, the others are numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// A heading; may be empty.
    pub title: String,
    /// The columns' headings, with units.
    pub columns: Vec<String>,
    /// Cells, as many in each row as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// Lines over two axes.
#[derive(Clone, Debug, Serialize)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
}

/// One axis of a plot.
#[derive(Clone, Debug, Serialize)]
pub struct Axis {
    /// What it says, with the unit.
    pub label: String,
    /// How values lie along it.
    pub scale: Scale,
}

/// How values lie along an axis.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// In proportion.
    Linear,
    /// By their logarithm; values are above 0.
    Logarithmic,
    /// Percentiles in 0..100, the nines evenly spaced: 0, 90, 99, 99.9 …
    Percentile,
}

/// One line of a plot.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// Its points, by rising x.
    pub points: Vec<(f64, f64)>,
}
