//! tidings: publish to a topic with one HTTP request; everybody who waits on it hears at once.
//!
//! The floors, from the bottom (a room imports only rooms on strictly lower floors; `tests/tidy.rs`
//! checks it):
//!
//! ```text
//! 6  main · cli · server         threads started and joined; flags; subcommands
//! 5  reactor                     the only I/O of the server: mio, sockets, clock, channels
//! 4  worker                      one thread's world: its connections, its timers and its hub
//! 3  connection | hub | outbound one client's state machine | topics, owned and followed | Redis
//! 2  topic                       the log, the cursor, the encode-once message
//! 1  wire                        codecs: bytes <-> values (http1, sse, ndjson, websocket)
//! 0  addresses · buffer · config ·        bytes at rest, plain values
//!    counters · fuse · key · limits ·
//!    planted · problem_kind · time ·
//!    timers
//! ```

pub mod addresses;
pub mod buffer;
pub mod cli;
pub mod config;
pub mod connection;
pub mod counters;
pub mod fuse;
#[cfg(any(test, fuzzing))]
mod fuzzing;
pub mod hub;
pub mod key;
pub mod limits;
pub mod outbound;
pub mod planted;
pub mod problem_kind;
pub mod reactor;
pub mod server;
pub mod time;
pub mod timers;
pub mod topic;
pub mod wire;
pub mod worker;
