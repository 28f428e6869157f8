//! Topics: the log, the cursor, and the message that is encoded once.

mod cursor;
mod encoding;
mod log;
mod message;
mod name;
mod subscription;
mod topics;

pub use cursor::{Cursor, CursorError, Epoch, Position, Start};
pub use encoding::{Encoded, Format};
pub use log::{Log, Retention};
pub use message::{EventName, IdempotencyKey, Kind, Message, MessageError};
pub use name::{NameError, TopicName};
pub use subscription::{Due, Edge};
pub use topics::{Outcome, Publishing, Refusal, Ticket, TopicId, Topics, View};
