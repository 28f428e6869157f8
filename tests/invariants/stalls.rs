//! What the server does not see because it stands still itself counts against nobody (invariant 3).

use tidings::limits::Budgets;

use crate::client::{frame, get, handshake, publish, take_answers};
use crate::config;
use crate::world::{Client, Weather, World};

const READS_PER_TICK: usize = Budgets::DEFAULT.reads_per_tick;

const PONG: u8 = 10;
/// What every peer has for whatever it has to do.
const TIME_MS: u64 = 1_000;
/// What it has used of it before the server stands still, and uses after.
const BEFORE_MS: u64 = 700;
const AFTER_MS: u64 = 200;

/// Peers that are all in the middle of something.
struct Peers {
    /// WebSockets that were pinged and have not answered: more than one tick reads.
    pinged: Vec<Client>,
    /// A WebSocket with half a message under way.
    half_message: Client,
    half_head: Client,
    half_body: Client,
    /// It has said nothing yet.
    new: Client,
    /// It has had an answer, and may ask for more.
    idle: Client,
    /// It has not taken what it is owed.
    owed: Client,
}

fn begin(world: &mut World) -> Peers {
    let websockets: Vec<Client> = (0..2 * READS_PER_TICK + 100).map(|_| world.connect(0)).collect();
    for &websocket in &websockets {
        world.send(websocket, handshake("/topics/a", false));
    }
    world.settle();
    // Jitter spreads the pings; they are all out when the slowest has come.
    world.pass(TIME_MS);
    world.settle();
    for &websocket in &websockets {
        assert!(world.receive(websocket).ends_with(&[0x89, 0]), "it was pinged");
    }
    let [half_message, half_head, half_body, new, idle, owed] = [(); 6].map(|()| world.connect(0));
    world.send(half_message, handshake("/topics/a", false));
    world.send(half_message, &frame(1, b"half a message")[..9]);
    world.send(half_head, "GET /healthz HTTP/1.1\r\nHost: h");
    let body = publish("b", "half a body");
    world.send(half_body, &body[..body.len() - 5]);
    world.send(idle, get("/healthz"));
    world.weather(|weather| weather.window = 1);
    world.send(owed, get("/healthz"));
    world.settle();
    world.weather(|weather| weather.window = Weather::FAIR.window);
    assert_eq!(take_answers(&mut world.receive(half_message)).len(), 0);
    Peers { pinged: websockets, half_message, half_head, half_body, new, idle, owed }
}

/// Everybody does what they had to.
fn go_on(world: &mut World, peers: &Peers) {
    for &websocket in &peers.pinged {
        world.send(websocket, frame(PONG, b""));
    }
    let message = frame(1, b"half a message");
    world.send(peers.half_message, &message[9..]);
    world.send(peers.half_head, "\r\n\r\n");
    world.send(peers.half_body, " body");
    world.send(peers.new, get("/healthz"));
    world.send(peers.idle, get("/healthz"));
    let _ = world.receive(peers.owed);
    world.settle();
}

fn world() -> World {
    let config = config(1, |limits| {
        limits.ping_ms = TIME_MS * 9 / 10;
        for time in [
            &mut limits.pong_wait_ms,
            &mut limits.head_ms,
            &mut limits.body_grace_ms,
            &mut limits.websocket_message_ms,
            &mut limits.first_byte_ms,
            &mut limits.keep_alive_ms,
            &mut limits.write_progress_ms,
        ] {
            *time = TIME_MS;
        }
    });
    World::new(config, Weather::FAIR, 1)
}

/// How many of the peers are gone after time went by, and then they went on.
fn gone(pass: impl FnOnce(&mut World)) -> (usize, usize) {
    let mut world = world();
    let peers = begin(&mut world);
    world.pass(BEFORE_MS);
    world.settle();
    pass(&mut world);
    // The first tick after it, in which nobody's bytes have come yet.
    world.tick(0);
    world.pass(AFTER_MS);
    go_on(&mut world, &peers);
    let others =
        [peers.half_message, peers.half_head, peers.half_body, peers.new, peers.idle, peers.owed];
    let mut is_given_up = |client: Client| {
        let said = world.receive(client);
        // A refusal, or a Close frame, whose answer is still waited for.
        world.is_closed(client) || said.starts_with(b"HTTP/1.1 408 ") || said.contains(&0x88)
    };
    let mut count = |clients: &[Client]| clients.iter().filter(|&&one| is_given_up(one)).count();
    (count(&peers.pinged), count(&others))
}

#[test]
fn attack_231_a_stall_of_ours_counts_against_no_peer() {
    assert_eq!(gone(|world| world.stall(30_000)), (0, 0));
    // Nor do several of them.
    assert_eq!(gone(|world| (0..5).for_each(|_| world.stall(3_000))), (0, 0));
}

#[test]
fn attack_231_time_that_the_server_was_awake_counts() {
    assert_eq!(gone(|world| world.pass(30_000)), (2 * READS_PER_TICK + 100, 6));
}
