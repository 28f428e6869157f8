//! Faults of servers and of one Redis, under load, each several times.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::audit::{Figures, Rules};
use crate::folder::until;
use crate::history::Loss;
use crate::load::{Load, Size};
use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::resp::Resp;
use crate::tidings::Group;

const SECOND: Duration = Duration::from_secs(1);

/// A Redis with these flags, three servers at it, and a load; then what `faults` does to them.
fn under_load(
    redis_flags: &[&str],
    rules: Rules,
    faults: impl FnOnce(&mut Group, &mut Redis, &mut Load),
) -> Figures {
    let mut redis = Redis::start(redis_flags);
    let mut group = Group::at(&redis.url());
    let size = if rules.loss == Loss::Nothing { Size::USUAL } else { Size::WITH_LOSSES };
    let mut load = Load::start(group.addresses(), size);
    faults(&mut group, &mut redis, &mut load);
    let figures = load.finish(rules);
    assert!(figures.acknowledged > 1_000, "{figures:?}");
    figures
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_load_on_three_servers_and_one_redis_is_delivered_to_everybody() {
    let figures = under_load(&[], Rules::STRICT, |_, _, load| load.run_for(5 * SECOND));
    assert_eq!(figures.epochs, 4, "{figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn servers_that_are_killed_one_after_the_other_cost_nobody_anything() {
    let figures = under_load(&[], Rules::STRICT, |group, _, load| {
        for turn in 0..6 {
            load.run_for(SECOND / 2);
            group.replace(turn % 3, load);
            load.mark("a killed server");
        }
    });
    assert_eq!(figures.epochs, 4, "{figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn servers_that_stand_still_one_after_the_other_cost_nobody_anything() {
    let figures = under_load(&[], Rules::STRICT, |group, _, load| {
        for server in &group.servers {
            load.run_for(SECOND / 2);
            server.signal("-STOP");
            load.run_for(2 * SECOND);
            server.signal("-CONT");
            load.mark("a server that stood still");
        }
    });
    assert_eq!(figures.epochs, 4, "{figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_redis_that_is_killed_and_comes_back_empty_is_another_life() {
    let figures = under_load(&[], Rules::LIVES, |_, redis, load| {
        for _ in 0..3 {
            load.run_for(SECOND / 2);
            redis.kill();
            load.run_for(SECOND / 2);
            redis.start_again();
            load.mark("an empty Redis");
        }
    });
    assert_eq!(figures.epochs, 16, "{figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_redis_that_is_killed_and_comes_back_with_its_file_goes_on() {
    let file = ["--appendonly", "yes"];
    let figures = under_load(&file, Rules::STRICT, |_, redis, load| {
        for _ in 0..3 {
            load.run_for(SECOND / 2);
            redis.kill();
            load.run_for(SECOND / 2);
            redis.start_again();
            load.mark("a Redis with its file");
        }
    });
    assert_eq!(figures.epochs, 16, "{figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_redis_that_stands_still_loses_nothing() {
    under_load(&[], Rules::STRICT, |_, redis, load| {
        for seconds in [2, 10, 1] {
            load.run_for(SECOND / 2);
            redis.stop_for(seconds * SECOND);
            load.mark("a Redis that stood still");
        }
    });
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_redis_that_is_emptied_is_another_life() {
    let figures = under_load(&[], Rules::LIVES, |_, redis, load| {
        for _ in 0..4 {
            load.run_for(SECOND / 2);
            redis.tell(&["FLUSHALL"]);
            load.mark("FLUSHALL");
        }
    });
    assert_eq!(figures.epochs, 20, "{figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn connections_that_redis_cuts_cost_nobody_anything() {
    let figures = under_load(&[], Rules::STRICT, |_, redis, load| {
        for _ in 0..4 {
            for kind in ["pubsub", "normal"] {
                load.run_for(SECOND / 4);
                redis.tell(&["CLIENT", "KILL", "TYPE", kind]);
                load.mark(&format!("CLIENT KILL TYPE {kind}"));
            }
        }
    });
    assert_eq!(figures.epochs, 4, "{figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_consumer_that_redis_finds_too_slow_catches_up() {
    under_load(&[], Rules::STRICT, |_, redis, load| {
        redis.tell(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 20kb 0 0"]);
        for turn in 0..4 {
            load.run_for(SECOND / 4);
            // Larger than what Redis keeps for a subscriber now: it cuts all of them.
            load.publish_large(turn, 200_000);
            load.mark("a full output buffer");
        }
        assert!(cuts(redis) >= 4, "Redis has cut somebody each time");
    });
}

/// Connections that Redis has closed as their output buffers were full.
fn cuts(redis: &Redis) -> usize {
    redis.log_text().matches("for overcoming of output buffer limits").count()
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_redis_that_is_slow_loses_nothing() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.port);
    let group = Group::at(&proxy.url());
    let mut load = Load::start(group.addresses(), Size::USUAL);
    for _ in 0..2 {
        redis.tell(&["DEBUG", "SLEEP", "2"]);
        load.mark("DEBUG SLEEP");
        proxy.delay(SECOND / 5);
        load.run_for(SECOND);
        load.mark("a slow way, which it still is");
        proxy.delay(Duration::ZERO);
        load.mark("a slow way");
        proxy.cut();
        load.mark("a cut");
    }
    // Longer than a connection without a sign of life is kept.
    proxy.silence(true);
    load.run_for(7 * SECOND);
    proxy.silence(false);
    load.mark("a silent way");
    load.finish(Rules::STRICT);
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_redis_that_takes_no_writes_is_waited_for() {
    under_load(&[], Rules::STRICT, |group, redis, load| {
        for _ in 0..2 {
            redis.tell(&["CONFIG", "SET", "maxmemory", "1"]);
            load.run_for(SECOND);
            redis.tell(&["CONFIG", "SET", "maxmemory", "0"]);
            load.mark("OOM");
            // A primary that nobody can reach.
            redis.tell(&["REPLICAOF", "127.0.0.1", "1"]);
            load.run_for(SECOND);
            redis.tell(&["REPLICAOF", "NO", "ONE"]);
            load.mark("READONLY");
            load.run_for(SECOND / 2);
        }
        for what in ["oom", "maxmemory", "name the primary"] {
            assert!(said(group, what), "some server's log says {what}");
        }
    });
}

/// Whether a server has said something like this.
fn said(group: &Group, what: &str) -> bool {
    let says = |line: &String| line.to_lowercase().contains(what);
    group.servers.iter().any(|server| server.log_so_far().iter().any(says))
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn scripts_that_redis_forgets_are_sent_again() {
    let figures = under_load(&[], Rules::STRICT, |_, redis, load| {
        for _ in 0..10 {
            load.run_for(SECOND / 5);
            redis.tell(&["SCRIPT", "FLUSH"]);
        }
        load.mark("SCRIPT FLUSH");
    });
    assert_eq!(figures.epochs, 4, "{figures:?}");
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn rights_that_are_taken_away_and_given_back_cost_nobody_anything() {
    under_load(&[], Rules::STRICT, |group, redis, load| {
        for (take, give) in
            [("-publish", "+publish"), ("-xadd", "+xadd"), ("resetchannels", "allchannels")]
        {
            redis.tell(&["ACL", "SETUSER", "default", take]);
            load.run_for(SECOND);
            redis.tell(&["ACL", "SETUSER", "default", give]);
            // What does not mend by itself is tried again less often.
            load.mark_within(&format!("ACL SETUSER {take}"), 45 * SECOND);
            load.run_for(SECOND);
        }
        assert!(said(group, "acl") || said(group, "noperm"), "some server's log names the rights");
    });
}

#[test]
#[ignore = "needs redis-server: tests/run --only cluster"]
fn a_wrong_password_is_said_and_does_not_make_a_tight_loop() {
    let redis = Redis::start(&["--requirepass", "right"]);
    let mut admin = Resp::dial(Ipv4Addr::LOCALHOST, redis.port).unwrap();
    admin.ask(&["AUTH", "right"]).unwrap();
    let proxy = Proxy::start(redis.port);
    let group = Group::start(1, &["--redis", &proxy.url().replace("//", "//:wrong@")]);
    let server = &group.servers[0];
    server.await_log("password");
    let before = proxy.dials();
    Load::pause(6 * SECOND);
    let dials = proxy.dials() - before;
    // Two workers with two connections each.
    assert!(dials <= 12, "{dials} connections in 6 s");
    let lines: Vec<String> = server.log_so_far();
    let about: Vec<&String> = lines.iter().filter(|line| line.contains("password")).collect();
    assert!(about.len() <= 4, "{about:#?}");
    assert!(!lines.iter().any(|line| line.contains("wrong@")), "{lines:#?}");
    assert_eq!(server.get("/healthz").status, 200);
    server.get("/readyz").problem(503);
    let refusal = server.request("POST", "/topics/t", &[], b"x");
    refusal.problem(503);
    assert!(refusal.field("Retry-After").is_some());
    admin.ask(&["CONFIG", "SET", "requirepass", "wrong"]).unwrap();
    until("it comes back", 45 * SECOND, || server.metric("tidings_redis_up") == 1);
    server.publish("t", "at last");
}
