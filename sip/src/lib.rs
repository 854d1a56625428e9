//! SIP for Offhook: messages, transactions, dialogs, registration and digest, without I/O.
//!
//! Everything here is sans-I/O: bytes, time and seeds are passed in, decisions come out. Parsing
//! works on the received bytes and does not allocate; see [`message`] for the view and the
//! builders, [`uri`] for addresses and [`digest`] for authentication. [`transaction`] holds the
//! state machines of RFC 3261 §17, [`dialog`] what two parties agree on, and [`UserAgent`] puts
//! all of it together: calls, registrations, pings.
#![forbid(unsafe_code)]

pub mod access;
pub mod dialog;
pub mod digest;
pub mod flow;
mod guard;
pub mod message;
pub mod network;
mod registration;
pub mod stream;
pub mod transaction;
pub mod uri;
mod user_agent;

pub use access::{Access, Source, TrunkPeer, UserSecret};
pub use digest::Credentials;
pub use flow::{Flow, Transport};
pub use guard::{Ban, BanReason, Guard};
pub use network::{Advertise, Network};
pub use transaction::Timers;
pub use user_agent::{
    CallHandle, EndCause, Error, Event, Incoming, Invite, OptionsPing, Party, PingError,
    PingHandle, Reason, Refer, ReferTo, Register, RegistrationHandle, Reliable, ReplacesBuf,
    RequestHandle, SessionTimer, Settings, Stats, Transmit, UserAgent,
};
