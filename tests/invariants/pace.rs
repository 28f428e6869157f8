//! Work in portions and ends that are spread: what many do at once holds up nobody, and many timers do not
//! fire together. The numbers are those of docs/security.md.

use tidings::limits::Budgets;
use tidings::reactor::Parcel;

use crate::client::{Wire, get, metric, publish, take_answers};
use crate::event_source::EventSource;
use crate::world::{Client, Weather, World};
use crate::{ask, config};

const READ_BYTES_PER_TICK: usize = Budgets::DEFAULT.read_bytes_per_tick;
const TURNS_PER_TICK: usize = Budgets::DEFAULT.turns_per_tick;

/// The moments at which clients first receive something, or are closed, to 100 ms.
fn moments(world: &mut World, clients: &[Client], until_ms: u64) -> Vec<u64> {
    let mut moments = vec![None; clients.len()];
    let began = world.now_ms();
    while world.now_ms() < began + until_ms {
        world.pass(100);
        world.settle();
        for (moment, client) in moments.iter_mut().zip(clients) {
            if moment.is_none() && (!world.receive(*client).is_empty() || world.is_closed(*client))
            {
                *moment = Some(world.now_ms() - began);
            }
        }
    }
    moments.into_iter().map(|moment| moment.expect("each has its moment")).collect()
}

/// How many moments there are, and how often the most frequent of them comes.
fn spread(moments: &[u64]) -> (usize, usize) {
    let mut counts = std::collections::BTreeMap::new();
    moments.iter().for_each(|moment| *counts.entry(moment).or_insert(0) += 1);
    (counts.len(), counts.values().copied().max().unwrap_or(0))
}

/// So many clients that have asked for this, and received what came at once.
fn crowd(world: &mut World, count: usize, request: &str) -> Vec<Client> {
    let workers = world.stalled.len();
    let clients: Vec<Client> = (0..count).map(|index| world.connect(index % workers)).collect();
    for client in &clients {
        world.send(*client, request);
    }
    world.settle();
    for client in &clients {
        world.receive(*client);
    }
    clients
}

#[test]
fn attack_129_a_long_poll_ends_before_proxies_give_up_and_not_together_with_others() {
    let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
    let polls = crowd(&mut world, 100, &get("/topics/t?wait=3600"));
    let moments = moments(&mut world, &polls, 60_000);
    assert!(moments.iter().all(|ms| (45_000..=50_200).contains(ms)), "{moments:?}");
    let (different, most) = spread(&moments);
    assert!(different > 25 && most < 15, "{different} moments, {most} at one");
}

#[test]
fn attack_146_heartbeats_come_within_15_s_and_not_together() {
    let mut world = World::new(config(2, |limits| limits.heartbeat_ms = 15_000), Weather::FAIR, 1);
    let streams = crowd(&mut world, 100, &Wire::Sse.request("/topics/t"));
    let moments = moments(&mut world, &streams, 20_000);
    assert!(moments.iter().all(|ms| (11_850..=15_200).contains(ms)), "{moments:?}");
    let (different, most) = spread(&moments);
    assert!(different > 15 && most < 20, "{different} moments, {most} at one");
}

#[test]
fn attack_236_the_goodbyes_of_a_drain_are_spread_over_its_whole_window() {
    let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
    let streams = crowd(&mut world, 1_500, &Wire::Ndjson.request("/topics/t"));
    for worker in 0..2 {
        world.post.send_and_wait(worker, Parcel::Drain);
        world.post.ring(worker);
    }
    // Ten milliseconds a client: fifteen seconds, ten clients in each tenth of a second.
    let moments = moments(&mut world, &streams, 15_500);
    let (different, most) = spread(&moments);
    assert!(different > 130 && most < 40, "{different} moments, {most} at one");
    assert!(moments.iter().max() > Some(&14_000));
}

