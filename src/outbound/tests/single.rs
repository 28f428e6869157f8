//! One server.

use fastrand::Rng;

use super::peer::{World, bulk, config, push};
use crate::config::RedisConfig;
use crate::topic::{Refusal, Report};

const FIRST: &str = "$10\r\n0000000a 1\r\n";
const SECOND: &str = "$10\r\n0000000a 2\r\n";

fn world() -> World {
    let mut world = World::new(config(&[1]));
    world.settle();
    assert!(world.redis.status().reachable, "{:?}", world.redis.status());
    world
}

fn patient() -> World {
    let mut world = World::new(RedisConfig { publish_wait_ms: 30_000, ..config(&[1]) });
    world.settle();
    world
}

#[test]
fn requests_of_a_moment_are_one_write_and_are_answered_in_order() {
    let mut world = world();
    let before = world.writes;
    (1..=100).for_each(|number| world.publish(number, "a", None));
    assert_eq!(world.names().len(), 100);
    assert_eq!(world.writes, before + 1);
    let (id, command) = world.asked.front().unwrap().clone();
    assert_eq!(command[2..5], ["2", "p:{a}:state", "p:{a}:log"]);
    assert_eq!(command[5], format!("{}{}", "a".repeat(12), "b".repeat(12)));
    assert_eq!(command[9..14], ["0 10 0\ntext/plainx", "10", "1000", "267", "p:{a}"]);
    world.say(id, &format!("{FIRST}{SECOND}-OOM command not allowed\r\n"));
    assert_eq!((world.done(1), world.done(2)), (Some(Ok(1)), Some(Ok(2))));
    assert_eq!((world.done(3), world.done(4)), (Some(Err(Refusal::RedisAway)), None));
    assert!(world.trouble().contains("maxmemory"), "{}", world.trouble());
    world.say(id, SECOND);
    assert_eq!(world.trouble(), "", "it is over");
    assert_eq!(world.redis.status().in_flight, 96);
}

#[test]
fn what_was_under_way_when_a_connection_is_lost_is_repeated_or_in_doubt() {
    let mut world = patient();
    world.publish(1, "a", None);
    world.publish(2, "a", Some("k"));
    world.read(3, "a");
    assert_eq!(world.names().len(), 3);
    world.cut_all();
    assert_eq!(world.done(1), Some(Err(Refusal::OutcomeUnknown)));
    world.publish(4, "a", None);
    world.pass(200);
    assert_eq!(world.names().len(), 3, "the second, the third, and behind them the new one");
    assert_eq!(world.reply(FIRST)[2], "3");
    world.reply(&format!("*3\r\n{}{}{}", bulk("0000000a 1"), bulk("1"), bulk("9")));
    world.reply(SECOND);
    assert_eq!((world.done(2), world.done(3)), (Some(Ok(1)), Some(Ok(2))));
    assert_eq!(world.done(4), Some(Ok(2)));
    assert_eq!(world.redis.status().in_flight, 0);
}

#[test]
fn what_was_written_and_not_sent_is_in_no_doubt() {
    let mut world = patient();
    world.pass(100);
    let commands = world.open()[0];
    world.publish(1, "a", None);
    let now = world.clock();
    world.redis.handle_written(now, commands, 0);
    world.redis.handle_closed(now, commands, "reset".into());
    assert_eq!(world.done(1), None);
    world.pass(200);
    world.reply(FIRST);
    assert_eq!(world.done(1), Some(Ok(1)));
}

#[test]
fn without_a_wait_a_publish_is_refused_as_long_as_redis_is_away() {
    let mut world = world();
    world.manner.refuses.push(1);
    world.cut_all();
    world.publish(1, "a", None);
    assert_eq!(world.done(1), Some(Err(Refusal::RedisAway)));
    assert!(!world.redis.status().reachable);
    world.read(2, "a");
    assert_eq!(world.done(2), None);
    world.pass(1_001);
    assert_eq!(world.done(2), Some(Err(Refusal::RedisAway)));
}

