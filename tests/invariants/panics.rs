//! A worker that panics takes down its own connections and nothing else (catalogue 212, 214).

use std::sync::Arc;

use tidings::fuse::Place;
use tidings::limits::{Budgets, PANICS_MAX, PANICS_WINDOW_MS};
use tidings::reactor::{Envelope, Parcel};
use tidings::worker::{Letter, Question};

use crate::client::{Reader, Told, Wire, get, metric, publish, take_answers};
use crate::world::{Client, Weather, World};
use crate::{ask, config};

const CREDIT_MESSAGES: u32 = Budgets::DEFAULT.credit;

/// A world with a client at each worker, which is accepted there.
fn world_with_clients(workers: usize, seed: u64) -> (World, Vec<Client>) {
    let mut world = World::new(config(workers, |_| ()), Weather::FAIR, seed);
    world.may_panic = true;
    let clients: Vec<Client> = (0..workers).map(|worker| world.connect(worker)).collect();
    world.settle();
    for (worker, &client) in clients.iter().enumerate() {
        assert_eq!(world.key(client).map(|(worker, _)| worker), Some(worker));
    }
    (world, clients)
}

/// The worker panics at once, because a stranger comes.
fn panic_now(world: &mut World, worker: usize) {
    let stranger = world.connect(worker);
    world.finish(stranger);
    world.fuse.light(Place::Accept, 1);
    world.tick(worker);
    assert!(!world.fuse.put_out(), "worker {worker} has panicked");
}

/// A topic that this worker owns: no other can answer for it while that one stands still.
fn topic_of(world: &mut World, owner: usize) -> String {
    let asker = (owner + 1) % world.workers();
    for number in 0.. {
        let topic = format!("u{number}");
        let client = world.connect(asker);
        world.settle();
        world.stalled[owner] = true;
        world.send(client, publish(&topic, "probe"));
        world.settle();
        let answered = !world.receive(client).is_empty();
        world.stalled[owner] = false;
        world.settle();
        world.finish(client);
        if !answered {
            return topic;
        }
    }
    unreachable!("there is always another name")
}

#[test]
fn attack_212_a_publish_on_its_way_to_a_worker_that_panics_is_answered_at_once() {
    let (mut world, clients) = world_with_clients(2, 1);
    let topic = topic_of(&mut world, 1);
    world.stalled[1] = true;
    let requests = publish(&topic, "lost") + &publish(&topic, "lost too");
    world.send(clients[0], requests);
    world.settle();
    assert!(world.receive(clients[0]).is_empty(), "the owner has not answered");
    world.fuse.light(Place::Letter, 1);
    world.tick(1);
    assert!(!world.fuse.put_out());
    world.stalled[1] = false;
    world.settle();
    let answers = take_answers(&mut world.receive(clients[0]));
    // The second was asked for when the first was answered: it went to the owner's next life.
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [503, 201]);
    assert_eq!(answers[0].json()["type"], "/errors#worker-failed");
    assert!(answers[0].json()["detail"].as_str().is_some_and(|text| text.contains("nobody knows")));
    let answer = ask(&mut world, clients[0], &get(&format!("/topics/{topic}")), 1).remove(0);
    let messages = answer.json()["messages"].as_array().expect("messages").len();
    assert_eq!(messages, 1, "the topic has begun anew");
}

#[test]
fn attack_212_nobody_waits_for_the_credit_of_a_worker_that_panicked() {
    let (mut world, clients) = world_with_clients(2, 1);
    let topic = topic_of(&mut world, 0);
    let path = format!("/topics/{topic}");
    world.send(clients[1], Wire::Ndjson.request(&path));
    world.settle();
    world.stalled[1] = true;
    let (mut answered, mut asked) = (0, 0);
    while answered == asked {
        asked += 1;
        assert!(asked <= 2 * CREDIT_MESSAGES, "credit is used up");
        world.send(clients[0], publish(&topic, "x"));
        world.settle();
        answered += take_answers(&mut world.receive(clients[0])).len() as u32;
    }
    let full = world.connect(1);
    world.fuse.light(Place::Accept, 1);
    world.tick(1);
    assert!(!world.fuse.put_out() && world.is_closed(full));
    world.stalled[1] = false;
    world.settle();
    answered += take_answers(&mut world.receive(clients[0])).len() as u32;
    assert_eq!(answered, asked, "no time has gone by");
    // The next life has credit of its own, and gives it back.
    let client = world.connect(1);
    world.send(client, Wire::Ndjson.request(&path));
    world.settle();
    let mut reader = Reader::new(Wire::Ndjson);
    reader.take(&world.receive(client));
    for number in 0..3 * CREDIT_MESSAGES {
        let data = number.to_string();
        assert_eq!(ask(&mut world, clients[0], &publish(&topic, &data), 1)[0].status, 201);
        world.settle();
        let told = reader.take(&world.receive(client));
        assert_eq!(told, [Told::Message(data)]);
    }
}

