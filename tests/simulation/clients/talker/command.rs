//! What a client says on `tidings.json`, and the answers that it waits for (docs/protocol.md 11.3).

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::clients::Hands;
use crate::clients::draft::members;
use crate::judge::{PublishId, Start};
use crate::topics::name;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Subscribe(Vec<usize>),
    Unsubscribe(Vec<usize>),
    Publish(PublishId),
    Ping,
    /// Something that is wrong in itself.
    Wrong,
}

impl Asked {
    /// Answers within one of these come in the order of the commands; others come when they like.
    fn queue(&self) -> Option<u8> {
        match self {
            Self::Subscribe(_) | Self::Unsubscribe(_) => Some(0),
            Self::Publish(_) => Some(1),
            Self::Ping | Self::Wrong => None,
        }
    }
}

/// Commands that are not answered, in their order.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: VecDeque<(Option<Value>, Asked)>,
    /// The number of the next one.
    next: u64,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// A name for the next command, which its answer must repeat; none at times.
    pub(super) fn add(&mut self, hands: &mut Hands<'_>, asked: Asked) -> Option<Value> {
        self.next += 1;
        let request = match hands.random.u8(0..6) {
            0 if asked == Asked::Ping => None,
            0..3 => Some(json!(format!("command \"{}\" é", self.next))),
            _ => Some(json!(self.next)),
        };
        self.queue.push_back((request.clone(), asked));
        request
    }

    /// The command that is answered with this object.
    pub(super) fn take(&mut self, answer: &Value) -> Asked {
        let request = answer.get("request");
        let index = self.queue.iter().position(|(other, _)| other.as_ref() == request);
        let index = index.unwrap_or_else(|| panic!("an answer to nothing: {answer}"));
        let (_, asked) = self.queue.remove(index).expect("it was found");
        let mut before = self.queue.iter().take(index);
        let is_first =
            asked.queue().is_none() || before.all(|(_, other)| other.queue() != asked.queue());
        assert!(is_first, "{answer} comes before {:?}", self.queue);
        asked
    }

    /// Whether topics are asked for, or let go.
    pub(super) fn has_topics(&self) -> bool {
        self.queue.iter().any(|(_, asked)| asked.queue() == Some(0))
    }

    /// The topics that there will be, of those that there are now, if every command succeeds.
    pub(super) fn apply(&self, topics: &[usize]) -> Vec<usize> {
        let mut topics = topics.to_vec();
        for (_, asked) in &self.queue {
            match asked {
                Asked::Subscribe(more) => topics.extend(more),
                Asked::Unsubscribe(gone) => topics.retain(|topic| !gone.contains(topic)),
                _ => (),
            }
        }
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Publishes that are not answered.
    pub(super) fn publishes(&self) -> impl Iterator<Item = PublishId> {
        self.queue.iter().filter_map(|(_, asked)| match asked {
            Asked::Publish(id) => Some(*id),
            _ => None,
        })
    }
}

/// A command of this type, with more members, each behind a comma.
fn command(kind: &str, request: Option<&Value>, members: &str) -> String {
    let request = request.map(|request| format!(",\"request\":{request}")).unwrap_or_default();
    format!("{{\"type\":\"{kind}\"{request}{members}}}")
}

fn named(topics: &[usize]) -> String {
    match topics {
        [topic] if *topic % 2 == 0 => format!(",\"topic\":{}", json!(name(*topic))),
        _ => {
            let names: Vec<&str> = topics.iter().map(|&topic| name(topic)).collect();
            format!(",\"topics\":{}", json!(names))
        }
    }
}

/// Asks for topics; without a start from their heads.
pub(super) fn subscribe(
    request: Option<&Value>,
    topics: &[usize],
    start: Option<&Start>,
) -> String {
    let start = match start {
        None => String::new(),
        Some(Start::Earliest) => ",\"after\":\"earliest\"".to_owned(),
        Some(Start::Latest) => ",\"after\":\"latest\"".to_owned(),
        Some(Start::Last(count)) => format!(",\"last\":{count}"),
        Some(Start::Cursor(cursor)) => format!(",\"after\":{}", json!(cursor)),
    };
    command("subscribe", request, &(named(topics) + &start))
}

pub(super) fn unsubscribe(request: Option<&Value>, topics: &[usize]) -> String {
    command("unsubscribe", request, &named(topics))
}

pub(super) fn publish(hands: &mut Hands<'_>, request: Option<&Value>, id: PublishId) -> String {
    let members = members(hands, id);
    command("publish", request, &format!(",{members}"))
}

pub(super) fn ping(request: Option<&Value>) -> String {
    command("ping", request, "")
}

/// Something that no server of this protocol carries out.
pub(super) fn wrong(hands: &mut Hands<'_>, request: Option<&Value>) -> String {
    let (kind, members) = match hands.random.u8(0..6) {
        0 => ("shout", ""),
        1 => ("subscribe", ""),
        2 => ("subscribe", ",\"topics\":[\"a,b\"]"),
        3 => ("publish", ",\"topic\":\"news\""),
        4 => ("publish", ",\"topic\":\"news\",\"data\":1,\"colour\":2"),
        _ => ("publish", ",\"topic\":\"a*\",\"data\":\"#0\""),
    };
    command(kind, request, members)
}
