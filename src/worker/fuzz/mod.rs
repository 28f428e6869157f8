//! A whole server under fuzz: what several clients send, how it is cut, when it arrives, what is taken of
//! the answers and when, all chosen by the input's bytes.
//!
//! The input is a script. Its first byte says how many workers there are, whether every step is carried out
//! before the next, and how the clients leave; each step is a byte (low four bits: what; high four: which
//! client) with its arguments behind it. fuzz/README.md lists the steps.

mod answers;
mod batch;
mod requests;
mod world;

pub use self::batch::fuzz_batch;

use self::answers::{Expected, read_answers};
use self::requests::{COMMANDS, LINES, REQUESTS};
use self::world::World;
use crate::counters::CloseReason;

/// Steps of one script.
const STEPS_MAX: usize = 400;
/// Clients that a script may have at a time.
const SEATS: usize = 6;
/// Milliseconds that may pass at once.
const PASSES_MS: [u64; 16] = [
    1, 10, 50, 100, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 11_000, 16_000, 25_000, 36_000,
    61_000, 100_000,
];
/// In this time every client that says nothing is given up, unless it reads a stream.
const PATIENCE_MS: u64 = 300_000;
/// A timer is at most this late.
const WHEEL_STEP_MS: u64 = 16;
/// In this time everything that was published is forgotten, and the topics too.
const OBLIVION_MS: u64 = 400_000;

/// What a client has asked for, as long as that is known.
#[derive(Default)]
struct Dialogue {
    client: usize,
    expected: Vec<Expected>,
    /// It has sent something that is no whole request: what is answered behind `expected` is anything.
    is_loose: bool,
    /// The client has broken the connection off.
    is_broken: bool,
    /// Polls that were numbered.
    polls: u32,
}

/// For fuzzing: plays the script that `bytes` are and checks what must hold whatever the clients do.
///
/// # Panics
/// If a worker panics or does not come to rest; if memory is not bounded; if an answer is malformed, out of
/// order, or missing; if a message is missing, repeated or out of order without a gap; if anything is sent
/// behind the end; if anything is left when everybody has gone.
pub fn fuzz_connection(bytes: &[u8]) {
    let mut script =
        Script { bytes, world: World::new(1), seats: Vec::new(), is_draining: false, quiet: 0 };
    let settings = script.byte();
    script.world = World::new(1 + usize::from(settings & 1));
    script.seats = (0..SEATS).map(|_| None).collect();
    for _ in 0..STEPS_MAX {
        let Some((&step, rest)) = script.bytes.split_first() else { break };
        script.bytes = rest;
        script.play(step);
        script.quiet = script.quiet.saturating_sub(1);
        if script.quiet == 0 {
            script.world.settle();
        }
    }
    script.end(settings);
}

