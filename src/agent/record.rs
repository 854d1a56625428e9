//! What remains of a conversation: its turns and its outcome.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Variables;

/// Says which party spoke a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The remote party.
    Caller,
    /// Offhook's agent.
    Agent,
}

/// Holds one exchange's latency waterfall, each part in milliseconds, `None` where it does not apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// From the caller's last voiced packet to the decision that the turn is over.
    pub endpoint_ms: Option<u32>,
    /// From the recogniser's start to its final transcript (it overlaps `endpoint_ms`).
    pub stt_ms: Option<u32>,
    /// From the LLM request to its first token.
    pub llm_first_token_ms: Option<u32>,
    /// From the first clause's hand-over to the synthesiser to its first audio.
    pub tts_first_audio_ms: Option<u32>,
    /// From the caller's last voiced packet received to the first audible packet sent.
    pub voice_to_voice_ms: Option<u32>,
    /// When each stage began.
    pub begins: Begins,
}

/// Holds when stages of a [`Latency`] began, each in milliseconds from the caller's last voiced
/// packet: speculation makes them overlap, so their lengths alone draw no picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begins {
    /// The recogniser.
    pub stt_ms: Option<u32>,
    /// The request to the LLM.
    pub llm_ms: Option<u32>,
    /// The first clause's hand-over to the synthesiser.
    pub tts_ms: Option<u32>,
}

/// Records one turn of the transcript.
///
/// A caller's turn carries `endpoint_ms` and `stt_ms`; the agent's turn that answers it carries
/// the whole waterfall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// Who spoke.
    pub who: Who,
    /// What was said, or, for an agent that was cut off, what it was about to say.
    pub text: String,
    /// What of `text` the caller really heard, when that is not all of it.
    pub heard_text: Option<String>,
    /// When the turn's first voiced or audible packet was seen.
    pub started_at: Timestamp,
    /// The exchange's latency waterfall.
    pub latency: Latency,
    /// Whether the other party cut this turn off.
    pub interrupted: bool,
}

/// Says who ended the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The remote party hung up.
    Caller,
    /// The agent said goodbye and hung up.
    Agent,
}

/// Sums a conversation up once it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallOutcome {
    /// The dialogue's word for how it went, for example `booked`, `declined`, `no_answer`.
    pub outcome: String,
    /// Who ended the call.
    pub ended_by: EndedBy,
    /// Everything that was learned.
    pub variables: Variables,
}
