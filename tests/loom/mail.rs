//! Mail is never left lying: put in, ring; quiet the bell, empty the channel; wait.

use std::sync::Arc;

use tidings::reactor::{Bell, Mailbox, Parcel, Post, Ring, connect};

use crate::{EventFd, bells, check, spawn};

/// One mailbox whose bell is `bell`.
fn one(bell: impl Ring + 'static) -> (Post<()>, Mailbox<()>) {
    let (post, mut mailboxes) = connect::<()>(vec![Arc::new(bell)], 2);
    (post, mailboxes.remove(0))
}

/// A sender's way with a parcel.
type Put = fn(&Post<()>);

fn put_in_and_ring(post: &Post<()>) {
    post.send_and_wait(0, Parcel::Drain);
    post.ring(0);
}

fn ring_and_put_in(post: &Post<()>) {
    post.ring(0);
    post.send_and_wait(0, Parcel::Drain);
}

/// Senders put in a parcel each; the receiver looks, and waits, until it has them all.
fn deliver(senders: usize, put: Put, eventfd: &EventFd, bell: impl Ring + 'static) {
    let (post, mailbox) = one(bell);
    for _ in 0..senders {
        let post = post.clone();
        spawn(move || put(&post));
    }
    let mut received = 0;
    loop {
        received += mailbox.take().count();
        if received == senders {
            return;
        }
        eventfd.wait();
    }
}

#[test]
fn attack_210_a_wake_is_never_lost_between_the_last_look_and_the_wait() {
    check(4, || {
        let eventfd = EventFd::default();
        deliver(1, put_in_and_ring, &eventfd, Bell::new(eventfd.clone()));
    });
}

#[test]
fn attack_210_two_senders_and_a_receiver_lose_no_wake() {
    check(3, || {
        let eventfd = EventFd::default();
        deliver(2, put_in_and_ring, &eventfd, Bell::new(eventfd.clone()));
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn ringing_before_putting_in_is_caught() {
    check(4, || {
        let eventfd = EventFd::default();
        deliver(1, ring_and_put_in, &eventfd, Bell::new(eventfd.clone()));
    });
}

/// A bell that is quieted after the channel was emptied, right before the wait.
struct QuietedLate(Arc<Bell<EventFd>>);

impl Ring for QuietedLate {
    fn ring(&self) {
        self.0.ring();
    }

    fn quiet(&self) {}
}

#[test]
#[should_panic(expected = "deadlock")]
fn emptying_before_quieting_is_caught() {
    check(4, || {
        let eventfd = EventFd::default();
        let bell = Arc::new(Bell::new(eventfd.clone()));
        let (post, mailbox) = one(QuietedLate(Arc::clone(&bell)));
        // For nothing: the receiver finds the channel empty.
        post.ring(0);
        spawn(move || put_in_and_ring(&post));
        loop {
            eventfd.wait();
            if mailbox.take().count() > 0 {
                break;
            }
            bell.quiet();
        }
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_bell_that_orders_nothing_is_caught() {
    use loom::sync::atomic::{AtomicBool, Ordering};

    use tidings::reactor::Wake as _;

    /// As the real one, but of a ring and a look, the second need not see what went before the first.
    struct Unordered(EventFd, AtomicBool);

    impl Ring for Unordered {
        fn ring(&self) {
            if !self.1.load(Ordering::Relaxed) {
                self.1.store(true, Ordering::Relaxed);
                self.0.wake().unwrap();
            }
        }

        fn quiet(&self) {
            self.1.store(false, Ordering::Relaxed);
        }
    }

    check(4, || {
        let eventfd = EventFd::default();
        let bell = Unordered(eventfd.clone(), AtomicBool::new(false));
        bell.ring();
        deliver(1, put_in_and_ring, &eventfd, bell);
    });
}

/// The full path, twice over: two workers that each write to the other and wait for its letter.
#[test]
fn two_that_write_to_each_other_hear_of_each_other() {
    check(3, || {
        let (eventfds, bells) = bells(2);
        let (post, mailboxes) = connect::<()>(bells, 2);
        for (own, mailbox) in mailboxes.into_iter().enumerate() {
            let (post, eventfd) = (post.clone(), eventfds[own].clone());
            spawn(move || {
                post.send_and_wait(1 - own, Parcel::Drain);
                post.ring(1 - own);
                while mailbox.take().count() == 0 {
                    eventfd.wait();
                }
            });
        }
    });
}
