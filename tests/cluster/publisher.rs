//! A publisher that does not give up: the same message under the same key, to one server after another, until one says
//! that it is published.

use std::io::{Error, Result};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::history::Position;
use crate::line::{Line, path};
use crate::shared::Shared;

/// How long one message is tried. No fault is as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

pub struct Publisher {
    name: String,
    shared: Arc<Shared>,
    /// One to each server, kept while it lasts.
    lines: Vec<Option<Line>>,
    turn: usize,
    count: usize,
}

impl Publisher {
    pub fn new(name: String, shared: &Arc<Shared>) -> Self {
        let lines = (0..shared.servers()).map(|_| None).collect();
        let turn = name.len() + name.bytes().map(usize::from).sum::<usize>();
        Self { name, shared: Arc::clone(shared), lines, turn, count: 0 }
    }

    /// Publishes to these topics in turn, so many a second, until it is over.
    pub fn run(mut self, topics: &[String], per_second: f64) {
        let between = Duration::from_secs_f64(1.0 / per_second);
        let mut next = Instant::now();
        while !self.shared.is_over() {
            let topic = &topics[self.count % topics.len()];
            let payload = format!("{topic}/{}-{}", self.name, self.count);
            self.count += 1;
            self.publish(topic, &payload, PATIENCE);
            // What was not published while nothing could be is not made up for.
            next = (next + between).max(Instant::now() - between);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// Publishes one message; returns whether somebody said so in time.
    pub fn publish(&mut self, topic: &str, payload: &str, patience: Duration) -> bool {
        self.shared.attempt(topic, payload);
        let began = Instant::now();
        while began.elapsed() < patience {
            self.turn += 1;
            match self.attempt(topic, payload) {
                Ok(Some(id)) => {
                    self.shared.acknowledge(topic, payload, id);
                    return true;
                }
                // Refused for now.
                Ok(None) => (),
                Err(_) => {
                    let index = self.turn % self.lines.len();
                    self.lines[index] = None;
                }
            }
            self.shared.repeats.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
        self.shared.complain(format!("{payload:?} could not be published in {patience:?}"));
        false
    }

    fn attempt(&mut self, topic: &str, payload: &str) -> Result<Option<Position>> {
        let index = self.turn % self.lines.len();
        if self.lines[index].is_none() {
            self.lines[index] = Some(Line::dial(self.shared.server(index))?);
        }
        let line = self.lines[index].as_mut().unwrap();
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nIdempotency-Key: {}\r\n\
             Content-Length: {}\r\n\r\n{payload}",
            path(&[topic.to_owned()]),
            key(payload),
            payload.len()
        );
        line.send(request.as_bytes())?;
        let head = line.head()?;
        let body = line.body(&head)?;
        if head.closes {
            self.lines[index] = None;
        }
        match head.status {
            201 => {
                let answer: Value = serde_json::from_slice(&body).map_err(Error::other)?;
                Ok(answer["id"].as_str().and_then(Position::parse))
            }
            503 => Ok(None),
            status => {
                let body = String::from_utf8_lossy(&body);
                self.shared.complain(format!("a publish is answered with {status} {body}"));
                Ok(None)
            }
        }
    }
}

/// A key for a payload: visible characters only, and not too many.
fn key(payload: &str) -> String {
    payload.chars().take(100).map(|one| if one.is_ascii_graphic() { one } else { '_' }).collect()
}
