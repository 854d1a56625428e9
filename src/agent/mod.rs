//! The agent: decides when the caller has finished, what is said back, and who holds the floor.
//!
//! [`Agent`] is sans-I/O. A shell feeds it what happened (`handle_*`, each with the time) and then
//! drains it: [`Agent::poll_command`] until `None`, and one timer for [`Agent::poll_timeout`].
//! After the timer fires the shell calls [`Agent::handle_timeout`] and drains again.
//!
//! What is said comes from a [`Dialogue`]: a [`flow::FlowRun`] (TOML flows, with or without an
//! LLM) or a [`caller::ScriptedCaller`].
//!
//! ```text
//! VAD edges ─┐                       ┌─ Recognise, DetectTurn, Discard
//! transcript ┼─▶ Agent ─ Heard ─▶ Dialogue ─ Say, Http, Llm, Book, Transfer, End
//! playout   ─┘     └─ Speak, PausePlayout, ResumePlayout, CancelTurn, Record, HangUp
//! ```

mod backchannel;
mod barge_in;
pub mod caller;
pub mod clauses;
mod command;
mod core;
mod dialogue;
mod digits;
mod endpoint;
pub mod flow;
mod hold;
mod listening;
mod record;
mod requests;
#[cfg(test)]
mod rig;
mod settings;
#[cfg(test)]
mod simulation;
mod speaking;
#[cfg(test)]
mod tests;
mod timers;
mod utterance;
pub(crate) mod variables;
#[cfg(test)]
mod watch;

pub use self::command::{
    BookRequest, Booking, ClausePlayed, Command, HangUpReason, HttpRequest, HttpResponse, LlmEvent,
    LlmFailure, LlmMessage, LlmRequest, LlmRole, PlayoutEvent, RequestFailure, RequestId,
    SpeculationId, ToolCall, ToolSpec, TransferRequest, TurnId,
};
pub use self::core::Agent;
pub use self::dialogue::{Act, Completeness, Context, CutText, Dialogue, DigitPlan, Event, SayId};
pub use self::record::{Begins, CallOutcome, EndedBy, Latency, TurnRecord, Who};
pub use self::settings::{Settings, WallClock};
pub use self::timers::Reason;
pub use self::variables::Variables;