#[test]
fn attack_241_the_larger_the_crowd_the_longer_the_time_over_which_it_comes_back() {
    for (count, window) in [(10, 1_000), (4_000, 4_000)] {
        let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
        crowd(&mut world, count, &get("/healthz"));
        let mut retries = Vec::new();
        for _ in 0..200 {
            let client = world.connect(0);
            world.send(client, Wire::Sse.request("/topics/t"));
            world.settle();
            let mut source = EventSource::default();
            let bytes = world.receive(client);
            let (body, _) = unchunked(&bytes);
            source.take(&body);
            retries.push(source.retry.expect("a stream begins with it"));
        }
        let (least, most) = (retries.iter().min().copied(), retries.iter().max().copied());
        assert!(least.is_some_and(|ms| ms >= 200 && ms < 200 + window / 10), "{least:?}");
        let late = 200 + window * 9 / 10..200 + window + window / 4;
        assert!(most.is_some_and(|ms| late.contains(&ms)), "{most:?} of {count}");
    }
}

/// The content of a chunked answer and whether it has ended, by the letter of RFC 9112 §7.1: sizes are
/// digits without a sign, a zero or an extension before them, only the last is 0, and nothing is behind it.
fn unchunked(answer: &[u8]) -> (Vec<u8>, bool) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = std::str::from_utf8(&answer[..end]).expect("a head is ASCII");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("Transfer-Encoding: chunked\r\n"));
    let (mut rest, mut content) = (&answer[end..], Vec::new());
    loop {
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (content, false);
        };
        let digits = std::str::from_utf8(&rest[..line]).expect("a size is ASCII");
        assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size = usize::from_str_radix(digits, 16).expect("a size");
        if size == 0 {
            assert_eq!(rest, b"0\r\n\r\n", "the end is the end");
            return (content, true);
        }
        assert!(!digits.starts_with('0'), "{digits}");
        let Some(chunk) = rest.get(line + 2..line + 4 + size) else {
            // What is there of a chunk is content already.
            content.extend_from_slice(&rest[line + 2..]);
            return (content, false);
        };
        assert_eq!(chunk[size..], *b"\r\n", "a chunk is as long as it says");
        content.extend_from_slice(&chunk[..size]);
        rest = &rest[line + 4 + size..];
    }
}

#[test]
fn attack_139_140_whatever_the_pieces_in_which_it_is_taken_a_stream_is_the_same_to_the_byte() {
    let mut random = fastrand::Rng::with_seed(139);
    let parts = ["é", "漢字", "𝄞", "\r\n", "\n", "", "x", "\u{2028}", "🏳️‍🌈", "\0", "0\r\n\r\n"];
    for round in 0..24 {
        let sizes = [1, 2, 3, 7, 64, 1_000];
        let (window, step_max) = (sizes[round % 6], sizes[round / 4 % 6]);
        let weather =
            Weather { window, step_max, hiccups: (round % 3 * 10) as u8, ..Weather::FAIR };
        let target = ["/topics/t?after=earliest", "/topics/t,u?after=earliest"][round % 2];
        let (is_sse, wire) = match round / 2 % 2 {
            0 => (true, Wire::Sse),
            _ => (false, Wire::Ndjson),
        };
        let mut world = World::new(config(1, |limits| limits.drain_spread_ms = 1), weather, 1);
        let publisher = world.connect(0);
        let mut texts = Vec::new();
        for _ in 0..30 {
            let text: String =
                (0..random.usize(0..8)).map(|_| parts[random.usize(..parts.len())]).collect();
            assert_eq!(ask(&mut world, publisher, &publish("t", &text), 1)[0].status, 201);
            texts.push(text);
        }
        let reader = world.connect(0);
        world.send(reader, wire.request(target));
        let (mut bytes, mut drained) = (Vec::new(), false);
        loop {
            world.settle();
            let more = world.receive_some(reader, window);
            bytes.extend_from_slice(&more);
            if !more.is_empty() {
                continue;
            }
            if drained {
                break;
            }
            // Everything has come; the end is made too.
            drained = true;
            world.reset(publisher);
            world.post.send_and_wait(0, Parcel::Drain);
            world.post.ring(0);
            world.settle();
            world.pass(50);
        }
        let (content, ended) = unchunked(&bytes);
        assert!(ended, "round {round}");
        let heard: Vec<String> = if is_sse {
            let mut source = EventSource::default();
            let heard = source.take(&content).into_iter();
            heard.filter(|heard| heard.event == "message").map(|heard| heard.data).collect()
        } else {
            let lines = std::str::from_utf8(&content).expect("UTF-8").lines();
            let lines = lines.filter(|line| !line.is_empty());
            let lines = lines.map(|line| -> serde_json::Value {
                serde_json::from_str(line).expect("a line is JSON")
            });
            lines.filter_map(|line| line["data"].as_str().map(str::to_owned)).collect()
        };
        if is_sse {
            let lines = |text: &String| text.replace("\r\n", "\n").replace('\r', "\n");
            texts = texts.iter().map(lines).collect();
        }
        assert_eq!(heard, texts, "round {round}");
    }
}

