//! Names of servers that are dialled, looked up by a thread of its own: the system's resolver keeps whoever asks it
//! waiting, and no worker waits.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::mailbox::{Parcel, Post};
use crate::config::Endpoint;
use crate::key::OutboundId;
use crate::limits::{ADDRESSES_PER_NAME_MAX, LOOK_UPS_MAX};

/// The way to the thread that looks up names.
#[derive(Clone, Debug)]
pub struct Resolver(Sender<Question>);

/// Who wants to know where a server is.
#[derive(Debug)]
pub(super) struct Question {
    /// A worker, and which of its lives.
    pub worker: usize,
    pub life: u32,
    /// The connection that is to be made.
    pub id: OutboundId,
    /// The server.
    pub endpoint: Endpoint,
}

/// Where a server is that a worker has asked for.
#[derive(Debug)]
pub struct LookedUp {
    /// The life of the worker that asked.
    pub(super) life: u32,
    /// The connection that is to be made.
    pub(super) id: OutboundId,
    /// Its addresses, the likeliest first, or why there are none.
    pub(super) addresses: Result<Vec<SocketAddr>, String>,
}

impl Resolver {
    /// Starts the thread. It ends when nobody can ask it any more.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start<S: Send + 'static>(post: Post<S>) -> io::Result<Self> {
        let (sender, questions) = bounded(LOOK_UPS_MAX);
        let answer = move |worker, looked_up| {
            // As with a drain: the thread may wait for room, and a worker that has ended needs no answer.
            post.ring(worker);
            post.send_and_wait(worker, Parcel::LookedUp(looked_up));
            post.ring(worker);
        };
        thread::Builder::new()
            .name("resolver".to_owned())
            .spawn(move || answer_all(&questions, look_up, answer))?;
        Ok(Self(sender))
    }

    /// One whose questions somebody else answers.
    #[cfg(all(test, not(loom)))]
    pub(super) fn asking(sender: Sender<Question>) -> Self {
        Self(sender)
    }

    /// Asks; the answer is a [`Parcel::LookedUp`]. False: too much is being asked already.
    pub(super) fn ask(&self, question: Question) -> bool {
        self.0.try_send(question).is_ok()
    }
}

/// Answers until nobody can ask any more. Whoever asks for a server while it is being looked up shares the answer:
/// a resolver that is slow is not asked the same by each worker in turn.
fn answer_all(
    questions: &Receiver<Question>,
    look_up: impl Fn(&Endpoint) -> Result<Vec<SocketAddr>, String>,
    answer: impl Fn(usize, LookedUp),
) {
    while let Ok(first) = questions.recv() {
        let mut waiting = vec![first];
        while let Some(endpoint) = waiting.first().map(|question| question.endpoint.clone()) {
            let found = look_up(&endpoint);
            waiting.extend(questions.try_iter().take(LOOK_UPS_MAX));
            waiting.retain(|question| {
                let is_it = question.endpoint == endpoint;
                if is_it {
                    let Question { worker, life, id, .. } = *question;
                    answer(worker, LookedUp { life, id, addresses: found.clone() });
                }
                !is_it
            });
        }
    }
}

fn look_up(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, String> {
    let Endpoint { host, port } = endpoint;
    let addresses = (host.as_str(), *port).to_socket_addrs();
    let addresses = addresses.map_err(|error| format!("cannot look up {host}: {error}"))?;
    let addresses: Vec<SocketAddr> = addresses.take(ADDRESSES_PER_NAME_MAX).collect();
    if addresses.is_empty() {
        return Err(format!("{host} has no address"));
    }
    Ok(addresses)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn question(worker: usize, host: &str) -> Question {
        let endpoint = Endpoint { host: host.to_owned(), port: 1 };
        Question { worker, life: 3, id: OutboundId(worker as u32), endpoint }
    }

    #[test]
    fn who_asks_while_a_name_is_looked_up_shares_the_answer() {
        let (sender, questions) = bounded(LOOK_UPS_MAX);
        let (asked, answered) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let late = RefCell::new(Some(sender));
        late.borrow().as_ref().unwrap().send(question(0, "slow")).unwrap();
        let look_up = |endpoint: &Endpoint| {
            asked.borrow_mut().push(endpoint.host.clone());
            // The others come meanwhile, and nobody after them.
            if let Some(sender) = late.borrow_mut().take() {
                for (worker, host) in [(1, "other"), (2, "slow"), (3, "slow")] {
                    sender.send(question(worker, host)).unwrap();
                }
            }
            if endpoint.host == "slow" { Ok(Vec::new()) } else { Err("no".to_owned()) }
        };
        answer_all(&questions, look_up, |worker, looked_up| {
            assert_eq!((looked_up.life, looked_up.id), (3, OutboundId(worker as u32)));
            answered.borrow_mut().push((worker, looked_up.addresses.is_ok()));
        });
        assert_eq!(*asked.borrow(), ["slow", "other"]);
        assert_eq!(*answered.borrow(), [(0, true), (2, true), (3, true), (1, false)]);
    }

    #[test]
    fn a_name_that_there_is_has_addresses_and_another_one_a_reason() {
        let endpoint = |host: &str| Endpoint { host: host.to_owned(), port: 6379 };
        let addresses = look_up(&endpoint("localhost")).unwrap();
        assert!(
            addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 6379)
        );
        // RFC 6761 §6.4: never there.
        let why = look_up(&endpoint("nowhere.invalid")).unwrap_err();
        assert!(
            why.starts_with("cannot look up nowhere.invalid: ") && !why.contains('\n'),
            "{why}"
        );
    }
}
