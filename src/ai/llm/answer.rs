//! Puts an answer together from the pieces that a server streams.

use serde_json::Value;

use super::LlmEvent;
use super::error::{LlmError, clean, error_words};
use super::request::ToolCall;
use crate::config::LlmConfig;

/// The most tool calls of one answer.
const MAX_CALLS: usize = 32;
/// The longest answer with its tool calls, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// The most events of one answer, those included that add nothing.
const MAX_EVENTS: usize = 100_000;

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// It reached the most tokens.
    Length,
    /// It calls tools.
    ToolCalls,
    /// The server held it back.
    ContentFilter,
    /// Another reason, in the server's word.
    Other(String),
}

impl FinishReason {
    fn of(word: &str) -> Self {
        match word {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            other => Self::Other(other.chars().take(32).collect()),
        }
    }
}

/// What an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens that were read.
    pub prompt_tokens: u64,
    /// Tokens that were written.
    pub completion_tokens: u64,
}

/// An answer under construction.
#[derive(Debug, Default)]
pub(super) struct Answer {
    calls: Vec<PartialCall>,
    finish_reason: Option<FinishReason>,
    usage: Option<Usage>,
    bytes: usize,
    events: usize,
    done: bool,
    /// Whether anything of the answer came: from then on it cannot be asked for again.
    begun: bool,
    /// Whether a tool call grew since that was last asked.
    grew: bool,
}

#[derive(Debug)]
struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Answer {
    /// Takes one event's data and returns the text that it adds, if any. An error's words hold none
    /// of the configuration's secrets.
    pub(super) fn take(
        &mut self,
        data: &str,
        config: &LlmConfig,
    ) -> Result<Option<String>, LlmError> {
        let data = data.trim();
        if data == "[DONE]" {
            self.done = true;
            return Ok(None);
        }
        if data.is_empty() {
            return Ok(None);
        }
        self.events += 1;
        if self.events > MAX_EVENTS {
            return Err(LlmError::Malformed(format!(
                "more than {MAX_EVENTS} events"
            )));
        }
        let chunk: Value = serde_json::from_str(data)
            .map_err(|error| LlmError::Malformed(format!("an event is not JSON ({error})")))?;
        if chunk.get("error").is_some_and(|error| !error.is_null()) {
            let words = error_words(&chunk).unwrap_or_default();
            return Err(LlmError::Refused(clean(&words, config)));
        }
        self.take_usage(&chunk);
        let Some(choice) = chunk.get("choices").and_then(|choices| choices.get(0)) else {
            return Ok(None);
        };
        if let Some(word) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = Some(FinishReason::of(word));
        }
        // A server that does not stream sends one `message` in place of the deltas.
        let delta = choice.get("delta").or_else(|| choice.get("message"));
        let Some(delta) = delta else { return Ok(None) };
        for call in delta
            .get("tool_calls")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.take_call(call)?;
        }
        let text = delta
            .get("content")
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        let Some(text) = text else { return Ok(None) };
        self.grow(text.len())?;
        self.begun = true;
        Ok(Some(text.to_owned()))
    }

    fn take_usage(&mut self, chunk: &Value) {
        let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) else {
            return;
        };
        let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (prompt_tokens, completion_tokens) =
            (count("prompt_tokens"), count("completion_tokens"));
        self.usage = Some(Usage {
            prompt_tokens,
            completion_tokens,
        });
    }

    /// Adds a piece of a tool call to the call that it belongs to.
    fn take_call(&mut self, piece: &Value) -> Result<(), LlmError> {
        let function = piece.get("function");
        let id = text_of(piece.get("id"));
        let name = text_of(function.and_then(|function| function.get("name")));
        let arguments = match function.and_then(|function| function.get("arguments")) {
            Some(Value::String(text)) => text.clone(),
            // Some servers send the arguments as the object itself.
            Some(object @ Value::Object(_)) => object.to_string(),
            _ => String::new(),
        };
        let index = piece.get("index").and_then(Value::as_u64);
        self.grow(arguments.len() + name.len() + id.len())?;
        (self.begun, self.grew) = (true, true);
        let Some(at) = self.position(index, id, name) else {
            if self.calls.len() >= MAX_CALLS {
                return Err(LlmError::Malformed(format!(
                    "more than {MAX_CALLS} tool calls"
                )));
            }
            let (id, name) = (id.to_owned(), name.to_owned());
            self.calls.push(PartialCall {
                index,
                id,
                name,
                arguments,
            });
            return Ok(());
        };
        if let Some(call) = self.calls.get_mut(at) {
            if call.id.is_empty() {
                call.id.push_str(id);
            }
            // Names come whole; a server that repeats one with each piece does not mean twice.
            if call.name.is_empty() {
                call.name.push_str(name);
            }
            call.arguments.push_str(&arguments);
        }
        Ok(())
    }

    /// Finds the call that a piece goes on with. An index decides, unless another id comes with
    /// it (Ollama has given several calls the index 0); without an index, an id; without
    /// either, a piece with a name begins a call and one without goes on with the last.
    fn position(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let other_id = |call: &PartialCall| {
            !id.is_empty() && !name.is_empty() && !call.id.is_empty() && call.id != id
        };
        if index.is_some() {
            return self
                .calls
                .iter()
                .rposition(|call| call.index == index && !other_id(call));
        }
        if !id.is_empty() {
            return self.calls.iter().position(|call| call.id == id);
        }
        if name.is_empty() {
            self.calls.len().checked_sub(1)
        } else {
            None
        }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), LlmError> {
        self.bytes += bytes;
        if self.bytes > MAX_ANSWER {
            let words = format!("the answer is longer than {MAX_ANSWER} bytes");
            return Err(LlmError::Malformed(words));
        }
        Ok(())
    }

    /// Reports whether anything of the answer came.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Reports whether a tool call grew since the last time.
    pub(super) fn take_growth(&mut self) -> bool {
        std::mem::take(&mut self.grew)
    }

    /// Reports whether the server said that this was all.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Ends the answer where its stream ended: without `[DONE]` it is whole only if the model said
    /// why it stopped.
    pub(super) fn end(self) -> Result<Vec<LlmEvent>, LlmError> {
        if !self.done && self.finish_reason.is_none() {
            return Err(LlmError::Cut);
        }
        let mut events = Vec::with_capacity(self.calls.len() + 1);
        for (number, call) in self.calls.into_iter().enumerate() {
            if call.name.is_empty() {
                return Err(LlmError::Malformed("a tool call without a name".to_owned()));
            }
            let made_up = || format!("call_{number}");
            let id = if call.id.is_empty() {
                made_up()
            } else {
                call.id
            };
            let none = call.arguments.trim().is_empty();
            let arguments = if none {
                "{}".to_owned()
            } else {
                call.arguments
            };
            events.push(LlmEvent::ToolCall(ToolCall {
                id,
                name: call.name,
                arguments,
            }));
        }
        events.push(LlmEvent::Done {
            finish_reason: self.finish_reason,
            usage: self.usage,
        });
        Ok(events)
    }
}

