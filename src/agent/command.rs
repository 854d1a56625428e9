//! What the agent asks of its shell, and what the shell answers.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::flow::SlotKind;
use super::{CallOutcome, TurnRecord, Variables};

/// Names one speculative look at the caller's unfinished turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpeculationId(pub u64);

/// Names one turn of the agent's speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnId(pub u64);

/// Names one HTTP, LLM or booking request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Asks the shell for something; every command is an instruction, none is a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Recognise the caller's audio received from `from` until `until`; answer with
    /// [`Agent::handle_transcript`](super::Agent::handle_transcript) or
    /// [`Agent::handle_recognition_failed`](super::Agent::handle_recognition_failed).
    Recognise {
        /// The speculation the answer belongs to.
        speculation: SpeculationId,
        /// Where the turn's unrecognised voice begins; a little audio before it helps.
        from: Instant,
        /// The last voiced audio.
        until: Instant,
        /// What is being asked, to bias the recogniser.
        expecting: Option<SlotKind>,
    },
    /// Ask the turn model whether the caller's turn is over at this silence; answer with
    /// [`Agent::handle_turn_probability`](super::Agent::handle_turn_probability).
    DetectTurn {
        /// The speculation the answer belongs to.
        speculation: SpeculationId,
    },
    /// Drop a speculation: the caller goes on. Queued jobs need not run.
    Discard {
        /// The speculation.
        speculation: SpeculationId,
    },
    /// Synthesise this text ahead: it is likely to be the next first clause. Never to be played
    /// unless a [`Command::Speak`] with the same text follows.
    Prepare {
        /// The clause's text.
        text: String,
    },
    /// Synthesise and play one clause. Clauses of a turn are numbered from 0 and play in order.
    Speak {
        /// The turn.
        turn: TurnId,
        /// The clause's number within the turn.
        clause: u32,
        /// The text to say.
        text: String,
    },
    /// No clause of this turn follows.
    FinishSpeaking {
        /// The turn.
        turn: TurnId,
    },
    /// Stop sending sound by the next tick, keeping the position.
    PausePlayout,
    /// Go on where the playout paused.
    ResumePlayout,
    /// Drop the turn's remaining sound, and end a pause; answer with
    /// [`PlayoutEvent::Cancelled`].
    CancelTurn {
        /// The turn.
        turn: TurnId,
    },
    /// Perform an HTTP request; answer with [`Agent::handle_http`](super::Agent::handle_http).
    Http(HttpRequest),
    /// Stream from the LLM; answer with [`Agent::handle_llm`](super::Agent::handle_llm).
    Llm(LlmRequest),
    /// Book an appointment; answer with [`Agent::handle_booked`](super::Agent::handle_booked).
    Book(BookRequest),
    /// Give the call to a person. Where nobody takes it, answer with
    /// [`Agent::handle_not_transferred`](super::Agent::handle_not_transferred); who takes it ends
    /// the agent's part, as though the caller had hung up.
    Transfer(TransferRequest),
    /// Abandon a pending request: its answer is no longer wanted.
    CancelRequest {
        /// The request.
        request: RequestId,
    },
    /// Append a turn to the transcript.
    Record(TurnRecord),
    /// Nothing that is said from now on may be recorded, by either side.
    PauseRecording,
    /// What is said may be recorded again.
    ResumeRecording,
    /// The variables changed; these are all of them.
    SetVariables(Variables),
    /// End the call.
    HangUp {
        /// Why.
        reason: HangUpReason,
    },
    /// The conversation is over; nothing follows.
    Finished(CallOutcome),
}

/// Says why the agent hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HangUpReason {
    /// The dialogue reached its end.
    Completed,
    /// The longest call was reached.
    CallLimit,
}

/// Describes an HTTP request of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The request.
    #[serde(skip, default = "no_request")]
    pub id: RequestId,
    /// The flow's node that asks, for logs and idempotency keys.
    pub node: String,
    /// The method, upper case.
    pub method: String,
    /// The absolute URL, or a path that the shell resolves against the CRM's base URL.
    pub url: String,
    /// Headers in order, values without line breaks.
    pub headers: Vec<(String, String)>,
    /// The body, already rendered.
    pub body: Option<String>,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// Holds an HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The body as text; the shell bounds its length.
    pub body: String,
}

/// Says why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// Nothing came in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection failed.
    #[error("connection failed: {0}")]
    Connection(String),
    /// The request could not be made, or was refused by the switch itself.
    #[error("refused: {0}")]
    Refused(String),
}

