//! Topics: the log, the cursor, and the message that is encoded once.

mod backplane;
mod cursor;
mod encoding;
mod log;
mod message;
mod name;
mod record;
mod runs;
mod subscription;
mod terms;
mod topics;

pub use backplane::{Page, PageEntry, Report, Request, Term};
#[cfg(any(test, fuzzing))]
pub use cursor::fuzz_cursor;
pub use cursor::{Cursor, CursorError, Epoch, Position, Start};
pub use encoding::{Encoded, Format};
#[cfg(any(test, fuzzing))]
pub use log::fuzz_log;
pub use log::{Log, Reach, Retention};
pub use message::{EventName, IdempotencyKey, Kind, Message, MessageError};
#[cfg(any(test, fuzzing))]
pub use name::fuzz_target;
pub use name::{NAME_BYTES_MAX, NameError, TopicName};
pub use record::RecordError;
pub use subscription::{Due, Edge};
pub use terms::{History, Past};
pub use topics::{Glimpse, Outcome, Publishing, Refusal, Ticket, TopicId, Topics, View};
