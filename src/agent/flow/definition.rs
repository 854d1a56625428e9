//! The shape of a flow file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::phrases::Phrases;
use super::slots::{Choice, SlotKind};
use super::transfer::{Transfer, TransferTarget};

/// Describes a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// The flow's name.
    pub name: String,
    /// What the flow is for.
    #[serde(default)]
    pub description: String,
    /// The node to begin with.
    pub start: String,
    /// Variables' values before anything was said; a call's own variables win.
    #[serde(default)]
    pub variables: BTreeMap<String, Value>,
    /// The calling code that national phone numbers get, without "+".
    #[serde(default = "default_country_code")]
    pub country_code: String,
    /// The currency of sums that name none, ISO 4217.
    #[serde(default = "default_currency")]
    pub currency: String,
    /// The time zone that dates are meant in (IANA name); left out: the switch's.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// What happens when the caller says nothing.
    #[serde(default)]
    pub on_silence: OnSilence,
    /// The node to run, without speech, when the caller hangs up before an `end`.
    #[serde(default)]
    pub on_hangup: Option<String>,
    /// The node for a caller who says goodbye; left out: the agent says goodbye.
    #[serde(default)]
    pub on_goodbye: Option<String>,
    /// The node for a caller who asks for a person; left out: a call back is noted.
    #[serde(default)]
    pub on_human: Option<String>,
    /// Sentences that the engine itself says.
    #[serde(default)]
    pub phrases: Phrases,
    /// The nodes by name.
    pub nodes: BTreeMap<String, Node>,
}

/// Describes what happens when the caller says nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnSilence {
    /// Seconds of silence before the caller is spoken to again.
    pub after_s: f64,
    /// What is said before the question is repeated, in turn.
    pub say: Text,
    /// How often the caller is spoken to before giving up.
    pub max: u32,
    /// The node to give up with; left out: the agent says goodbye.
    pub goto: Option<String>,
}

impl Default for OnSilence {
    fn default() -> Self {
        Self {
            after_s: 8.0,
            say: Text::Many(vec![
                "Are you still there?".into(),
                "I can't hear you at the moment.".into(),
            ]),
            max: 2,
            goto: None,
        }
    }
}

/// Holds one text, or several of which each try takes the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Text {
    /// One text.
    One(String),
    /// Several texts.
    Many(Vec<String>),
}

impl Text {
    /// Returns the text for the `nth` time from 0; the last one stays.
    pub fn nth(&self, nth: usize) -> &str {
        match self {
            Self::One(text) => text,
            Self::Many(texts) => texts.get(nth).or(texts.last()).map_or("", String::as_str),
        }
    }

    /// Iterates over all texts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let texts = match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts.as_slice(),
        };
        texts.iter().map(String::as_str)
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Describes one step of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Node {
    /// Says something and goes on.
    Say(Say),
    /// Asks for a value.
    Ask(Box<Ask>),
    /// Goes where conditions say.
    Branch(Branch),
    /// Makes an HTTP request.
    Http(Box<HttpNode>),
    /// Books an appointment.
    Book(Book),
    /// Gives the call to a person.
    Transfer(Transfer),
    /// Lets an LLM lead the conversation.
    Llm(Box<Llm>),
    /// Says something and ends the call.
    End(End),
}

/// Says something and goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// What is said; may be left out where only `set` matters.
    #[serde(default)]
    pub say: Text,
    /// Whether the caller may cut it off.
    #[serde(default = "yes")]
    pub interruptible: bool,
    /// Variables to set first; texts are templates.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// The next node.
    pub next: String,
}

/// Asks for a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The question.
    pub say: Text,
    /// The question in other words, for each further try.
    #[serde(default)]
    pub reask: Text,
    /// The variable that takes the value; `<slot>_spoken` takes it as it is said.
    pub slot: String,
    /// How the answer is read.
    pub grammar: SlotKind,
    /// The possible answers of the `choice` grammar.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// The number of digits of a `number` that has a fixed length.
    #[serde(default)]
    pub length: Option<usize>,
    /// The question that reads the value back (`{{spoken}}`); left out: it is not confirmed.
    #[serde(default)]
    pub confirm: Option<Text>,
    /// How many answers are tried.
    #[serde(default = "default_tries")]
    pub max_tries: u32,
    /// Do not ask when this condition holds.
    #[serde(default)]
    pub skip_when: Option<String>,
    /// The node after a value (or a skip).
    #[serde(default)]
    pub next: Option<String>,
    /// The node after "yes", for the `yes_no` grammar.
    #[serde(default)]
    pub on_yes: Option<String>,
    /// The node after "no", for the `yes_no` grammar.
    #[serde(default)]
    pub on_no: Option<String>,
    /// The node after too many tries.
    #[serde(default)]
    pub on_fail: Option<String>,
    /// The node for a caller who would rather not say.
    #[serde(default)]
    pub on_refuse: Option<String>,
    /// Seconds of silence before the caller is spoken to again, for this question.
    #[serde(default)]
    pub silence_s: Option<f64>,
    /// Whether the call's recording goes on while this is asked and answered; false for what must
    /// not be on it, such as a card's number.
    #[serde(default = "yes")]
    pub record: bool,
}

/// Goes where conditions say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// The cases in order; the first that holds is taken.
    #[serde(default)]
    pub cases: Vec<Case>,
    /// The node when none holds.
    pub otherwise: String,
}

/// Leads to a node under a condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The condition, for example `caller_email is set and need contains 'roof'`.
    pub when: String,
    /// The node.
    pub goto: String,
}

