//! The joined simulation: the very cores of the switch ([`offhook_sip::UserAgent`],
//! [`offhook_media::MediaSession`], [`crate::agent::Agent`] with a flow that ships,
//! [`crate::call::speech::SpeechQueue`], [`crate::crm::Sinks`]) against scripted callers, over a
//! seeded network, under a virtual clock. No thread, no socket, no sleep, no runtime.
//!
//! A [`Plan`] decides everything; [`run`] plays it until nothing is left to happen, or until one
//! of the [`Rule`]s is broken. The same plan gives the same run, bit by bit ([`Outcome::hash`]).
//!
//! ```text
//! Plan ─▶ World ─ Clock (agenda) ─▶ Switch: UserAgent, Ports, SwitchCall ─▶ Conversation, Leg
//!           │                          ▲ Network: loss, delay, jitter, bursts, cuts
//!           │                          ▼
//!           ├──────────────────────▶ Caller: UserAgent, Leg, Mind (acts on what it hears)
//!           └─ Watch: what each wire saw ─▶ Rule, Violation
//! ```
//!
//! What the shell's tasks do (`call::task`, `call::conversation`, `net::media`) is done here in
//! the same order; between them lie queues with seeded lags, so that a report and a command may
//! cross as they may between threads.

mod call;
mod caller;
mod clock;
mod conversation;
mod fork;
mod hearing;
mod intruder;
mod invariants;
mod keys;
mod ledger;
mod leg;
mod mind;
mod models;
mod network;
mod plan;
mod ports;
mod presses;
mod recording;
mod set_up;
mod stream;
mod switch;
mod trace;
mod voice;
mod watching;
mod wire;
mod world;

pub use invariants::{Rule, Violation};
pub use network::{Cut, Weather};
pub use plan::{
    Called, CallerPlan, Fork, Intrusion, KeyWay, Manner, Models, OnOffer, Plan, Ringing,
};
pub use world::{Outcome, run};
