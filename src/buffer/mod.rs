//! Bytes at rest: received and not yet parsed, owed and not yet sent, and shared.

mod chunk;
mod inbox;
mod outbox;

pub use chunk::Chunk;
pub use inbox::Inbox;
pub use outbox::Outbox;
