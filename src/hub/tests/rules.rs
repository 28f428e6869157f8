//! Retention by topic, and what a reload does to topics that there are.

use super::*;
use crate::config::{Scope, TopicRule, TopicRules};

fn with_rules(mut config: Config, rules: &[TopicRule]) -> Config {
    config.topics = Arc::new(TopicRules::new(rules.to_vec()));
    config
}

fn by_name(name: &TopicName, messages: u32) -> TopicRule {
    let scope = Scope::Name(name.as_str().to_owned());
    TopicRule { log_messages: Some(messages), ..TopicRule::new(scope) }
}

impl World {
    fn reload(&mut self, config: Config) {
        self.hubs.iter_mut().for_each(|hub| hub.reconfigure(&config));
        self.config = config;
    }

    fn lengths(&self, topic: &TopicName) -> Vec<usize> {
        let logs = (0..self.hubs.len()).filter_map(|worker| self.log(worker, topic));
        logs.map(Log::len).collect()
    }
}

#[test]
fn a_topic_retains_what_its_rule_says_in_its_owner_and_in_replicas() {
    let probe = World::new(config(2), 1);
    let (ruled, other) = (probe.name(0, 0), probe.name(0, 1));
    let mut world = World::new(with_rules(config(2), &[by_name(&ruled, 3)]), 1);
    for topic in [&ruled, &other] {
        world.subscribe(1, topic);
        world.settle();
        for _ in 0..7 {
            world.publish(1, topic, 1);
            world.settle();
        }
    }
    assert_eq!(world.lengths(&ruled), [3, 3]);
    assert_eq!(world.lengths(&other), [7, 7]);
}

#[test]
fn a_message_may_be_as_large_as_its_topic_by_its_own_rule() {
    let probe = World::new(config(1), 1);
    let (small, other) = (probe.name(0, 0), probe.name(0, 1));
    let small_rule = TopicRule { log_bytes: Some(1_000), ..by_name(&small, 5) };
    let mut world = World::new(with_rules(config(1), &[small_rule]), 1);
    // The same before the topic has begun and after it has.
    for _ in 0..2 {
        let refused = Publishing::Done(Err(Refusal::LargerThanLog));
        assert_eq!(world.publish(0, &small, 1_001), refused);
        assert!(matches!(world.publish(0, &small, 1), Publishing::Done(Ok(_))));
    }
    assert!(matches!(world.publish(0, &other, 1_001), Publishing::Done(Ok(_))));
}

#[test]
fn a_reload_makes_every_log_as_short_as_it_says_without_a_message_and_over_ticks() {
    let mut config = config(2);
    config.budgets.timers_per_tick = 10;
    let mut world = World::new(config.clone(), 1);
    let topics: Vec<TopicName> = (0..100).map(|index| world.name(0, index)).collect();
    for topic in &topics {
        world.subscribe(1, topic);
        world.settle();
        for _ in 0..5 {
            world.publish(0, topic, 1);
        }
        world.settle();
    }
    config.limits.log_messages = 4;
    world.reload(with_rules(config, &[by_name(&topics[99], 2)]));
    let now = world.now;
    let mut ticks = 1;
    while world.hubs[0].handle_timers(now) {
        ticks += 1;
    }
    assert!((10..=20).contains(&ticks), "100 topics, 10 in a tick: {ticks}");
    while world.hubs[1].handle_timers(now) {}
    for topic in &topics[..99] {
        assert_eq!(world.lengths(topic), [4, 4]);
    }
    assert_eq!(world.lengths(&topics[99]), [2, 2]);
    world.check_memory("after the reload");
    assert!(!world.hubs[0].handle_timers(now), "a sweep ends");
}

#[test]
fn a_message_that_comes_before_the_sweep_finds_the_new_rule() {
    let mut world = World::new(config(1), 1);
    let topic = world.name(0, 0);
    for _ in 0..5 {
        world.publish(0, &topic, 1);
    }
    world.reload(with_rules(config(1), &[by_name(&topic, 2)]));
    world.publish(0, &topic, 1);
    assert_eq!(world.lengths(&topic), [2]);
}

#[test]
fn an_age_that_a_reload_makes_shorter_or_longer_holds_for_what_is_there() {
    for (age_ms, is_kept) in [(500, false), (5_000, true)] {
        let mut config = config(1);
        config.limits.log_age_ms = 2_000;
        let mut world = World::new(config.clone(), 1);
        let topic = world.name(0, 0);
        world.publish(0, &topic, 1);
        config.limits.log_age_ms = age_ms;
        world.reload(with_rules(config, &[]));
        world.pass(1_000);
        assert_eq!(world.lengths(&topic), [usize::from(is_kept)], "{age_ms}");
        world.pass(2_000);
        assert_eq!(world.lengths(&topic), [usize::from(is_kept)], "{age_ms}");
    }
}