struct Script<'a> {
    bytes: &'a [u8],
    world: World,
    seats: Vec<Option<Dialogue>>,
    is_draining: bool,
    /// Steps before the workers have their next turn.
    quiet: u8,
}

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    /// A length and so many bytes.
    fn text(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.bytes.len());
        let (text, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        text
    }

    fn play(&mut self, step: u8) {
        let seat = usize::from(step >> 4) % SEATS;
        match step & 15 {
            12 => {
                let ms = PASSES_MS[usize::from(self.byte() & 15)];
                return self.world.pass(ms);
            }
            14 => return self.handle_mail(),
            15 => return self.change_world(seat),
            _ => (),
        }
        let taken = self.seats[seat].take();
        let is_open = |one: &Dialogue| self.world.clients[one.client].closed.is_none();
        let dialogue = match taken {
            Some(dialogue) if is_open(&dialogue) => Some(dialogue),
            gone => {
                if let Some(gone) = gone {
                    self.check(&gone, false);
                }
                let client = self.world.connect(seat as u8);
                client.map(|client| Dialogue { client, ..Dialogue::default() })
            }
        };
        if let Some(mut dialogue) = dialogue {
            self.act(step & 15, &mut dialogue);
            self.seats[seat] = Some(dialogue);
        }
    }

    /// What one client does.
    fn act(&mut self, step: u8, dialogue: &mut Dialogue) {
        let client = dialogue.client;
        match step {
            0 | 1 => {
                let text = self.text();
                self.world.read_bytes = if step == 1 { 1 } else { self.world.read_bytes };
                self.send_loose(dialogue, text);
            }
            2 => {
                let request = &REQUESTS[usize::from(self.byte()) % REQUESTS.len()];
                dialogue.expect(Expected::Of(request));
                self.world.send(client, request.text.as_bytes());
            }
            3 => self.send_in_two(dialogue),
            4 => {
                dialogue.polls += 1;
                let number = dialogue.polls;
                let text = format!(
                    "GET /topics/a?last=1 HTTP/1.1\r\nHost: a\r\nPrefer: wait={number}\r\n\r\n"
                );
                dialogue.expect(Expected::Poll(number));
                self.world.send(client, text.as_bytes());
            }
            5 => self.publish(dialogue),
            6 => {
                let request = &REQUESTS[usize::from(self.byte()) % REQUESTS.len()];
                for _ in 0..self.byte() & 63 {
                    dialogue.expect(Expected::Of(request));
                    self.world.send(client, request.text.as_bytes());
                }
            }
            7 => {
                let first = self.byte();
                let payload = self.text();
                self.send_loose(dialogue, &frame(first, payload));
            }
            8 => {
                let command = COMMANDS[usize::from(self.byte()) % COMMANDS.len()];
                self.send_loose(dialogue, &frame(0x81, command.as_bytes()));
            }
            9 => {
                let text = self.text();
                self.send_loose(dialogue, &chunk(text));
            }
            10 => {
                let line = LINES[usize::from(self.byte()) % LINES.len()];
                self.send_loose(dialogue, &chunk(line.as_bytes()));
            }
            11 => {
                let bytes = usize::from(self.byte());
                self.world.open_window(client, bytes * bytes);
            }
            _ => match self.byte() % 3 {
                0 => self.world.hang_up(client),
                1 => {
                    self.world.break_off(client);
                    dialogue.is_broken = true;
                }
                _ => self.world.open_window(client, usize::MAX),
            },
        }
    }

    /// Sends bytes of which nobody says what they ask for.
    fn send_loose(&mut self, dialogue: &mut Dialogue, bytes: &[u8]) {
        dialogue.is_loose = true;
        self.world.send(dialogue.client, bytes);
    }

    /// A request in two parts, between which a little time passes.
    fn send_in_two(&mut self, dialogue: &mut Dialogue) {
        let request = &REQUESTS[usize::from(self.byte()) % REQUESTS.len()];
        let cut = usize::from(self.byte()).min(request.text.len());
        dialogue.expect(Expected::Of(request));
        let (first, second) = request.text.as_bytes().split_at(cut);
        self.world.send(dialogue.client, first);
        self.world.pass(10);
        self.world.send(dialogue.client, second);
    }

    fn publish(&mut self, dialogue: &mut Dialogue) {
        let shape = self.byte();
        let payload = self.text();
        let topic = ["a", "b", "c", "d"][usize::from(shape & 3)];
        let length = payload.len();
        let (framing, body) = match (shape >> 2) & 3 {
            0 => (format!("Content-Length: {length}"), payload.to_vec()),
            1 => ("Transfer-Encoding: chunked".to_owned(), chunks(payload, 1)),
            2 => ("Transfer-Encoding: chunked".to_owned(), chunks(payload, 300)),
            _ => (format!("Expect: 100-continue\r\nContent-Length: {length}"), payload.to_vec()),
        };
        let key = match shape >> 4 {
            0 => {
                dialogue.expect(Expected::Publish(topic));
                String::new()
            }
            key => {
                dialogue.expect(Expected::PublishAgain(topic));
                format!("Idempotency-Key: k{key}\r\n")
            }
        };
        let head = format!("POST /topics/{topic} HTTP/1.1\r\nHost: a\r\n{key}{framing}\r\n\r\n");
        self.world.send(dialogue.client, head.as_bytes());
        self.world.send(dialogue.client, &body);
    }

    fn handle_mail(&mut self) {
        match self.byte() % 3 {
            0 => self.world.mail_is_held = true,
            1 => self.world.mail_is_held = false,
            _ => self.world.mail_max = 1,
        }
    }

    fn change_world(&mut self, seat: usize) {
        match self.byte() {
            0 => {
                self.is_draining = true;
                self.world.workers.iter_mut().for_each(super::Worker::begin_drain);
            }
            1..=63 => {
                // Another client in this seat; the last one stays as it is.
                if let Some(dialogue) = self.seats[seat].take() {
                    self.seats.push(Some(dialogue));
                }
            }
            quiet @ 64..=127 => self.quiet = quiet & 7,
            bytes => self.world.read_bytes = usize::from(bytes & 127) + 1,
        }
    }

    /// Everything arrives; everybody is answered; everybody goes; nothing is left.
    fn end(mut self, settings: u8) {
        self.world.open_all();
        self.world.settle();
        if settings & 2 == 0 {
            // Nobody says a word any more: whoever waits is answered, whoever idles is given up.
            self.world.pass(PATIENCE_MS);
            for client in &self.world.clients {
                let goes_on = client.closed.is_none();
                assert!(
                    !goes_on || self.world.is_endless(client),
                    "a connection is not given up: {}",
                    self.world.describe(client)
                );
            }
        } else {
            self.world.pass(61_000);
        }
        let seats = std::mem::take(&mut self.seats);
        seats.iter().flatten().for_each(|dialogue| self.check(dialogue, true));
        for client in 0..self.world.clients.len() {
            match settings & 4 == 0 || client % 2 == 0 {
                true => self.world.hang_up(client),
                false if self.world.clients[client].closed.is_none() => {
                    self.world.break_off(client);
                }
                false => (),
            }
        }
        self.world.settle();
        // A poll whose time is up is answered by its timer, which may be a step of the wheel late.
        self.world.pass(2 * WHEEL_STEP_MS);
        for client in &self.world.clients {
            // The end is noticed when what is before it can be read: polls in a row have their time.
            let is_noticed = client.closed.is_some() || self.world.is_held_back(client);
            assert!(
                is_noticed,
                "a connection outlives its client: {}",
                self.world.describe(client)
            );
        }
        self.world.pass(PATIENCE_MS);
        for client in &self.world.clients {
            let state = || self.world.describe(client);
            assert!(client.closed.is_some(), "a connection outlives its client: {}", state());
        }
        self.world.pass(OBLIVION_MS);
        self.world.check_nothing_is_left();
    }

    /// Checks what a client was sent; `at_rest`, when there is nothing more to come.
    fn check(&self, dialogue: &Dialogue, at_rest: bool) {
        let client = &self.world.clients[dialogue.client];
        let answers = read_answers(&client.received, &dialogue.expected, dialogue.is_loose);
        let was_cut = dialogue.is_broken
            || client.closed.is_some_and(|reason| {
                !matches!(
                    reason,
                    CloseReason::Finished | CloseReason::WebSocketClosed | CloseReason::Drained
                )
            });
        assert!(answers.is_whole || was_cut, "half an answer");
        let goes_on = client.closed.is_none() && !client.hung_up;
        let next = dialogue.expected.get(answers.read).filter(|_| !answers.says_close);
        if at_rest && goes_on && !answers.is_endless {
            assert!(next.is_none_or(|next| next.may_wait()), "{next:?} is not answered");
        }
        if client.closed == Some(CloseReason::Finished) && !answers.is_endless {
            // A drain may begin behind the head of a batch.
            let is_meant = answers.says_close || dialogue.is_loose || self.is_draining;
            assert!(is_meant, "closed without a word: {answers:?} of {:?}", dialogue.expected);
        }
    }
}

impl Dialogue {
    fn expect(&mut self, expected: Expected) {
        if !self.is_loose {
            self.expected.push(expected);
            self.is_loose = expected.is_endless();
        }
    }
}

/// One frame of a client; `first` is its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ ..126) => bytes.push(0x80 | length),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4_u8];
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn chunk(text: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

/// A whole chunked body with so many bytes in each chunk.
fn chunks(payload: &[u8], each: usize) -> Vec<u8> {
    let mut body: Vec<u8> = payload.chunks(each).flat_map(chunk).collect();
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_scripts_keeps_every_promise() {
        crate::fuzzing::replay("connection", fuzz_connection);
    }

    #[test]
    fn scripts_of_noise_keep_every_promise() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let script: Vec<u8> = (0..random.usize(0..120)).map(|_| random.u8(..)).collect();
            fuzz_connection(&script);
        }
    }
}
