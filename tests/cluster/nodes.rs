//! A Redis Cluster as processes: three masters with a replica each.

use std::time::Duration;

use crate::folder::{free_port, until};
use crate::redis::Redis;
use crate::resp::Value;

/// How long a cluster may take to agree.
const PATIENCE: Duration = Duration::from_secs(40);
const SLOTS: u32 = 16_384;

/// Nodes 0 to 2 begin as masters, 3 to 5 as the replicas of those.
pub struct Nodes(pub Vec<Redis>);

impl Nodes {
    pub fn start() -> Self {
        let node = |_| {
            Redis::start_with(|_, _| {
                let bus = free_port().to_string();
                let flags = [
                    ["--cluster-enabled", "yes"],
                    ["--cluster-port", &bus],
                    ["--cluster-node-timeout", "1500"],
                    ["--cluster-config-file", "nodes.conf"],
                    ["--repl-diskless-sync-delay", "0"],
                    ["--enable-debug-command", "yes"],
                    ["--appendonly", "no"],
                    ["--save", ""],
                ];
                flags.concat().iter().map(ToString::to_string).collect()
            })
        };
        let nodes = Self((0..6).map(node).collect());
        nodes.introduce();
        nodes.await_whole();
        nodes
    }

    /// What `redis-cli --cluster create` does.
    fn introduce(&self) {
        let bus = |node: &Redis| {
            let text = node.ask(&["CONFIG", "GET", "cluster-port"]);
            let Value::List(parts) = text else { panic!("{text:?}") };
            parts[1].text().to_owned()
        };
        for (index, node) in self.0.iter().enumerate() {
            node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        }
        for index in 0..3 {
            let bound = |index: u32| SLOTS * index / 3;
            let (first, last) = (bound(index), bound(index + 1) - 1);
            let node = &self.0[index as usize];
            node.tell(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        for node in &self.0[1..] {
            let port = node.port.to_string();
            self.0[0].tell(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus(node)]);
        }
        for index in 0..3 {
            let master = self.0[index].tell(&["CLUSTER", "MYID"]);
            let replica = &self.0[index + 3];
            until("a node knows its master", PATIENCE, || {
                replica.ask(&["CLUSTER", "REPLICATE", master.text()]).text() == "OK"
            });
        }
    }

    /// `cluster_state:ok` and six nodes everywhere, and every replica follows.
    pub fn await_whole(&self) {
        until("the cluster is whole", PATIENCE, || {
            self.0.iter().all(|node| {
                let info = node.ask(&["CLUSTER", "INFO"]);
                let says = |line: &str| info.text().lines().any(|one| one == line);
                let role = node.info("role");
                says("cluster_state:ok")
                    && says("cluster_known_nodes:6")
                    && says("cluster_slots_ok:16384")
                    && (role == "master" || node.info("master_link_status") == "up")
            }) && self.masters().len() == 3
        });
    }

    /// Which nodes are masters now.
    pub fn masters(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|&index| self.0[index].info("role") == "master").collect()
    }

    /// A replica of this master, by what the master says.
    pub fn replica_of(&self, master: usize) -> usize {
        let port = self.0[master].port.to_string();
        let follows = |index: &usize| self.0[*index].info("master_port") == port;
        (0..self.0.len()).find(follows).expect("every master has a replica")
    }

    /// `redis://…` with all of them.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.0.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis://{}", hosts.join(","))
    }

    /// The slot of a topic's keys, and which master has it.
    pub fn home_of(&self, key: &str) -> (u32, usize) {
        let slot = self.0[0].tell(&["CLUSTER", "KEYSLOT", key]).integer() as u32;
        let has = |index: &usize| {
            let Value::List(shards) = self.0[*index].ask(&["CLUSTER", "SLOTS"]) else {
                return false;
            };
            shards.iter().any(|shard| {
                let Value::List(parts) = shard else { return false };
                let Value::List(owner) = &parts[2] else { return false };
                let (first, last) = (parts[0].integer() as u32, parts[1].integer() as u32);
                (first..=last).contains(&slot)
                    && owner[1].integer() == i64::from(self.0[*index].port)
            })
        };
        let home = self.masters().into_iter().find(has).expect("every slot has a master");
        (slot, home)
    }

    /// Moves a slot with its keys to another master, step by step, as resharding does; what is `between` is called while
    /// the slot is half moved.
    pub fn move_slot(&self, slot: u32, from: usize, to: usize, mut between: impl FnMut()) {
        let id = |index: usize| self.0[index].tell(&["CLUSTER", "MYID"]).text().to_owned();
        let (source, target, slot) = (id(from), id(to), slot.to_string());
        self.0[to].tell(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
        self.0[from].tell(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]);
        between();
        let port = self.0[to].port.to_string();
        loop {
            let answer = self.0[from].tell(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"]);
            let Value::List(keys) = answer else { panic!("{answer:?}") };
            let Some(key) = keys.first() else { break };
            self.0[from].tell(&["MIGRATE", "127.0.0.1", &port, key.text(), "0", "5000"]);
        }
        between();
        for node in [to, from] {
            self.0[node].tell(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]);
        }
        for node in self.masters() {
            self.0[node].tell(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]);
        }
    }
}
