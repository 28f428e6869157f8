//! Workers that supply each other through channels with room for two letters, and four units of credit.

use std::collections::HashMap;
use std::sync::Arc;

use fastrand::Rng;
use loom::thread::yield_now;
use tidings::config::Config;
use tidings::hub::{Hub, Mail};
use tidings::key::ConnectionKey;
use tidings::limits::Budgets;
use tidings::reactor::{Envelope, Mailbox, Parcel, Post, connect};
use tidings::time::{Instant, Now};
use tidings::topic::{Message, Publishing, Ticket, TopicId, TopicName, Topics as _, View};
use tidings::worker::Letter;

use crate::{EventFd, bells, check, spawn};

/// Small enough for all orders to be tried.
const BUDGETS: Budgets = Budgets { credit: 4, mailbox: 2, ..Budgets::DEFAULT };
/// More than there is credit for.
const MESSAGES: u64 = BUDGETS.credit as u64 + 2;
const NOW: Now = Now { instant: Instant::from_ms(1_000), wall_ms: 0 };

/// One worker: what its event loop does with mail, and nothing else.
struct Side {
    own: usize,
    hub: Hub,
    /// The topic that this worker owns, and the other's, to which it subscribed.
    owned: TopicName,
    followed: TopicId,
    post: Post<()>,
    mailbox: Mailbox<()>,
    eventfd: EventFd,
    published: u64,
    /// Units of credit that the other side has not given back.
    lent: i64,
}

/// What to do when the other's channel is full.
#[derive(Copy, Clone, PartialEq)]
enum WhenFull {
    ComeBack,
    Wait,
}

fn ticket(number: u64) -> Ticket {
    Ticket { connection: ConnectionKey { slot: 0, generation: 0 }, number: number as u32 }
}

impl Side {
    fn parcel(&mut self, mail: Mail) -> Parcel<()> {
        self.lent += i64::from(matches!(mail, Mail::Append { .. }));
        assert!(self.lent <= i64::from(BUDGETS.credit), "no more than there is credit for");
        let letter = Letter::Hub(mail);
        Parcel::Letter(Envelope { from: self.own, from_life: 0, to_life: 0, letter })
    }

    /// As `EventLoop::send_mail`. Whether everything was sent.
    fn send_mail(&mut self, when_full: WhenFull) -> bool {
        let (other, mut sent) = (1 - self.own, false);
        while let Some((to, mail)) = self.hub.poll_mail() {
            assert_eq!(to, other);
            let is_append = matches!(mail, Mail::Append { .. });
            let parcel = self.parcel(mail);
            if when_full == WhenFull::Wait {
                self.post.send_and_wait(other, parcel);
            } else if let Err(Parcel::Letter(Envelope { letter: Letter::Hub(mail), .. })) =
                self.post.send(other, parcel)
            {
                self.lent -= i64::from(is_append);
                self.hub.give_back(other, mail);
                break;
            }
            sent = true;
        }
        if sent {
            self.post.ring(other);
        }
        !self.hub.has_mail()
    }

    fn read_mail(&mut self) {
        let parcels: Vec<Parcel<()>> = self.mailbox.take().collect();
        for parcel in parcels {
            let Parcel::Letter(Envelope { from, letter: Letter::Hub(mail), .. }) = parcel else {
                panic!("only mail")
            };
            if let Mail::Credit { units } = mail {
                self.lent -= i64::from(units);
            }
            self.hub.handle_mail(NOW, from, mail);
            while self.hub.poll_answer().is_some() {}
        }
    }

    fn publish(&mut self) {
        let text = self.published.to_string().into_bytes();
        let message = Arc::new(Message::new(text, None, None, 0).unwrap());
        let number = ticket(self.published);
        let publishing = self.hub.publish(NOW, &self.owned, &message, None, number);
        assert_ne!(publishing, Publishing::Busy);
        self.published += 1;
    }

    /// Whether all of the other's messages are here, in order.
    fn has_all(&self) -> bool {
        let View::Live(log) = self.hub.view(self.followed) else { return false };
        let last = log.next_seq() - 1;
        for sequence in 1..=last {
            let (message, _) = log.entry(sequence).unwrap();
            assert_eq!(message.payload(), (sequence - 1).to_string().as_bytes());
        }
        last == MESSAGES
    }

    /// Publishes, and goes on until everything has come and gone.
    fn run(mut self, when_full: WhenFull) {
        (0..MESSAGES).for_each(|_| self.publish());
        loop {
            let is_sent = self.send_mail(when_full);
            // All credit but what is not yet a quarter came back: nothing of ours is under way.
            if self.has_all() && is_sent && self.lent == 0 {
                return;
            }
            if is_sent {
                self.eventfd.wait();
            } else {
                yield_now();
            }
            self.read_mail();
        }
    }
}

/// Two workers that follow a topic of each other's; the preliminaries are over.
fn two_sides(config: &Config) -> [Side; 2] {
    let (eventfds, bells) = bells(2);
    let (post, mailboxes) = connect::<()>(bells, BUDGETS.mailbox);
    let mut hubs = [0, 1].map(|id| Hub::new(config, id, 7, Rng::with_seed(id as u64)));
    let mut names: HashMap<usize, (TopicName, TopicId)> = HashMap::new();
    for number in 0.. {
        if names.len() == 2 {
            break;
        }
        let name = TopicName::parse(format!("topic {number}").as_bytes()).unwrap();
        // Who follows is asked nothing; who owns has no mail to send.
        let subscriber = ConnectionKey { slot: 0, generation: 0 };
        let (topic, _) = hubs[1].subscribe(NOW, &name, subscriber).unwrap();
        let owner =
            usize::from(hubs[1].poll_mail().map(|(to, mail)| give(&mut hubs, to, mail)).is_none());
        if owner == 1 {
            let (topic, _) = hubs[0].subscribe(NOW, &name, subscriber).unwrap();
            let (to, mail) = hubs[0].poll_mail().unwrap();
            give(&mut hubs, to, mail);
            names.entry(1).or_insert((name, topic));
        } else {
            names.entry(0).or_insert((name, topic));
        }
    }
    let mut sides = mailboxes.into_iter().zip(hubs).enumerate().map(|(own, (mailbox, hub))| Side {
        own,
        hub,
        owned: names[&own].0.clone(),
        followed: names[&(1 - own)].1,
        post: post.clone(),
        mailbox,
        eventfd: eventfds[own].clone(),
        published: 0,
        lent: 0,
    });
    [sides.next().unwrap(), sides.next().unwrap()]
}

/// Carries a letter, and what it brings about, until nobody has anything to send.
fn give(hubs: &mut [Hub; 2], to: usize, mail: Mail) {
    hubs[to].handle_mail(NOW, 1 - to, mail);
    for from in [to, 1 - to] {
        while let Some((to, mail)) = hubs[from].poll_mail() {
            hubs[to].handle_mail(NOW, from, mail);
        }
    }
}

fn config() -> Config {
    Config { workers: 2, budgets: BUDGETS, ..Config::default() }
}

#[test]
fn attack_208_two_workers_with_full_channels_to_each_other_get_everything_across() {
    let config = config();
    check(2, move || {
        for side in two_sides(&config) {
            spawn(move || side.run(WhenFull::ComeBack));
        }
    });
}

#[test]
#[should_panic(expected = "exceeded maximum number of branches")]
fn waiting_for_room_in_a_full_channel_is_caught() {
    let config = config();
    check(2, move || {
        for side in two_sides(&config) {
            spawn(move || side.run(WhenFull::Wait));
        }
    });
}
