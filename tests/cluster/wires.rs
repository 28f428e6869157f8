//! Every way of waiting for messages, read as it comes, with the cursor that it gives.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use serde_json::Value;

use crate::history::Position;
use crate::line::{Line, path};
use crate::support::{BINARY, CLOSE, EventSource, FIN, PING, PONG, TEXT, WebSocket, handshake};

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    ShortPoll,
    LongPoll,
    EventStream,
    Ndjson,
    Json,
    Raw,
}

impl Wire {
    pub const ALL: [Self; 6] =
        [Self::ShortPoll, Self::LongPoll, Self::EventStream, Self::Ndjson, Self::Json, Self::Raw];

    fn fields(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::ShortPoll | Self::LongPoll => vec![],
            Self::EventStream => vec![("Accept", "text/event-stream")],
            Self::Ndjson => vec![("Accept", "application/x-ndjson")],
            Self::Json => handshake(&[("Sec-WebSocket-Protocol", "tidings.json")]),
            Self::Raw => handshake(&[]),
        }
    }
}

/// Something that was received.
#[derive(Clone, Debug)]
pub enum Heard {
    Message {
        topic: String,
        payload: String,
        id: Option<Position>,
    },
    Gap {
        topic: String,
        count: Option<u64>,
        until: Option<Position>,
    },
    /// A raw WebSocket was closed because of a gap.
    Anew,
}

/// A subscription to some topics, by one of the wires.
pub struct Reading {
    wire: Wire,
    topics: Vec<String>,
    /// Behind everything that was given out.
    pub cursor: String,
    line: Line,
    /// Of a stream: the body's bytes, without the chunks around them.
    text: Vec<u8>,
    source: EventSource,
    /// A poll is on its way; until its answer has come, nothing else is sent.
    is_asking: bool,
    /// What ended it, behind what came before.
    end: Option<Error>,
}

/// Whether an error is one that a client must expect: the server is gone, or refuses for now.
pub fn is_passing(error: &Error) -> bool {
    error.kind() != ErrorKind::InvalidData
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_string())
}

fn refused(what: impl std::fmt::Display) -> Error {
    Error::other(format!("refused for now: {what}"))
}

impl Reading {
    /// Subscribes behind a cursor, or `earliest`. `topics` are in the order of their bytes.
    pub fn open(wire: Wire, address: SocketAddr, topics: &[String], cursor: &str) -> Result<Self> {
        let line = Line::dial(address)?;
        let mut reading = Self {
            wire,
            topics: topics.to_vec(),
            cursor: cursor.to_owned(),
            line,
            text: Vec::new(),
            source: EventSource::default(),
            is_asking: false,
            end: None,
        };
        if matches!(wire, Wire::ShortPoll | Wire::LongPoll) {
            return Ok(reading);
        }
        reading.ask()?;
        let head = reading.line.head()?;
        match (wire, head.status) {
            (Wire::EventStream | Wire::Ndjson, 200) | (Wire::Json | Wire::Raw, 101) => Ok(reading),
            (_, 503) => Err(refused("503")),
            (_, status) => Err(wrong(format!("{wire:?} is answered with {status}"))),
        }
    }

    fn ask(&mut self) -> Result<()> {
        let mut target = format!("{}?after={}", path(&self.topics), self.cursor);
        match self.wire {
            // The first one is answered at once, with a cursor.
            Wire::LongPoll if self.cursor == "earliest" => target += "&wait=0",
            Wire::LongPoll => target += "&wait=5",
            Wire::EventStream if self.topics.len() > 1 => target += "&envelope",
            _ => (),
        }
        let mut text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n");
        for (name, value) in self.wire.fields() {
            text += &format!("{name}: {value}\r\n");
        }
        self.is_asking = true;
        self.line.send((text + "\r\n").as_bytes())
    }

    /// What has come within a tick or so.
    pub fn read(&mut self) -> Result<Vec<Heard>> {
        if matches!(self.wire, Wire::ShortPoll | Wire::LongPoll) {
            return self.read_poll();
        }
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        self.line.fill()?;
        let mut heard = Vec::new();
        let result = match self.wire {
            Wire::Json | Wire::Raw => self.read_frames(&mut heard),
            _ => self.read_stream(&mut heard),
        };
        self.end = result.err();
        Ok(heard)
    }

    fn read_poll(&mut self) -> Result<Vec<Heard>> {
        if !self.is_asking {
            self.ask()?;
        }
        self.line.fill()?;
        let Some(head) = self.line.take_head()? else { return Ok(Vec::new()) };
        let body = self.line.body(&head)?;
        match head.status {
            200 => (),
            503 => return Err(refused("503")),
            status => return Err(wrong(format!("{status} {}", String::from_utf8_lossy(&body)))),
        }
        self.is_asking = false;
        let answer: Value = serde_json::from_slice(&body).map_err(wrong)?;
        let mut heard = Vec::new();
        let cursor = text(&answer["cursor"])?;
        let gaps = answer["gap"].as_array().map_or(&[][..], Vec::as_slice);
        let messages = answer["messages"].as_array().ok_or_else(|| wrong(&answer))?;
        for gap in gaps {
            let topic = text(&gap["topic"])?;
            // Behind the gap of a topic without messages stands the cursor.
            let is_last = !messages.iter().any(|message| message["topic"] == topic);
            let until = is_last.then(|| self.place_of(&topic, &cursor)).flatten();
            heard.push(Heard::Gap { topic, count: gap["count"].as_u64(), until });
        }
        for message in messages {
            heard.push(envelope(message)?);
        }
        self.cursor = cursor;
        if head.closes {
            self.line = Line::dial(self.line.address()?)?;
        }
        Ok(heard)
    }

