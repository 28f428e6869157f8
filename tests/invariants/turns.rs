//! The tick: edge-triggered readiness is not lost, nothing spins, budgets hold (invariant 3).

use tidings::limits::{Budgets, PIPELINE_BYTES_MAX};
use tidings::reactor::{Readiness, Who};

use crate::client::{Reader, Told, Wire, frame, get, publish, take_answers};
use crate::world::{Client, Weather, World};
use crate::{ask, config};

const ACCEPTS_PER_TICK: usize = Budgets::DEFAULT.accepts_per_tick;
const READ_BYTES_PER_TICK: usize = Budgets::DEFAULT.read_bytes_per_tick;
const TURNS_PER_TICK: usize = Budgets::DEFAULT.turns_per_tick;

#[test]
fn attack_222_reading_that_stopped_because_the_output_was_full_goes_on_without_another_report() {
    let weather = Weather { window: 1_000, ..Weather::FAIR };
    let mut world = World::new(config(1, |limits| limits.outbox_bytes_max = 4_000), weather, 1);
    let client = world.connect(0);
    let answers = ask(&mut world, client, &publish("t", &"x".repeat(200)), 1);
    assert_eq!(answers[0].status, 201);
    // Far more than fits is asked for at once, and nothing is read.
    let count = 5_000;
    world.send(client, get("/topics/t").repeat(count));
    world.settle();
    assert!(world.unread(client) > 0, "it has stopped reading");
    let (mut bytes, mut answered) = (Vec::new(), 0);
    loop {
        let more = world.receive(client);
        if more.is_empty() {
            break;
        }
        bytes.extend(more);
        answered += take_answers(&mut bytes).len();
        world.settle();
    }
    assert_eq!((answered, bytes.len()), (count, 0));
}

#[test]
fn what_a_client_sends_while_it_does_not_read_is_taken_when_it_reads_again() {
    let weather = Weather { window: 500, ..Weather::FAIR };
    let mut world = World::new(config(1, |limits| limits.outbox_bytes_max = 1_000), weather, 1);
    let client = world.connect(0);
    world.send(client, Wire::Raw.request("/topics/t"));
    world.settle();
    let mut reader = Reader::new(Wire::Raw);
    reader.take(&world.receive(client));
    let count = 600;
    for number in 0..count {
        world.send(client, frame(1, number.to_string().as_bytes()));
    }
    world.settle();
    let mut told = Vec::new();
    loop {
        let bytes = world.receive_some(client, 77);
        if bytes.is_empty() {
            break;
        }
        told.extend(reader.take(&bytes));
        world.settle();
    }
    let expected: Vec<Told> = (0..count).map(|number| Told::Message(number.to_string())).collect();
    assert_eq!(told, expected, "its own messages come back, all of them");
}

