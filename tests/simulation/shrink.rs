//! Finds the shortest history that still fails as a long one did.
//!
//! Steps, hazards and clients depend on each other as little as their plan could make them, so any of them can
//! be left out. What is behind the failing step is cut off, as it never happened; then halves of what there is
//! are left out, then quarters, and so on down to one at a time: "delta debugging" (Zeller and
//! Hildebrandt, IEEE TSE 28(2), 2002).

use std::ops::Range;

use crate::history::{Failure, History, bits};

/// What may be left out of a history beside its steps, by the bits of each.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Ballast {
    pub(crate) hazards: u32,
    pub(crate) clients: u32,
}

/// The shortest history that was found.
#[derive(Debug)]
pub(crate) struct Shrunk {
    pub(crate) history: History,
    /// How it fails.
    pub(crate) failure: Failure,
    /// Histories that were tried.
    pub(crate) runs: u32,
}

/// Leaves out of `history`, which fails with `failure`, whatever it can in at most `runs_max` runs. `fails` plays
/// a history, and says how it fails if it is the failure that is looked for.
pub(crate) fn shrink(
    history: History,
    failure: Failure,
    ballast: Ballast,
    runs_max: u32,
    fails: impl FnMut(&History) -> Option<Failure>,
) -> Shrunk {
    let mut shrinking = Shrinking { best: history, failure, ballast, runs: 0, runs_max, fails };
    shrinking.cut();
    for part in Part::ALL {
        let count = shrinking.items(part).len();
        shrinking.reduce(part, count);
    }
    // What could not be left out before may be by now.
    while Part::ALL.into_iter().any(|part| shrinking.reduce(part, 1)) {}
    Shrunk { history: shrinking.best, failure: shrinking.failure, runs: shrinking.runs }
}

/// What there is to leave out.
#[derive(Copy, Clone)]
enum Part {
    Hazards,
    Clients,
    Steps,
}

impl Part {
    /// The fewest first: without a hazard all steps of it are gone.
    const ALL: [Self; 3] = [Self::Hazards, Self::Clients, Self::Steps];
}

struct Shrinking<F> {
    /// The shortest so far, and how it fails.
    best: History,
    failure: Failure,
    ballast: Ballast,
    runs: u32,
    runs_max: u32,
    fails: F,
}

impl<F: FnMut(&History) -> Option<Failure>> Shrinking<F> {
    /// What is still in, by number.
    fn items(&self, part: Part) -> Vec<u32> {
        match part {
            Part::Hazards => bits(self.ballast.hazards & !self.best.spared).collect(),
            Part::Clients => bits(self.ballast.clients & !self.best.dismissed).collect(),
            Part::Steps => self.best.steps.clone(),
        }
    }

    fn without(&self, part: Part, items: &[u32], out: Range<usize>) -> History {
        let mut history = self.best.clone();
        let mask = |items: &[u32]| items.iter().fold(0, |mask, bit| mask | 1 << bit);
        match part {
            Part::Hazards => history.spared |= mask(&items[out]),
            Part::Clients => history.dismissed |= mask(&items[out]),
            Part::Steps => drop(history.steps.drain(out)),
        }
        history
    }

    /// Leaves out `count` at a time, then half as many, down to one. Whether anything could be left out.
    fn reduce(&mut self, part: Part, mut count: usize) -> bool {
        let mut has_removed = false;
        while count > 0 {
            let mut begin = 0;
            loop {
                let items = self.items(part);
                if begin >= items.len() {
                    break;
                }
                let end = items.len().min(begin + count);
                if self.runs == self.runs_max {
                    return false;
                }
                let shorter = self.without(part, &items, begin..end);
                if self.fails_too(shorter) {
                    has_removed = true;
                } else {
                    begin = end;
                }
            }
            count /= 2;
        }
        has_removed
    }

    fn fails_too(&mut self, shorter: History) -> bool {
        self.runs += 1;
        let Some(failure) = (self.fails)(&shorter) else { return false };
        (self.best, self.failure) = (shorter, failure);
        self.cut();
        true
    }

    /// The steps behind the one that failed were never reached.
    fn cut(&mut self) {
        if let Some(last) = self.failure.step {
            self.best.steps.retain(|&step| step <= last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complaint::Complaint;

    fn failure(step: Option<u32>) -> Failure {
        Failure { complaint: Complaint::default(), step }
    }

    /// Fails as soon as all these steps were carried out, with these hazards and clients.
    fn needs(steps: &[u32], hazards: u32, clients: u32) -> impl Fn(&History) -> Option<Failure> {
        move |history| {
            let has_all = steps.iter().all(|step| history.steps.contains(step));
            let is_complete =
                has_all && (history.spared & hazards) | (history.dismissed & clients) == 0;
            is_complete.then(|| failure(steps.iter().max().copied()))
        }
    }

    const BALLAST: Ballast = Ballast { hazards: 0b1_1111, clients: 0b111_1111 };

    fn shrink_whole(steps: u32, fails: impl Fn(&History) -> Option<Failure>) -> Shrunk {
        let whole = History::whole(7, steps);
        let failure = fails(&whole).expect("the whole fails");
        shrink(whole, failure, BALLAST, 600, fails)
    }

    #[test]
    fn what_is_left_is_what_it_takes() {
        let shrunk = shrink_whole(3_000, needs(&[5, 1_000, 1_001, 2_400], 0b1_0010, 0b100));
        assert_eq!(shrunk.history.steps, [5, 1_000, 1_001, 2_400]);
        assert_eq!(shrunk.history.spared, 0b1101);
        assert_eq!(shrunk.history.dismissed, 0b111_1011);
        assert_eq!(shrunk.failure.step, Some(2_400));
        assert!(shrunk.runs < 250, "{} runs", shrunk.runs);
    }

    #[test]
    fn nothing_may_be_left_at_all() {
        let shrunk = shrink_whole(3_000, |_: &History| Some(failure(None)));
        assert_eq!(shrunk.history, History { spared: 31, dismissed: 127, ..History::whole(7, 0) });
        assert_eq!(shrunk.runs, 3, "all hazards, all clients and all steps at once");
    }

    #[test]
    fn steps_behind_the_failure_are_cut_off_without_a_run() {
        let fails =
            |history: &History| (history.steps.len() > 4).then(|| failure(Some(history.steps[4])));
        let whole = History::whole(7, 3_000);
        let shrunk = shrink(whole, failure(Some(4)), Ballast::default(), 0, fails);
        assert_eq!((shrunk.history.steps.len(), shrunk.runs), (5, 0));
    }

    #[test]
    fn what_is_possible_only_later_is_tried_again() {
        // The hazard is needed for as long as there are many steps.
        let fails = |history: &History| {
            let has_hazard = history.spared & 1 == 0;
            let has_step = history.steps.contains(&40);
            (has_step && (has_hazard || history.steps.len() < 3)).then(|| failure(None))
        };
        let shrunk = shrink_whole(100, fails);
        assert_eq!(shrunk.history.steps, [40]);
        assert_eq!(shrunk.history.spared, BALLAST.hazards);
    }

    #[test]
    fn it_ends_after_so_many_runs() {
        let every_other: Vec<u32> = (0..3_000).step_by(2).collect();
        let fails = needs(&every_other, 0, 0);
        let mut runs = 0;
        let whole = History::whole(7, 3_000);
        let shrunk = shrink(whole, failure(None), BALLAST, 600, |history| {
            runs += 1;
            fails(history)
        });
        assert_eq!((shrunk.runs, runs), (600, 600));
        assert!(fails(&shrunk.history).is_some(), "what is returned fails");
    }
}
