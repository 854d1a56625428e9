//! What is asked of the language model, and how that looks on the wire.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::LlmConfig;

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The caller.
    User,
    /// The agent.
    Assistant,
    /// A tool's result.
    Tool,
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// The text.
    pub content: String,
    /// The tools that an assistant's message called.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool's message answers.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// Makes a message without tools.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// Makes a tool's answer to the call `id`.
    pub fn tool_result(id: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            tool_call_id: Some(id.into()),
            ..Self::new(Role::Tool, content)
        }
    }

    fn to_wire(&self) -> Value {
        let mut wire = json!({ "role": self.role, "content": self.content });
        let Some(members) = wire.as_object_mut() else {
            return wire;
        };
        if !self.tool_calls.is_empty() {
            // Servers insist on null where a message is nothing but calls.
            if self.content.is_empty() {
                members.insert("content".to_owned(), Value::Null);
            }
            let calls = self.tool_calls.iter().map(ToolCall::to_wire).collect();
            members.insert("tool_calls".to_owned(), calls);
        }
        if let Some(id) = &self.tool_call_id {
            members.insert("tool_call_id".to_owned(), id.clone().into());
        }
        wire
    }
}

/// One whole call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The server's id of the call; made up when the server gives none.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments, JSON text exactly as the model wrote it; `{}` when it wrote none.
    pub arguments: String,
}

impl ToolCall {
    fn to_wire(&self) -> Value {
        json!({
            "id": self.id,
            "type": "function",
            "function": { "name": self.name, "arguments": self.arguments },
        })
    }
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The name, `[a-z0-9_]`.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: Value,
}

impl Tool {
    fn to_wire(&self) -> Value {
        json!({
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        })
    }
}

/// A question to the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatRequest {
    /// The conversation so far, the system message first.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// The sampling temperature; `None` takes `llm.temperature`.
    pub temperature: Option<f64>,
    /// The most tokens of the answer; `None` takes `llm.max_tokens`.
    pub max_tokens: Option<u32>,
}

impl ChatRequest {
    /// Asks with a conversation, without tools.
    pub fn new(messages: Vec<Message>) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }

    /// Writes the body of `POST /chat/completions`.
    pub(super) fn to_wire(&self, config: &LlmConfig) -> Value {
        let mut body = Map::new();
        body.insert("model".to_owned(), config.model.clone().into());
        body.insert("stream".to_owned(), true.into());
        body.insert(
            "messages".to_owned(),
            self.messages.iter().map(Message::to_wire).collect(),
        );
        if !self.tools.is_empty() {
            body.insert(
                "tools".to_owned(),
                self.tools.iter().map(Tool::to_wire).collect(),
            );
        }
        if let Some(temperature) = self.temperature.or(config.temperature) {
            body.insert("temperature".to_owned(), temperature.into());
        }
        // OpenAI's newer models refuse the old name, most other servers do not know the new one.
        let openai = config.base_url.as_str().contains("://api.openai.com");
        let limit = if openai {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        body.insert(
            limit.to_owned(),
            self.max_tokens.unwrap_or(config.max_tokens).into(),
        );
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_shape_of_chat_completions() {
        let config = LlmConfig::new("http://localhost/v1".parse().unwrap(), "m");
        let call = ToolCall {
            id: "c1".into(),
            name: "book".into(),
            arguments: "{}".into(),
        };
        let asked = Message {
            tool_calls: vec![call],
            ..Message::new(Role::Assistant, "")
        };
        let request = ChatRequest {
            messages: vec![
                Message::new(Role::System, "Be brief."),
                asked,
                Message::tool_result("c1", "done"),
            ],
            tools: vec![Tool {
                name: "book".into(),
                description: "Books.".into(),
                parameters: json!({ "type": "object" }),
            }],
            temperature: Some(0.5),
            max_tokens: Some(7),
        };
        assert_eq!(
            request.to_wire(&config),
            json!({
                "model": "m", "stream": true, "temperature": 0.5, "max_tokens": 7,
                "messages": [
                    { "role": "system", "content": "Be brief." },
                    { "role": "assistant", "content": null, "tool_calls": [{ "id": "c1",
                      "type": "function", "function": { "name": "book", "arguments": "{}" } }] },
                    { "role": "tool", "content": "done", "tool_call_id": "c1" },
                ],
                "tools": [{ "type": "function", "function": { "name": "book",
                    "description": "Books.", "parameters": { "type": "object" } } }],
            })
        );
    }

    #[test]
    fn openai_itself_gets_the_limit_under_its_new_name() {
        let config = LlmConfig::new("https://api.openai.com/v1".parse().unwrap(), "gpt");
        let body = ChatRequest::new(Vec::new()).to_wire(&config);
        assert_eq!(body.get("max_completion_tokens"), Some(&json!(300)));
        assert_eq!(body.get("max_tokens"), None);
    }
}
