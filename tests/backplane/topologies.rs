//! Clusters and sentinels.

use tidings::config::{Endpoint, Topology};

use crate::driver::{Driver, config, servers};
use crate::servers::{Server, cli, cluster};

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_cluster_is_noticed_and_each_topic_is_where_its_slot_is() {
    let nodes = cluster();
    let mut driver = Driver::new(config(servers(&[nodes[0].port])));
    driver.reachable(true);
    for number in 0..30 {
        driver.listen(&format!("t{number}"));
    }
    for number in 0..30 {
        let name = format!("t{number}");
        driver.listening(&name);
        let position = driver.publish_now(&name, "x", Some("k")).unwrap();
        assert_eq!(driver.heard(&name), (position, "x".into()));
        assert_eq!(driver.read(&name, 0).unwrap().entries.len(), 1);
    }
    let used = nodes.iter().filter(|node| node.cli(&["dbsize"]) != "0").count();
    assert_eq!(used, 3);
    assert_eq!(driver.redis.status().trouble, None);
    // Probes go through all of them.
    driver.run_for(8_000);
    assert_eq!(driver.redis.status().counters.lost, 0, "{:?}", driver.redis.status());
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_slot_that_moves_under_load_loses_nothing() {
    let nodes = cluster();
    let mut driver = Driver::new(config(servers(&[nodes[1].port])));
    driver.reachable(true);
    driver.listen("foo");
    driver.listening("foo");
    let slot: usize = 12_182;
    let id_of = |node: &Server| node.cli(&["cluster", "myid"]);
    let owner = |node: &Server| {
        let lines = node.cli(&["cluster", "nodes"]);
        let me = lines.lines().find(|line| line.contains("myself")).unwrap_or_default().to_owned();
        me.split(' ').skip(8).any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<usize>().unwrap_or(usize::MAX);
            number(first) <= slot && slot <= number(last)
        })
    };
    let mut sequence = 0;
    let mut publish = |driver: &mut Driver, count: usize| {
        let numbers: Vec<u32> =
            (0..count).map(|_| driver.publish("foo", "x", Some(&fresh()))).collect();
        for number in numbers {
            sequence += 1;
            assert_eq!(driver.done(number).unwrap().sequence, sequence);
        }
    };
    publish(&mut driver, 50);
    for _ in 0..3 {
        let from = nodes.iter().find(|node| owner(node)).expect("somebody has it");
        let to = nodes.iter().find(|node| !owner(node)).expect("somebody has it not");
        let number = slot.to_string();
        to.cli(&["cluster", "setslot", &number, "importing", &id_of(from)]);
        from.cli(&["cluster", "setslot", &number, "migrating", &id_of(to)]);
        let flight: Vec<u32> =
            (0..100).map(|_| driver.publish("foo", "x", Some(&fresh()))).collect();
        driver.turn();
        let port = to.port.to_string();
        let mut keys = from.cli(&["cluster", "getkeysinslot", &number, "100"]);
        while !keys.is_empty() {
            for key in keys.lines() {
                cli(from.port, &["migrate", "127.0.0.1", &port, key, "0", "5000"]);
            }
            driver.turn();
            keys = from.cli(&["cluster", "getkeysinslot", &number, "100"]);
        }
        for node in &nodes {
            node.cli(&["cluster", "setslot", &number, "node", &id_of(to)]);
        }
        for number in flight {
            driver.done(number).unwrap();
        }
        let last = driver.read("foo", 0).unwrap().next_seq - 1;
        let position = driver.publish_now("foo", "last", None).unwrap();
        assert!(position.sequence == last + 1);
        driver.listening("foo");
        driver.publish_now("foo", "after", None).unwrap();
        while driver.heard("foo").1 != "after" {}
    }
}

fn fresh() -> String {
    format!("{:x}", fastrand::u64(..))
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn sentinels_say_who_the_primary_is_after_each_failover() {
    let mut primary = Server::start(&[]);
    let port = primary.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    let sentinel = Server::start_sentinel(primary.port, "service");
    let mut driver = Driver::new(config(Topology::Sentinels {
        sentinels: vec![
            Endpoint { host: "127.0.0.1".into(), port: 1 },
            Endpoint { host: "127.0.0.1".into(), port: sentinel.port },
        ],
        service: "service".into(),
    }));
    driver.reachable(true);
    driver.listen("a");
    driver.listening("a");
    let before = driver.publish_now("a", "x", None).unwrap();
    while !replica.cli(&["info", "replication"]).contains("master_link_status:up")
        || !sentinel.cli(&["sentinel", "replicas", "service"]).contains(&replica.port.to_string())
    {
        driver.turn();
    }
    primary.kill();
    driver.reachable(false);
    driver.reachable(true);
    driver.listening("a");
    let after = driver.publish_now("a", "y", None).unwrap();
    assert!(after.epoch != before.epoch && after.sequence == 2, "{after:?}");
    assert!(replica.cli(&["xlen", "tidings:{a}:log"]) == "2");
}
