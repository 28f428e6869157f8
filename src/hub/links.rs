//! The ways to the other workers: mail that waits to be sent, and how much of it may be on its way.

use std::collections::{HashSet, VecDeque};

use super::mail::{Mail, TopicKey};
use crate::limits::Budgets;
use crate::planted::{Fault, planted};
use crate::topic::Ticket;

/// The way from this worker to one other.
#[derive(Debug)]
pub(super) struct Link {
    /// Mail to be sent, oldest first. Bounded by the other fields: what supplies replicas by credit,
    /// publishes by `forwarded`, answers by the other side's, the rest by the number of topics.
    outgoing: VecDeque<Mail>,
    /// Answers to be sent, oldest first, behind the `outgoing` of all links.
    answers: VecDeque<Mail>,
    /// Its channel had no room in this round of sending.
    is_full: bool,
    /// Units of letters to replicas that may still be sent. A large message may overdraw it once.
    pub(super) credit: i64,
    /// Topics with a follower over there that waits for credit, in turn.
    pub(super) backlog: VecDeque<TopicKey>,
    /// Publishes and deletions over there that are not answered yet.
    pub(super) forwarded: HashSet<Ticket>,
    /// Units of letters to replicas from over there that were taken in and not yet given back as credit.
    consumed: u32,
    budgets: Budgets,
}

/// All ways out of a worker. The way to itself exists and is not used.
#[derive(Debug)]
pub(super) struct Links {
    links: Vec<Link>,
    /// Where to look first for outgoing mail, so that each has its turn.
    turn: usize,
}

impl Links {
    pub(super) fn new(workers: usize, budgets: &Budgets) -> Self {
        Self { links: (0..workers).map(|_| Link::new(budgets)).collect(), turn: 0 }
    }

    /// Begins anew with a worker that has. Returns the publishes and deletions that it has not answered.
    pub(super) fn begin_anew(&mut self, worker: usize) -> Vec<Ticket> {
        let fresh = Link::new(&self.links[worker].budgets);
        let link = std::mem::replace(&mut self.links[worker], fresh);
        let mut tickets: Vec<Ticket> = link.forwarded.into_iter().collect();
        // Hashed with a key of the process's own; so that the same seed gives the same run:
        tickets.sort_unstable_by_key(|ticket| (ticket.connection.to_bits(), ticket.number));
        tickets
    }

    pub(super) fn to(&mut self, worker: usize) -> &mut Link {
        &mut self.links[worker]
    }

    pub(super) fn send(&mut self, worker: usize, mail: Mail) {
        let link = &mut self.links[worker];
        match mail {
            Mail::Answer { .. } => link.answers.push_back(mail),
            mail => link.outgoing.push_back(mail),
        }
    }

    /// The next letter to send, and to whom; `None` ends a round.
    ///
    /// Answers come behind everything else, to whomever: when a publisher hears that its message is in the
    /// log, the message is in the channel of every follower that has room.
    pub(super) fn poll(&mut self) -> Option<(usize, Mail)> {
        for is_answer in [false, true] {
            for _ in 0..self.links.len() {
                let link = &mut self.links[self.turn];
                let queue = if is_answer { &mut link.answers } else { &mut link.outgoing };
                if !link.is_full
                    && let Some(mail) = queue.pop_front()
                {
                    return Some((self.turn, mail));
                }
                self.turn = (self.turn + 1) % self.links.len();
            }
        }
        self.links.iter_mut().for_each(|link| link.is_full = false);
        None
    }

    /// Takes back a letter that did not fit into the channel; that link is left out of this round.
    pub(super) fn give_back(&mut self, worker: usize, mail: Mail) {
        let link = &mut self.links[worker];
        link.is_full = true;
        match mail {
            Mail::Answer { .. } => link.answers.push_front(mail),
            mail => link.outgoing.push_front(mail),
        }
    }

    /// How many letters wait.
    pub(super) fn waiting(&self) -> usize {
        self.links.iter().map(|link| link.outgoing.len() + link.answers.len()).sum()
    }
}

impl Link {
    fn new(budgets: &Budgets) -> Self {
        assert!(budgets.credit >= 4, "a quarter of the credit is a letter at least");
        Self {
            outgoing: VecDeque::new(),
            answers: VecDeque::new(),
            is_full: false,
            credit: i64::from(budgets.credit),
            backlog: VecDeque::new(),
            forwarded: HashSet::new(),
            consumed: 0,
            budgets: *budgets,
        }
    }

    /// Whether another publish may be sent over.
    pub(super) fn may_forward(&self) -> bool {
        self.forwarded.len() < self.budgets.forwards_in_flight
    }

    /// Notes that letters of so many units were taken in; gives credit back in quarters of the whole.
    pub(super) fn consume(&mut self, units: u32) {
        self.consumed += units;
        if self.consumed >= self.budgets.credit / 4 {
            let units = std::mem::take(&mut self.consumed);
            let units = if planted(Fault::LosesCredit) { 1 } else { units };
            self.outgoing.push_back(Mail::Credit { units });
        }
    }
}
