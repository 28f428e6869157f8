//! One Redis.

use tidings::topic::{Refusal, Report, Request};

use crate::driver::{Driver, RETENTION, config, servers, topic};
use crate::servers::Server;

fn driver(server: &Server) -> Driver {
    let mut driver = Driver::new(config(servers(&[server.port])));
    driver.reachable(true);
    driver
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn what_one_publishes_all_hear_in_one_order_and_read() {
    let server = Server::start(&[]);
    let (mut one, mut other) = (driver(&server), driver(&server));
    other.listen("a b{%}ü");
    other.listening("a b{%}ü");
    let first = one.publish_now("a b{%}ü", "eins", None).unwrap();
    let second = other.publish_now("a b{%}ü", "zwei", None).unwrap();
    assert_eq!((first.sequence, second.sequence), (1, 2));
    assert_eq!(first.epoch, second.epoch);
    assert_eq!(other.heard("a b{%}ü"), (first, "eins".into()));
    assert_eq!(other.heard("a b{%}ü"), (second, "zwei".into()));
    let page = one.read("a b{%}ü", 0).unwrap();
    assert_eq!((page.terms.len(), page.terms[0].first, page.next_seq), (1, 1, 3));
    assert_eq!(page.entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(one.read("a b{%}ü", 2).unwrap().entries.len(), 1);
    let keys = server.cli(&["keys", "*"]);
    assert!(keys.contains("tidings:{a%20b%7B%25%7D%C3%BC}:state"), "{keys}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_repeated_key_is_answered_with_the_first_position() {
    let server = Server::start(&[]);
    let mut driver = driver(&server);
    let first = driver.publish_now("a", "x", Some("k1"));
    assert_eq!(driver.publish_now("a", "y", None).unwrap().sequence, 2);
    assert_eq!(driver.publish_now("a", "x", Some("k1")), first);
    assert_eq!(driver.publish_now("a", "x", Some("k2")).unwrap().sequence, 3);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_deleted_topic_begins_anew_and_its_listeners_are_told() {
    let server = Server::start(&[]);
    let mut driver = driver(&server);
    assert_eq!(driver.delete("a"), Err(Refusal::NoSuchTopic));
    driver.listen("a");
    driver.listening("a");
    let before = driver.publish_now("a", "x", None).unwrap();
    driver.heard("a");
    let begun = driver.delete("a").unwrap();
    assert!(begun.sequence == 0 && begun.epoch != before.epoch);
    assert_eq!(driver.heard("a"), (begun, String::new()));
    let page = driver.read("a", 0).unwrap();
    assert!(page.entries.is_empty() && page.next_seq == 1 && page.terms[0].epoch == begun.epoch);
    assert_eq!(driver.publish_now("a", "x", None).unwrap().sequence, 1);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_log_keeps_within_its_bytes_and_a_page_within_its_own() {
    let server = Server::start(&[]);
    let mut driver = driver(&server);
    let payload = "x".repeat(100_000);
    for _ in 0..50 {
        driver.publish_now("a", &payload, None).unwrap();
    }
    let retained: u64 = server.cli(&["xlen", "tidings:{a}:log"]).parse().unwrap();
    assert_eq!(retained, (1 << 20) / (100_000 + 256 + 10));
    let (mut from, mut seen, mut pages) = (0, Vec::new(), 0);
    loop {
        let page = driver.read("a", from).unwrap();
        pages += 1;
        seen.extend(page.entries.iter().map(|entry| entry.sequence));
        from = page.entries.last().map_or(page.next_seq, |last| last.sequence + 1);
        if from == page.next_seq {
            break;
        }
    }
    assert_eq!(seen, (51 - retained..=50).collect::<Vec<_>>());
    assert_eq!(pages, retained.div_ceil(2));
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_restart_begins_a_term_or_a_life_and_the_channels_are_made_again() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut driver = driver(&server);
    driver.listen("a");
    driver.listening("a");
    let before = driver.publish_now("a", "x", None).unwrap();
    server.kill();
    driver.reachable(false);
    let number = driver.publish("a", "y", None);
    let port = server.port;
    drop(server);
    let server = Server::start_at(port, &[]);
    driver.reachable(true);
    driver.listening("a");
    let after = driver.done(number).unwrap();
    assert!(after.epoch != before.epoch && after.sequence == 1, "the folder was gone");
    assert!(driver.redis.status().trouble.is_none());
    // Another life with the same data.
    server.cli(&["hset", "tidings:{a}:state", "life", "000000000000000000000000"]);
    let later = driver.publish_now("a", "z", None).unwrap();
    assert!(later.epoch != after.epoch && later.sequence == 2);
    let page = driver.read("a", 0).unwrap();
    assert_eq!(page.terms.iter().map(|term| term.first).collect::<Vec<_>>(), [1, 2]);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn scripts_that_were_flushed_are_loaded_again_and_the_order_stays() {
    let server = Server::start(&[]);
    let mut driver = driver(&server);
    driver.publish_now("a", "x", None).unwrap();
    for round in 0..5_u64 {
        server.cli(&["script", "flush"]);
        let numbers: Vec<u32> = (0..200).map(|_| driver.publish("a", "x", None)).collect();
        for (index, number) in numbers.into_iter().enumerate() {
            let sequence = driver.done(number).unwrap().sequence;
            assert_eq!(sequence, 2 + round * 200 + index as u64);
        }
    }
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_server_that_stands_still_is_given_up_and_publishes_without_a_key_are_in_doubt() {
    let server = Server::start(&[]);
    let mut driver = driver(&server);
    server.signal("-STOP");
    let (plain, keyed) = (driver.publish("a", "x", None), driver.publish("a", "y", Some("k")));
    assert_eq!(driver.done(plain), Err(Refusal::OutcomeUnknown));
    server.signal("-CONT");
    let position = driver.done(keyed).unwrap();
    assert_eq!(driver.publish_now("a", "y", Some("k")), Ok(position));
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn what_redis_refuses_is_refused_and_said() {
    let server = Server::start(&["--maxmemory", "100mb"]);
    let mut driver = driver(&server);
    driver.publish_now("a", "x", None).unwrap();
    let mut case = |set: &[&str], unset: &[&str], word: &str| {
        server.cli(set);
        assert_eq!(driver.publish_now("a", "x", None), Err(Refusal::RedisAway), "{word}");
        let trouble = driver.redis.status().trouble.expect("it is said");
        assert!(trouble.contains(word), "{trouble}");
        server.cli(unset);
        // One request that is answered is no proof: it may have been about another topic.
        let mut asked = 0;
        while driver.redis.status().trouble.is_some() {
            assert!(asked < 100, "it is over");
            driver.publish_now("a", "x", None).unwrap();
            driver.run_for(100);
            asked += 1;
        }
    };
    let memory = |most| ["config", "set", "maxmemory", most];
    case(&memory("1"), &memory("0"), "maxmemory");
    let replicas = |least| ["config", "set", "min-replicas-to-write", least];
    case(&replicas("1"), &replicas("0"), "replicas");
    let log = "tidings:{a}:log";
    case(
        &["eval", "redis.call('RENAME', KEYS[1], 'kept') redis.call('SET', KEYS[1], 1)", "1", log],
        &["rename", "kept", log],
        "WRONGTYPE",
    );
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn ten_thousand_channels_are_made_and_made_again() {
    let server = Server::start(&[]);
    let mut driver = driver(&server);
    let count = 10_000;
    (0..count).for_each(|number| driver.listen(&format!("t{number}")));
    for _ in 0..3 {
        let mut heard = 0;
        while heard < count {
            let is_it = |report: &Report| matches!(report, Report::Listening { .. });
            driver.take(is_it).expect("all are confirmed");
            heard += 1;
        }
        server.cli(&["client", "kill", "type", "pubsub"]);
    }
    driver.listening("t0");
    for number in 0..count {
        let topic = topic(&format!("t{number}"));
        driver.ask(|_| Request::Leave { topic });
    }
    while driver.redis.status().channels > 0 {
        driver.turn();
    }
    driver.run_for(100);
    assert_eq!(server.cli(&["pubsub", "channels"]).lines().count(), 1, "that of the probe");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_wrong_password_is_said_and_not_tried_again_and_again() {
    let server = Server::start(&["--requirepass", "right"]);
    let mut wrong = Driver::new(config(servers(&[server.port])));
    wrong.run_for(500);
    let status = wrong.redis.status();
    assert!(status.trouble.as_ref().is_some_and(|it| it.contains("password")), "{status:?}");
    assert_eq!(status.counters.dials, 1);
    let credentials =
        tidings::config::Credentials { user: "default".into(), password: "right".into() };
    let config = config(servers(&[server.port]));
    let mut right =
        Driver::new(tidings::config::RedisConfig { credentials: Some(credentials), ..config });
    right.reachable(true);
    let (topic, retention) = (topic("a"), RETENTION);
    right.ask(|number| Request::Read { number, topic, from: 0, retention });
    assert!(right.take(|report| matches!(report, Report::Read { page: Ok(_), .. })).is_some());
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_publish_is_answered_when_enough_replicas_have_it() {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let port = primary.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    let mut driver = Driver::new(tidings::config::RedisConfig {
        wait_replicas: 1,
        ..config(servers(&[primary.port]))
    });
    driver.reachable(true);
    while !replica.cli(&["info", "replication"]).contains("master_link_status:up") {
        driver.turn();
    }
    // The replica's arrival may have begun another life.
    let numbers: Vec<u32> = (0..100).map(|_| driver.publish("a", "x", None)).collect();
    for (index, number) in numbers.into_iter().enumerate() {
        assert_eq!(driver.done(number).unwrap().sequence, index as u64 + 1);
    }
    drop(replica);
    assert_eq!(driver.publish_now("a", "x", None), Err(Refusal::TooFewReplicas));
    assert!(driver.redis.status().trouble.is_some_and(|it| it.contains("--redis-wait")));
}
