//! The whole server in one thread: real event loops over a simulated system, in virtual time.
#![allow(dead_code, reason = "the clients that use all of the codecs are still to come")]

mod wires;
