//! Playing a flow: from what the caller says to what happens next.

use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;

use super::ask::Asking;
use super::condition::Condition;
use super::definition::{End, Flow, Node, Say, Text};
use super::effects::fill;
use super::llm::LlmTurn;
use super::memory::Memory;
use super::slots::{SlotContext, SlotKind};
use super::template::{Mode, Scope, render};
use crate::agent::{
    Completeness, Context, CutText, Dialogue, DigitPlan, Event, RequestId, Variables,
};

/// Most nodes entered between two answers: more is a loop.
const MAX_STEPS: usize = 64;
/// Patience with a caller who asked for a moment.
const HOLD: Duration = Duration::from_secs(30);

/// Says what the flow may use, and what its agent was told to do otherwise than the flow says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunOptions {
    /// Whether an LLM is configured; without one an `llm` node goes to its `on_error` at once.
    pub llm: bool,
    /// A template that is said in place of the flow's first words: those of the first `say`,
    /// `ask` or `llm` node that speaks. An LLM that would begin by itself says it first.
    pub greeting: Option<String>,
    /// What is said before all else, to its end: that the call is recorded.
    pub announcement: Option<String>,
    /// How long the caller may be silent, in place of `on_silence.after_s`; a question's own
    /// longer `silence_s` still counts.
    pub silence_after: Option<Duration>,
    /// How many silences in a row end the call, in place of `on_silence.max` and one.
    pub max_silences: Option<u32>,
}

/// Where the conversation stands.
#[derive(Debug, Clone)]
pub(super) enum At {
    Start,
    Ask(Asking),
    Http { node: String, request: RequestId },
    Book { node: String, request: RequestId },
    Transfer { node: String, request: RequestId },
    Llm(Box<LlmTurn>),
    Over,
}

/// Says where a step leads.
pub(super) enum Step {
    /// To this node.
    To(String),
    /// Nowhere until something happens.
    Stay,
}

/// Plays one flow for one call.
#[derive(Debug, Clone)]
pub struct FlowRun {
    pub(super) flow: Arc<Flow>,
    pub(super) options: RunOptions,
    pub(super) variables: Variables,
    pub(super) at: At,
    pub(super) memory: Memory,
    outcome: Option<String>,
    /// The caller asked for a moment.
    pub(super) holding: bool,
    hung_up: bool,
    /// The rest of an answer that may answer the next question too.
    pub(super) ahead: Option<String>,
    /// The question that was answered last, if its value was not read back.
    pub(super) answered_node: Option<String>,
}

impl FlowRun {
    /// Starts a flow with a call's own variables.
    pub fn new(flow: Arc<Flow>, variables: &Variables, options: RunOptions) -> Self {
        let mut all: Variables = flow
            .variables
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        all.extend(variables);
        Self {
            flow,
            options,
            variables: all,
            at: At::Start,
            memory: Memory::default(),
            outcome: None,
            holding: false,
            hung_up: false,
            ahead: None,
            answered_node: None,
        }
    }

    /// What a grammar needs to know that is asked beside a question.
    pub(super) fn slot_context<'a>(&'a self, wall: &'a Zoned) -> SlotContext<'a> {
        SlotContext {
            wall,
            variables: &self.variables,
            choices: &[],
            country_code: &self.flow.country_code,
            currency: &self.flow.currency,
            length: None,
            carry: None,
        }
    }

    /// Renders a text for speech.
    pub(super) fn render(&self, wall: &Zoned, text: &str, locals: &[(&str, &str)]) -> String {
        let scope = Scope {
            variables: &self.variables,
            locals,
            wall,
        };
        render(text, &scope, Mode::Plain)
    }

    /// Says a text and remembers it.
    pub(super) fn say(&mut self, cx: &mut Context<'_>, text: &str) {
        self.say_as(cx, text, true);
    }

    fn say_as(&mut self, cx: &mut Context<'_>, text: &str, interruptible: bool) {
        if self.hung_up || text.trim().is_empty() {
            return;
        }
        let say = if interruptible {
            cx.say(text)
        } else {
            cx.say_firmly(text)
        };
        self.memory.said(say, text);
    }

    /// Says one of a node's texts.
    pub(super) fn say_nth(&mut self, cx: &mut Context<'_>, text: &Text, nth: usize) {
        let said = self.render(cx.wall(), text.nth(nth), &[]);
        self.say(cx, &said);
    }

    /// Enters nodes until one has to wait for something.
    pub(super) fn go(&mut self, cx: &mut Context<'_>, target: &str) {
        let flow = Arc::clone(&self.flow);
        let mut name = target.to_owned();
        for _ in 0..MAX_STEPS {
            let Some(node) = flow.nodes.get(&name) else {
                break;
            };
            match self.enter(cx, &name, node) {
                Step::To(next) => name = next,
                Step::Stay => return,
            }
        }
        tracing::warn!(flow = %flow.name, node = %name, "the flow loops or leads nowhere");
        self.broken(cx);
    }