#[test]
fn with_a_wait_a_publish_waits_so_long_and_no_longer() {
    let mut world = patient();
    world.manner.refuses.push(1);
    world.cut_all();
    world.publish(1, "a", None);
    world.publish(2, "a", Some("k"));
    world.pass(29_000);
    assert_eq!((world.done(1), world.done(2)), (None, None));
    world.pass(1_001);
    assert_eq!(world.done(1), Some(Err(Refusal::RedisAway)));
    assert_eq!(world.done(2), Some(Err(Refusal::RedisAway)), "it was never sent");
}

#[test]
fn a_connection_on_which_nothing_comes_is_given_up_if_something_is_owed() {
    let mut world = world();
    let before = world.open();
    world.pass(60_000);
    assert_eq!(world.open(), before, "probes are answered");
    world.publish(1, "a", None);
    world.settle();
    let (commands, _) = world.asked[0].clone();
    // The server answers nothing any more: neither this nor probes.
    let since = world.now;
    while world.done(1).is_none() {
        world.now += 100;
        assert!(world.now < since + 6_000, "{:?}", world.redis.status());
        let now = world.clock();
        world.redis.handle_timers(now);
    }
    assert!(!world.open().contains(&commands));
    assert_eq!(world.done(1), Some(Err(Refusal::OutcomeUnknown)));
}

#[test]
fn scripts_that_are_not_there_are_loaded_and_the_order_stays() {
    let mut world = world();
    for number in 1..=3 {
        world.publish(number, "a", None);
    }
    let (id, _) = world.next();
    world.say(id, "-NOSCRIPT No matching script\r\n");
    world.publish(4, "a", None);
    assert_eq!(world.names().len(), 2, "it waits until the others are answered");
    world.asked.clear();
    world.say(id, "-NOSCRIPT No matching script\r\n-NOSCRIPT No matching script\r\n");
    assert_eq!(world.names().len(), 4);
    for number in 1..=4 {
        world.reply(&format!("+0000000a {number}\r\n"));
        assert_eq!(world.done(number), Some(Ok(u64::from(number))));
    }
    assert_eq!(world.redis.status().counters.lost, 0);
}

#[test]
fn another_life_is_learnt_and_what_was_refused_for_it_is_sent_again() {
    let mut world = world();
    world.listen("a");
    let (subscriptions, command) = world.next();
    assert_eq!(command, ["SUBSCRIBE", "p:{a}"]);
    world.say(subscriptions, &push("subscribe", "p:{a}", ":2\r\n"));
    assert_eq!(world.listenings("a"), 1);
    world.manner.run = 'c';
    world.publish(1, "a", None);
    world.reply("-STALELIFE Redis has begun another life\r\n");
    let (_, command) = world.next();
    assert!(command[5].starts_with("cccc"), "{command:?}");
    assert!(!world.open().contains(&subscriptions), "anything may have been missed");
    world.pass(200);
    let (subscriptions, command) = world.next();
    assert_eq!(command, ["SUBSCRIBE", "p:{a}"]);
    world.say(subscriptions, &push("subscribe", "p:{a}", ":2\r\n"));
    assert_eq!(world.listenings("a"), 2);
}

#[test]
fn a_primary_that_has_become_a_replica_is_left_when_it_has_answered() {
    let mut world = patient();
    world.publish(1, "a", None);
    world.publish(2, "a", None);
    let (id, _) = world.next();
    world.manner.role = "slave";
    world.say(id, "-READONLY You can't write against a read only replica.\r\n");
    assert!(world.open().contains(&id), "the other answer is worth waiting for");
    world.asked.clear();
    world.say(id, SECOND);
    assert_eq!(world.done(2), Some(Ok(2)));
    assert!(!world.open().contains(&id) && !world.redis.status().reachable);
    assert!(world.trouble().contains("not the primary"), "{}", world.trouble());
    world.pass(3_000);
    world.manner.role = "master";
    world.pass(6_000);
    world.reply(FIRST);
    assert_eq!((world.done(1), world.trouble()), (Some(Ok(1)), String::new()));
}