fn text_of(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn take(answer: &mut Answer, data: &str) -> Result<Option<String>, LlmError> {
        let config = LlmConfig::new("http://127.0.0.1/v1".parse().unwrap(), "m");
        answer.take(data, &config)
    }

    fn calls(pieces: &[Value]) -> Vec<(String, String, String)> {
        let mut answer = Answer::default();
        for piece in pieces {
            let chunk = json!({ "choices": [{ "delta": { "tool_calls": [piece] } }] });
            take(&mut answer, &chunk.to_string()).unwrap();
        }
        take(&mut answer, "[DONE]").unwrap();
        let call = |event| match event {
            LlmEvent::ToolCall(call) => Some((call.id, call.name, call.arguments)),
            _ => None,
        };
        answer.end().unwrap().into_iter().filter_map(call).collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn pieces_are_put_together_by_index() {
        let pieces = [
            json!({ "index": 0, "id": "a", "function": { "name": "x", "arguments": "" } }),
            json!({ "index": 1, "id": "b", "function": { "name": "y", "arguments": "{" } }),
            json!({ "index": 0, "function": { "arguments": "{\"n\":" } }),
            json!({ "index": 0, "function": { "arguments": "1}" } }),
            json!({ "index": 1, "function": { "arguments": "}" } }),
        ];
        assert_eq!(
            calls(&pieces),
            [call("a", "x", "{\"n\":1}"), call("b", "y", "{}")]
        );
    }

    #[test]
    fn whole_calls_without_an_index_or_with_one_index_for_all_stay_apart() {
        let pieces = [
            json!({ "function": { "name": "x", "arguments": "{\"n\":1}" } }),
            json!({ "function": { "name": "x", "arguments": { "n": 2 } } }),
        ];
        let expected = [
            call("call_0", "x", "{\"n\":1}"),
            call("call_1", "x", "{\"n\":2}"),
        ];
        assert_eq!(calls(&pieces), expected);
        let pieces = [
            json!({ "index": 0, "id": "a", "function": { "name": "x", "arguments": "{}" } }),
            json!({ "index": 0, "id": "b", "function": { "name": "y", "arguments": "{}" } }),
        ];
        assert_eq!(calls(&pieces), [call("a", "x", "{}"), call("b", "y", "{}")]);
    }

    #[test]
    fn pieces_without_an_index_go_on_with_the_last_call() {
        let pieces = [
            json!({ "id": "a", "function": { "name": "x", "arguments": "{\"n\"" } }),
            json!({ "function": { "arguments": ":1}" } }),
            json!({ "id": "b", "function": { "name": "y" } }),
        ];
        assert_eq!(
            calls(&pieces),
            [call("a", "x", "{\"n\":1}"), call("b", "y", "{}")]
        );
    }

    #[test]
    fn an_answer_without_an_end_is_cut_and_one_with_a_reason_is_whole() {
        let mut answer = Answer::default();
        take(&mut answer, r#"{"choices":[{"delta":{"content":"Hi"}}]}"#).unwrap();
        assert_eq!(answer.end(), Err(LlmError::Cut));
        let mut answer = Answer::default();
        let last = r#"{"choices":[{"delta":{},"finish_reason":"length"}],"usage":null}"#;
        take(&mut answer, last).unwrap();
        let done = LlmEvent::Done {
            finish_reason: Some(FinishReason::Length),
            usage: None,
        };
        assert_eq!(answer.end(), Ok(vec![done]));
    }

    #[test]
    fn nonsense_is_an_error_and_odd_shapes_are_not() {
        let mut answer = Answer::default();
        assert!(matches!(
            take(&mut answer, "{"),
            Err(LlmError::Malformed(_))
        ));
        assert!(matches!(
            take(&mut answer, r#"{"error":"overloaded"}"#),
            Err(LlmError::Refused(_))
        ));
        for odd in [
            "[]",
            "1",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":[{"delta":{"content":null}}]}"#,
        ] {
            assert_eq!(take(&mut answer, odd), Ok(None), "{odd}");
        }
        let long =
            json!({ "choices": [{ "delta": { "content": "x".repeat(9_000) } }] }).to_string();
        assert!((0..99).any(|_| take(&mut answer, &long).is_err()));
    }
}
