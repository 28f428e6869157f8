//! A server that sentinels know.

use super::peer::{World, bulk, config, endpoint};
use crate::config::{Credentials, RedisConfig, Topology};

fn world(credentials: Option<Credentials>) -> World {
    let sentinels = vec![endpoint(11), endpoint(12), endpoint(13)];
    let topology = Topology::Sentinels { sentinels, service: "main".into() };
    World::new(RedisConfig { topology, credentials, ..config(&[]) })
}

fn primary(port: u16) -> String {
    format!("*2\r\n{}{}", bulk("h"), bulk(&port.to_string()))
}

#[test]
fn sentinels_are_asked_in_turn_until_one_knows_and_again_when_the_primary_is_lost() {
    let mut world = world(None);
    world.manner.refuses = vec![11, 12];
    world.pass(500);
    let command = world.reply(&primary(1));
    assert_eq!(command, ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]);
    let ports: Vec<u16> = world.open().into_iter().map(|id| world.port(id)).collect();
    assert_eq!(ports, [1, 1], "the sentinel's connection is closed");
    assert!(world.redis.status().reachable);
    world.manner.refuses = vec![1, 11, 12];
    world.cut_all();
    assert!(!world.redis.status().reachable);
    world.pass(500);
    world.reply(&primary(2));
    let ports: Vec<u16> = world.open().into_iter().map(|id| world.port(id)).collect();
    assert_eq!(ports, [2, 2]);
    assert!(world.redis.status().reachable);
}

#[test]
fn a_primary_that_was_left_behind_is_left() {
    let mut world = world(None);
    world.reply(&primary(1));
    assert!(world.redis.status().reachable);
    world.pass(13_000);
    world.reply(&primary(2));
    world.pass(500);
    world.reply(&primary(2));
    let ports: Vec<u16> = world.open().into_iter().map(|id| world.port(id)).collect();
    assert_eq!(ports, [2, 2]);
}

#[test]
fn a_sentinel_that_wants_a_password_is_told_ours() {
    let credentials = Credentials { user: "default".into(), password: "secret".into() };
    let mut world = world(Some(credentials));
    world.reply("-NOAUTH Authentication required.\r\n");
    assert_eq!(world.reply("+OK\r\n"), ["AUTH", "secret"]);
    world.reply(&primary(1));
    assert!(world.redis.status().reachable);
    assert!(!format!("{:?}", world.redis).contains("secret"));
}

#[test]
fn a_service_that_no_sentinel_knows_is_said() {
    let mut world = world(None);
    world.reply("_\r\n");
    assert!(world.trouble().contains("service"), "{}", world.trouble());
}
