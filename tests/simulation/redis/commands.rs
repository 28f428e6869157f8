//! The commands that a server of ours sends, and what is answered. Another one is a complaint.

use sha1::{Digest as _, Sha1};

use super::resp::Value;
use super::scripts::{Call, Machine, Script};
use super::{CLOCK_MS, Redis};
use crate::net::Net;

const NO_AUTH: &str = "NOAUTH Authentication required.";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const LOADING: &str = "LOADING Redis is loading the dataset in memory";
const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";
const READ_ONLY: &str =
    "READONLY You can't write against a read only replica. script: 0, on @user_script:1.";
const FULL: &str =
    "OOM command not allowed when used memory > 'maxmemory'. script: 0, on @user_script:1.";

impl Redis {
    /// Carries out one command; returns what is answered, if anything.
    pub(super) fn carry_out(
        &mut self,
        net: &mut Net,
        pipe: usize,
        words: &[Vec<u8>],
    ) -> Vec<Value> {
        let name = String::from_utf8_lossy(&words[0]).to_uppercase();
        let words = &words[1..];
        let connection = &self.connections[&pipe];
        let may_come_first = matches!(name.as_str(), "HELLO" | "AUTH");
        assert!(connection.was_greeted || may_come_first, "{name} comes before HELLO");
        let is_loading = self.times.loading_ms > self.now_ms;
        let error = |text: &str| vec![Value::Error(text.to_owned())];
        if !connection.is_authenticated && !may_come_first {
            return error(NO_AUTH);
        }
        let listens = !connection.channels.is_empty();
        let ok = || vec![Value::Simple("OK")];
        match name.as_str() {
            "HELLO" => vec![self.hello(pipe, words)],
            "AUTH" => vec![self.authenticate(pipe, words)],
            "SELECT" | "CLIENT" => ok(),
            "INFO" => vec![self.info(words)],
            "SUBSCRIBE" | "UNSUBSCRIBE" => self.listen(pipe, name == "SUBSCRIBE", words),
            "PUBLISH" => vec![Value::Number(self.publish(net, &words[0], &words[1]))],
            _ if is_loading => error(LOADING),
            "PING" if listens => vec![Value::Push(vec![Value::bulk("pong"), Value::bulk("")])],
            "PING" => vec![Value::Simple("PONG")],
            "SCRIPT" => vec![self.load(words)],
            "EVAL" | "EVALSHA" => vec![self.evaluate(net, pipe, name == "EVAL", words)],
            "WAIT" => vec![Value::Number(i64::from(self.times.alone_ms <= self.now_ms))],
            _ => panic!("nobody simulates {name}"),
        }
    }

    fn hello(&mut self, pipe: usize, words: &[Vec<u8>]) -> Value {
        let connection = self.connections.get_mut(&pipe).expect("it is there");
        connection.was_greeted = true;
        let mut words = words.iter().map(|word| String::from_utf8_lossy(word).into_owned());
        assert_eq!(words.next().as_deref(), Some("3"), "HELLO wants RESP3");
        while let Some(word) = words.next() {
            match word.to_uppercase().as_str() {
                "AUTH" => {
                    let (user, password) = (words.next(), words.next());
                    let user = user.as_deref().unwrap_or_default().as_bytes().to_vec();
                    let password = password.expect("a password").into_bytes();
                    if let error @ Value::Error(_) = self.authenticate(pipe, &[user, password]) {
                        return error;
                    }
                }
                "SETNAME" => assert!(words.next().is_some(), "a name"),
                _ => panic!("HELLO with {word}"),
            }
        }
        let is_replica = self.times.demoted_ms > self.now_ms;
        if !self.connections[&pipe].is_authenticated {
            let text = "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                        HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client";
            return Value::Error(text.to_owned());
        }
        Value::Map(vec![
            (Value::bulk("server"), Value::bulk("redis")),
            (Value::bulk("version"), Value::bulk("7.0.15")),
            (Value::bulk("proto"), Value::Number(3)),
            (Value::bulk("id"), Value::Number(pipe as i64)),
            (Value::bulk("mode"), Value::bulk("standalone")),
            (Value::bulk("role"), Value::bulk(if is_replica { "replica" } else { "master" })),
            (Value::bulk("modules"), Value::Array(Vec::new())),
        ])
    }

    fn authenticate(&mut self, pipe: usize, words: &[Vec<u8>]) -> Value {
        let password = words.last().expect("a password");
        let is_locked = self.times.locked_ms > self.now_ms;
        let wanted = self.setting.password.as_ref().map(String::as_bytes);
        let is_right = !is_locked && wanted.is_none_or(|wanted| wanted == password.as_slice());
        let connection = self.connections.get_mut(&pipe).expect("it is there");
        if !is_right {
            return Value::Error(WRONG_PASSWORD.to_owned());
        }
        connection.is_authenticated = true;
        Value::Simple("OK")
    }

