//! The only I/O of the server: polling, sockets, the clock, and the channels between threads.

mod bell;
mod clock;
mod event_loop;
mod mailbox;
mod mio_system;
mod process;
mod resolver;
mod shared;
mod system;

pub use self::bell::{Bell, Ring, Wake};
pub use self::clock::Clock;
pub use self::event_loop::EventLoop;
pub use self::mailbox::{Envelope, Mailbox, Parcel, Post, connect};
pub use self::mio_system::{MioSystem, adopt, bind};
pub use self::resolver::{LookedUp, Resolver};
pub use self::system::{Readiness, System, Who};