#[test]
fn subscriptions_that_bring_nothing_are_made_anew() {
    let mut world = world();
    world.listen("a");
    let (subscriptions, _) = world.next();
    world.say(subscriptions, &push("subscribe", "p:{a}", ":2\r\n"));
    world.manner.hears = false;
    world.pass(12_000);
    assert!(!world.open().contains(&subscriptions));
    world.manner.hears = true;
    world.pass(6_000);
    let (again, _) = world.next();
    world.say(again, &push("subscribe", "p:{a}", ":2\r\n"));
    assert_eq!(world.listenings("a"), 2);
    world.pass(60_000);
    assert!(world.open().contains(&again));
}

#[test]
fn channels_are_asked_for_in_batches_and_again_on_the_next_connection() {
    let mut world = world();
    let before = world.writes;
    for round in 1..=2 {
        if round == 1 {
            (0..1_000).for_each(|number| world.listen(&format!("t{number}")));
        }
        let mut channels = Vec::new();
        while channels.len() < 1_000 {
            let (id, command) = world.next();
            assert!(command[0] == "SUBSCRIBE" && command.len() <= 513);
            let confirmations: String =
                command[1..].iter().map(|channel| push("subscribe", channel, ":1\r\n")).collect();
            channels.extend(command[1..].to_vec());
            world.say(id, &confirmations);
        }
        assert_eq!(world.listenings("t0"), round);
        assert_eq!(world.listenings("t999"), round);
        if round == 1 {
            assert_eq!(world.writes, before + 1);
            world.cut_all();
            world.pass(200);
        }
    }
}

#[test]
fn what_is_heard_is_told_and_what_is_no_message_of_ours_is_not() {
    let mut world = world();
    world.listen("a%");
    let (id, command) = world.next();
    assert_eq!(command[1], "p:{a%25}");
    world.say(id, &push("subscribe", "p:{a%25}", ":2\r\n"));
    for junk in ["", "x", "0000000a 1", "0000000a 1 2\nx", "\n", "0000000a -1\nx"] {
        world.say(id, &push("message", "p:{a%25}", &bulk(junk)));
    }
    world.say(id, &push("message", "p:{b}", &bulk("0000000a 1\nx")));
    world.say(id, ">1\r\n:1\r\n>2\r\n+message\r\n+x\r\n>3\r\n_\r\n_\r\n_\r\n");
    let heard = |report: &Report| matches!(report, Report::Heard { .. });
    assert!(!world.reports.iter().any(heard));
    world.say(id, &push("message", "p:{a%25}", &bulk("0000000a 7\n0 10 0\ntext/plain!")));
    let [Report::Heard { position, record, .. }] =
        &world.reports.iter().filter(|report| heard(report)).collect::<Vec<_>>()[..]
    else {
        panic!("one is heard")
    };
    assert_eq!((position.sequence, &record[..]), (7, &b"0 10 0\ntext/plain!"[..]));
}

/// Attacks 247, 257, 259.
#[test]
fn nothing_that_a_peer_does_makes_a_tight_loop() {
    let hello = |text: &str| text.to_owned();
    let cases = [
        (hello("-WRONGPASS invalid username-password pair\r\n"), "password", 800),
        (hello("-NOPERM this user has no permissions\r\n"), "ACL SETUSER", 800),
        (hello("-ERR unknown command `HELLO`\r\n"), "Redis 6", 800),
        (hello("-LOADING Redis is loading\r\n"), "loaded", 4_000),
        (hello("-ERR max number of clients reached\r\n"), "maxclients", 4_000),
        (hello("HTTP/1.1 400 Bad Request\r\n\r\n"), "whether --redis names a Redis", 800),
        (hello("\u{15}\u{3}\u{1}\0\u{2}\u{2}F"), "TLS", 800),
        (hello("$999999999999\r\n"), "whether --redis names a Redis", 800),
        (
            format!("%2\r\n{}:3\r\n{}{}", bulk("proto"), bulk("mode"), bulk("sentinel")),
            "redis-sentinel",
            800,
        ),
        (hello("+OK\r\n+OK\r\n"), "whether --redis names a Redis", 800),
    ];
    for (hello, advice, most) in cases {
        let mut world = World::new(config(&[1]));
        world.manner.hello = hello;
        world.pass(3_600_000);
        assert!(world.trouble().contains(advice), "{advice}: {}", world.trouble());
        let status = world.redis.status();
        assert!((100..most).contains(&status.counters.dials), "{advice}: {status:?}");
        assert!(!status.reachable && status.connections <= 1);
    }
}

