//! Calls: one task each, which joins signalling, media, models, the agent and the records.

pub mod codecs;
pub mod conversation;
pub mod dial;
pub(crate) mod digits;
mod inbound;
mod journal;
pub mod line;
mod llm_stream;
mod outbound;
mod recording;
mod requests;
pub mod services;
pub mod session;
mod spans;
pub mod speech;
mod supervise;
mod talk;
pub mod task;

pub use crate::net::sip::Sip;
pub use inbound::{party, take};
pub(crate) use journal::{stored_turn, stored_variables};
pub use line::{Half, Leg, Line, LineError};
pub use outbound::{Outbound, place};
pub(crate) use outbound::{credentials, host_and_port};
pub use recording::{Recorder, RecorderError, Unrecorded};
pub use requests::Requests;
pub use services::{AgentSpec, Busy, Place, ServiceParts, Services, Watcher};
pub use supervise::{Mode, SuperviseError, SupervisorPhone};
pub use talk::outbound_facts;
pub(crate) use talk::{media_summary, stored_state};
