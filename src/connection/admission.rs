//! Whether a topic takes a message: what the operator chose for it (docs/protocol.md 5.7).

use super::problem::Problem;
use super::publish::TOO_LARGE;
use crate::config::{Config, Publishers};
use crate::topic::TopicName;
use crate::wire::http1::Status;

/// Whether a client may publish a payload of so many bytes to this topic; with 0 bytes, whether it may
/// publish to it, or delete it, at all.
pub(super) fn admit(config: &Config, topic: &TopicName, bytes: usize) -> Result<(), Problem> {
    let rule = config.topics.admission(topic.as_str());
    if rule.publish == Some(Publishers::Nobody) {
        return Err(NOBODY);
    }
    if bytes > config.limits.body_bytes_max {
        return Err(TOO_LARGE);
    }
    if rule.message_bytes_max.is_some_and(|most| bytes > most) {
        return Err(TOO_LARGE_FOR_TOPIC);
    }
    Ok(())
}

const NOBODY: Problem = Problem::new(
    Status::FORBIDDEN,
    "No client may publish to this topic, or delete it: its operator has said so (publish = \"nobody\" in a [[topic]]). It can be read.",
);

const TOO_LARGE_FOR_TOPIC: Problem = Problem::new(
    Status::CONTENT_TOO_LARGE,
    "The payload is larger than this topic takes (message-bytes-max in a [[topic]]). Send less.",
);