#[test]
fn attack_186_a_fan_out_to_thousands_is_many_ticks_work_and_holds_up_nobody() {
    let mut world = World::new(config(1, |_| ()), Weather::FAIR, 1);
    let (publisher, honest) = (world.connect(0), world.connect(0));
    let aside = world.connect(0);
    world.send(aside, Wire::Ndjson.request("/topics/quiet"));
    let subscribers = crowd(&mut world, 3_000, &Wire::Sse.request("/topics/huge"));
    world.receive(aside);
    let text = "x".repeat(2_000);
    world.send(publisher, publish("huge", &text));
    let (mut heard, mut ticks, mut answered, mut told_aside) = (0, 0, 0, 0);
    while heard < subscribers.len() {
        assert!(ticks < 1_000, "{heard} of them have heard it");
        // The others ask for something in each tick, and have it in the next at the latest.
        world.send(honest, get("/healthz"));
        if ticks == 1 {
            world.send(publisher, publish("quiet", "y"));
        }
        world.tick(0);
        ticks += 1;
        answered += take_answers(&mut world.receive(honest)).len();
        assert!(answered + 1 >= ticks, "{answered} answers in {ticks} ticks");
        if told_aside == 0 && !world.receive(aside).is_empty() {
            told_aside = ticks;
        }
        let mut portion = 0;
        for client in &subscribers {
            portion += usize::from(!world.receive(*client).is_empty());
        }
        assert!(portion <= TURNS_PER_TICK, "{portion} in one tick");
        heard += portion;
    }
    assert!(ticks >= 3_000 / TURNS_PER_TICK, "{ticks}");
    // Another topic did not wait for the end of it.
    assert!((1..=4).contains(&told_aside), "in tick {told_aside} of {ticks}");
    world.settle();
    assert!(subscribers.iter().all(|client| world.receive(*client).is_empty()), "once");
    world.receive(publisher);
    world.receive(honest);
    let body = ask(&mut world, honest, &get("/metrics"), 1).remove(0).body;
    let bytes = metric(&String::from_utf8(body).expect("text"), "tidings_log_bytes");
    assert!(bytes < 3 * (2_000 + 600), "one copy and one encoding, not 3,000: {bytes} bytes");
}

#[test]
fn attack_187_who_publishes_without_end_takes_turns_with_the_others() {
    // To a topic of another worker there is one at a time.
    for (workers, count) in [(1, 60_000), (2, 3_000)] {
        let mut world = World::new(config(workers, |_| ()), Weather::FAIR, 1);
        let (hot, honest) = (world.connect(0), world.connect(0));
        world.settle();
        world.send(hot, publish("hot", "x").repeat(count));
        let mut bytes = Vec::new();
        let mut published = 0;
        for _ in 0..3 {
            // The other one is served while it lasts, in a tick or two each time.
            world.send(honest, publish("mine", "y") + &get("/topics/mine?last=1"));
            let mut answers = 0;
            for _ in 0..8 {
                world.round();
                answers += take_answers(&mut world.receive(honest)).len();
                bytes.extend(world.receive(hot));
            }
            assert_eq!(answers, 2, "{workers} workers");
            published += take_answers(&mut bytes).len();
        }
        assert!(published < count, "it was still at it: {published}");
        assert!(published > 0);
        loop {
            world.settle();
            let more = world.receive(hot);
            if more.is_empty() {
                break;
            }
            bytes.extend(more);
            published += take_answers(&mut bytes).len();
        }
        assert_eq!((published, bytes.len()), (count, 0), "each is answered");
    }
}

