//! The language model: a streaming client for any OpenAI-compatible server.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use offhook::ai::llm::{ChatRequest, LlmClient, LlmConfig, LlmEvent, Message, Role};
//!
//! let config = LlmConfig::new("http://localhost:11434/v1".parse()?, "llama3.2");
//! let client = LlmClient::new(config)?;
//! client.warm().await;
//! let question = Message::new(Role::User, "Are you open on Sunday?");
//! let mut answer = client.stream(ChatRequest::new(vec![question]));
//! while let Some(event) = answer.next().await {
//!     if let LlmEvent::Token(text) = event { print!("{text}") }
//! }
//! # Ok(()) }
//! ```

mod answer;
mod client;
mod error;
mod request;
mod sse;

pub use crate::config::LlmConfig;
pub use answer::{FinishReason, Usage};
pub use client::{LlmClient, LlmStream};
pub use error::LlmError;
pub use request::{ChatRequest, Message, Role, Tool, ToolCall};

/// Progress of an answer; after `Done` or `Failed` nothing follows.
#[derive(Debug, Clone, PartialEq)]
pub enum LlmEvent {
    /// More text, never empty.
    Token(String),
    /// More of the answer, but no text: a tool call grows.
    Working,
    /// One whole tool call; they come when the answer is complete, in the model's order.
    ToolCall(ToolCall),
    /// The answer is complete.
    Done {
        /// Why the model stopped, when the server says.
        finish_reason: Option<FinishReason>,
        /// What it took, when the server says.
        usage: Option<Usage>,
    },
    /// The answer is cut off, or never came.
    Failed(LlmError),
}
