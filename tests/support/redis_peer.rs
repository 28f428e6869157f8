//! A Redis of the tests' own on a loopback socket, with one script for each kind of command. It does what Redis does,
//! until it is told to do something else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use sha1::{Digest, Sha1};
use socket2::{Domain, Socket, Type};

const PUBLISH: &str = include_str!("../../src/outbound/scripts/publish.lua");
const READ: &str = include_str!("../../src/outbound/scripts/read.lua");

/// A command.
pub type Words = Vec<Vec<u8>>;

/// What is done about a command.
pub enum Deed {
    /// What Redis does.
    Usual,
    /// This is said, and nothing is carried out.
    Only(Vec<u8>),
    /// Nothing.
    Nothing,
    /// The connection is closed.
    HangUp,
}

/// What is done about which command: the connection's number, and the command.
type Manner = Box<dyn FnMut(usize, &Words) -> Deed + Send>;

/// A Redis, or its absence.
pub struct Peer {
    pub address: SocketAddr,
    socket: Socket,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// A test that fails while it looks fails once, and not in every thread.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct State {
    manner: Manner,
    run_id: String,
    scripts: BTreeMap<Vec<u8>, Script>,
    connections: BTreeMap<usize, Connection>,
    pub topics: BTreeMap<Vec<u8>, Topic>,
    /// Every command so far, with its connection.
    pub said: Vec<(usize, Words)>,
    /// Connections so far.
    pub accepted: usize,
    /// Connections with a lower number are told nothing that is published, and nobody says so.
    pub deaf_below: usize,
    is_over: bool,
}

struct Connection {
    stream: TcpStream,
    channels: BTreeSet<Vec<u8>>,
}

/// What there is of a topic, under the name of its channel.
#[derive(Default)]
pub struct Topic {
    pub terms: Vec<(String, u64)>,
    pub sequence: u64,
    pub log: Vec<(u64, Vec<u8>)>,
    keys: BTreeMap<Vec<u8>, String>,
}

#[derive(Copy, Clone)]
enum Script {
    Publish,
    Read,
    Delete,
}

impl Peer {
    /// One that nobody can reach: the port is taken, and nobody listens.
    pub fn absent() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let state = State {
            manner: Box::new(|_, _| Deed::Usual),
            run_id: "0123456789abcdef".to_owned(),
            scripts: BTreeMap::new(),
            connections: BTreeMap::new(),
            topics: BTreeMap::new(),
            said: Vec::new(),
            accepted: 0,
            deaf_below: 0,
            is_over: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        Self { address, socket, shared }
    }

    /// One that does what Redis does.
    pub fn usual() -> Self {
        let peer = Self::absent();
        peer.appear();
        peer
    }

    /// One that does this.
    pub fn with(manner: impl FnMut(usize, &Words) -> Deed + Send + 'static) -> Self {
        let peer = Self::absent();
        peer.behave(manner);
        peer.appear();
        peer
    }