    fn info(&self, words: &[Vec<u8>]) -> Value {
        let mut text = String::new();
        for word in words {
            match word.to_ascii_lowercase().as_slice() {
                b"server" => {
                    let run_id = &self.run_id;
                    text += "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n";
                    text += &format!("run_id:{run_id}\r\ntcp_port:6379\r\n\r\n");
                }
                b"replication" => {
                    let is_replica = self.times.demoted_ms > self.now_ms;
                    let role = if is_replica { "slave" } else { "master" };
                    let replid = &self.replid;
                    text += &format!("# Replication\r\nrole:{role}\r\nconnected_slaves:1\r\n");
                    text += &format!("master_replid:{replid}\r\nmaster_repl_offset:7\r\n\r\n");
                }
                b"persistence" => {
                    let is_loading = u8::from(self.times.loading_ms > self.now_ms);
                    text += &format!("# Persistence\r\nloading:{is_loading}\r\n\r\n");
                }
                section => panic!("INFO {:?}", String::from_utf8_lossy(section)),
            }
        }
        Value::Verbatim(text)
    }

    fn listen(&mut self, pipe: usize, begins: bool, words: &[Vec<u8>]) -> Vec<Value> {
        assert!(!words.is_empty(), "somebody listens to nothing");
        let connection = self.connections.get_mut(&pipe).expect("it is there");
        let answer = |channel: &Vec<u8>| {
            let kind = if begins { "subscribe" } else { "unsubscribe" };
            match begins {
                true => connection.channels.insert(channel.clone()),
                false => connection.channels.remove(channel),
            };
            let count = Value::Number(connection.channels.len() as i64);
            Value::Push(vec![Value::bulk(kind), Value::bulk(channel), count])
        };
        words.iter().map(answer).collect()
    }

    fn load(&mut self, words: &[Vec<u8>]) -> Value {
        assert_eq!(words[0].to_ascii_uppercase(), b"LOAD", "a SCRIPT that nobody simulates");
        Value::bulk(self.remember(&words[1]))
    }

    fn remember(&mut self, text: &[u8]) -> String {
        let digest = Sha1::digest(text);
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.scripts.insert(name.clone(), Script::recognise(text));
        name
    }

    fn evaluate(&mut self, net: &mut Net, pipe: usize, has_text: bool, words: &[Vec<u8>]) -> Value {
        let name = match has_text {
            true => self.remember(&words[0]),
            false => String::from_utf8_lossy(&words[0]).into_owned(),
        };
        let Some(&script) = self.scripts.get(&name) else {
            return Value::Error(NO_SCRIPT.to_owned());
        };
        let keys = std::str::from_utf8(&words[1]).ok().and_then(|count| count.parse().ok());
        let (keys, arguments) = words[2..].split_at(keys.expect("how many keys"));
        let prefix = self.setting.prefix.clone();
        let call = Call::parse(&prefix, keys, arguments);
        if script != Script::Read {
            self.keep();
        }
        let write_error = match () {
            () if self.times.demoted_ms > self.now_ms => Some(READ_ONLY),
            () if self.times.full_ms > self.now_ms && script != Script::Delete => Some(FULL),
            () => None,
        };
        let (life, mut published) = (self.life(), Vec::new());
        let mut machine = Machine {
            store: &mut self.store,
            ledger: &self.ledger,
            now_ms: CLOCK_MS + self.now_ms,
            life: &life,
            write_error,
            slack: self.setting.slack,
            published: &mut published,
        };
        let answer = machine.run(script, &call);
        for (channel, text) in published {
            self.publish(net, &channel, &text);
        }
        let from = net.pipes[pipe].key.map_or(0, |(worker, _)| worker);
        let what = call.publish().map_or_else(String::new, |number| format!(" publish {number}"));
        let (topic, answer_text) = (call.name(), short(&answer));
        self.notes.push(format!("{script:?} of {topic:?}{what} for worker {from} {answer_text}"));
        answer
    }
}

/// An answer, as far as it fits into a line of a trace.
fn short(answer: &Value) -> String {
    match answer {
        Value::Bulk(bytes) => format!("is {}", String::from_utf8_lossy(bytes)),
        Value::Array(values) => {
            let terms = values.first().map_or_else(String::new, short);
            let head = values.get(1).map_or_else(String::new, short);
            format!("gives {} messages, terms: {terms}, head: {head}", values.len() - 3)
        }
        other => format!("is {other:?}"),
    }
}
