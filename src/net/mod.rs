//! Shells: sockets, threads and name servers around the pure cores.

pub mod media;
pub mod resolver;
pub mod sip;