/// Describes an appointment to book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BookRequest {
    /// The request.
    #[serde(skip, default = "no_request")]
    pub id: RequestId,
    /// The start, ISO 8601 with offset.
    #[serde(rename = "dateTime")]
    pub date_time: String,
    /// The appointment's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Free notes.
    pub notes: String,
}

/// Describes to whom a call is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRequest {
    /// The request.
    pub id: RequestId,
    /// A user's name, or whatever a call may go to.
    pub to: String,
    /// How long their phone rings.
    pub ring: Duration,
    /// What they are told before the caller hears them; nothing when empty.
    pub briefing: String,
}

/// Confirms an appointment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Booking {
    /// The appointment's id in the system that keeps it, when it is known already.
    pub id: Option<String>,
}

/// Says who wrote an LLM message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LlmRole {
    /// Instructions.
    System,
    /// The caller.
    User,
    /// The agent.
    Assistant,
    /// A tool's result.
    Tool,
}

/// Holds one message of an LLM conversation, in the shape of chat completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlmMessage {
    /// The author.
    pub role: LlmRole,
    /// The text.
    pub content: String,
    /// The tools an assistant's message called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool's message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl LlmMessage {
    /// Makes a message without tools.
    pub fn new(role: LlmRole, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

/// Holds one whole tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of the call; may be empty.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as JSON text, exactly as the model wrote them.
    pub arguments: String,
}

/// Describes a tool to the LLM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name, `[a-z0-9_]`.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: Value,
}

/// Describes an LLM request; the answer is streamed.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmRequest {
    /// The request.
    pub id: RequestId,
    /// The conversation so far, the system message first.
    pub messages: Vec<LlmMessage>,
    /// The tools the model may call.
    pub tools: Vec<ToolSpec>,
    /// Sampling temperature; `None` leaves the server's default.
    pub temperature: Option<f32>,
    /// The most tokens of an answer.
    pub max_tokens: Option<u32>,
    /// How long to wait before sending, for a server that asked for patience.
    pub delay: Duration,
}

/// Reports progress of a streamed LLM answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LlmEvent {
    /// More text.
    Token(String),
    /// More of what is not spoken, such as a tool call that is not whole yet.
    Working,
    /// One whole tool call.
    ToolCall(ToolCall),
    /// The answer is complete.
    Done,
    /// The answer is cut off or never came.
    Failed(LlmFailure),
}

/// Says how an LLM request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlmFailure {
    /// No event came in time.
    #[error("the stream stalled")]
    Stalled,
    /// The server asked for fewer requests.
    #[error("rate limited")]
    RateLimited {
        /// The wait that the server asked for.
        retry_after: Option<Duration>,
    },
    /// The connection broke, before or during the answer.
    #[error("the connection was cut")]
    Cut,
    /// The server refused.
    #[error("HTTP status {0}")]
    Status(u16),
    /// What came was no chat completion.
    #[error("bad answer: {0}")]
    Bad(String),
}

/// Says how much of a clause was played, by the packets really sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClausePlayed {
    /// The clause's number.
    pub clause: u32,
    /// Sound sent, in milliseconds.
    pub played_ms: u32,
    /// The clause's whole sound in milliseconds, when it was synthesised completely.
    pub total_ms: Option<u32>,
}

/// Reports on the agent's own sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlayoutEvent {
    /// A clause's first audio was synthesised (optional: it refines `tts_first_audio_ms`).
    Synthesised {
        /// The turn.
        turn: TurnId,
        /// The clause.
        clause: u32,
        /// When.
        at: Instant,
    },
    /// A clause's first audible packet was sent.
    Started {
        /// The turn.
        turn: TurnId,
        /// The clause.
        clause: u32,
        /// When.
        at: Instant,
    },
    /// All of a clause's sound was sent.
    Finished {
        /// The turn.
        turn: TurnId,
        /// The clause.
        clause: u32,
    },
    /// A clause could not be synthesised or played; later clauses go on.
    Failed {
        /// The turn.
        turn: TurnId,
        /// The clause.
        clause: u32,
    },
    /// The turn was cancelled; clauses that are not listed were not heard at all.
    Cancelled {
        /// The turn.
        turn: TurnId,
        /// What was really sent.
        played: Vec<ClausePlayed>,
    },
}

fn no_request() -> RequestId {
    RequestId(0)
}
