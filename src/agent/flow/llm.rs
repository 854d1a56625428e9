//! An LLM inside a flow: its stream becomes speech clause by clause, and it never leaves silence.

use std::sync::Arc;
use std::time::Duration;

use super::definition::{Flow, Llm, Node};
use super::llm_tools::{Pending, specs};
use super::run::{At, FlowRun, Step};
use crate::agent::clauses::ClauseSplitter;
use crate::agent::{
    Context, LlmEvent, LlmFailure, LlmMessage, LlmRequest, LlmRole, RequestId, ToolCall,
};

/// Tool rounds within one answer.
const MAX_ROUNDS: u32 = 6;
/// Tool calls within one round.
const MAX_CALLS: usize = 8;
/// The longest wait that a server's "retry after" is honoured.
const MAX_DELAY: Duration = Duration::from_secs(3);
/// The most text of one answer, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

const STYLE: &str = "You are speaking on a phone call. Answer in one or two short spoken \
    sentences, ask one question at a time, use no lists, markup or emoji, and never invent facts. \
    What the caller says comes from a speech recogniser and may be slightly wrong.";
const CUT_OFF: &str = "Your last answer was cut off by a technical fault. Continue it in one short \
    sentence without repeating what was already said.";

/// An LLM node in progress.
#[derive(Debug, Clone)]
pub(super) struct LlmTurn {
    pub(super) node: String,
    pub(super) request: Option<RequestId>,
    pub(super) calls: Vec<ToolCall>,
    pub(super) pending: Vec<Pending>,
    splitter: ClauseSplitter,
    /// Bytes of this answer so far.
    said: usize,
    retried: bool,
    rounds: u32,
    turns: u32,
}

impl LlmTurn {
    fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            request: None,
            calls: Vec::new(),
            pending: Vec::new(),
            splitter: ClauseSplitter::default(),
            said: 0,
            retried: false,
            rounds: 0,
            turns: 0,
        }
    }

    /// Abandons the answer in progress.
    pub(super) fn cancel(&mut self, cx: &mut Context<'_>) {
        if let Some(request) = self.request.take() {
            cx.cancel(request);
        }
        self.splitter = ClauseSplitter::default();
        self.calls.clear();
        self.said = 0;
    }

    pub(super) fn node<'f>(&self, flow: &'f Flow) -> Option<&'f Llm> {
        match flow.nodes.get(&self.node) {
            Some(Node::Llm(node)) => Some(node),
            _ => None,
        }
    }
}

impl FlowRun {
    pub(super) fn enter_llm(&mut self, cx: &mut Context<'_>, name: &str, n: &Llm) -> Step {
        if !self.options.llm {
            return match &n.on_error {
                Some(target) => Step::To(target.clone()),
                None => {
                    self.broken(cx);
                    Step::Stay
                }
            };
        }
        let mut turn = LlmTurn::new(name);
        let opening = self.opening(n.say.nth(0));
        if opening.is_empty() {
            self.request(cx, &mut turn, n, Duration::ZERO, None);
        } else {
            let said = self.render(cx.wall(), &opening, &[]);
            self.say(cx, &said);
            cx.wait();
        }
        self.at = At::Llm(Box::new(turn));
        Step::Stay
    }

    /// The caller spoke: asks the model for an answer.
    pub(super) fn llm_heard(&mut self, cx: &mut Context<'_>, mut turn: LlmTurn) {
        let flow = Arc::clone(&self.flow);
        let Some(n) = turn.node(&flow) else {
            return self.broken(cx);
        };
        turn.cancel(cx);
        self.drop_pending(cx, &mut turn);
        turn.turns += 1;
        if turn.turns > n.max_turns {
            return self.leave_llm(cx, n);
        }
        (turn.retried, turn.rounds) = (false, 0);
        self.request(cx, &mut turn, n, Duration::ZERO, None);
        self.at = At::Llm(Box::new(turn));
    }