    fn enter(&mut self, cx: &mut Context<'_>, name: &str, node: &Node) -> Step {
        match node {
            Node::Say(n) => self.enter_say(cx, n),
            Node::Branch(n) => {
                let holds =
                    |when: &str| Condition::parse(when).is_ok_and(|c| c.holds(&self.variables));
                let case = n.cases.iter().find(|c| holds(&c.when));
                Step::To(case.map_or(&n.otherwise, |c| &c.goto).clone())
            }
            Node::Http(n) => self.enter_http(cx, name, n),
            Node::End(n) => self.enter_end(cx, n),
            // What needs a caller cannot be done without one.
            Node::Ask(_) | Node::Llm(_) | Node::Book(_) | Node::Transfer(_) if self.hung_up => {
                self.at = At::Over;
                Step::Stay
            }
            Node::Ask(n) => self.enter_ask(cx, name, n),
            Node::Book(n) => self.enter_book(cx, name, n),
            Node::Transfer(n) => self.enter_transfer(cx, name, n),
            Node::Llm(n) => self.enter_llm(cx, name, n),
        }
    }

    fn enter_say(&mut self, cx: &mut Context<'_>, n: &Say) -> Step {
        for (name, value) in &n.set {
            let value = match fill(&self.variables, cx.wall(), value) {
                serde_json::Value::String(text) => text.trim().into(),
                other => other,
            };
            self.variables.insert(name.clone(), value);
        }
        if n.say.nth(0).trim().is_empty() {
            return Step::To(n.next.clone());
        }
        let said = self.opening(n.say.nth(0));
        let said = self.render(cx.wall(), &said, &[]);
        self.say_as(cx, &said, n.interruptible);
        Step::To(n.next.clone())
    }

    /// Returns the greeting for the first words of all, and afterwards the node's own text.
    pub(super) fn opening(&mut self, own: &str) -> String {
        self.options
            .greeting
            .take()
            .unwrap_or_else(|| own.to_owned())
    }

    fn enter_end(&mut self, cx: &mut Context<'_>, n: &End) -> Step {
        let outcome = self.render(cx.wall(), &n.outcome, &[]);
        self.say_nth(cx, &n.say, 0);
        self.finish(cx, &outcome);
        Step::Stay
    }

    /// Ends the conversation.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>, outcome: &str) {
        self.outcome.get_or_insert_with(|| outcome.to_owned());
        self.at = At::Over;
        if !self.hung_up {
            cx.end();
        }
    }

    /// Ends the conversation with an apology.
    pub(super) fn broken(&mut self, cx: &mut Context<'_>) {
        let phrase = self.flow.phrases.broken.clone();
        self.farewell(cx, &phrase, "failed");
    }

    pub(super) fn farewell(&mut self, cx: &mut Context<'_>, phrase: &str, outcome: &str) {
        let said = self.render(cx.wall(), phrase, &[]);
        self.say(cx, &said);
        self.finish(cx, outcome);
    }

    fn heard(&mut self, cx: &mut Context<'_>, text: &str, aside: bool) {
        self.memory.heard(text);
        self.holding = false;
        match std::mem::replace(&mut self.at, At::Over) {
            At::Ask(asking) => self.answered(cx, asking, text, aside),
            At::Llm(turn) => self.llm_heard(cx, *turn),
            At::Transfer { node, request } => self.heard_before_transfer(cx, node, request, text),
            // Nothing was asked: what runs goes on.
            other => self.at = other,
        }
    }

    fn silence(&mut self, cx: &mut Context<'_>, nth: u32) {
        self.holding = false;
        let flow = Arc::clone(&self.flow);
        if matches!(self.at, At::Over) {
            self.finish(cx, "completed");
            return;
        }
        let last = self
            .options
            .max_silences
            .unwrap_or(flow.on_silence.max.saturating_add(1));
        if nth >= last {
            match &flow.on_silence.goto {
                // The farewell of a caller who is still silent there is the last.
                Some(goto) if nth == last => {
                    self.cancel_pending(cx);
                    self.go(cx, goto);
                }
                _ => {
                    self.cancel_pending(cx);
                    self.farewell(cx, &flow.phrases.no_answer, "no_answer");
                }
            }
            return;
        }
        let nth = usize::try_from(nth.saturating_sub(1)).unwrap_or(0);
        self.say_nth(cx, &flow.on_silence.say, nth);
        if let At::Ask(asking) = &self.at {
            let prompt = asking.prompt.clone();
            self.say(cx, &prompt);
        }
        cx.wait();
    }

    fn hung_up(&mut self, cx: &mut Context<'_>) {
        self.cancel_pending(cx);
        self.hung_up = true;
        let over = matches!(self.at, At::Over);
        self.at = At::Over;
        let flow = Arc::clone(&self.flow);
        if let Some(node) = flow.on_hangup.as_deref().filter(|_| !over) {
            self.go(cx, node);
        }
    }

    fn cancel_pending(&mut self, cx: &mut Context<'_>) {
        if let At::Llm(turn) = &mut self.at {
            turn.cancel(cx);
        }
    }

    fn interrupted(&mut self, cx: &mut Context<'_>, cut: &[CutText]) {
        self.cancel_pending(cx);
        self.memory.cut(cut);
    }

    fn call_limit(&mut self, cx: &mut Context<'_>) {
        self.cancel_pending(cx);
        let phrase = self.flow.phrases.call_limit.clone();
        self.farewell(cx, &phrase, "call_limit");
    }
}

