//! What an LLM is told of the conversation so far: what was said, as it was really heard.
//!
//! It is kept by text and by round of tools, and only put into messages when it is asked for. So an
//! interruption cuts the very texts that it cut, and a tool's result always follows its call,
//! whatever was said in between: servers refuse any other order.

use std::collections::VecDeque;

use crate::agent::{CutText, LlmMessage, LlmRole, SayId, ToolCall};

/// Most entries that are remembered: an answer is one for each clause.
const MAX_ENTRIES: usize = 200;
/// What is told of a tool that nobody has answered yet.
const UNANSWERED: &str = "no answer yet";

#[derive(Debug, Clone, PartialEq)]
enum Entry {
    /// The caller spoke.
    Heard(String),
    /// The agent spoke.
    Said { say: SayId, text: String },
    /// The model called tools.
    Called(Vec<Called>),
}

#[derive(Debug, Clone, PartialEq)]
struct Called {
    call: ToolCall,
    result: Option<String>,
}

/// Remembers a conversation, bounded to 200 texts and rounds of tools.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    entries: VecDeque<Entry>,
    /// Tool calls so far, to name those that the server left without a name.
    calls: u64,
}

impl Memory {
    /// The caller said something.
    pub(super) fn heard(&mut self, text: &str) {
        self.push(Entry::Heard(text.to_owned()));
    }

    /// The agent says something.
    pub(super) fn said(&mut self, say: SayId, text: &str) {
        let text = text.to_owned();
        self.push(Entry::Said { say, text });
    }

    /// The model called tools; each call comes back with an id.
    pub(super) fn called(&mut self, calls: Vec<ToolCall>) -> Vec<ToolCall> {
        let mut named = Vec::with_capacity(calls.len());
        for mut call in calls {
            self.calls += 1;
            if call.id.is_empty() {
                call.id = format!("call_{}", self.calls);
            }
            named.push(call);
        }
        let round = named
            .iter()
            .cloned()
            .map(|call| Called { call, result: None });
        self.push(Entry::Called(round.collect()));
        named
    }

    /// A tool was answered: the earliest call of the last round that has this id and no answer.
    pub(super) fn answered(&mut self, call_id: &str, text: String) {
        let rounds = self
            .entries
            .iter_mut()
            .rev()
            .filter_map(|entry| match entry {
                Entry::Called(round) => Some(round),
                _ => None,
            });
        let waits = |called: &&mut Called| called.call.id == call_id && called.result.is_none();
        let mut found = rounds.filter_map(|round| round.iter_mut().find(waits));
        if let Some(called) = found.next() {
            called.result = Some(text);
        }
    }

    /// Cuts texts to what was really heard of them.
    pub(super) fn cut(&mut self, cut: &[CutText]) {
        self.entries.retain_mut(|entry| {
            let Entry::Said { say, text } = entry else {
                return true;
            };
            if let Some(cut) = cut.iter().find(|cut| cut.say == *say) {
                text.clone_from(&cut.heard);
            }
            !text.is_empty()
        });
    }

    /// Puts the conversation into chat messages: what the agent said without anybody in between is
    /// one message, and the tools that it then called belong to it.
    pub(super) fn messages(&self) -> Vec<LlmMessage> {
        let mut messages: Vec<LlmMessage> = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            match entry {
                Entry::Heard(text) => messages.push(LlmMessage::new(LlmRole::User, text)),
                Entry::Said { text, .. } => {
                    let Some(said) = open(&mut messages) else {
                        continue;
                    };
                    if !said.content.is_empty() {
                        said.content.push(' ');
                    }
                    said.content.push_str(text);
                }
                Entry::Called(round) => {
                    if let Some(said) = open(&mut messages) {
                        said.tool_calls = round.iter().map(|c| c.call.clone()).collect();
                    }
                    messages.extend(round.iter().map(result));
                }
            }
        }
        messages
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

/// Lets the last message be one of the agent's that is still open.
fn open(messages: &mut Vec<LlmMessage>) -> Option<&mut LlmMessage> {
    let open = |last: &LlmMessage| last.role == LlmRole::Assistant && last.tool_calls.is_empty();
    if !messages.last().is_some_and(open) {
        messages.push(LlmMessage::new(LlmRole::Assistant, ""));
    }
    messages.last_mut()
}

fn result(called: &Called) -> LlmMessage {
    let text = called.result.as_deref().unwrap_or(UNANSWERED);
    let mut message = LlmMessage::new(LlmRole::Tool, text);
    message.tool_call_id = Some(called.call.id.clone());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> ToolCall {
        ToolCall {
            id: id.to_owned(),
            name: "stock".to_owned(),
            arguments: "{}".to_owned(),
        }
    }

    fn shape(memory: &Memory) -> Vec<(LlmRole, String)> {
        let messages = memory.messages().into_iter();
        messages.map(|m| (m.role, m.content)).collect()
    }

    fn said(text: &str) -> (LlmRole, String) {
        (LlmRole::Assistant, text.to_owned())
    }

    #[test]
    fn a_result_follows_its_call_whatever_was_said_meanwhile() {
        let mut memory = Memory::default();
        memory.heard("Is it in stock?");
        memory.said(SayId(1), "Let me look.");
        memory.called(vec![call("a"), call("a"), call("")]);
        memory.said(SayId(2), "Are you still there?");
        memory.heard("Yes.");
        memory.answered("a", "seven".to_owned());
        memory.answered("a", "eight".to_owned());
        let tool = |text: &str| (LlmRole::Tool, text.to_owned());
        let expected = [
            (LlmRole::User, "Is it in stock?".to_owned()),
            said("Let me look."),
            tool("seven"),
            tool("eight"),
            tool(UNANSWERED),
            said("Are you still there?"),
            (LlmRole::User, "Yes.".to_owned()),
        ];
        assert_eq!(shape(&memory), expected);
        let messages = memory.messages();
        assert_eq!(messages[1].tool_calls.len(), 3);
        let named = messages[1].tool_calls[2].id.clone();
        assert!(!named.is_empty());
        assert_eq!(messages[4].tool_call_id, Some(named));
    }

    #[test]
    fn a_cut_changes_the_texts_that_were_cut_and_no_other() {
        let mut memory = Memory::default();
        memory.said(SayId(1), "This call is recorded.");
        memory.said(SayId(2), "Let me look it up.");
        memory.called(vec![call("a")]);
        memory.answered("a", "seven".to_owned());
        memory.said(SayId(3), "There are seven.");
        let cut = |say, heard: &str| CutText {
            say: SayId(say),
            heard: heard.to_owned(),
        };
        memory.cut(&[cut(2, "Let me"), cut(3, ""), cut(9, "a word of patience")]);
        let expected = [
            said("This call is recorded. Let me"),
            (LlmRole::Tool, "seven".to_owned()),
        ];
        assert_eq!(shape(&memory), expected);
    }

    #[test]
    fn a_long_conversation_is_remembered_from_its_end() {
        let mut memory = Memory::default();
        for nth in 0..1_000 {
            memory.heard(&nth.to_string());
        }
        let messages = memory.messages();
        assert_eq!(messages.len(), MAX_ENTRIES);
        assert_eq!(messages.last().unwrap().content, "999");
    }
}
