//! The two endless answers: Server-Sent Events (protocol 9) and NDJSON (protocol 10).

use std::io::{BufReader, Read};
use std::ops::ControlFlow;

use serde::Deserialize;

use super::Session;
use super::output::{Envelope, Gap};
use crate::cli::coming_back::Failure;
use crate::cli::event_stream::{EventStream, Item};
use crate::cli::http::{Connection, Head, problem_text};
use crate::cli::lines::read_line;

/// Prints messages off one event stream until there were enough.
pub(super) fn follow_events(session: &mut Session<'_>) -> Result<(), Failure> {
    let (mut connection, head) = open(session, "text/event-stream")?;
    let mut body = connection.body(&head);
    let mut stream = EventStream::default();
    let mut scratch = vec![0; 16 << 10];
    loop {
        let taken = body.read(&mut scratch)?;
        if taken == 0 {
            return Err(Failure::lost("the server ended the stream"));
        }
        let fed = stream.feed(&scratch[..taken]);
        while let Some(item) = stream.poll_item() {
            if handle_item(session, item)?.is_break() {
                return Ok(());
            }
        }
        fed.map_err(|_| Failure::Final("the server sent an endless event".to_owned()))?;
    }
}

/// Prints messages off one NDJSON stream until there were enough.
pub(super) fn follow_ndjson(session: &mut Session<'_>) -> Result<(), Failure> {
    let (mut connection, head) = open(session, "application/x-ndjson")?;
    let mut reader = BufReader::new(connection.body(&head));
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line)? {
        session.heard = true;
        let text = std::str::from_utf8(&line).map_err(|_| unreadable())?;
        // An empty line is a heartbeat.
        if !text.is_empty() && handle_json(session, text)?.is_break() {
            return Ok(());
        }
    }
    Err(Failure::lost("the server ended the stream"))
}

/// Asks for a stream where the session stands and checks that one is coming.
fn open(session: &mut Session<'_>, accept: &str) -> Result<(Connection, Head), Failure> {
    session.hint = None;
    let mut connection = Connection::open(&session.base, session.silence_max)?;
    let head = connection.get(&session.base, &session.target(None), accept)?;
    if head.status != 200 {
        return Err(connection.refusal(&head));
    }
    if head.content_type != accept {
        let why = format!("{} answered with something else than {accept}", session.base);
        return Err(Failure::Final(why));
    }
    Ok((connection, head))
}

fn handle_item(session: &mut Session<'_>, item: Item) -> Result<ControlFlow<()>, Failure> {
    #[derive(Deserialize)]
    struct Drain {
        retry_ms: u64,
    }
    match item {
        Item::Comment => session.heard = true,
        Item::Retry(ms) => session.take_hint(Some(ms)),
        Item::Id(id) => session.advance(&id),
        Item::Event { id, event, data } => match event.as_deref() {
            Some("tidings:gap") => {
                let gap: Gap = serde_json::from_str(&data).map_err(|_| unreadable())?;
                session.output.gap(&gap)?;
                session.advance(&id);
            }
            Some("tidings:drain") => {
                let drain = serde_json::from_str::<Drain>(&data).ok();
                session.take_hint(drain.map(|drain| drain.retry_ms));
            }
            Some("tidings:refused") => {
                let text = problem_text(503, data.as_bytes());
                let why = format!("the server refused for now: {text}");
                return Err(Failure::lost(why));
            }
            // Protocol 2.4: a control event of a later version, not a message.
            Some(name) if name.starts_with("tidings:") => {}
            event => {
                let topic = session.only_topic().map(str::to_owned);
                let flow = session.output.event(topic.as_deref(), &id, event, &data)?;
                session.advance(&id);
                return Ok(flow);
            }
        },
    }
    Ok(ControlFlow::Continue(()))
}

/// Handles one line of NDJSON or one text message of `tidings.json` (protocol 10, 11.3).
pub(super) fn handle_json(
    session: &mut Session<'_>,
    text: &str,
) -> Result<ControlFlow<()>, Failure> {
    /// The members of all control lines; a line with a `type` is never a message.
    #[derive(Deserialize)]
    struct Control {
        #[serde(rename = "type")]
        kind: Option<String>,
        cursor: Option<String>,
        retry_ms: Option<u64>,
        #[serde(default)]
        status: u16,
    }
    let control: Control = serde_json::from_str(text).map_err(|_| unreadable())?;
    let Some(kind) = control.kind else {
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| unreadable())?;
        let flow = session.output.envelope(text, &envelope)?;
        session.advance(envelope.cursor.as_deref().unwrap_or(&envelope.id));
        return Ok(flow);
    };
    session.take_hint(control.retry_ms);
    match kind.as_str() {
        "gap" => {
            let gap: Gap = serde_json::from_str(text).map_err(|_| unreadable())?;
            session.output.gap(&gap)?;
        }
        "refused" => {
            let text = problem_text(control.status, text.as_bytes());
            return Err(Failure::lost(format!("the server refused for now: {text}")));
        }
        // `open`, `drain`, and what a later version may add.
        _ => {}
    }
    if let Some(cursor) = control.cursor {
        session.advance(&cursor);
    }
    Ok(ControlFlow::Continue(()))
}

fn unreadable() -> Failure {
    Failure::lost("the server sent something that cannot be read")
}