impl Dialogue for FlowRun {
    fn handle(&mut self, cx: &mut Context<'_>, event: Event<'_>) {
        match event {
            Event::Start => {
                if let Some(announcement) = self.options.announcement.take() {
                    self.say_as(cx, &announcement, false);
                }
                let start = self.flow.start.clone();
                self.go(cx, &start);
            }
            Event::Heard { text, aside } => self.heard(cx, text, aside),
            Event::NotUnderstood => self.not_understood(cx),
            Event::Digits(digits) => self.keyed(cx, digits),
            Event::Silence(nth) => self.silence(cx, nth),
            Event::StillWaiting => {
                let phrase = self.flow.phrases.still_waiting.clone();
                // It fills a silence, and is no part of the conversation that a model sees.
                let said = self.render(cx.wall(), &phrase, &[]);
                cx.say(said);
            }
            Event::Interrupted { cut } => self.interrupted(cx, cut),
            Event::Http(id, result) => self.http_answered(cx, id, result),
            Event::Llm(id, event) => self.llm_event(cx, id, event),
            Event::Booked(id, result) => self.booked(cx, id, result),
            Event::NotTransferred(id, why) => self.not_transferred(cx, id, &why),
            Event::CallLimit => self.call_limit(cx),
            Event::HungUp => self.hung_up(cx),
        }
    }

    fn fork(&self) -> Box<dyn Dialogue> {
        Box::new(self.clone())
    }

    fn variables(&self) -> &Variables {
        &self.variables
    }

    fn outcome(&self) -> String {
        let noted = self.variables.text("outcome");
        match (&self.outcome, noted.is_empty()) {
            (Some(outcome), _) => outcome.clone(),
            (None, false) => noted,
            (None, true) => "abandoned".to_owned(),
        }
    }

    fn expecting(&self) -> Option<SlotKind> {
        match &self.at {
            At::Ask(asking) => Some(asking.expecting(self)),
            At::Llm(turn) if turn.request.is_none() => Some(SlotKind::Text),
            _ => None,
        }
    }

    fn completeness(&self, text: &str, wall: &Zoned) -> Completeness {
        match &self.at {
            At::Ask(asking) => asking.completeness(self, text, wall),
            _ => Completeness::Open,
        }
    }

    fn answers(&self, text: &str, wall: &Zoned) -> bool {
        match &self.at {
            At::Ask(asking) => asking.answers(self, text, wall),
            _ => false,
        }
    }

    fn digits(&self) -> DigitPlan {
        let max = match &self.at {
            At::Ask(asking) => asking.digits_wanted(self),
            _ => 32,
        };
        DigitPlan { max }
    }

    fn records(&self) -> bool {
        match &self.at {
            At::Ask(asking) => asking.ask(&self.flow).is_none_or(|ask| ask.record),
            At::Llm(turn) => turn.node(&self.flow).is_none_or(|node| node.record),
            _ => true,
        }
    }

    fn silence_after(&self) -> Duration {
        let own = match &self.at {
            At::Ask(asking) => asking.silence_s(self),
            _ => None,
        };
        let patience = match (self.options.silence_after, own.map(seconds)) {
            (Some(told), own) => told.max(own.unwrap_or_default()),
            (None, Some(own)) => own,
            (None, None) => seconds(self.flow.on_silence.after_s),
        };
        if self.holding {
            patience.max(HOLD)
        } else {
            patience
        }
    }
}

/// Converts a file's seconds, within reason.
fn seconds(s: f64) -> Duration {
    Duration::try_from_secs_f64(s.clamp(1.0, 600.0)).unwrap_or(Duration::from_secs(8))
}
