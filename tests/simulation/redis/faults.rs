//! What may go wrong with Redis, and what it loses by it.

use super::store::Store;
use super::{Redis, Times};
use crate::net::Net;
use crate::plan::Hazard;

impl Redis {
    /// This befalls it. `random` dice are those of the step.
    pub(crate) fn strike(&mut self, net: &mut Net, hazard: Hazard) {
        let most_ms = [300, 5_000, 20_000][self.random.usize(..3)];
        let until_ms = self.now_ms + self.random.u64(1..most_ms);
        match hazard {
            Hazard::RedisStill => self.times.still_ms = until_ms,
            _ if !self.is_up => (),
            Hazard::RedisKill => self.kill(net, until_ms),
            Hazard::RedisFailover => self.fail_over(net),
            Hazard::RedisFlush => self.lose(Store::default()),
            Hazard::RedisDemoted => self.times.demoted_ms = until_ms,
            Hazard::RedisFull => self.times.full_ms = until_ms,
            Hazard::RedisLoading => self.times.loading_ms = until_ms,
            Hazard::RedisLocked => {
                self.times.locked_ms = until_ms;
                self.cut_all(net);
            }
            Hazard::RedisMute => {
                for connection in self.connections.values_mut() {
                    connection.is_muted |= !connection.channels.is_empty() && self.random.bool();
                }
            }
            Hazard::RedisCut => {
                let listens = self.connections.iter().filter(|(_, it)| !it.channels.is_empty());
                let listening: Vec<usize> = listens.map(|(&pipe, _)| pipe).collect();
                for pipe in listening {
                    if self.random.bool() {
                        self.drop_connection(net, pipe, true);
                    }
                }
            }
            Hazard::RedisForgets => {
                self.scripts.clear();
                self.times.alone_ms = until_ms;
            }
            _ => unreachable!("{hazard:?} is none of Redis"),
        }
    }

    /// Nothing goes wrong any more. What is wrong and does not show stays so.
    pub(crate) fn calm_down(&mut self) {
        self.times = Times { down_ms: self.now_ms, ..Times::default() };
    }

    /// Its process is gone. It comes back with all, or without the last that it had, or with nothing.
    fn kill(&mut self, net: &mut Net, until_ms: u64) {
        self.cut_all(net);
        (self.is_up, self.times.down_ms, net.answers_calls) = (false, until_ms, false);
        match self.random.u8(0..4) {
            0 => self.lose(Store::default()),
            1 => self.lose_last(),
            _ => (),
        }
        if self.random.bool() {
            self.replid = self.draw_id();
        }
    }

    /// A replica takes its place, which may not have the last that it had.
    fn fail_over(&mut self, net: &mut Net) {
        self.cut_all(net);
        if self.random.u8(0..3) > 0 {
            self.lose_last();
        }
        self.begin(net);
        self.replid = self.draw_id();
    }

    fn lose_last(&mut self) {
        let most = self.before.len().min([2, 6, 100][self.random.usize(..3)]);
        let count = self.random.usize(0..=most);
        if count > 0 {
            let kept = self.before.len() - count;
            let mut store = self.before[kept].clone();
            self.before.truncate(kept);
            store.expire(super::CLOCK_MS + self.now_ms, &self.ledger);
            self.lose(store);
        }
    }

    fn lose(&mut self, store: Store) {
        let before = std::mem::replace(&mut self.store, store);
        self.store.tell(&self.ledger, &before);
        self.notes.push("it loses what it had last".to_owned());
        if self.store.topics.is_empty() {
            self.before.clear();
        }
    }

    fn cut_all(&mut self, net: &mut Net) {
        for pipe in std::mem::take(&mut net.calls) {
            net.reset(pipe);
            net.release(pipe);
        }
        for pipe in std::mem::take(&mut self.connections).into_keys() {
            net.reset(pipe);
            net.release(pipe);
        }
    }
}
