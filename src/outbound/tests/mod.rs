//! The whole room against a peer that says what a test wants it to say.

mod cluster;
mod peer;
mod sentinel;
mod single;
