//! Commands of the subprotocol `tidings.json` (docs/protocol.md 11.3, 11.4).

use super::context::Context;
use super::pending::Ready;
use super::problem::Problem;
use super::request::TOO_FAST;
use super::websocket::{Asked, Beginning};
use super::{Connection, Phase};
use crate::limits::COMMAND_ERRORS_MAX;
use crate::problem_kind::{Member, Part, ProblemKind};
use crate::topic::{Start, TopicName, Topics};
use crate::wire::command::{Command, Draft, parse_command};
use crate::wire::json::encode_string;
use crate::wire::websocket::CloseCode;

/// What is said of a publish when it is done.
#[derive(Debug)]
pub(super) enum Label {
    /// Nothing, on a raw WebSocket.
    Raw,
    /// That it is published, on `tidings.json`.
    Command {
        /// The command's `request` member, as JSON.
        request: Option<String>,
        /// Where to.
        topic: TopicName,
    },
}

const TOO_MANY_TOPICS: Problem = Problem::new(
    ProblemKind::TooManyTopics,
    "The connection would have more than {limit} topics (--topics-per-connection). Unsubscribe from some, or open another.",
)
.about(Part::Member(Member::Topics));

impl Connection {
    /// Carries out one command.
    pub(super) fn handle_command<T: Topics>(&mut self, context: &mut Context<'_, T>, text: &str) {
        let (request, command) = parse_command(text);
        let result = match command {
            Err(error) => Err(Problem::from(error)),
            Ok(Command::Ping) => {
                self.send_object(request.as_deref(), "pong", |object| object);
                Ok(())
            }
            Ok(Command::Publish(draft)) => self.publish_command(context, request.clone(), draft),
            Ok(Command::Subscribe { topics, after, last }) => {
                self.subscribe(context, request.clone(), &topics, after.as_deref(), last)
            }
            Ok(Command::Unsubscribe { topics }) => {
                self.unsubscribe(context, request.as_deref(), &topics)
            }
        };
        if let Err(problem) = result {
            self.send_error(context, request.as_deref(), &problem);
        }
    }

    fn publish_command<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        request: Option<String>,
        draft: Draft,
    ) -> Result<(), Problem> {
        let ready = Ready::check(draft, context.now)?;
        ready.admit(context.config)?;
        let label = Label::Command { request, topic: ready.topic.clone() };
        self.publish_from_websocket(context, ready, label);
        Ok(())
    }

    fn subscribe<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        request: Option<String>,
        topics: &[String],
        after: Option<&str>,
        last: Option<u64>,
    ) -> Result<(), Problem> {
        let topics = parse_names(topics)?;
        let most = usize::from(context.config.limits.topics_per_connection);
        if topics.len() > most {
            // Not worth comparing thousands of names with those that are there.
            return Err(TOO_MANY_TOPICS);
        }
        let Phase::WebSocket(websocket) = &mut self.phase else { return Ok(()) };
        let subscription = &mut websocket.subscription;
        let fresh = topics.iter().filter(|topic| !subscription.has(context, topic)).count();
        if subscription.len() + fresh > most {
            return Err(TOO_MANY_TOPICS);
        }
        if !context.addresses.begin_read(context.now.instant, self.peer, topics.len()) {
            return Err(TOO_FAST);
        }
        for topic in &topics {
            if let Err(refusal) = subscription.add(context, topic) {
                subscription.remove_fresh(context);
                return Err(Problem::from(refusal));
            }
        }
        let start = match (after, last) {
            (Some(after), _) => Start::parse(after.as_bytes()).unwrap_or(Start::Unknown),
            (None, Some(last)) => Start::Last(last),
            (None, None) => Start::Latest,
        };
        let again = after.is_some() || last.is_some();
        let asked = Asked::Command { request, topics, again };
        websocket.opening = Some(Box::new(Beginning { start, asked }));
        self.refill_wanted = true;
        Ok(())
    }

    fn unsubscribe<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        request: Option<&str>,
        topics: &[String],
    ) -> Result<(), Problem> {
        let topics = parse_names(topics)?;
        let Phase::WebSocket(websocket) = &mut self.phase else { return Ok(()) };
        for topic in &topics {
            websocket.subscription.remove(context, topic);
        }
        let cursor =
            (websocket.subscription.len() > 0).then(|| websocket.subscription.cursor(context));
        self.send_subscriptions(request, "unsubscribed", &topics, cursor.as_deref());
        Ok(())
    }

    /// Says which topics are subscribed or no longer are, and the cursor of all.
    pub(super) fn send_subscriptions(
        &mut self,
        request: Option<&str>,
        kind: &str,
        topics: &[TopicName],
        cursor: Option<&str>,
    ) {
        self.send_object(request, kind, |object| {
            let object = object.value("topics", |out| {
                for (index, topic) in topics.iter().enumerate() {
                    out.push(if index == 0 { b'[' } else { b',' });
                    encode_string(out, topic.as_str());
                }
                out.push(b']');
            });
            object.optional("cursor", cursor)
        });
    }

    /// Says that a command was not carried out; too many of them end the connection.
    pub(super) fn send_error<T: Topics>(
        &mut self,
        context: &mut Context<'_, T>,
        request: Option<&str>,
        problem: &Problem,
    ) {
        context.counters.count_refusal(problem);
        self.send_object(request, "error", |object| problem.encode_into(context.config, object));
        let Phase::WebSocket(websocket) = &mut self.phase else { return };
        websocket.errors += 1;
        if websocket.errors >= COMMAND_ERRORS_MAX {
            self.close_websocket(context, CloseCode::POLICY, "too many errors");
        }
    }
}

/// The names of a command, in their order, each once.
fn parse_names(names: &[String]) -> Result<Vec<TopicName>, Problem> {
    let mut topics = names
        .iter()
        .map(|name| TopicName::parse(name.as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    topics.sort_unstable();
    topics.dedup();
    Ok(topics)
}