#[test]
fn attack_212_numbers_asked_of_a_worker_that_panics_are_asked_again() {
    for passes in 1..4 {
        let (mut world, clients) = world_with_clients(4, 1);
        for &client in &clients[..2] {
            world.send(client, get("/metrics"));
        }
        (0..2).for_each(|worker| {
            world.tick(worker);
        });
        world.fuse.light(Place::Letter, passes);
        let mut struck = false;
        for worker in [2, 3, 1, 0] {
            struck |= world.tick(worker) && world.is_closed(clients[worker]);
        }
        assert!(!world.fuse.put_out());
        world.settle();
        for &client in &clients[..2] {
            if world.is_closed(client) {
                continue;
            }
            let answers = take_answers(&mut world.receive(client));
            assert_eq!(answers.len(), 1, "panic at letter {passes}");
            let text = String::from_utf8(answers[0].body.clone()).expect("text");
            assert!(metric(&text, "tidings_worker_restarts_total") <= 1);
        }
        assert!(struck, "one of them has lost its client");
    }
}

#[test]
fn attack_212_a_worker_that_stood_still_hears_of_two_panics_behind_a_full_mailbox() {
    for panics in [1, 2] {
        let (mut world, clients) = world_with_clients(2, 1);
        let topic = topic_of(&mut world, 1);
        world.send(clients[0], Wire::Ndjson.request(&format!("/topics/{topic}")));
        world.settle();
        let mut reader = Reader::new(Wire::Ndjson);
        assert_eq!(reader.take(&world.receive(clients[0])), [Told::Open]);
        world.stalled[0] = true;
        let letter = || {
            let letter = Letter::Asked { number: 9, question: Arc::new(Question::Numbers) };
            Parcel::Letter(Envelope { from: 1, from_life: 0, to_life: 0, letter })
        };
        while world.post.send(0, letter()).is_ok() {}
        for _ in 0..panics {
            panic_now(&mut world, 1);
        }
        let publisher = world.connect(1);
        world.settle();
        world.stalled[0] = false;
        world.settle();
        let answers = ask(&mut world, publisher, &publish(&topic, "anew"), 1);
        assert_eq!(answers[0].status, 201);
        world.settle();
        let told = reader.take(&world.receive(clients[0]));
        assert_eq!(told, [Told::Gap(None), Told::Message("anew".to_owned())], "{panics} panics");
    }
}

#[test]
fn attack_212_a_poll_that_ends_while_the_owner_is_asked_again_resumes_with_a_gap() {
    let (mut world, clients) = world_with_clients(2, 1);
    let topic = topic_of(&mut world, 1);
    let path = format!("/topics/{topic}");
    world.send(clients[0], get(&format!("{path}?wait=5")));
    world.settle();
    panic_now(&mut world, 1);
    world.stalled[1] = true;
    world.settle();
    world.pass(5_000);
    world.settle();
    let mut answers = take_answers(&mut world.receive(clients[0]));
    assert_eq!(answers.len(), 1, "its time is up");
    let json = answers.remove(0).json();
    assert_eq!((json["gap"].is_null(), json["messages"].as_array().map(Vec::len)), (true, Some(0)));
    world.stalled[1] = false;
    let cursor = json["cursor"].as_str().expect("a cursor");
    let next = get(&format!("{path}?after={cursor}"));
    let json = ask(&mut world, clients[0], &next, 1).remove(0).json();
    assert!(json["gap"][0]["topic"].is_string() && json["gap"][0]["count"].is_null(), "{json}");
}