    /// It can be reached from now on.
    pub fn appear(&self) {
        self.socket.listen(64).unwrap();
        let listener: TcpListener = self.socket.try_clone().unwrap().into();
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let number = {
                    let mut state = shared.lock();
                    if state.is_over {
                        return;
                    }
                    let number = state.accepted;
                    state.accepted += 1;
                    let channels = BTreeSet::new();
                    let connection = Connection { stream: stream.try_clone().unwrap(), channels };
                    state.connections.insert(number, connection);
                    number
                };
                shared.changed.notify_all();
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    serve(&shared, number, stream);
                    shared.lock().connections.remove(&number);
                });
            }
        });
    }

    /// It does this from now on.
    pub fn behave(&self, manner: impl FnMut(usize, &Words) -> Deed + Send + 'static) {
        self.state().manner = Box::new(manner);
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Waits until this is so of it.
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut(&State) -> bool) {
        let mut state = self.state();
        // A connection that ends changes something too, and nobody says so.
        for _ in 0..3_000 {
            if is_so(&state) {
                return;
            }
            let moment = Duration::from_millis(10);
            state = self.shared.changed.wait_timeout(state, moment).unwrap().0;
        }
        drop(state);
        panic!("never: {what}");
    }

    /// Closes the connections for which this is so.
    pub fn cut(&self, is_meant: impl Fn(usize, &BTreeSet<Vec<u8>>) -> bool) {
        for (number, connection) in &self.state().connections {
            if is_meant(*number, &connection.channels) {
                // Who has gone already is not missed.
                let _ = connection.stream.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.state().is_over = true;
        self.cut(|_, _| true);
        // The thread that accepts looks up.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    /// Which commands of this name there were.
    pub fn commands<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Words> {
        let is_it = |words: &&Words| words[0].eq_ignore_ascii_case(name.as_bytes());
        self.said.iter().map(|(_, words)| words).filter(is_it)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.connections.len()
    }

    /// Connections that listen to this channel.
    pub fn listeners(&self, channel: &[u8]) -> usize {
        let listens = |one: &&Connection| one.channels.contains(channel);
        self.connections.values().filter(listens).count()
    }

    /// Sends this to whoever listens to a channel; returns how many that are.
    pub fn tell(&self, channel: &[u8], text: &[u8]) -> usize {
        let push = array(b'>', &[bulk(b"message"), bulk(channel), bulk(text)]);
        let listens = |connection: &Connection| connection.channels.contains(channel);
        let listening = self.connections.iter().filter(|(_, one)| listens(one));
        // Who has gone does not hear it.
        let hears = |(number, one): &(&usize, &Connection)| {
            **number < self.deaf_below || (&one.stream).write_all(&push).is_ok()
        };
        listening.filter(hears).count()
    }

    /// Keeps a message that somebody else has published, and returns what listeners would be told.
    pub fn keep(&mut self, channel: &[u8], payload: &str) -> Vec<u8> {
        let topic = self.topics.get_mut(channel).expect("the topic has begun");
        topic.sequence += 1;
        let record = format!("1700000000000 10 0\ntext/plain{payload}").into_bytes();
        topic.log.push((topic.sequence, record.clone()));
        topic.told(topic.sequence, &record)
    }

    fn carry_out(&mut self, number: usize, words: &Words) -> Vec<u8> {
        let name = words[0].to_ascii_uppercase();
        let ok = || b"+OK\r\n".to_vec();
        match name.as_slice() {
            b"HELLO" => {
                let pairs: [(&str, &[u8]); 5] = [
                    ("server", b"$5\r\nredis\r\n"),
                    ("version", b"$6\r\n7.0.15\r\n"),
                    ("proto", b":3\r\n"),
                    ("mode", b"$10\r\nstandalone\r\n"),
                    ("role", b"$6\r\nmaster\r\n"),
                ];
                let pair = |(name, value): (&str, &[u8])| [&bulk(name.as_bytes()), value].concat();
                [&b"%5\r\n"[..], &pairs.map(pair).concat()].concat()
            }
            b"INFO" if words[1] == b"server" => {
                bulk(format!("redis_version:7.0.15\r\nrun_id:{}\r\n", self.run_id).as_bytes())
            }
            b"INFO" => bulk(b"role:master\r\nmaster_replid:fedcba9876543210\r\nloading:0\r\n"),
            b"SCRIPT" => {
                let script = match String::from_utf8_lossy(&words[2]) {
                    text if text.ends_with(PUBLISH) => Script::Publish,
                    text if text.ends_with(READ) => Script::Read,
                    _ => Script::Delete,
                };
                let digest = Sha1::digest(&words[2]);
                let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                self.scripts.insert(name.clone().into_bytes(), script);
                bulk(name.as_bytes())
            }
            b"EVALSHA" => self.run(words),
            b"PUBLISH" => format!(":{}\r\n", self.tell(&words[1], &words[2])).into_bytes(),
            b"SUBSCRIBE" | b"UNSUBSCRIBE" => {
                let channels = &mut self.connections.get_mut(&number).unwrap().channels;
                let (kind, is_new) = (name.to_ascii_lowercase(), name == b"SUBSCRIBE");
                let answers = words[1..].iter().map(|channel| {
                    match is_new {
                        true => channels.insert(channel.clone()),
                        false => channels.remove(channel),
                    };
                    let count = format!(":{}\r\n", channels.len()).into_bytes();
                    array(b'>', &[bulk(&kind), bulk(channel), count])
                });
                answers.collect::<Vec<_>>().concat()
            }
            b"PING" => b"+PONG\r\n".to_vec(),
            b"WAIT" => b":0\r\n".to_vec(),
            _ => ok(),
        }
    }

    fn run(&mut self, words: &Words) -> Vec<u8> {
        let Some(&script) = self.scripts.get(&words[1]) else {
            return b"-NOSCRIPT No matching script. Please use EVAL.\r\n".to_vec();
        };
        let keys: usize = text(&words[2]).parse().unwrap();
        let (keys, arguments) = words[3..].split_at(keys);
        let channel = keys[0].strip_suffix(b":state").unwrap().to_vec();
        let fresh = text(&arguments[1]);
        let topic = self.topics.entry(channel.clone()).or_default();
        if matches!(script, Script::Delete) {
            *topic = Topic::default();
        }
        if topic.terms.is_empty() {
            topic.terms = vec![(fresh, 1)];
        }
        match script {
            Script::Publish => {
                if let Some(before) = keys.get(2).and_then(|key| topic.keys.get(key)) {
                    return bulk(before.as_bytes());
                }
                topic.sequence += 1;
                let (sequence, record) = (topic.sequence, arguments[4].clone());
                let told = topic.told(sequence, &record);
                topic.log.push((sequence, record));
                let position = format!("{} {sequence}", topic.epoch());
                if let Some(key) = keys.get(2) {
                    topic.keys.insert(key.clone(), position.clone());
                }
                self.tell(&channel, &told);
                bulk(position.as_bytes())
            }
            Script::Read => {
                let from: u64 = text(&arguments[4]).parse().unwrap();
                let terms = topic.terms.iter().map(|(epoch, first)| format!("{epoch} {first}"));
                let terms = terms.collect::<Vec<_>>().join(" ");
                let head = [terms, topic.sequence.to_string(), "1700000000000".to_owned()];
                let mut values: Vec<Vec<u8>> =
                    head.iter().map(|value| bulk(value.as_bytes())).collect();
                for (sequence, record) in topic.log.iter().filter(|(one, _)| *one >= from) {
                    let sequence = bulk(sequence.to_string().as_bytes());
                    values.push(array(b'*', &[sequence, bulk(b"1700000000000"), bulk(record)]));
                }
                array(b'*', &values)
            }
            Script::Delete => {
                let told = topic.told(0, b"");
                let position = format!("{} 0", topic.epoch());
                self.tell(&channel, &told);
                bulk(position.as_bytes())
            }
        }
    }
}

impl Topic {
    pub fn epoch(&self) -> &str {
        &self.terms.last().expect("it has begun").0
    }

    /// What listeners are told of a message.
    pub fn told(&self, sequence: u64, record: &[u8]) -> Vec<u8> {
        [format!("{} {sequence}\n", self.epoch()).as_bytes(), record].concat()
    }
}

/// Serves a connection until it ends.
fn serve(shared: &Shared, number: usize, mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(words) = read_command(&mut reader) {
        let mut state = shared.lock();
        state.said.push((number, words.clone()));
        let deed = (state.manner)(number, &words);
        let answer = match deed {
            Deed::Usual => state.carry_out(number, &words),
            Deed::Only(answer) => answer,
            Deed::Nothing => Vec::new(),
            Deed::HangUp => break,
        };
        // Who has gone is noticed by the next read.
        let _ = stream.write_all(&answer);
        drop(state);
        shared.changed.notify_all();
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn read_command(reader: &mut impl BufRead) -> Option<Words> {
    let mut number = |first: char| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.trim_end().strip_prefix(first)?.parse::<usize>().ok()
    };
    let count = number('*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length: usize = line.trim_end().strip_prefix('$')?.parse().ok()?;
        let mut word = vec![0; length + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(length);
        words.push(word);
    }
    Some(words)
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn array(kind: u8, values: &[Vec<u8>]) -> Vec<u8> {
    [&[kind][..], format!("{}\r\n", values.len()).as_bytes(), &values.concat()].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
