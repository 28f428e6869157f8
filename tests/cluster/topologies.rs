//! Faults of Redis where there is more than one: Sentinel and Cluster, under load.

use std::time::Duration;

use crate::audit::Rules;
use crate::folder::until;
use crate::load::{Load, Size};
use crate::nodes::Nodes;
use crate::redis::Sentinels;
use crate::tidings::Group;

const SECOND: Duration = Duration::from_secs(1);
/// How long a failover may take, before which nothing can be published.
const FAILOVER: Duration = Duration::from_secs(20);

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_failover_by_sentinel_loses_at_most_what_the_replica_had_not_heard() {
    let mut sentinels = Sentinels::start();
    let group = Group::at(&sentinels.url());
    let mut load = Load::start(group.addresses(), Size::USUAL);
    for turn in 0..4 {
        let before = sentinels.primary_port();
        if turn % 2 == 0 {
            sentinels.fail_over();
        } else {
            sentinels.primary().kill();
        }
        until("another one is primary", FAILOVER, || sentinels.primary_port() != before);
        load.mark("a failover");
        let old = sentinels.servers.iter_mut().find(|server| server.port == before).unwrap();
        if turn % 2 == 1 {
            old.start_again();
            // A stale primary is back for a moment, until the sentinels make it a replica.
            load.mark("the old primary's return");
        }
        sentinels.await_settled();
    }
    let figures = load.finish(Rules::TAILS);
    assert!(figures.epochs >= 4 * 5, "each is another term: {figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_cluster_carries_a_load() {
    let nodes = Nodes::start();
    let group = Group::at(&nodes.url());
    let load = Load::start(group.addresses(), Size::USUAL);
    load.run_for(3 * SECOND);
    let figures = load.finish(Rules::STRICT);
    assert_eq!(figures.epochs, 4, "{figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn slots_that_move_under_load_lose_nothing() {
    let nodes = Nodes::start();
    let group = Group::at(&nodes.url());
    let mut load = Load::start(group.addresses(), Size::USUAL);
    for turn in 0..2 {
        for topic in 0..4 {
            let (slot, from) = nodes.home_of(&format!("{{tide%20{topic}}}"));
            let masters = nodes.masters();
            let to = masters[(masters.iter().position(|&one| one == from).unwrap() + 1) % 3];
            nodes.move_slot(slot, from, to, || load.run_for(SECOND / 10));
            load.mark(&format!("slot {slot} moved, turn {turn}"));
        }
    }
    load.finish(Rules::STRICT);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_failover_in_a_cluster_that_is_asked_for_loses_nothing() {
    let nodes = Nodes::start();
    let group = Group::at(&nodes.url());
    let mut load = Load::start(group.addresses(), Size::USUAL);
    for master in nodes.masters() {
        load.run_for(SECOND);
        let replica = nodes.replica_of(master);
        nodes.0[replica].tell(&["CLUSTER", "FAILOVER"]);
        until("the replica is master", FAILOVER, || nodes.0[replica].info("role") == "master");
        load.mark("CLUSTER FAILOVER");
        nodes.await_whole();
    }
    load.finish(Rules::STRICT);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_master_that_is_killed_loses_at_most_what_its_replica_had_not_heard() {
    let mut nodes = Nodes::start();
    let group = Group::at(&nodes.url());
    let mut load = Load::start(group.addresses(), Size::USUAL);
    for master in nodes.masters() {
        let replica = nodes.replica_of(master);
        nodes.0[master].kill();
        until("the replica is master", FAILOVER, || nodes.0[replica].info("role") == "master");
        load.mark("a killed master");
        nodes.0[master].start_again();
        nodes.await_whole();
        load.mark("its return");
    }
    load.finish(Rules::TAILS);
}
