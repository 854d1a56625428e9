//! Flows: conversations written down as TOML, run without a model or with an LLM inside.
//!
//! A [`Flow`] is a graph of nodes (say, ask, branch, http, book, transfer, llm, end). [`load`] reads and
//! validates one, [`check`] reports everything that is wrong with one, [`FlowRun`] plays one.

mod answer;
mod aside;
mod ask;
mod breath;
mod check;
mod condition;
mod definition;
mod effects;
mod intent_phrases;
mod intents;
mod llm;
mod llm_tools;
mod load;
mod memory;
mod nearest;
mod person;
mod phrases;
mod run;
mod slots;
mod template;
mod transfer;

pub use self::check::{Problem, Severity, check, check_flow};
pub use self::condition::Condition;
pub use self::definition::{
    Ask, Book, Branch, Case, End, Exit, Flow, HttpNode, HttpTool, Llm, LlmTool, LlmVariable, Node,
    OnSilence, Say, Text,
};
pub use self::load::{load, parse};
pub use self::nearest::nearest;
pub use self::phrases::Phrases;
pub use self::run::{FlowRun, RunOptions};
pub use self::slots::{
    Choice, Filled, Missing, Reading, SlotContext, SlotKind, completeness, read, read_digits,
};
pub(crate) use self::slots::{similar, tokens};
pub use self::template::{Mode, Scope, render};
pub use self::transfer::{MAX_BRIEFING, Transfer, TransferTarget};

/// Returns the JSON Schema of flow files, as committed in `config/flow.schema.json`.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Flow);
    schema.insert("title".to_owned(), "Offhook flow".into());
    schema.to_value()
}
