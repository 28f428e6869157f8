//! Whether a topic takes a message: what the operator chose for it (docs/protocol.md 5.7).

use super::problem::Problem;
use crate::config::{Config, Publishers};
use crate::problem_kind::ProblemKind;
use crate::topic::TopicName;
use crate::wire::http1::BodyError;

/// Whether a client may publish a payload of so many bytes to this topic; with 0 bytes, whether it may
/// publish to it, or delete it, at all.
pub(super) fn admit(config: &Config, topic: &TopicName, bytes: usize) -> Result<(), Problem> {
    let rule = config.topics.admission(topic.as_str());
    if rule.publish == Some(Publishers::Nobody) {
        return Err(NOBODY);
    }
    // What a topic takes is at most what the server does.
    if let Some(most) = rule.message_bytes_max.filter(|&most| bytes > most) {
        return Err(TOO_LARGE_FOR_TOPIC.with_limit(most));
    }
    if bytes > config.limits.body_bytes_max {
        return Err(Problem::from(BodyError::TooLarge));
    }
    Ok(())
}

const NOBODY: Problem = Problem::new(
    ProblemKind::PublishingClosed,
    "No client may publish to the topic, or delete it: the operator has said so (publish = \"nobody\" in a [[topic]]). It can be read.",
);

const TOO_LARGE_FOR_TOPIC: Problem = Problem::new(
    ProblemKind::TooLargeForTopic,
    "The payload has more than the {limit} bytes that its topic takes (message-bytes-max in a [[topic]]). Send less.",
);
