//! Calls: one task each, which joins signalling, media, models, the agent and the records.

mod admission;
mod announce;
mod bridge;
mod briefing;
mod busy;
mod called;
mod callee;
mod caller;
mod capacity;
pub mod clerk;
pub mod codecs;
mod conference;
pub mod conversation;
mod deadlines;
pub mod dial;
mod dialogs;
pub(crate) mod digits;
mod diversion;
mod ending;
pub(crate) mod first_hop;
mod fork;
mod hand_over;
pub mod headers;
mod hunt;
mod inbound;
mod journal;
pub mod line;
mod llm_stream;
mod music;
mod negotiate;
mod outbound;
mod outgoing;
mod party;
mod pick_up;
mod places;
mod recording;
mod redirecting;
mod refer_out;
mod requests;
mod ringing;
mod room;
pub mod services;
pub mod session;
mod sound;
mod spans;
pub mod speech;
mod supervise;
mod talk;
pub mod task;
mod transfer;
pub mod trouble;
mod trunk_load;
mod trunk_states;
mod turn_log;

pub use crate::net::sip::Sip;
pub use busy::Busy;
pub use callee::{CalleeError, Callees, Wanted};
pub(crate) use ending::stored_state;
pub(crate) use first_hop::FirstHop;
pub use inbound::{party, take};
pub(crate) use journal::{stored_turn, stored_variables};
pub use line::{Half, Leg, Line, LineError};
pub use music::prepare as prepare_music;
pub use outbound::{Callee, Outbound, place};
pub(crate) use outbound::{credentials, headers_of};
pub use places::Places;
pub(crate) use recording::{FileEnd, Shutter};
pub use recording::{
    PausedBy, Recorder, RecorderError, RecordingSwitch, Unrecorded, recording_event, remove_old,
};
pub use requests::Requests;
pub use services::{AgentSpec, Place, ServiceParts, Services, Watcher};
pub(crate) use sound::media_summary;
pub use supervise::{Mode, SuperviseError};
pub use talk::outbound_facts;
pub use transfer::Person;
pub use trunk_load::TrunkLoads;
pub use trunk_states::{TrunkState, TrunkStates};

#[cfg(test)]
mod tests {
    /// The size of what an asynchronous function of two arguments leaves to be run.
    fn task_bytes<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_calls_task_holds_little_of_its_own() {
        for bytes in [task_bytes(super::take), task_bytes(super::place)] {
            assert!(bytes <= 12 * 1024, "{bytes}");
        }
    }
}