#[test]
fn attack_212_a_panic_in_a_drain_does_not_keep_the_server_from_ending() {
    for passes in 1..8 {
        let (mut world, clients) = world_with_clients(2, 1);
        for (client, wire) in clients.iter().zip(Wire::ALL) {
            world.send(*client, wire.request("/topics/t"));
        }
        world.settle();
        // They wait to be accepted, and are still served.
        let queued: Vec<Client> = (0..4).map(|number| world.connect(number % 2)).collect();
        queued.iter().for_each(|&client| world.send(client, get("/healthz")));
        world.fuse.light(Place::Drain, passes);
        for worker in 0..2 {
            assert!(world.post.send(worker, Parcel::Drain).is_ok());
            world.post.ring(worker);
        }
        let mut running = [true; 2];
        for _ in 0..5_000 {
            for (worker, running) in running.iter_mut().enumerate() {
                *running = *running && world.tick(worker);
            }
            world.pass(10);
        }
        assert_eq!(running, [false; 2], "the drain is over, with a panic at pass {passes}");
        assert!(passes > 2 || !world.fuse.put_out(), "each worker begins to drain");
        assert!(world.now_ms() < 60_000);
        assert_eq!((world.open(), world.post.connections()), (0, 0));
        let unserved = queued.iter().filter(|&&client| world.receive(client).is_empty()).count();
        assert!(unserved <= 4 && (0..2).all(|worker| world.queued(worker, 0) == 0));
    }
}

#[test]
fn attack_212_a_worker_that_panics_again_and_again_ends_the_server() {
    let (mut world, _) = world_with_clients(2, 1);
    for _ in 0..PANICS_MAX {
        panic_now(&mut world, 1);
        world.settle();
    }
    // Later it would have been forgiven.
    world.pass(PANICS_WINDOW_MS);
    for _ in 0..PANICS_MAX {
        panic_now(&mut world, 1);
        world.settle();
    }
    world.connect(1);
    world.fuse.light(Place::Accept, 1);
    let error = world.try_tick(1).expect_err("enough is enough").to_string();
    assert!(error.contains("panicked 6 times"), "{error}");
}

#[test]
fn attack_214_a_socket_whose_close_panics_costs_no_other_worker_anything() {
    let (mut world, clients) = world_with_clients(2, 1);
    world.sabotage(clients[1]);
    world.reset(clients[1]);
    world.settle();
    assert!(world.is_closed(clients[1]) && !world.is_closed(clients[0]));
    // And once more while a failed worker's sockets are put away.
    let more: Vec<Client> = (0..7).map(|number| world.connect(number % 2)).collect();
    world.settle();
    let here: Vec<Client> = more
        .into_iter()
        .filter(|&client| world.key(client).is_some_and(|(worker, _)| worker == 1))
        .collect();
    assert!(here.len() > 1);
    world.sabotage(here[0]);
    panic_now(&mut world, 1);
    world.settle();
    assert!(here.iter().all(|&client| world.is_closed(client)), "all of them are closed");
    assert_eq!(world.post.connections(), world.open());
    assert_eq!(ask(&mut world, clients[0], &get("/healthz"), 1)[0].status, 200);
}

/// Says to this test, started once more as a process, that it is the one to be aborted.
const SECOND_PANIC: &str = "TIDINGS_TEST_SECOND_PANIC";

#[test]
fn attack_214_a_panic_while_a_panic_unwinds_ends_the_process() {
    if std::env::var_os(SECOND_PANIC).is_some() {
        let mut world = World::new(config(1, |_| ()), Weather::FAIR, 1);
        world.may_panic = true;
        let client = world.connect(0);
        world.sabotage(client);
        // The first panic finds the socket in the loop's hands, and unwinding closes it.
        world.fuse.light(Place::Accept, 1);
        world.tick(0);
        return;
    }
    let name = "panics::attack_214_a_panic_while_a_panic_unwinds_ends_the_process";
    let output = std::process::Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", name, "--nocapture"])
        .env(SECOND_PANIC, "1")
        .output()
        .expect("it starts");
    assert!(!output.status.success(), "it did not go on");
    #[cfg(unix)]
    {
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        assert_eq!(signal, Some(6), "SIGABRT: {:?}", output.status);
    }
}