/// Makes an HTTP request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpNode {
    /// The method.
    #[serde(default = "default_method")]
    pub method: String,
    /// The URL, or a path below the CRM's base URL; values are percent-encoded.
    pub url: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body: a table, whose texts are templates, or a template of JSON text.
    #[serde(default)]
    pub json: Option<Value>,
    /// A form body.
    #[serde(default)]
    pub form: Option<BTreeMap<String, String>>,
    /// Seconds the answer may take.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: f64,
    /// Variables to take from a JSON answer, by dotted path or JSON pointer.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// What is said meanwhile.
    #[serde(default)]
    pub say: Text,
    /// The node after a good answer.
    pub next: String,
    /// The node after a bad answer or none; left out: `next`.
    #[serde(default)]
    pub on_error: Option<String>,
}

/// Books an appointment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// The start, ISO 8601 with offset: usually a `date_time` slot's value.
    pub date_time: String,
    /// The appointment's type.
    #[serde(default = "default_kind")]
    pub appointment_type: String,
    /// Notes.
    #[serde(default)]
    pub notes: String,
    /// What is said meanwhile.
    #[serde(default)]
    pub say: Text,
    /// The node after the booking.
    pub next: String,
    /// The node when it failed; left out: `next`.
    #[serde(default)]
    pub on_error: Option<String>,
}

/// Lets an LLM lead the conversation until it takes an exit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Llm {
    /// The instructions.
    pub prompt: String,
    /// What is said first, without the model; left out: the model speaks first.
    #[serde(default)]
    pub say: Text,
    /// The built-in tools it may use.
    #[serde(default)]
    pub tools: Vec<LlmTool>,
    /// People to whom it may give the call.
    #[serde(default)]
    pub transfers: Vec<TransferTarget>,
    /// HTTP requests it may make.
    #[serde(default)]
    pub http_tools: Vec<HttpTool>,
    /// Variables it may set with `set_variable`.
    #[serde(default)]
    pub variables: Vec<LlmVariable>,
    /// Where it may go.
    #[serde(default)]
    pub exits: Vec<Exit>,
    /// The node when there is no LLM, or when it fails twice.
    #[serde(default)]
    pub on_error: Option<String>,
    /// The most turns of the caller here.
    #[serde(default = "default_turns")]
    pub max_turns: u32,
    /// Sampling temperature.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// The most tokens of one answer.
    #[serde(default = "default_max_tokens")]
    pub max_tokens: u32,
    /// Whether the call's recording goes on here.
    #[serde(default = "yes")]
    pub record: bool,
}

/// Names a built-in tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LlmTool {
    /// Ends the call.
    EndCall,
    /// Books an appointment.
    Book,
    /// Notes a variable.
    SetVariable,
}

/// Describes a variable that the LLM may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlmVariable {
    /// The name.
    pub name: String,
    /// What it holds.
    #[serde(default)]
    pub description: String,
}

/// Describes an HTTP request that the LLM may make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpTool {
    /// The tool's name, `[a-z0-9_]`.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The arguments and what they mean; templates use them as `{{name}}`.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The method.
    #[serde(default = "default_method")]
    pub method: String,
    /// The URL.
    pub url: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body: a table, whose texts are templates, or a template of JSON text.
    #[serde(default)]
    pub json: Option<Value>,
    /// A form body.
    #[serde(default)]
    pub form: Option<BTreeMap<String, String>>,
    /// Seconds the answer may take.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: f64,
}

/// Describes a way out of an LLM node; it becomes a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    /// The name.
    pub name: String,
    /// When to take it, in words.
    pub when: String,
    /// The node.
    pub goto: String,
}

/// Says something and ends the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// What is said.
    #[serde(default)]
    pub say: Text,
    /// The call's outcome.
    #[serde(default = "default_outcome")]
    pub outcome: String,
}

impl Node {
    /// Returns every node that may follow, each with the key that names it.
    pub fn targets(&self) -> Vec<(String, &str)> {
        let mut out: Vec<(String, &str)> = Vec::new();
        match self {
            Self::Say(n) => out.push(("next".into(), &n.next)),
            Self::Ask(n) => {
                for (key, target) in [
                    ("next", &n.next),
                    ("on_yes", &n.on_yes),
                    ("on_no", &n.on_no),
                    ("on_fail", &n.on_fail),
                    ("on_refuse", &n.on_refuse),
                ] {
                    out.extend(target.as_deref().map(|t| (key.to_owned(), t)));
                }
            }
            Self::Branch(n) => {
                for (at, case) in n.cases.iter().enumerate() {
                    out.push((format!("cases.{at}.goto"), &case.goto));
                }
                out.push(("otherwise".into(), &n.otherwise));
            }
            Self::Http(n) => {
                out.push(("next".into(), &n.next));
                out.extend(n.on_error.as_deref().map(|t| ("on_error".into(), t)));
            }
            Self::Book(n) => {
                out.push(("next".into(), &n.next));
                out.extend(n.on_error.as_deref().map(|t| ("on_error".into(), t)));
            }
            Self::Transfer(n) => out.push(("on_fail".into(), &n.on_fail)),
            Self::Llm(n) => {
                for (at, exit) in n.exits.iter().enumerate() {
                    out.push((format!("exits.{at}.goto"), &exit.goto));
                }
                out.extend(n.on_error.as_deref().map(|t| ("on_error".into(), t)));
            }
            Self::End(_) => {}
        }
        out
    }
}

fn yes() -> bool {
    true
}

fn default_country_code() -> String {
    "1".into()
}

fn default_currency() -> String {
    "USD".into()
}

fn default_tries() -> u32 {
    3
}

fn default_method() -> String {
    "POST".into()
}

fn default_timeout_s() -> f64 {
    5.0
}

fn default_kind() -> String {
    "call".into()
}

fn default_turns() -> u32 {
    40
}

fn default_max_tokens() -> u32 {
    300
}

fn default_outcome() -> String {
    "completed".into()
}
