//! Short and long polls (protocol 7 and 8), one after the other over one connection.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Session;
use super::output::{Envelope, Gap};
use crate::cli::coming_back::Failure;
use crate::cli::http::Connection;

/// How long a poll asks to be held, in seconds.
const WAIT_S: u64 = 25;

/// The answer to a poll.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    cursor: String,
    #[serde(default)]
    gap: Vec<Gap>,
    #[serde(default)]
    more: bool,
}

/// Prints what polls bring until there were enough. With an interval these are short polls that far
/// apart, without one long polls.
pub(super) fn follow(session: &mut Session<'_>, interval: Option<Duration>) -> Result<(), Failure> {
    let mut idle = None;
    loop {
        let wait = match (interval, &session.cursor) {
            (Some(_), _) => None,
            // The first answer comes at once and brings a cursor: with it nothing can be missed,
            // whatever becomes of the polls that follow.
            (None, None) => Some(0),
            // A server that holds the poll is not silent, so ask for less than that.
            (None, Some(_)) => Some(WAIT_S.min(session.silence_max.as_secs() / 2).max(1)),
        };
        let target = session.target(wait);
        let (body, connection) = fetch(session, idle.take(), &target)?;
        idle = connection;
        session.heard = true;
        let unreadable = |_| Failure::lost("the server sent a page that cannot be read");
        let page: Page<'_> = serde_json::from_slice(&body).map_err(unreadable)?;
        for gap in &page.gap {
            session.output.gap(gap)?;
        }
        for message in page.messages {
            let text = message.get();
            let envelope: Envelope<'_> = serde_json::from_str(text).map_err(unreadable)?;
            if session.output.envelope(text, &envelope)?.is_break() {
                return Ok(());
            }
            // Should the rest of the page be unreadable, this much was printed.
            session.advance(envelope.cursor.as_deref().unwrap_or(&envelope.id));
        }
        session.advance(&page.cursor);
        if let Some(interval) = interval.filter(|_| !page.more) {
            std::thread::sleep(interval);
        }
    }
}

/// One poll; also returns the connection if it can carry another.
fn fetch(
    session: &Session<'_>,
    idle: Option<Connection>,
    target: &str,
) -> Result<(Vec<u8>, Option<Connection>), Failure> {
    if let Some(connection) = idle {
        // The server may have closed it meanwhile; asking again changes nothing (RFC 9110 §9.2.2).
        match exchange(session, connection, target) {
            Err(Failure::Lost { hint: None, .. }) => {}
            outcome => return outcome,
        }
    }
    let connection = Connection::open(&session.base, session.silence_max)?;
    exchange(session, connection, target)
}

fn exchange(
    session: &Session<'_>,
    mut connection: Connection,
    target: &str,
) -> Result<(Vec<u8>, Option<Connection>), Failure> {
    let head = connection.get(&session.base, target, "application/json")?;
    if head.status != 200 {
        return Err(connection.refusal(&head));
    }
    if head.content_type != "application/json" {
        let why = format!("{} answered a poll with something else than JSON", session.base);
        return Err(Failure::Final(why));
    }
    let body = connection.read_body(&head)?;
    Ok((body, head.persists.then_some(connection)))
}
