//! Which slot a topic has and which worker owns it: one hash of its name says both.
//!
//! A million names are the bulk of an idle server's memory, so the table holds no name: 8 bytes each, and the
//! hub's slab knows the rest. The hash is kept beside the slot, because a table that grows would otherwise
//! read every name again, and hold everybody up for a tenth of a second.

use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::HashTable;
use slab::Slab;

use super::Topic;
use crate::topic::TopicName;

/// The slots of a hub's topics, by name.
#[derive(Debug)]
pub(super) struct Names {
    /// The same in all workers, and different in each process: nobody outside can choose names that
    /// meet in one worker, or in one place of the table.
    seed: u64,
    table: HashTable<Place>,
}

#[derive(Debug)]
struct Place {
    hash: u32,
    slot: u32,
}

impl Place {
    /// The table wants 64 bits, and looks at the lowest and the highest.
    const fn spread(hash: u32) -> u64 {
        (hash as u64) << 32 | hash as u64
    }
}

impl Names {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, table: HashTable::new() }
    }

    /// What all names of this process are hashed with.
    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    /// The slot of the topic with that name.
    pub(super) fn slot(&self, topics: &Slab<Topic>, name: &TopicName) -> Option<u32> {
        let hash = self.place_hash(name);
        let is_it = |place: &Place| {
            place.hash == hash && topics.get(place.slot as usize).is_some_and(|it| it.name == *name)
        };
        self.table.find(Place::spread(hash), is_it).map(|place| place.slot)
    }

    /// Notes the slot of a topic whose name is not there yet.
    pub(super) fn insert(&mut self, name: &TopicName, slot: u32) {
        let hash = self.place_hash(name);
        let place = Place { hash, slot };
        self.table.insert_unique(Place::spread(hash), place, |place| Place::spread(place.hash));
    }

    /// Forgets that a name leads to this slot; nothing happens if it does not (any more).
    pub(super) fn remove(&mut self, name: &TopicName, slot: u32) {
        let hash = Place::spread(self.place_hash(name));
        if let Ok(entry) = self.table.find_entry(hash, |place| place.slot == slot) {
            entry.remove();
        }
    }

    /// Which of `workers` owns a topic.
    pub(super) fn owner(&self, name: &TopicName, workers: usize) -> usize {
        (self.hash(name) % workers as u64) as usize
    }

    /// Whether no name leads anywhere.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Not the bits that chose the owner: those are alike in one worker's table.
    fn place_hash(&self, name: &TopicName) -> u32 {
        (self.hash(name) >> 32) as u32
    }

    fn hash(&self, name: &TopicName) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, name).hash(&mut hasher);
        hasher.finish()
    }
}
