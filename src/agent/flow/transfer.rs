//! A flow gives its call to a person.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::definition::{Node, Text};
use super::run::{At, FlowRun, Step};
use super::slots::{Reading, SlotKind, read};
use crate::agent::{Context, RequestFailure, RequestId, TransferRequest};

/// Gives the call to a person: the caller waits with music while their phone rings. Once they
/// answer and have heard the briefing, the two talk, and the flow is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Whom: a `[[user]]`'s name, or whatever a call may go to.
    pub to: String,
    /// What the caller is told first.
    #[serde(default)]
    pub say: Text,
    /// What the person is told first, before the caller hears them; left out: nothing.
    #[serde(default)]
    pub briefing: Option<String>,
    /// How long their phone rings, in seconds.
    #[serde(default = "default_ring_s")]
    pub ring_s: f64,
    /// The node when nobody takes the call.
    pub on_fail: String,
}

/// Describes a person to whom the LLM may give the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferTarget {
    /// What the model calls them.
    pub name: String,
    /// Whom: a `[[user]]`'s name, or whatever a call may go to.
    pub to: String,
    /// When the call should go to them.
    pub when: String,
    /// How long their phone rings, in seconds.
    #[serde(default = "default_ring_s")]
    pub ring_s: f64,
}

/// The longest briefing, in characters: half a minute of speech.
pub const MAX_BRIEFING: usize = 400;

fn default_ring_s() -> f64 {
    30.0
}

/// For how long a phone rings.
pub(super) fn ring(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(1.0, 300.0)).unwrap_or(Duration::from_secs(30))
}

impl FlowRun {
    pub(super) fn enter_transfer(
        &mut self,
        cx: &mut Context<'_>,
        name: &str,
        n: &Transfer,
    ) -> Step {
        let to = self.render(cx.wall(), &n.to, &[]);
        if to.trim().is_empty() {
            return Step::To(n.on_fail.clone());
        }
        let briefing = self.render(cx.wall(), n.briefing.as_deref().unwrap_or_default(), &[]);
        self.say_nth(cx, &n.say, 0);
        let request = cx.transfer(TransferRequest {
            id: RequestId(0),
            to: to.trim().to_owned(),
            ring: ring(n.ring_s),
            briefing: briefing.chars().take(MAX_BRIEFING).collect(),
        });
        self.at = At::Transfer {
            node: name.to_owned(),
            request,
        };
        Step::Stay
    }

    /// The caller speaks before anybody is called: only a "no" calls it off.
    pub(super) fn heard_before_transfer(
        &mut self,
        cx: &mut Context<'_>,
        node: String,
        request: RequestId,
        text: &str,
    ) {
        let slot = self.slot_context(cx.wall());
        let refuses = match read(SlotKind::YesNo, text, &slot) {
            Reading::Filled(filled) => filled.value == false,
            _ => false,
        };
        let flow = Arc::clone(&self.flow);
        match flow.nodes.get(&node) {
            Some(Node::Transfer(n)) if refuses => {
                cx.cancel(request);
                self.go(cx, &n.on_fail);
            }
            _ => self.at = At::Transfer { node, request },
        }
    }

    /// Nobody took the call: the flow, or its LLM, goes on with the caller.
    pub(super) fn not_transferred(
        &mut self,
        cx: &mut Context<'_>,
        id: RequestId,
        why: &RequestFailure,
    ) {
        tracing::debug!(%why, "nobody took the call");
        if matches!(self.at, At::Llm(_)) {
            return self.tool_answered(cx, id, &format!("error: nobody took the call: {why}"));
        }
        let At::Transfer { node, request } = &self.at else {
            return;
        };
        if *request != id {
            return;
        }
        let flow = Arc::clone(&self.flow);
        match flow.nodes.get(node) {
            Some(Node::Transfer(n)) => self.go(cx, &n.on_fail),
            _ => self.broken(cx),
        }
    }
}
