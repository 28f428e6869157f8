//! Publishes that are remembered, so that repeating one changes nothing (docs/protocol.md 5.2).

use std::collections::{HashMap, VecDeque};

use crate::planted::{Fault, planted};
use crate::time::Instant;
use crate::topic::{IdempotencyKey, Position, TopicName};

/// The remembered publishes of one worker's topics, bounded in number and time.
#[derive(Debug)]
pub(super) struct Remembered {
    positions: HashMap<(TopicName, IdempotencyKey), Position>,
    /// In the order in which they are forgotten.
    order: VecDeque<(Instant, TopicName, IdempotencyKey)>,
    window_ms: u64,
    keys_max: usize,
}

impl Remembered {
    pub(super) fn new(window_ms: u64, keys_max: usize) -> Self {
        let window_ms = if planted(Fault::ForgetsKeyEarly) { window_ms / 10 } else { window_ms };
        Self { positions: HashMap::new(), order: VecDeque::new(), window_ms, keys_max }
    }

    /// From now on, publishes are remembered for so long, and so many of them. Those that are remembered
    /// already keep their time, and hold up for as long those that would go earlier.
    pub(super) fn reconfigure(&mut self, window_ms: u64, keys_max: usize) {
        (self.window_ms, self.keys_max) = (window_ms, keys_max);
    }

    /// What this publish was answered, if it is a repeat.
    pub(super) fn position(
        &mut self,
        now: Instant,
        topic: &TopicName,
        key: &IdempotencyKey,
    ) -> Option<Position> {
        self.forget(now, self.keys_max);
        if self.positions.is_empty() {
            return None;
        }
        self.positions.get(&(topic.clone(), key.clone())).copied()
    }

    /// Remembers a publish that was just sequenced.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        topic: TopicName,
        key: IdempotencyKey,
        position: Position,
    ) {
        self.forget(now, self.keys_max - 1);
        self.order.push_back((now + self.window_ms, topic.clone(), key.clone()));
        self.positions.insert((topic, key), position);
    }

    /// Forgets what is past the window, and the oldest until `most` are left.
    fn forget(&mut self, now: Instant, most: usize) {
        while let Some((until, ..)) = self.order.front() {
            if *until > now && self.order.len() <= most {
                break;
            }
            if let Some((_, topic, key)) = self.order.pop_front() {
                self.positions.remove(&(topic, key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Epoch;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn keys_are_remembered_for_the_window_per_topic_and_up_to_a_number() {
        let [a, b] = [b"a", b"b"].map(|name| TopicName::parse(name).unwrap());
        let position = |sequence| Position { epoch: Epoch::from_random(1), sequence };
        let at = Instant::from_ms;
        let mut remembered = Remembered::new(100, 2);
        remembered.insert(at(0), a.clone(), key("k"), position(1));
        assert_eq!(remembered.position(at(99), &a, &key("k")), Some(position(1)));
        assert_eq!(remembered.position(at(99), &b, &key("k")), None);
        assert_eq!(remembered.position(at(100), &a, &key("k")), None);
        for sequence in 1..=3 {
            remembered.insert(at(200), a.clone(), key(&sequence.to_string()), position(sequence));
        }
        assert_eq!(remembered.position(at(200), &a, &key("1")), None);
        assert_eq!(remembered.position(at(200), &a, &key("3")), Some(position(3)));
        assert_eq!(remembered.order.len(), remembered.positions.len());
    }
}
