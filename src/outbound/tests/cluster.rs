//! A cluster of two nodes.

use super::peer::{World, bulk, config, push};
use crate::config::RedisConfig;
use crate::topic::Refusal;

/// Slot 12182, and one of the other half.
const FOO: &str = "foo";
const LOW: &str = "user1000";
const OK: &str = "+0000000a 1\r\n";

fn slots(ranges: &[(u16, u16, u16)]) -> String {
    let range = |(first, last, port): &(u16, u16, u16)| {
        format!("*3\r\n:{first}\r\n:{last}\r\n*4\r\n{}:{port}\r\n{}*0\r\n", bulk("h"), bulk("id"))
    };
    let ranges_text: String = ranges.iter().map(range).collect();
    format!("*{}\r\n{ranges_text}", ranges.len())
}

fn world(ranges: &[(u16, u16, u16)]) -> World {
    let mut world = World::new(RedisConfig { publish_wait_ms: 0, ..config(&[1]) });
    let cluster = bulk("cluster");
    world.manner.hello = format!("%2\r\n{}:3\r\n{}{cluster}", bulk("proto"), bulk("mode"));
    world.manner.slots = slots(ranges);
    world.settle();
    assert!(world.redis.status().reachable, "{:?}", world.redis.status());
    world
}

fn halves() -> World {
    world(&[(0, 8_191, 1), (8_192, 16_383, 2)])
}

#[test]
fn a_request_goes_where_its_slot_is_and_a_node_is_dialled_when_it_is_needed() {
    let mut world = halves();
    assert!(world.open().iter().all(|&id| world.port(id) == 1));
    world.publish(1, FOO, None);
    world.publish(2, LOW, None);
    let (id, command) = world.next();
    assert_eq!((world.port(id), &command[3][..]), (1, "p:{user1000}:state"));
    assert_eq!(command[14], "SPUBLISH");
    let (id, command) = world.next();
    assert_eq!((world.port(id), &command[3][..]), (2, "p:{foo}:state"));
    world.say(id, OK);
    assert_eq!(world.done(1), Some(Ok(1)));
}

#[test]
fn a_seed_without_slots_is_left_and_the_others_are_reached() {
    let world = world(&[(0, 16_383, 2)]);
    assert!(world.open().iter().all(|&id| world.port(id) == 2));
    assert_eq!(world.trouble(), "");
}

#[test]
fn what_comes_while_a_slot_moves_waits_behind_what_was_sent_before() {
    let mut world = halves();
    world.publish(1, FOO, Some("k1"));
    world.publish(2, FOO, Some("k2"));
    let (id, _) = world.next();
    world.asked.clear();
    world.manner.slots = slots(&[(0, 16_383, 1)]);
    world.say(id, "-MOVED 12182 h:1\r\n");
    world.publish(3, FOO, Some("k3"));
    assert_eq!(world.names(), Vec::<String>::new(), "one answer of the slot is still owed");
    world.say(id, "-MOVED 12182 h:1\r\n");
    for key in ["k1", "k2", "k3"] {
        let (id, command) = world.next();
        assert_eq!((world.port(id), &command[5][..]), (1, &format!("p:{{foo}}:key:{key}")[..]));
        world.say(id, OK);
    }
    world.pass(2_000);
    assert!(world.open().iter().all(|&id| world.port(id) == 1), "the other has no slots");
    assert_eq!(world.redis.status().in_flight, 0);
}

#[test]
fn a_topic_that_has_gone_ahead_is_asked_for_there_and_one_between_is_tried_again() {
    let mut world = halves();
    world.publish(1, LOW, None);
    world.reply("-ASK 3443 h:2\r\n");
    let (id, command) = world.next();
    assert_eq!((world.port(id), &command[0][..]), (2, "EVALSHA"));
    world.say(id, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
    assert_eq!(world.names(), Vec::<String>::new(), "not at once");
    world.pass(200);
    let (id, _) = world.next();
    assert_eq!(world.port(id), 1, "where the slot is");
    world.say(id, OK);
    assert_eq!(world.done(1), Some(Ok(1)));
}

#[test]
fn a_slot_that_nobody_has_is_waited_for_and_not_forever() {
    let mut world = halves();
    world.publish(1, LOW, None);
    let mut asked = 0;
    while world.done(1).is_none() {
        if !world.asked.is_empty() {
            asked += 1;
            world.reply("-CLUSTERDOWN Hash slot not served\r\n");
        }
        world.pass(50);
    }
    assert_eq!(world.done(1), Some(Err(Refusal::RedisAway)));
    assert!((10..100).contains(&asked), "{asked}");
    assert!(world.trouble().contains("CLUSTER INFO"), "{}", world.trouble());
}

#[test]
fn a_channel_follows_its_slot() {
    let mut world = halves();
    world.listen(FOO);
    let (id, command) = world.next();
    assert_eq!(
        (world.port(id), &command[..]),
        (2, &["SSUBSCRIBE".into(), "p:{foo}".to_owned()][..])
    );
    world.say(id, &push("ssubscribe", "p:{foo}", ":2\r\n"));
    assert_eq!(world.listenings(FOO), 1);
    world.manner.slots = slots(&[(0, 12_182, 1), (12_183, 16_383, 2)]);
    world.say(id, &push("sunsubscribe", "p:{foo}", ":1\r\n"));
    // Where it was it is asked for once more, and refused.
    assert_eq!(world.next().1[0], "SSUBSCRIBE");
    world.say(id, "-MOVED 12182 h:1\r\n");
    world.pass(1_000);
    world.asked.retain(|(_, command)| command[0] != "SUNSUBSCRIBE");
    let (id, command) = world.next();
    assert_eq!((world.port(id), &command[1][..]), (1, "p:{foo}"));
    world.say(id, &push("ssubscribe", "p:{foo}", ":2\r\n"));
    assert_eq!(world.listenings(FOO), 2);
    world.say(id, &push("smessage", "p:{foo}", &bulk("0000000a 2\n0 10 0\ntext/plainx")));
    assert_eq!(world.redis.status().counters.heard, 1);
}

#[test]
fn when_all_nodes_are_lost_those_that_were_named_are_asked_again() {
    let mut world = halves();
    world.publish(1, FOO, None);
    world.reply(OK);
    world.manner.refuses = vec![2];
    world.manner.slots = slots(&[(0, 16_383, 1)]);
    world.cut_all();
    world.pass(10_000);
    assert!(world.redis.status().reachable, "{:?}", world.redis.status());
    world.publish(2, FOO, None);
    let (id, command) = world.next();
    assert!(world.open().contains(&id), "{command:?} {:?}", world.redis);
    assert_eq!(world.port(id), 1);
}
