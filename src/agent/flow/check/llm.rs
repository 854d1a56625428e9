//! What is checked of an LLM node, and of the people to whom a call may be given.

use super::Checker;
use crate::agent::flow::definition::{Llm, LlmTool};

impl Checker<'_> {
    pub(super) fn llm(&mut self, name: &str, n: &Llm) {
        let at = Some(name);
        self.template(at, "prompt", &n.prompt);
        self.texts(at, "say", &n.say);
        if n.on_error.is_none() {
            self.warning(
                at,
                "on_error",
                "is missing: without an LLM the call ends with an apology",
            );
        }
        if n.exits.is_empty() && !n.tools.contains(&LlmTool::EndCall) {
            self.warning(
                at,
                "exits",
                "are missing, and so is the `end_call` tool: there is no way out",
            );
        }
        for (i, target) in n.transfers.iter().enumerate() {
            self.transfer(name, &format!("transfers.{i}."), &target.to, target.ring_s);
            let key = |field: &str| format!("transfers.{i}.{field}");
            self.template(at, &key("to"), &target.to);
            let mut others = n.transfers.iter().take(i);
            if others.any(|other| other.name == target.name) {
                self.error(at, &key("name"), "is used twice");
            }
            for (field, text) in [("name", &target.name), ("when", &target.when)] {
                if text.trim().is_empty() {
                    self.error(at, &key(field), "is empty: the model chooses by it");
                }
            }
        }
        for (i, tool) in n.http_tools.iter().enumerate() {
            self.request(name, &tool.method, &tool.url, tool.timeout_s);
            let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if tool.name.is_empty() || !tool.name.chars().all(valid) {
                self.error(
                    at,
                    &format!("http_tools.{i}.name"),
                    "must be of a to z, 0 to 9 and _",
                );
            }
        }
    }

    pub(super) fn transfer(&mut self, name: &str, place: &str, to: &str, ring_s: f64) {
        if to.trim().is_empty() {
            let key = format!("{place}to");
            self.error(Some(name), &key, "is empty: whom does the call go to?");
        }
        if !(1.0..=300.0).contains(&ring_s) {
            let key = format!("{place}ring_s");
            self.error(Some(name), &key, "must be between 1 and 300 seconds");
        }
    }
}