    /// One topic's part of a cursor.
    fn place_of(&self, topic: &str, cursor: &str) -> Option<Position> {
        let index = self.topics.iter().position(|name| name == topic)?;
        Position::parse(cursor.split('.').nth(index)?)
    }

    fn read_stream(&mut self, heard: &mut Vec<Heard>) -> Result<()> {
        let has_ended = self.take_chunks()?;
        let bytes = std::mem::take(&mut self.text);
        if self.wire == Wire::EventStream {
            for event in self.source.take(&bytes) {
                self.event(event.event.as_str(), &event.data, &event.id, heard)?;
            }
            // The opening dispatches nothing, and has a cursor.
            if self.source.ids == 1 && !self.source.last_id().is_empty() {
                self.source.last_id().clone_into(&mut self.cursor);
            }
        } else {
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            self.text = bytes[whole..].to_vec();
            for line in bytes[..whole].split(|&byte| byte == b'\n') {
                if !line.is_empty() {
                    self.json(line, heard)?;
                }
            }
        }
        if has_ended { Err(refused("the stream has ended")) } else { Ok(()) }
    }

    /// Takes the chunks that are whole; says if it was the last one.
    fn take_chunks(&mut self) -> Result<bool> {
        loop {
            let buffer = &self.line.buffer;
            let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") else {
                return Ok(false);
            };
            let size = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|_| wrong(format!("{size:?}")))?;
            if buffer.len() < end + 2 + size + 2 {
                return Ok(false);
            }
            self.text.extend_from_slice(&buffer[end + 2..end + 2 + size]);
            self.line.buffer.drain(..end + 2 + size + 2);
            if size == 0 {
                return Ok(true);
            }
        }
    }

    fn event(&mut self, event: &str, data: &str, id: &str, heard: &mut Vec<Heard>) -> Result<()> {
        match event {
            "tidings:gap" => {
                let gap: Value = serde_json::from_str(data).map_err(wrong)?;
                let topic = text(&gap["topic"])?;
                let until = self.place_of(&topic, id);
                heard.push(Heard::Gap { topic, count: gap["count"].as_u64(), until });
            }
            "tidings:drain" | "tidings:refused" => return Err(refused(data)),
            _ if self.topics.len() > 1 => {
                heard.push(envelope(&serde_json::from_str(data).map_err(wrong)?)?);
            }
            _ => heard.push(Heard::Message {
                topic: self.topics[0].clone(),
                payload: data.to_owned(),
                id: Position::parse(id),
            }),
        }
        id.clone_into(&mut self.cursor);
        Ok(())
    }

    /// A line of NDJSON, or what a `tidings.json` frame holds.
    fn json(&mut self, line: &[u8], heard: &mut Vec<Heard>) -> Result<()> {
        let value: Value = serde_json::from_slice(line).map_err(wrong)?;
        match value["type"].as_str() {
            None => {
                heard.push(envelope(&value)?);
                let cursor = if self.topics.len() > 1 { "cursor" } else { "id" };
                self.cursor = text(&value[cursor])?;
            }
            Some("open") => self.cursor = text(&value["cursor"])?,
            Some("gap") => {
                let (topic, cursor) = (text(&value["topic"])?, text(&value["cursor"])?);
                let until = self.place_of(&topic, &cursor);
                heard.push(Heard::Gap { topic, count: value["count"].as_u64(), until });
                self.cursor = cursor;
            }
            Some("drain" | "refused") => return Err(refused(&value)),
            Some(_) => return Err(wrong(&value)),
        }
        Ok(())
    }

    fn read_frames(&mut self, heard: &mut Vec<Heard>) -> Result<()> {
        while let Some((first, payload)) = self.take_frame() {
            match (first & 15, self.wire) {
                (PING, _) => self.line.send(&WebSocket::encode(FIN | PONG, &payload))?,
                (CLOSE, _) if payload.starts_with(&4001_u16.to_be_bytes()) => {
                    heard.push(Heard::Anew);
                    return Err(refused("a gap"));
                }
                (CLOSE, _) => return Err(refused(String::from_utf8_lossy(&payload))),
                (TEXT, Wire::Json) if first & FIN != 0 => self.json(&payload, heard)?,
                (TEXT | BINARY, Wire::Raw) if first & FIN != 0 => heard.push(Heard::Message {
                    topic: self.topics[0].clone(),
                    payload: String::from_utf8_lossy(&payload).into_owned(),
                    id: None,
                }),
                _ => return Err(wrong(format!("a frame that begins with {first:#x}"))),
            }
        }
        Ok(())
    }

    /// A frame, if it is whole: its first byte, and what it holds.
    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let buffer = &self.line.buffer;
        let (first, length) = (*buffer.first()?, *buffer.get(1)?);
        let (start, length) = match length {
            126 => (4, usize::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?) as usize),
            length => (2, usize::from(length)),
        };
        let payload = buffer.get(start..start + length)?.to_vec();
        self.line.buffer.drain(..start + length);
        Some((first, payload))
    }
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(format!("{value} is not a text")))
}

fn envelope(value: &Value) -> Result<Heard> {
    let id = Position::parse(&text(&value["id"])?);
    Ok(Heard::Message { topic: text(&value["topic"])?, payload: text(&value["data"])?, id })
}
