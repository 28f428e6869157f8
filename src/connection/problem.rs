//! A refusal: the status, and what the client should do about it (docs/protocol.md 15).

use crate::topic::{MessageError, NameError, Refusal};
use crate::wire::envelope::Object;
use crate::wire::http1::{BodyError, HeadError, Status, TargetError};
use crate::wire::websocket::HandshakeError;

/// Why a request is not served. Its texts are ours alone: nothing that a peer sent is repeated.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The status of the answer.
    pub status: Status,
    /// What is wrong and what to do, in a sentence or two.
    pub detail: &'static str,
    /// What goes into the fields of the answer.
    pub hint: Hint,
}

/// A field that belongs to a refusal.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// None.
    None,
    /// `Allow`, with the methods that this path has.
    Allow(&'static str),
    /// `Retry-After`: the refusal is for now.
    RetryLater,
    /// `Sec-WebSocket-Version: 13` and `Upgrade`.
    WebSocketVersion,
}

/// The server goes away.
pub(super) const DRAINING: Problem = Problem::for_now(
    Status::UNAVAILABLE,
    "draining: this server is going away. Use another, or come back later.",
);

impl Problem {
    /// A refusal without fields of its own.
    pub(super) const fn new(status: Status, detail: &'static str) -> Self {
        Self { status, detail, hint: Hint::None }
    }

    /// A malformed request.
    pub(super) const fn bad_request(detail: &'static str) -> Self {
        Self::new(Status::BAD_REQUEST, detail)
    }

    /// A refusal for now: the client is told when to come back.
    pub(super) const fn for_now(status: Status, detail: &'static str) -> Self {
        Self { status, detail, hint: Hint::RetryLater }
    }

    /// The path has other methods.
    pub(super) const fn method(allow: &'static str) -> Self {
        Self {
            status: Status::METHOD_NOT_ALLOWED,
            detail: "This path has other methods, see Allow and docs/protocol.md.",
            hint: Hint::Allow(allow),
        }
    }

    /// Whether coming back later may help.
    pub(super) const fn is_temporary(&self) -> bool {
        matches!(self.hint, Hint::RetryLater)
    }

    /// Appends the body: a problem object (RFC 9457 §3.1).
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        Object::new(out)
            .string("title", self.status.reason())
            .integer("status", u64::from(self.status.code()))
            .string("detail", self.detail)
            .end();
        out.push(b'\n');
    }
}

impl From<HeadError> for Problem {
    fn from(error: HeadError) -> Self {
        Self::new(error.status(), error.detail())
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.detail())
    }
}

impl From<TargetError> for Problem {
    fn from(error: TargetError) -> Self {
        Self::new(error.status(), error.detail())
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::bad_request(error.detail())
    }
}

impl From<MessageError> for Problem {
    fn from(error: MessageError) -> Self {
        if error.is_about_type() {
            Self::new(Status::UNSUPPORTED_MEDIA_TYPE, error.detail())
        } else {
            Self::bad_request(error.detail())
        }
    }
}

impl From<HandshakeError> for Problem {
    fn from(error: HandshakeError) -> Self {
        if error.status_code() == Status::UPGRADE_REQUIRED.code() {
            let (status, detail) = (Status::UPGRADE_REQUIRED, error.detail());
            Self { status, detail, hint: Hint::WebSocketVersion }
        } else {
            Self::bad_request(error.detail())
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TopicsUsedUp => Self::for_now(
                Status::UNAVAILABLE,
                "The server has as many topics as it may have. Use one that exists, or come back later.",
            ),
            Refusal::MemoryUsedUp => Self::for_now(
                Status::UNAVAILABLE,
                "The memory for messages is used up. Come back later.",
            ),
            Refusal::OwnerFailed => Self::for_now(
                Status::UNAVAILABLE,
                "The part of the server that has the topic failed before it had answered: whether the message was published (or the topic deleted), nobody knows. Ask again.",
            ),
            Refusal::LargerThanLog => Self::new(
                Status::CONTENT_TOO_LARGE,
                "The message is larger than a topic may be on this server (--log-bytes). Send less.",
            ),
            Refusal::NoSuchTopic => {
                Self::new(Status::NOT_FOUND, "There is no such topic: nobody has used it yet.")
            }
        }
    }
}
