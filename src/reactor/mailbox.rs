//! Mail between threads: a bounded channel for each worker, and a bell that is rung once a batch.
//!
//! The sender puts the parcel into the channel, then rings; the bell wakes the receiver only if it was
//! quiet. The receiver quiets the bell, then empties the channel. So whatever is put in after the
//! receiver has looked finds a quiet bell, and wakes it again.

use std::net::SocketAddr;
use std::sync::Arc;

use super::bell::Ring;
use super::resolver::LookedUp;
use super::shared::{AtomicUsize, Ordering, Receiver, Sender, TrySendError, bounded, fence};
use crate::config::{Config, Entrance};
use crate::worker::Letter;

/// What a worker's thread is sent.
#[derive(Debug)]
pub enum Parcel<S> {
    /// A letter from another worker.
    Letter(Envelope),
    /// A worker has panicked and begun another life.
    Restarted {
        /// Its number.
        worker: usize,
        /// Its present life.
        life: u32,
    },
    /// An accepted connection, handed over. Its sender has counted it as the receiver's.
    Socket(S, SocketAddr, Entrance),
    /// Where a server is whose name was asked for.
    LookedUp(LookedUp),
    /// The operator has chosen anew.
    Reload(Arc<Config>),
    /// Begin to go away.
    Drain,
    /// Say your number here: your loop turns.
    Pulse(crossbeam_channel::Sender<usize>),
}

/// A letter, and between which lives of two workers it goes. A worker's lives are counted: each ends with
/// a panic. What was written to an earlier one is not for the present one to read.
#[derive(Debug)]
pub struct Envelope {
    /// The sender's number.
    pub from: usize,
    /// The life in which it was sent.
    pub from_life: u32,
    /// The life of the receiver that it is meant for.
    pub to_life: u32,
    /// The letter.
    pub letter: Letter,
}

/// The way to one worker.
struct Way<S> {
    sender: Sender<Parcel<S>>,
    bell: Arc<dyn Ring>,
}

/// The ways to all workers, and how many connections each has.
pub struct Post<S> {
    ways: Vec<Way<S>>,
    connections: Arc<[AtomicUsize]>,
    /// Workers that may still accept connections.
    listening: Arc<AtomicUsize>,
}

impl<S> Clone for Post<S> {
    fn clone(&self) -> Self {
        let way = |way: &Way<S>| Way { sender: way.sender.clone(), bell: Arc::clone(&way.bell) };
        Self {
            ways: self.ways.iter().map(way).collect(),
            connections: Arc::clone(&self.connections),
            listening: Arc::clone(&self.listening),
        }
    }
}

/// A worker's receiving end.
pub struct Mailbox<S> {
    receiver: Receiver<Parcel<S>>,
    bell: Arc<dyn Ring>,
    parcels_max: usize,
}

/// Makes the channels between as many workers as there are bells, for at most `parcels_max` parcels each.
pub fn connect<S>(bells: Vec<Arc<dyn Ring>>, parcels_max: usize) -> (Post<S>, Vec<Mailbox<S>>) {
    let connections = bells.iter().map(|_| AtomicUsize::new(0)).collect();
    let listening = Arc::new(AtomicUsize::new(bells.len()));
    let (ways, mailboxes) = bells
        .into_iter()
        .map(|bell| {
            let (sender, receiver) = bounded(parcels_max);
            (Way { sender, bell: Arc::clone(&bell) }, Mailbox { receiver, bell, parcels_max })
        })
        .unzip();
    (Post { ways, connections, listening }, mailboxes)
}

impl<S> Post<S> {
    /// Sends a parcel, or gives it back if the channel is full. Ring afterwards.
    pub fn send(&self, worker: usize, parcel: Parcel<S>) -> Result<(), Parcel<S>> {
        self.ways[worker].sender.try_send(parcel).map_err(|error| match error {
            TrySendError::Full(parcel) | TrySendError::Disconnected(parcel) => parcel,
        })
    }

