//! SIP for Offhook: messages, transactions, dialogs, registration and digest, without I/O.
//!
//! Everything here is sans-I/O: bytes, time and seeds are passed in, decisions come out. Parsing
//! works on the received bytes and does not allocate; see [`message`] for the view and the
//! builders, [`uri`] for addresses and [`digest`] for authentication.
#![forbid(unsafe_code)]

pub mod digest;
pub mod message;
pub mod uri;