    pub(super) fn request(
        &mut self,
        cx: &mut Context<'_>,
        turn: &mut LlmTurn,
        n: &Llm,
        delay: Duration,
        nudge: Option<&str>,
    ) {
        let prompt = self.render(cx.wall(), &n.prompt, &[]);
        let known: Vec<String> = self
            .variables
            .iter()
            // What a caller's header fields say is not for the instructions.
            .filter(|(name, _)| !name.ends_with("_spoken") && *name != "headers")
            .filter(|(name, _)| self.variables.is_set(name))
            .take(40)
            .map(|(name, _)| format!("{name}: {}", self.variables.text(name)))
            .collect();
        let now = cx.wall().strftime("%A, %d %B %Y, %H:%M %Z");
        let system = format!(
            "{prompt}\n\n{STYLE}\nIt is {now}.\nKnown so far:\n{}",
            known.join("\n")
        );
        let mut messages = vec![LlmMessage::new(LlmRole::System, system)];
        messages.extend(self.memory.messages());
        messages.extend(nudge.map(|text| LlmMessage::new(LlmRole::System, text)));
        turn.splitter = ClauseSplitter::default();
        turn.calls.clear();
        turn.said = 0;
        turn.request = Some(cx.llm(LlmRequest {
            id: RequestId(0),
            messages,
            tools: specs(n),
            temperature: n.temperature,
            max_tokens: Some(n.max_tokens),
            delay,
        }));
    }

    pub(super) fn llm_event(&mut self, cx: &mut Context<'_>, id: RequestId, event: LlmEvent) {
        let At::Llm(turn) = &mut self.at else { return };
        if turn.request != Some(id) {
            return;
        }
        match event {
            LlmEvent::Token(text) => {
                turn.said += text.len();
                if turn.said <= MAX_ANSWER {
                    let clauses = turn.splitter.push(&text);
                    for clause in clauses {
                        self.say(cx, &clause);
                    }
                }
            }
            LlmEvent::Working => {}
            LlmEvent::ToolCall(call) if turn.calls.len() < MAX_CALLS => turn.calls.push(call),
            LlmEvent::ToolCall(_) => {}
            LlmEvent::Done => self.llm_done(cx),
            LlmEvent::Failed(failure) => self.llm_failed(cx, &failure),
        }
    }

    fn llm_done(&mut self, cx: &mut Context<'_>) {
        let At::Llm(turn) = &mut self.at else { return };
        turn.request = None;
        let rest = turn.splitter.finish();
        let empty = turn.said == 0 && turn.calls.is_empty();
        if let Some(clause) = rest {
            self.say(cx, &clause);
        }
        if empty {
            // An answer of nothing is a failure: the caller must not hear silence.
            return self.llm_failed(cx, &LlmFailure::Bad("empty answer".to_owned()));
        }
        let At::Llm(turn) = &mut self.at else { return };
        turn.retried = false;
        let calls = std::mem::take(&mut turn.calls);
        if calls.is_empty() {
            cx.wait();
            return;
        }
        turn.rounds += 1;
        if turn.rounds > MAX_ROUNDS {
            return self.llm_failed(cx, &LlmFailure::Bad("endless tool calls".to_owned()));
        }
        self.run_tools(cx, calls);
    }

    /// The stream failed: says so, tries once more, then leaves the node by its `on_error`.
    fn llm_failed(&mut self, cx: &mut Context<'_>, failure: &LlmFailure) {
        tracing::warn!(%failure, "the LLM failed");
        let flow = Arc::clone(&self.flow);
        let At::Llm(turn) = &mut self.at else { return };
        let mut turn = (**turn).clone();
        turn.request = None;
        let rest = turn.splitter.finish();
        let partial = turn.said > 0;
        if let Some(clause) = rest.filter(|_| partial) {
            self.say(cx, &clause);
        }
        let Some(n) = turn.node(&flow) else {
            return self.broken(cx);
        };
        if turn.retried {
            return self.leave_llm(cx, n);
        }
        turn.retried = true;
        if !partial {
            let sorry = self.render(cx.wall(), &flow.phrases.trouble, &[]);
            // It is spoken, but it is no part of the conversation that the model sees.
            cx.say(sorry);
        }
        let delay = match failure {
            LlmFailure::RateLimited { retry_after } => {
                retry_after.unwrap_or(Duration::from_secs(1))
            }
            _ => Duration::ZERO,
        };
        let nudge = partial.then_some(CUT_OFF);
        self.request(cx, &mut turn, n, delay.min(MAX_DELAY), nudge);
        self.at = At::Llm(Box::new(turn));
    }

    fn leave_llm(&mut self, cx: &mut Context<'_>, n: &Llm) {
        match &n.on_error {
            Some(target) => self.go(cx, &target.clone()),
            None => self.broken(cx),
        }
    }
}