    /// Sends a parcel, waiting for room. Not for workers: they wait for nothing but their poll.
    pub fn send_and_wait(&self, worker: usize, parcel: Parcel<S>) {
        // A worker that has ended takes no parcels, and nobody misses them.
        let _ = self.ways[worker].sender.send(parcel);
    }

    /// Wakes a worker.
    pub fn ring(&self, worker: usize) {
        self.ways[worker].bell.ring();
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.ways.len()
    }

    /// Counts a connection as a worker's.
    pub fn add_connection(&self, worker: usize) {
        self.connections[worker].fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of a worker ended.
    pub fn remove_connection(&self, worker: usize) {
        self.connections[worker].fetch_sub(1, Ordering::Relaxed);
        // Of two workers whose last connections end at once, the one whose fence is second sees that none is
        // left when it asks for [`Post::connections`].
        fence(Ordering::SeqCst);
    }

    /// A worker has closed its listeners, for good: what was queued in them is counted.
    pub fn stop_listening(&self) {
        self.listening.fetch_sub(1, Ordering::Release);
        // As with the last connections of two workers.
        fence(Ordering::SeqCst);
    }

    /// Whether no connection is left, and none can come.
    pub fn is_deserted(&self) -> bool {
        self.listening.load(Ordering::Acquire) == 0 && self.connections() == 0
    }

    /// Connections of all workers.
    pub fn connections(&self) -> usize {
        self.connections.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The worker that a connection accepted by `own` goes to: `own`, unless another has clearly fewer.
    pub fn least_loaded(&self, own: usize) -> usize {
        let count = |worker: usize| self.connections[worker].load(Ordering::Relaxed);
        let least = (0..self.workers()).min_by_key(|&worker| count(worker)).unwrap_or(own);
        let clearly_more = count(own) > count(least) + 1 + count(least) / 32;
        if clearly_more { least } else { own }
    }
}

impl<S> Mailbox<S> {
    /// Everything that was in the channel when this was called, and perhaps more.
    pub fn take(&self) -> impl Iterator<Item = Parcel<S>> + '_ {
        self.bell.quiet();
        self.receiver.try_iter().take(self.parcels_max)
    }

    /// Whether something is in the channel.
    pub fn has_more(&self) -> bool {
        !self.receiver.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Silent;

    impl Ring for Silent {
        fn ring(&self) {}
        fn quiet(&self) {}
    }

    #[test]
    fn connections_go_to_who_has_clearly_fewer() {
        let (post, _mailboxes) = connect::<()>(vec![Arc::new(Silent), Arc::new(Silent)], 8);
        assert_eq!(post.least_loaded(0), 0);
        post.add_connection(0);
        assert_eq!(post.least_loaded(0), 0, "one more is not clearly more");
        post.add_connection(0);
        assert_eq!(post.least_loaded(0), 1);
        assert_eq!(post.least_loaded(1), 1);
    }

    #[test]
    fn a_server_is_deserted_when_nobody_listens_and_no_connection_is_left() {
        let (post, _mailboxes) = connect::<()>(vec![Arc::new(Silent), Arc::new(Silent)], 8);
        post.stop_listening();
        assert!(!post.is_deserted(), "the other one may accept a connection");
        post.add_connection(0);
        post.stop_listening();
        assert!(!post.is_deserted());
        post.remove_connection(0);
        assert!(post.is_deserted());
    }

    #[test]
    fn a_full_channel_gives_the_parcel_back() {
        let (post, mailboxes) = connect::<()>(vec![Arc::new(Silent)], 8);
        for _ in 0..8 {
            assert!(post.send(0, Parcel::Drain).is_ok());
        }
        assert!(post.send(0, Parcel::Drain).is_err());
        assert_eq!(mailboxes[0].take().count(), 8);
        assert!(!mailboxes[0].has_more());
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_parcel_is_held_to_its_size() {
        // The channel of each worker has room for thousands, allocated when the server starts.
        assert_eq!(size_of::<Parcel<std::net::TcpStream>>(), 72);
    }
}
