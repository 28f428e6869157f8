//! The cases: the steady state of one hot path each.

mod encoding;
mod fan_out;
mod parsing;
mod serving;

/// A hot path.
pub(crate) struct Case {
    /// What it is called on the command line and in the file of figures.
    pub(crate) name: &'static str,
    /// What one operation is.
    pub(crate) what: &'static str,
    /// Rounds before any is counted: buffers have grown to their size, logs are full.
    pub(crate) before: u32,
    /// Rounds that are counted.
    pub(crate) rounds: u32,
    /// Operations in a round.
    pub(crate) operations: u32,
    /// Sets up the first round.
    pub(crate) make: fn() -> Box<dyn Round>,
}

/// What is done again and again.
pub(crate) trait Round {
    /// Makes ready; not counted.
    fn prepare(&mut self) {}
    /// What is counted.
    fn run(&mut self);
    /// Fails if the last round did not do what it should: nobody wants to count that.
    fn check(&mut self) {}
}

impl<F: FnMut()> Round for F {
    fn run(&mut self) {
        self();
    }
}

/// All cases, in the order in which they are shown.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "head-get",
        what: "the head of a browser's GET with 8 fields: found and parsed",
        before: 40,
        rounds: 20,
        operations: 1,
        make: parsing::head_get,
    },
    Case {
        name: "head-publish",
        what: "the head of a POST with 5 fields: found and parsed",
        before: 40,
        rounds: 20,
        operations: 1,
        make: parsing::head_publish,
    },
    Case {
        name: "topic-target",
        what: "a topic's name and a query in a target: decoded and checked",
        before: 40,
        rounds: 20,
        operations: 1,
        make: parsing::topic_target,
    },
    Case {
        name: "cursor-parse",
        what: "a cursor on three topics: parsed",
        before: 40,
        rounds: 20,
        operations: 1,
        make: parsing::cursor_parse,
    },
    Case {
        name: "cursor-text",
        what: "a cursor on three topics: written",
        before: 40,
        rounds: 20,
        operations: 1,
        make: parsing::cursor_text,
    },
    Case {
        name: "command",
        what: "a publish of the subprotocol tidings.json: parsed",
        before: 40,
        rounds: 20,
        operations: 1,
        make: parsing::command,
    },
    Case {
        name: "json-message",
        what: "a message of 200 bytes of JSON: checked",
        before: 40,
        rounds: 20,
        operations: 1,
        make: parsing::json_message,
    },
    Case {
        name: "chunked-body",
        what: "a body of 16 KiB in 16 chunks: read",
        before: 40,
        rounds: 20,
        operations: 1,
        make: parsing::chunked_body,
    },
    Case {
        name: "frame-small",
        what: "a client's text frame of 64 bytes: parsed, unmasked, checked",
        before: 40,
        rounds: 20,
        operations: 1,
        make: parsing::frame_small,
    },
    Case {
        name: "frame-large",
        what: "a client's text frame of 64 KiB: parsed, unmasked, checked",
        before: 2,
        rounds: 5,
        operations: 1,
        make: parsing::frame_large,
    },
    Case {
        name: "encode-sse",
        what: "a text of 200 bytes as an event",
        before: 40,
        rounds: 20,
        operations: 1,
        make: encoding::sse,
    },
    Case {
        name: "encode-sse-envelope",
        what: "the same as an event with an envelope",
        before: 40,
        rounds: 20,
        operations: 1,
        make: encoding::sse_envelope,
    },
    Case {
        name: "encode-ndjson",
        what: "the same as a line with an envelope",
        before: 40,
        rounds: 20,
        operations: 1,
        make: encoding::ndjson,
    },
    Case {
        name: "encode-ws",
        what: "the same as a frame",
        before: 40,
        rounds: 20,
        operations: 1,
        make: encoding::websocket,
    },
    Case {
        name: "encode-ws-envelope",
        what: "the same as a frame with an envelope",
        before: 40,
        rounds: 20,
        operations: 1,
        make: encoding::websocket_envelope,
    },
    Case {
        name: "fan-out-sse",
        what: "one delivery of a publish to 1,000 event streams",
        before: 4,
        rounds: 4,
        operations: 1_000,
        make: fan_out::event_streams,
    },
    Case {
        name: "fan-out-sse-10k",
        what: "the same to 10,000",
        before: 1,
        rounds: 1,
        operations: 10_000,
        make: fan_out::many_event_streams,
    },
    Case {
        name: "fan-out-ws",
        what: "one delivery of a publish to 1,000 raw WebSockets",
        before: 4,
        rounds: 4,
        operations: 1_000,
        make: fan_out::websockets,
    },
    Case {
        name: "fan-out-sixteen",
        what: "one delivery of 16 publishes at once to 1,000 event streams",
        before: 3,
        rounds: 2,
        operations: 16_000,
        make: fan_out::sixteen_at_once,
    },
    Case {
        name: "fan-out-follower",
        what: "one delivery to 1,000 event streams of another worker",
        before: 4,
        rounds: 4,
        operations: 1_000,
        make: fan_out::follower,
    },
    Case {
        name: "follower-append",
        what: "a message from another worker, to one event stream",
        before: 40,
        rounds: 20,
        operations: 1,
        make: fan_out::follower_append,
    },
    Case {
        name: "connect",
        what: "one of 1,000 connections: accepted and subscribed",
        before: 1,
        rounds: 2,
        operations: 1_000,
        make: serving::connect_few,
    },
    Case {
        name: "connect-10k",
        what: "one of 10,000",
        before: 0,
        rounds: 1,
        operations: 10_000,
        make: serving::connect_many,
    },
    Case {
        name: "leave",
        what: "one of 1,000 event streams whose client closes",
        before: 1,
        rounds: 2,
        operations: 1_000,
        make: serving::leave,
    },
    Case {
        name: "heartbeat",
        what: "one of the heartbeats of 1,000 silent event streams",
        before: 2,
        rounds: 4,
        operations: 1_000,
        make: serving::heartbeats,
    },
    Case {
        name: "catch-up",
        what: "one message to a client that comes back 30 messages behind",
        before: 5,
        rounds: 10,
        operations: 30,
        make: serving::catch_up,
    },
    Case {
        name: "publish",
        what: "a publish that nobody listens to, on a connection kept alive",
        before: 40,
        rounds: 20,
        operations: 1,
        make: serving::publish,
    },
    Case {
        name: "publish-10k-topics",
        what: "the same when there are 10,000 topics",
        before: 40,
        rounds: 20,
        operations: 1,
        make: serving::publish_among_many,
    },
    Case {
        name: "publish-batch",
        what: "one line of a batch of 64",
        before: 3,
        rounds: 4,
        operations: 64,
        make: serving::batch_of_messages,
    },
    Case {
        name: "short-poll",
        what: "a poll that finds nothing new",
        before: 40,
        rounds: 20,
        operations: 1,
        make: serving::short_poll,
    },
    Case {
        name: "long-poll",
        what: "a poll parked, and answered by a publish",
        before: 40,
        rounds: 20,
        operations: 1,
        make: serving::long_poll,
    },
];

/// Costs that must not grow with how many there are: the small case, the large one. What the machine and its
/// compiler are like is on both sides.
pub(crate) const FLAT: &[(&str, &str)] = &[
    ("fan-out-sse", "fan-out-sse-10k"),
    ("connect", "connect-10k"),
    ("publish", "publish-10k-topics"),
];
