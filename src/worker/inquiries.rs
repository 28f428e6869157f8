//! Letters between workers, and the questions that all of them are asked for an operator who is connected to
//! this one: which are under way, and what was answered.

use std::collections::VecDeque;
use std::sync::Arc;

use super::survey::{Report, Reported};
use crate::connection::{ConnectionName, ConnectionsWanted, Explaining, Inquiry, TopicsWanted};
use crate::hub;
use crate::key::ConnectionKey;
use crate::limits::LISTINGS_MAX;
use crate::topic::TopicName;

/// What one worker sends another.
#[derive(Debug)]
pub enum Letter {
    /// About topics.
    Hub(hub::Mail),
    /// Answer this question of the sender's.
    Asked {
        /// Its number there.
        number: u32,
        /// The question.
        question: Arc<Question>,
    },
    /// The answer.
    Told {
        /// The question's number in the receiver's world.
        number: u32,
        /// What there is to say.
        report: Box<Report>,
    },
}

/// What a worker is asked.
#[derive(Debug)]
pub enum Question {
    /// What it counts.
    Numbers,
    /// The names of the topics that come first.
    Names(TopicsWanted),
    /// What is known of these topics.
    Topics(Vec<TopicName>),
    /// The connections that come first.
    Connections(ConnectionsWanted),
    /// To end this connection of its own.
    End(ConnectionKey),
    /// How far those of its topics are that a request names.
    Explain(Explaining),
}

/// Questions that wait for answers.
#[derive(Debug)]
pub(super) struct Inquiries {
    workers: usize,
    own: usize,
    next_number: u32,
    under_way: Vec<UnderWay>,
    /// Who wants numbers and came when they were being gathered already: all of these share the next ones.
    numbers_next: Vec<ConnectionKey>,
    /// Whom to send what; this worker itself is among them.
    letters: VecDeque<(usize, u32, Arc<Question>)>,
    reports: VecDeque<(usize, Letter)>,
}

/// A question that was sent.
#[derive(Debug)]
pub(super) struct UnderWay {
    number: u32,
    /// Who wants to know. They may be gone by now.
    pub(super) askers: Vec<ConnectionKey>,
    pub(super) question: Arc<Question>,
    /// Of topics whose names were asked for first: what was wanted, and whether there are more.
    pub(super) listing: Option<(TopicsWanted, bool)>,
    /// Workers that have not answered.
    missing: Vec<usize>,
    /// The answers, with whose they are.
    pub(super) told: Vec<Reported>,
}

impl Inquiries {
    pub(super) fn new(workers: usize, own: usize) -> Self {
        Self {
            workers,
            own,
            next_number: 0,
            under_way: Vec::new(),
            numbers_next: Vec::new(),
            letters: VecDeque::new(),
            reports: VecDeque::new(),
        }
    }

    /// The number of the worker that asks.
    pub(super) const fn own(&self) -> usize {
        self.own
    }

    /// Asks the workers what a connection wants to know. False: too much is being asked already.
    pub(super) fn begin(&mut self, asker: ConnectionKey, inquiry: Inquiry) -> bool {
        let is_listing = |one: &&UnderWay| {
            matches!(
                *one.question,
                Question::Names(_)
                    | Question::Topics(_)
                    | Question::Connections(_)
                    | Question::Explain(_)
            )
        };
        let listings = self.under_way.iter().filter(is_listing).count();
        let question = match inquiry {
            Inquiry::Metrics => {
                self.numbers_next.push(asker);
                self.gather_numbers();
                return true;
            }
            Inquiry::End(ConnectionName { worker, key }) => {
                let known = (worker < self.workers).then_some(worker);
                self.ask(vec![asker], Question::End(key), None, known.into_iter().collect());
                return true;
            }
            _ if listings >= LISTINGS_MAX => return false,
            Inquiry::Topics(wanted) => Question::Names(wanted),
            Inquiry::Connections(wanted) => Question::Connections(wanted),
            Inquiry::Explain(explaining) => Question::Explain(explaining),
        };
        self.ask(vec![asker], question, None, (0..self.workers).collect());
        true
    }

    /// Asks for the topics that were found by their names.
    pub(super) fn ask_for_topics(
        &mut self,
        askers: Vec<ConnectionKey>,
        names: Vec<TopicName>,
        listing: (TopicsWanted, bool),
    ) {
        let everybody = (0..self.workers).collect();
        self.ask(askers, Question::Topics(names), Some(listing), everybody);
    }

    /// Asks for the numbers of all workers, unless they are being gathered, or nobody wants them.
    pub(super) fn gather_numbers(&mut self) {
        let is_numbers = |one: &UnderWay| matches!(*one.question, Question::Numbers);
        if !self.numbers_next.is_empty() && !self.under_way.iter().any(is_numbers) {
            let askers = std::mem::take(&mut self.numbers_next);
            self.ask(askers, Question::Numbers, None, (0..self.workers).collect());
        }
    }

    fn ask(
        &mut self,
        askers: Vec<ConnectionKey>,
        question: Question,
        listing: Option<(TopicsWanted, bool)>,
        missing: Vec<usize>,
    ) {
        let (number, question) = (self.next_number, Arc::new(question));
        self.next_number = self.next_number.wrapping_add(1);
        let letters = missing.iter().map(|&worker| (worker, number, Arc::clone(&question)));
        self.letters.extend(letters);
        let told = Vec::new();
        self.under_way.push(UnderWay { number, askers, question, listing, missing, told });
    }

    /// The next question that this worker is asked by itself.
    pub(super) fn poll_own(&mut self) -> Option<(u32, Arc<Question>)> {
        let index = self.letters.iter().position(|(worker, ..)| *worker == self.own)?;
        self.letters.remove(index).map(|(_, number, question)| (number, question))
    }

    /// A worker's answer.
    pub(super) fn add(&mut self, from: usize, number: u32, report: Report) {
        if let Some(one) = self.under_way.iter_mut().find(|one| one.number == number)
            && let Some(index) = one.missing.iter().position(|&worker| worker == from)
        {
            one.missing.swap_remove(index);
            one.told.push((from, report));
        }
    }

    /// The next question that every worker has answered.
    pub(super) fn poll_told(&mut self) -> Option<UnderWay> {
        let index = self.under_way.iter().position(|one| one.missing.is_empty())?;
        Some(self.under_way.swap_remove(index))
    }

    /// Whether numbers of the process are wanted.
    pub(super) fn wants_process(&self) -> bool {
        self.under_way.iter().any(|one| matches!(*one.question, Question::Numbers))
    }

    /// A worker has begun anew: it knows nothing of what it was asked.
    pub(super) fn ask_again(&mut self, worker: usize) {
        self.letters.retain(|(to, ..)| *to != worker);
        self.reports.retain(|(to, _)| *to != worker);
        for one in self.under_way.iter().filter(|one| one.missing.contains(&worker)) {
            self.letters.push_back((worker, one.number, Arc::clone(&one.question)));
        }
    }

    /// Sends a letter that is no question, or once more one that could not be sent.
    pub(super) fn send(&mut self, worker: usize, letter: Letter) {
        self.reports.push_back((worker, letter));
    }

    pub(super) fn poll_letter(&mut self) -> Option<(usize, Letter)> {
        let index = self.letters.iter().position(|(worker, ..)| *worker != self.own);
        let question = index.and_then(|index| self.letters.remove(index));
        let letter = |(worker, number, question)| (worker, Letter::Asked { number, question });
        question.map(letter).or_else(|| self.reports.pop_front())
    }
}
