//! `tidings bench`: a load generator, for this server and for others.

pub mod findings;
