//! A figure of ours and of the floor, repeat by repeat.

use super::line::{Line, Mark};

/// In the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    ours: Vec<f64>,
    floor: Vec<f64>,
}

impl Pairs {
    pub(crate) fn push(&mut self, ours: f64, floor: f64) {
        self.ours.push(ours);
        self.floor.push(floor);
    }

    /// How much larger these are than `others`, repeat by repeat.
    pub(crate) fn growth_from(&self, others: &Self) -> Self {
        let divide = |own: &[f64], other: &[f64]| {
            own.iter().zip(other).map(|(own, other)| own / other).collect()
        };
        Self { ours: divide(&self.ours, &others.ours), floor: divide(&self.floor, &others.floor) }
    }

    pub(crate) fn line(&self, name: &str, unit: &'static str, mark: Option<Mark>) -> Line {
        Line::against(name, unit, &self.ours, &self.floor, mark)
    }
}
