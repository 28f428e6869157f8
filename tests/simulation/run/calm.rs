//! The end of a run: nothing goes wrong any more, so everybody must get everything, and when all have left
//! nothing may be left of them.

use super::{Run, Server};
use crate::clients::{Actor, Leaving, auditor, sentinel};
use crate::net::Weather;
use crate::world::World;

/// Within this time everybody has everything: the longest patience, twice, and the longest delay that the
/// server asks for.
const CALM_MS: u64 = 240_000;
/// Within this time a publish is acknowledged, and who listens is told, however narrow his connection is.
const ACKNOWLEDGED_MS: u64 = 8_000;
const TOLD_MS: u64 = 6_000;
/// Within this time every server has found Redis again, whatever had happened, and has looked at every topic.
const SETTLING_MS: u64 = 120_000;
/// Turns after which the server is busy with itself.
const TURNS_MAX: usize = 400_000;
/// Longer than anything is kept.
const FOREVER_MS: u64 = 2 * 3_600_000;

impl Run<'_> {
    /// All hazards end; then everybody reaches the head of what they read.
    pub(super) fn calm_down(&mut self) {
        self.note(|| "all is calm".to_owned());
        self.is_calm = true;
        self.net(|net| net.weather = Weather { harsh: net.weather.harsh, ..Weather::FAIR });
        self.exhausted_ms = 0;
        for Server { world, stalled_ms, boots_ms } in &mut self.servers {
            world.fuse.put_out();
            world.ambush(0);
            stalled_ms.fill(0);
            if !world.is_up() {
                *boots_ms = world.now_ms();
            }
        }
        self.with_redis(|redis, _| redis.calm_down());
        self.pass(0);
        // Those who would not read do from now on.
        for number in 0..self.actors.len() {
            self.client(number, |actor, hands| actor.wake(hands));
        }
        if self.redis.is_some() {
            self.go_on_for(SETTLING_MS);
        }
        // Whatever was under way is over before the last messages are published.
        self.until("nobody waits for an answer", CALM_MS, |run| {
            !run.is_draining() && run.are_content(|actor| !actor.is_reader())
        });
        self.until("everybody is at rest", CALM_MS, |run| run.are_content(|_| true));
        self.publish_last();
        self.until("everybody has everything", CALM_MS, |run| run.are_content(|_| true));
        // Half of the processes are told to go away before their end.
        if self.random.bool() {
            self.drain();
            self.until("everybody is back", CALM_MS, |run| run.are_content(|_| true));
        }
        self.all_leave();
        for topic in 0..self.plan.topics {
            let auditor = auditor::Auditor::new(topic);
            self.actors.push(Box::new(auditor));
        }
        self.until("all that is retained is read", CALM_MS, |run| run.are_content(|_| true));
    }

    /// Turns, for so long.
    fn go_on_for(&mut self, ms: u64) {
        let until_ms = self.now_ms() + ms;
        for _ in 0..TURNS_MAX {
            if self.now_ms() >= until_ms {
                return;
            }
            self.turn();
        }
        panic!("the servers do not come to rest with Redis");
    }

    fn is_draining(&self) -> bool {
        self.servers.iter().any(|server| server.world.is_draining)
    }

    /// Publishes a last message in every topic. Nothing holds up those who publish and those who listen: who
    /// is told only when something else wakes a worker was forgotten.
    fn publish_last(&mut self) {
        let (world, judge) = (&self.servers[0].world, &mut self.judge);
        let mut is_prompt =
            |actor: &dyn Actor| actor.is_listening(world) && actor.is_content(judge);
        let prompt: Vec<bool> = self.actors.iter().map(|actor| is_prompt(&**actor)).collect();
        for topic in 0..self.plan.topics {
            let sentinel = sentinel::Sentinel::new(topic);
            self.actors.push(Box::new(sentinel));
        }
        self.until("the last messages are acknowledged", ACKNOWLEDGED_MS, |run| {
            run.are_content(|actor| !actor.is_reader())
        });
        self.until("those who listen are told", TOLD_MS, |run| {
            let (world, judge) = (&run.servers[0].world, &mut run.judge);
            let mut prompt = run.actors.iter().zip(&prompt).filter(|(_, prompt)| **prompt);
            prompt.all(|(actor, _)| !actor.is_listening(world) || actor.is_content(judge))
        });
    }

    /// The process is told to go away, and does so in time.
    fn drain(&mut self) {
        self.note(|| "the process is told to go away".to_owned());
        let limits = &self.plan.config.limits;
        // Who had begun a request and is gone is waited for, and so is who takes nothing.
        let waits_ms = limits.head_ms + limits.write_progress_ms + limits.linger_ms;
        let most_ms = limits.drain_spread_ms + waits_ms + 3_000;
        let (before, until_ms) = (self.processes, self.now_ms() + most_ms);
        for server in &mut self.servers {
            server.world.drain();
        }
        for _ in 0..TURNS_MAX {
            if self.processes >= before + self.servers.len() as u32 {
                return;
            }
            assert!(
                self.now_ms() <= until_ms,
                "{} connections are open {} s after the process was told to go away",
                self.servers[0].world.open(),
                most_ms / 1_000
            );
            self.turn();
        }
        panic!("the server does not come to rest in a drain");
    }

    fn are_content(&mut self, which: impl Fn(&dyn Actor) -> bool) -> bool {
        let judge = &mut self.judge;
        self.actors.iter().filter(|actor| which(&***actor)).all(|actor| actor.is_content(judge))
    }

    /// Takes turns until `is_so`.
    fn until(&mut self, what: &str, most_ms: u64, mut is_so: impl FnMut(&mut Self) -> bool) {
        let began_ms = self.now_ms();
        for _ in 0..TURNS_MAX {
            if is_so(self) {
                return;
            }
            if self.now_ms() > began_ms + most_ms {
                self.complain_of_waiting(what, most_ms);
            }
            self.turn();
        }
        panic!("the server does not come to rest before {what}");
    }

    fn complain_of_waiting(&mut self, what: &str, ms: u64) -> ! {
        let judge = &mut self.judge;
        let waiting = self.actors.iter().enumerate();
        let waiting = waiting.filter(|(_, actor)| !actor.is_content(judge));
        let waiting =
            waiting.map(|(number, actor)| format!("client {number}, {}", actor.describe()));
        let waiting: Vec<String> = waiting.collect();
        panic!("after {} s still waiting until {what}: {}", ms / 1_000, waiting.join("; "));
    }

    /// The last ones go, and everything that was kept grows old: nothing may be left.
    pub(super) fn everybody_leaves(&mut self) {
        self.all_leave();
        for _ in 0..4 {
            self.rest();
            self.pass(FOREVER_MS);
        }
        self.rest();
        for Server { world, .. } in &self.servers {
            assert_eq!(world.open(), 0, "sockets are left");
            let counted = world.post.connections();
            assert_eq!(counted, 0, "connections are counted that are not there");
            for worker in 0..world.workers() {
                check_nothing_left(world, worker);
            }
        }
    }

    fn all_leave(&mut self) {
        self.note(|| "everybody leaves".to_owned());
        for number in 0..self.actors.len() {
            let how = Leaving::draw(&mut self.random);
            self.client(number, |actor, hands| actor.leave(hands, how));
        }
        self.actors.clear();
    }

    /// Turns until nobody has anything to do for two minutes.
    fn rest(&mut self) {
        let began_ms = self.now_ms();
        for _ in 0..TURNS_MAX {
            if self.awake().is_empty() && self.next_ms() > began_ms + 120_000 {
                return;
            }
            self.turn();
        }
        panic!("the server does not come to rest when everybody has left");
    }
}

fn check_nothing_left(world: &World, worker: usize) {
    let (counters, gauges) =
        world.look(worker, |worker| (worker.counters().clone(), worker.gauges()));
    let what = format!("of worker {worker}, when everybody has left");
    assert_eq!(counters.connections(), 0, "connections {what}");
    assert_eq!(counters.subscriptions, [0; 4], "subscriptions {what}");
    assert_eq!(counters.outbox_bytes, 0, "bytes owed {what}");
    assert_eq!(counters.body_bytes, 0, "bytes of bodies {what}");
    assert_eq!(gauges.memory_bytes, 0, "bytes of messages {what}");
    assert_eq!(gauges.mail_waiting, 0, "letters {what}");
    assert_eq!((gauges.topics, gauges.replicas), (0, 0), "topics {what}");
}