#[test]
fn of_several_servers_the_one_that_takes_writes_is_found() {
    let mut world = World::new(config(&[1, 2, 3]));
    world.manner.refuses = vec![1, 2];
    world.pass(2_000);
    let ports: Vec<u16> = world.open().into_iter().map(|id| world.port(id)).collect();
    assert_eq!(ports, [3, 3]);
    assert_eq!(world.trouble(), "");
}

#[test]
fn a_publish_is_confirmed_by_the_wait_behind_its_batch() {
    let mut world = World::new(RedisConfig { wait_replicas: 2, ..config(&[1]) });
    world.publish(1, "a", None);
    world.publish(2, "a", None);
    let names = world.names();
    assert_eq!(names, ["EVALSHA", "EVALSHA", "WAIT"]);
    world.reply(FIRST);
    world.reply(SECOND);
    assert_eq!(world.done(1), None);
    assert_eq!(world.reply(":2\r\n"), ["WAIT", "2", "2500"]);
    assert_eq!((world.done(1), world.done(2)), (Some(Ok(1)), Some(Ok(2))));
    world.publish(3, "a", None);
    world.reply(FIRST);
    world.reply(":1\r\n");
    assert_eq!(world.done(3), Some(Err(Refusal::TooFewReplicas)));
    assert!(world.trouble().contains("--redis-wait"), "{}", world.trouble());
}

#[test]
fn every_request_is_answered_once_whatever_happens() {
    for seed in 0..300 {
        let mut random = Rng::with_seed(seed);
        let config = RedisConfig {
            publish_wait_ms: random.u64(0..3) * 2_000,
            wait_replicas: random.u32(0..2),
            ..config(&[1, 2])
        };
        let mut world = World::with_seed(config, seed);
        let mut next = 0;
        for _ in 0..200 {
            match random.u32(0..12) {
                0..=3 => {
                    next += 1;
                    world.publish(next, "a", random.bool().then_some("k"));
                }
                4 => {
                    next += 1;
                    world.read(next, "b");
                }
                5..=7 => {
                    world.settle();
                    if let Some((id, command)) = world.asked.pop_front() {
                        let answer = answer(&mut random, &command);
                        world.say(id, &answer);
                    }
                }
                8 => {
                    let open = world.open();
                    if let Some(&id) = random.choice(&open) {
                        world.cut(id);
                    }
                }
                9 => world.manner.run = random.choice(['a', 'c', 'd']).unwrap(),
                10 => world.pass(random.u64(0..3_000)),
                _ => world.listen(random.choice(["a", "b", "c"]).unwrap()),
            }
        }
        world.cut_all();
        world.manner.refuses = vec![1, 2];
        world.pass(30_000);
        let status = world.redis.status();
        assert_eq!((status.in_flight, status.connections), (0, 0), "seed {seed}: {status:?}");
        let mut answered: Vec<u32> = world
            .reports
            .iter()
            .filter_map(|report| match report {
                Report::Done { number, .. } | Report::Read { number, .. } => Some(*number),
                _ => None,
            })
            .collect();
        answered.sort_unstable();
        assert_eq!(answered, (1..=next).collect::<Vec<_>>(), "seed {seed}");
    }
}

fn answer(random: &mut Rng, command: &[String]) -> String {
    let errors =
        ["NOSCRIPT x", "STALELIFE x", "READONLY x", "OOM x", "LOADING x", "ERR x", "MOVED 1 a:1"];
    match command[0].as_str() {
        "EVALSHA" if random.u32(0..3) == 0 => format!("-{}\r\n", random.choice(errors).unwrap()),
        "EVALSHA" => {
            let from = random.choice(["+0000000a 5\r\n", "$3\r\nabc\r\n", "_\r\n", "*0\r\n"]);
            from.unwrap().to_owned()
        }
        "WAIT" => format!(":{}\r\n", random.u32(0..2)),
        "SUBSCRIBE" => {
            let confirm = |channel: &String| push("subscribe", channel, ":1\r\n");
            command[1..].iter().map(confirm).collect()
        }
        _ => "+OK\r\n".into(),
    }
}
