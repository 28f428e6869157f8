//! An operator's questions on their way: from a connection to all workers, and their answers back to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::inquiries::{Letter, Question, UnderWay};
use super::survey::{Figures, Numbers, Report};
use super::{Worker, exposition, listing};
use crate::connection::{Connection, Explaining, Inquiry, Reply, TopicOrder, TopicsWanted};
use crate::counters::Process;
use crate::key::ConnectionKey;
use crate::topic::{Glimpse, TopicName};

impl Worker {
    /// A connection wants to know something of all workers.
    pub(super) fn inquire(&mut self, asker: ConnectionKey, inquiry: Inquiry) {
        if !self.inquiries.begin(asker, inquiry) {
            return self.reply(&[asker], &Reply::TooMany);
        }
        self.ask_ourselves();
        // A question to a worker that there is not is answered already.
        self.reply_to_askers();
    }

    fn ask_ourselves(&mut self) {
        let own = self.inquiries.own();
        while let Some((number, question)) = self.inquiries.poll_own() {
            self.surveys.begin(own, own, number, question);
        }
    }

    /// Another worker asks.
    pub(super) fn handle_asked(&mut self, from: usize, number: u32, question: Arc<Question>) {
        self.surveys.begin(self.inquiries.own(), from, number, question);
    }

    /// A worker has answered.
    pub(super) fn handle_told(&mut self, from: usize, number: u32, report: Report) {
        self.inquiries.add(from, number, report);
        self.reply_to_askers();
    }

    /// Answers whoever asked, perhaps ourselves.
    pub(super) fn tell(&mut self, to: usize, number: u32, report: Report) {
        if to == self.inquiries.own() {
            return self.handle_told(to, number, report);
        }
        let report = Box::new(report);
        self.inquiries.send(to, Letter::Told { number, report });
    }

    fn reply_to_askers(&mut self) {
        while let Some(one) = self.inquiries.poll_told() {
            if let Some((askers, reply)) = self.conclude(one) {
                self.reply(&askers, &reply);
            }
            self.inquiries.gather_numbers();
            self.ask_ourselves();
        }
    }

    /// What is said to those who asked, if it is known now.
    fn conclude(&mut self, one: UnderWay) -> Option<(Vec<ConnectionKey>, Reply)> {
        let UnderWay { askers, question, listing, told, .. } = one;
        let reply = match &*question {
            Question::Numbers => {
                let mut numbers: Vec<Numbers> =
                    (0..self.config.workers).map(|_| Numbers::default()).collect();
                for (worker, report) in told {
                    if let Report::Numbers(those) = report {
                        numbers[worker] = *those;
                    }
                }
                Reply::Metrics(exposition::text(&numbers, &self.process, self.now))
            }
            Question::Names(wanted) => {
                let (names, more) = first_names(wanted, told);
                self.inquiries.ask_for_topics(askers, names, (wanted.clone(), more));
                return None;
            }
            Question::Topics(names) => {
                let (wanted, more) = listing?;
                let mut figures: Vec<Vec<Figures>> = names.iter().map(|_| Vec::new()).collect();
                for (_, report) in told {
                    if let Report::Topics(those) = report {
                        let pairs = figures.iter_mut().zip(those);
                        pairs.for_each(|(all, one)| all.push(one));
                    }
                }
                let topics = names.iter().zip(&figures);
                Reply::Listing(listing::topics(topics, wanted.order, more))
            }
            Question::Explain(Explaining { bytes, topics }) => {
                let mut known: Vec<_> =
                    topics.iter().map(|topic| (topic.clone(), Glimpse::Unused)).collect();
                for (_, report) in told {
                    let Report::Reaches(reaches) = report else { continue };
                    for ((_, glimpse), reach) in known.iter_mut().zip(reaches) {
                        if let Some((reach, first_seq)) = reach {
                            *glimpse = Glimpse::There { reach, first_seq };
                        }
                    }
                }
                Reply::Explained(bytes.clone(), known)
            }
            Question::Connections(wanted) => Reply::Listing(listing::connections(told, wanted)),
            Question::End(_) => {
                match told.iter().any(|(_, report)| matches!(report, Report::Ended(true))) {
                    true => Reply::Ended,
                    false => Reply::NoSuchConnection,
                }
            }
        };
        Some((askers, reply))
    }

    fn reply(&mut self, askers: &[ConnectionKey], reply: &Reply) {
        for &asker in askers {
            self.with(asker, |connection, context| connection.handle_reply(context, reply));
        }
    }

    /// Ends a connection for the operator. Whether it was there.
    pub(super) fn kill(&mut self, key: ConnectionKey) -> bool {
        let is_there = self.entry(key).is_some_and(|it| it.connection.close_reason().is_none());
        self.with(key, Connection::kill);
        is_there
    }

    /// Whether somebody is about to be told what there is to know of the process.
    pub fn wants_process(&self) -> bool {
        self.inquiries.wants_process()
    }

    /// What there is to know of the process.
    pub fn note_process(&mut self, process: Process) {
        self.process = process;
    }
}

/// The topics that come first of all workers', and whether there are more.
fn first_names(wanted: &TopicsWanted, told: Vec<(usize, Report)>) -> (Vec<TopicName>, bool) {
    let mut values = BTreeMap::<TopicName, u64>::new();
    let mut more = false;
    for (_, report) in told {
        let Report::Names(names, has_more) = report else { continue };
        more |= has_more;
        for (value, name) in names {
            let all = values.entry(name).or_default();
            // Subscribers are at many workers, and everything else is in one place.
            *all = if wanted.order == TopicOrder::Subscribers {
                *all + value
            } else {
                value.max(*all)
            };
        }
    }
    let mut names: Vec<(u64, TopicName)> =
        values.into_iter().map(|(name, value)| (value, name)).collect();
    // Stable: those with the same value stay in the order of their names.
    names.sort_by_key(|(value, _)| std::cmp::Reverse(*value));
    more |= names.len() > wanted.limit;
    names.truncate(wanted.limit);
    (names.into_iter().map(|(_, name)| name).collect(), more)
}