#[test]
fn commands_are_not_read_while_their_answers_are_not() {
    let weather = Weather { window: 500, ..Weather::FAIR };
    let mut world = World::new(config(1, |limits| limits.outbox_bytes_max = 1_000), weather, 1);
    let client = world.connect(0);
    world.send(client, Wire::Json.request("/topics/t"));
    world.settle();
    let mut reader = Reader::new(Wire::Json);
    reader.take(&world.receive(client));
    let count = 10_000;
    for _ in 0..count {
        world.send(client, frame(1, br#"{"type":"ping"}"#));
    }
    let sent = world.unread(client);
    world.settle();
    let (mut pongs, each) = (0, sent / count);
    loop {
        // What is read and not answered fits one read and what may be pipelined, all the time.
        let held = sent - world.unread(client) - pongs * each;
        assert!(held < READ_BYTES_PER_TICK + 2 * PIPELINE_BYTES_MAX, "{held} bytes are held");
        let bytes = world.receive(client);
        if bytes.is_empty() {
            break;
        }
        let told = reader.take(&bytes);
        pongs += told.iter().filter(|told| **told == Told::Other("pong".to_owned())).count();
        world.settle();
    }
    assert_eq!(pongs, count);
}

#[test]
fn a_large_message_arrives_whole_in_whatever_pieces() {
    for step_max in [1_000, 5_000, usize::MAX] {
        let weather = Weather { step_max, ..Weather::FAIR };
        let mut world = World::new(config(1, |_| ()), weather, 1);
        let client = world.connect(0);
        world.send(client, Wire::Raw.request("/topics/t"));
        world.settle();
        let mut reader = Reader::new(Wire::Raw);
        reader.take(&world.receive(client));
        let text = "x".repeat(60_000);
        let mut told = Vec::new();
        for _ in 0..3 {
            world.send(client, frame(1, text.as_bytes()));
            world.settle();
            loop {
                let bytes = world.receive(client);
                if bytes.is_empty() {
                    break;
                }
                told.extend(reader.take(&bytes));
                world.settle();
            }
        }
        assert!(told == vec![Told::Message(text); 3], "in steps of {step_max}");
    }
}

#[test]
fn attack_222_bytes_that_were_queued_while_nothing_could_be_written_are_sent_when_it_can() {
    for wire in Wire::ALL {
        let weather = Weather { window: 400, ..Weather::FAIR };
        let mut world = World::new(config(1, |_| ()), weather, 1);
        let listener = world.connect(0);
        world.send(listener, wire.request("/topics/t"));
        world.settle();
        let publisher = world.connect(0);
        for number in 0..50 {
            ask(&mut world, publisher, &publish("t", &number.to_string()), 1);
        }
        // Nothing happens any more but that the client reads.
        let (mut reader, mut messages) = (Reader::new(wire), 0);
        loop {
            let bytes = world.receive_some(listener, 150);
            if bytes.is_empty() {
                break;
            }
            let told = reader.take(&bytes);
            messages += told.iter().filter(|told| matches!(told, Told::Message(_))).count();
            world.settle();
        }
        assert_eq!(messages, 50, "{wire:?}");
    }
}

#[test]
fn attack_220_spurious_reports_change_nothing() {
    let mut world = World::new(config(1, |_| ()), Weather::FAIR, 1);
    let client = world.connect(0);
    world.send(client, Wire::Sse.request("/topics/t"));
    world.settle();
    let (_, key) = world.key(client).expect("it is accepted");
    let before = world.receive(client).len();
    assert!(before > 0);
    for flags in 0..8 {
        let who = Who::Connection(key);
        let bit = |bit: u8| flags & bit != 0;
        world.rumour(0, Readiness { who, readable: bit(1), writable: bit(2), hung_up: bit(4) });
        let who = Who::Listener(0);
        world.rumour(0, Readiness { who, readable: true, writable: false, hung_up: false });
        let who = Who::Mailbox;
        world.rumour(0, Readiness { who, readable: true, writable: false, hung_up: false });
        world.settle();
    }
    assert!(!world.is_closed(client) && world.receive(client).is_empty());
}

#[test]
fn attack_215_when_the_descriptors_run_out_accepting_is_tried_now_and_then_and_when_one_comes_free()
{
    let weather = Weather { descriptors: 5, ..Weather::FAIR };
    let mut world = World::new(config(1, |_| ()), weather, 1);
    let clients: Vec<Client> = (0..5).map(|_| world.connect(0)).collect();
    world.settle();
    assert_eq!(world.open(), 5);
    let waiting: Vec<Client> = (0..20).map(|_| world.connect(0)).collect();
    let before = world.polls(0);
    world.let_time_flow();
    let began = world.now_ms();
    while world.now_ms() < began + 1_000 {
        world.tick(0);
    }
    let after = world.polls(0);
    let (tried, polled) = (after.accepts - before.accepts, after.count - before.count);
    assert!((5..=40).contains(&tried), "ten times a second, not {tried}");
    assert!(polled <= 40, "it does not spin: {polled} polls in a second");
    assert!(after.turned_away >= 5, "one each time is told so");
    let left = world.queued(0, 0);
    assert!(left > 0, "the rest waits");
    // Somebody leaves: there is no need to wait for the timer.
    world.reset(clients[0]);
    let now = world.now_ms();
    for _ in 0..3 {
        world.tick(0);
    }
    assert_eq!(world.open(), 5, "one was accepted in its place");
    assert!(world.queued(0, 0) < left);
    assert!(world.now_ms() - now < 10, "at once");
    // There is room again: everybody who still waits is served, without a new report.
    world.weather(|weather| weather.descriptors = 100);
    for _ in 0..10 {
        world.tick(0);
    }
    assert_eq!(world.queued(0, 0), 0);
    let last = *waiting.last().expect("twenty");
    world.send(last, get("/healthz"));
    for _ in 0..3 {
        world.tick(0);
    }
    assert_eq!(take_answers(&mut world.receive(last))[0].status, 200);
}

#[test]
fn a_worker_without_work_sleeps() {
    let mut world = World::new(config(1, |_| ()), Weather::FAIR, 1);
    world.settle();
    world.tick(0);
    assert_eq!(world.polls(0).timeout_ms, None, "nothing will ever happen by itself");

    // A stream: one heartbeat in 12 to 15 seconds, and nothing between.
    let config = config(1, |limits| {
        limits.heartbeat_ms = 15_000;
        limits.first_byte_ms = 10_000;
    });
    let mut world = World::new(config, Weather::FAIR, 1);
    world.let_time_flow();
    let client = world.connect(0);
    world.send(client, Wire::Sse.request("/topics/t"));
    for _ in 0..10 {
        world.tick(0);
    }
    world.receive(client);
    let (before, began) = (world.polls(0), world.now_ms());
    let mut beats = 0;
    while world.now_ms() < began + 600_000 {
        world.tick(0);
        assert!(world.polls(0).timeout_ms.is_some(), "a heartbeat is always due");
        beats += u64::from(!world.receive(client).is_empty());
    }
    let polled = world.polls(0).count - before.count;
    assert!((40..=50).contains(&beats), "{beats} heartbeats in ten minutes");
    assert!(polled <= 3 * beats + 3, "{polled} polls for {beats} heartbeats");
    assert_eq!(world.polls(0).hurried, before.hurried, "none of them in a hurry");
}

#[test]
fn attack_224_a_herd_is_accepted_in_portions_and_those_who_are_here_are_served_between() {
    let mut world = World::new(config(1, |_| ()), Weather::FAIR, 1);
    let early = world.connect(0);
    world.settle();
    let herd: Vec<Client> = (0..10 * ACCEPTS_PER_TICK).map(|_| world.connect(0)).collect();
    world.send(early, get("/healthz"));
    world.tick(0);
    assert_eq!(world.open(), 1 + ACCEPTS_PER_TICK);
    assert_eq!(take_answers(&mut world.receive(early)).len(), 1, "it did not wait for the herd");
    world.settle();
    assert_eq!(world.open(), 1 + herd.len(), "without another report");
}

#[test]
fn a_herd_at_one_listener_does_not_shut_out_those_at_another() {
    for (busy, quiet) in [(0, 1), (1, 0)] {
        let mut world = World::with_listeners(config(1, |_| ()), Weather::FAIR, 1, 2);
        world.settle();
        for _ in 0..100 * ACCEPTS_PER_TICK {
            world.connect_to(0, busy);
        }
        let client = world.connect_to(0, quiet);
        world.send(client, get("/healthz"));
        for _ in 0..4 {
            world.tick(0);
        }
        let answers = take_answers(&mut world.receive(client));
        assert_eq!(answers.len(), 1, "the herd is at listener {busy}");
    }
}

#[test]
fn attack_227_a_worker_in_the_middle_of_a_huge_fan_out_accepts_in_every_tick() {
    let mut world = World::new(config(1, |_| ()), Weather::FAIR, 1);
    let readers = 4 * TURNS_PER_TICK;
    let streams: Vec<Client> = (0..readers).map(|_| world.connect(0)).collect();
    for &stream in &streams {
        world.send(stream, Wire::Sse.request("/topics/t"));
    }
    world.settle();
    let publisher = world.connect(0);
    world.send(publisher, publish("t", "x"));
    let told = |world: &mut World| {
        streams.iter().filter(|&&stream| !world.receive(stream).is_empty()).count()
    };
    assert_eq!(told(&mut world), readers, "the opening event");
    let (mut waited, mut heard) = (Vec::new(), 0);
    while heard < readers {
        let client = world.connect(0);
        world.send(client, get("/healthz"));
        world.tick(0);
        heard += told(&mut world);
        waited.push(world.queued(0, 0));
    }
    assert!(waited.len() >= readers / TURNS_PER_TICK, "{waited:?}");
    assert!(waited.iter().all(|&queued| queued == 0), "{waited:?}");
}
