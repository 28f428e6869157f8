//! Memory is bounded by configuration, whoever does not read (invariant 2).

use socket2::{Domain, Socket, Type};

use crate::binary::Binary;
use crate::client::{Reader, Told, Wire, get, metric, publish};
use crate::world::{Client, Weather, World};
use crate::{ask, config};

const MESSAGES: usize = 100_000;

#[test]
fn subscribers_that_never_read_cost_an_outbox_each_however_much_is_published() {
    let (window, outbox, retained) = (4_096, 8_192, 500);
    let config = config(2, |limits| {
        (limits.outbox_bytes_max, limits.log_messages) = (outbox, retained as u32);
    });
    let weather = Weather { window, ..Weather::FAIR };
    let mut world = World::new(config, weather, 2);
    let mut stuck: Vec<(Client, Reader)> = Vec::new();
    for wire in Wire::ALL {
        for worker in [0, 1] {
            let client = world.connect(worker);
            world.send(client, wire.request("/topics/t"));
            stuck.push((client, Reader::new(wire)));
        }
    }
    world.settle();
    let publisher = world.connect(0);
    let request = publish("t", &"x".repeat(80));
    let thousand = request.repeat(1_000);
    for _ in 0..MESSAGES / 1_000 {
        let answers = ask(&mut world, publisher, &thousand, 1_000);
        assert!(answers.iter().all(|answer| answer.status == 201));
    }
    let answer = ask(&mut world, publisher, &get("/metrics"), 1).remove(0);
    let text = String::from_utf8(answer.body).expect("text");
    assert_eq!(metric(&text, "tidings_messages_published_total"), MESSAGES as u64);
    // A log and a replica; each message with its overhead, and in four formats.
    let most = 2 * retained * (80 + 300 + 4 * (80 + 200));
    assert!(metric(&text, "tidings_log_bytes") < most as u64, "{text}");
    assert_eq!(metric(&text, "tidings_mail_waiting"), 0);
    // What they are given before they are told of a gap is what was queued for them.
    for (client, mut reader) in stuck {
        let mut is_told = false;
        while !is_told {
            let bytes = world.receive_some(client, 100);
            assert!(!bytes.is_empty(), "something is owed");
            let told = reader.take(&bytes);
            is_told = told.iter().any(|told| matches!(told, Told::Gap(_) | Told::Close(4001, _)));
            world.settle();
        }
        let most = 2 * window + outbox + 1_000;
        assert!(reader.bytes_read < most, "{} before the gap", reader.bytes_read);
    }
}

#[test]
fn a_client_that_asks_for_a_long_log_and_does_not_read_it_costs_an_outbox() {
    let (window, outbox, size) = (4_096, 8_192, 1_000);
    let config = config(1, |limits| limits.outbox_bytes_max = outbox);
    let mut world = World::new(config, Weather { window, ..Weather::FAIR }, 2);
    let publisher = world.connect(0);
    let thousand = publish("t", &"x".repeat(size)).repeat(1_000);
    ask(&mut world, publisher, &thousand, 1_000);
    let stuck = Wire::ALL.map(|wire| {
        let client = world.connect(0);
        world.send(client, wire.request("/topics/t?after=earliest"));
        (client, Reader::new(wire))
    });
    world.settle();
    // All of it is trimmed: what they get all the same had been queued for them.
    ask(&mut world, publisher, &thousand.repeat(2), 2_000);
    for (client, mut reader) in stuck {
        let (mut messages, mut is_told) = (0, false);
        while !is_told {
            let bytes = world.receive_some(client, 100);
            assert!(!bytes.is_empty(), "something is owed");
            for told in reader.take(&bytes) {
                is_told |= matches!(told, Told::Gap(_) | Told::Close(4001, _));
                messages += usize::from(!is_told && matches!(told, Told::Message(_)));
            }
            world.settle();
        }
        assert!(messages > 5, "{messages} messages before the gap");
        assert!(messages * size < window + outbox + 2 * size, "{messages} messages before the gap");
    }
}

#[test]
fn two_hundred_clients_that_do_not_read_cost_the_real_server_little() {
    let server = Binary::start(&["--workers", "2", "--write-progress", "600"]);
    let unread: Vec<Socket> = (0..200)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_recv_buffer_size(4_096).expect("an option");
            socket.connect(&server.address.into()).expect("the server accepts");
            let request = Wire::Sse.request("/topics/t");
            assert_eq!(socket.send(request.as_bytes()).expect("it reads"), request.len());
            socket
        })
        .collect();
    let subscribed = |text: &str| metric(text, "tidings_subscriptions{wire=\"sse\"}");
    let metrics = || {
        let answer = server.connect().ask(&get("/metrics"));
        String::from_utf8(answer.body).expect("text")
    };
    while subscribed(&metrics()) < 200 {}
    let before = server.resident_bytes();
    let request = publish("t", &"x".repeat(1_000));
    let hundred = request.repeat(100);
    for _ in 0..MESSAGES / 1_000 {
        let mut publisher = server.connect();
        for _ in 0..10 {
            publisher.send(&hundred);
            let answers = publisher.answers(100);
            assert!(answers.iter().all(|answer| answer.status == 201));
        }
    }
    let text = metrics();
    assert_eq!(metric(&text, "tidings_messages_published_total"), MESSAGES as u64);
    assert_eq!(subscribed(&text), 200, "they are all still there");
    // 100 MB were published. A log retains 1 MB of it, in two workers and a format; an outbox holds 64 KiB.
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 48 << 20, "grown by {grown} bytes");
    drop(unread);
}