#[test]
fn attack_196_publishes_to_an_owner_that_stands_still_wait_are_bounded_and_none_is_lost_or_doubled()
{
    let mut world = World::new(config(2, |_| ()), Weather::FAIR, 1);
    let clients: Vec<Client> = (0..60).map(|index| world.connect(index % 2)).collect();
    world.settle();
    let busy: Vec<Client> = clients
        .into_iter()
        .filter(|client| world.key(*client).is_some_and(|(worker, _)| worker == 0))
        .collect();
    assert!(busy.len() > 20);
    world.stalled[1] = true;
    let lines = 300;
    let topics = 6;
    for (index, client) in busy.iter().enumerate() {
        let line = |number| {
            let topic = number % topics;
            format!("{{\"topic\":\"t{topic}\",\"data\":\"{index} {number:01000}\"}}\n")
        };
        let body: String = (0..lines).map(line).collect();
        let length = body.len();
        world.send(
            *client,
            format!(
                "POST /topics HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            ),
        );
    }
    let mut reports = vec![Vec::new(); busy.len()];
    let mut take = |world: &mut World| {
        let mut some = false;
        for (report, client) in reports.iter_mut().zip(&busy) {
            let more = world.receive(*client);
            some |= !more.is_empty();
            report.extend(more);
        }
        some
    };
    for _ in 0..20 {
        world.settle();
        take(&mut world);
    }
    // What found no room is not read: it waits with its senders.
    let unread: usize = busy.iter().map(|client| world.unread(*client)).sum();
    assert!(unread > busy.len() * 500, "{unread} bytes");
    world.stalled[1] = false;
    loop {
        world.settle();
        if !take(&mut world) {
            break;
        }
    }
    let mut sequences = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for report in &mut reports {
        let answers = take_answers(report);
        let text = String::from_utf8(answers[0].body.clone()).expect("text");
        let lines = text.lines().filter(|line| !line.is_empty());
        for line in lines {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let id = line["id"].as_str().unwrap_or_else(|| panic!("not published: {line}"));
            let sequence = id.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok());
            let topic = line["topic"].as_str().expect("a topic").to_owned();
            sequences.entry(topic).or_default().push(sequence.expect("a number"));
        }
    }
    assert_eq!(sequences.len(), topics);
    for (topic, mut sequences) in sequences {
        sequences.sort_unstable();
        let all = (busy.len() * lines / topics) as u64;
        assert_eq!(sequences, (1..=all).collect::<Vec<_>>(), "{topic}: dense, each once");
    }
}

#[test]
fn attack_221_a_flood_is_read_in_portions_to_its_end_without_another_report() {
    let mut world = World::new(config(1, |_| ()), Weather::FAIR, 1);
    let (flood, honest) = (world.connect(0), world.connect(0));
    world.settle();
    let size = 3_000_000;
    world.send(
        flood,
        format!(
            "POST /topics HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\n\
             Content-Length: {size}\r\n\r\n"
        ),
    );
    // One line, far longer than it may be.
    world.send(flood, vec![b'x'; size]);
    let mut ticks = 0;
    while world.unread(flood) > 0 {
        let before = world.unread(flood);
        world.send(honest, get("/healthz"));
        world.tick(0);
        ticks += 1;
        assert!(before - world.unread(flood) <= READ_BYTES_PER_TICK);
        assert_eq!(take_answers(&mut world.receive(honest)).len(), 1, "in the same tick");
        assert!(ticks < 10_000, "it is read on without a new report");
    }
    assert!(ticks >= size / READ_BYTES_PER_TICK);
    world.settle();
    let answers = take_answers(&mut world.receive(flood));
    assert!(String::from_utf8_lossy(&answers[0].body).contains("\"status\":413"));
}
