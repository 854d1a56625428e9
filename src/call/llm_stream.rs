//! Joins the agent's LLM requests with the client that streams them.

use crate::agent::{self, LlmFailure, LlmRequest, LlmRole};
use crate::ai::llm::{ChatRequest, LlmClient, LlmError, LlmEvent, Message, Role, Tool, ToolCall};

/// Streams an answer into `tell`, which says whether it still wants more.
pub(super) async fn stream<F, T>(llm: &LlmClient, request: &LlmRequest, mut tell: F)
where
    F: FnMut(agent::LlmEvent) -> T,
    T: Future<Output = bool>,
{
    let mut answer = llm.stream(chat(request));
    while let Some(event) = answer.next().await {
        if !tell(translate(event)).await {
            return;
        }
    }
}

fn chat(request: &LlmRequest) -> ChatRequest {
    let mut chat = ChatRequest::new(request.messages.iter().map(message).collect());
    chat.tools = request
        .tools
        .iter()
        .map(|tool| Tool {
            name: tool.name.clone(),
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
        })
        .collect();
    chat.temperature = request.temperature.map(f64::from);
    chat.max_tokens = request.max_tokens;
    chat
}

fn message(message: &agent::LlmMessage) -> Message {
    let role = match message.role {
        LlmRole::System => Role::System,
        LlmRole::User => Role::User,
        LlmRole::Assistant => Role::Assistant,
        LlmRole::Tool => Role::Tool,
    };
    let mut sent = Message::new(role, message.content.clone());
    sent.tool_call_id.clone_from(&message.tool_call_id);
    sent.tool_calls = message
        .tool_calls
        .iter()
        .map(|call| ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        })
        .collect();
    sent
}

fn translate(event: LlmEvent) -> agent::LlmEvent {
    match event {
        LlmEvent::Token(text) => agent::LlmEvent::Token(text),
        LlmEvent::Working => agent::LlmEvent::Working,
        LlmEvent::ToolCall(call) => agent::LlmEvent::ToolCall(agent::ToolCall {
            id: call.id,
            name: call.name,
            arguments: call.arguments,
        }),
        LlmEvent::Done { .. } => agent::LlmEvent::Done,
        LlmEvent::Failed(error) => {
            tracing::warn!(%error, "the language model failed");
            agent::LlmEvent::Failed(failure(&error))
        }
    }
}

fn failure(error: &LlmError) -> LlmFailure {
    match error {
        LlmError::RateLimited { retry_after } => LlmFailure::RateLimited {
            retry_after: *retry_after,
        },
        LlmError::Stalled { .. } => LlmFailure::Stalled,
        LlmError::Cut | LlmError::Unreachable(_) => LlmFailure::Cut,
        LlmError::Unauthorized { status, .. } | LlmError::Status { status, .. } => {
            LlmFailure::Status(*status)
        }
        LlmError::NotFound { .. } => LlmFailure::Status(404),
        other => LlmFailure::Bad(other.to_string()),
    }
}
