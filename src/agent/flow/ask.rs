//! Asking for a value, and reading what is said or keyed.

use std::sync::Arc;

use jiff::Zoned;
use serde_json::Value;

use super::condition::Condition;
use super::definition::{Ask, Flow, Node};
use super::intents::{Intent, intent};
use super::run::{At, FlowRun, Step};
use super::slots::{
    self, Filled, Reading, SlotContext, SlotKind, read, read_digits, tokens, yes_no,
};
use crate::agent::{Completeness, Context};

/// One question in progress.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) node: String,
    /// The question as it was last put.
    pub(super) prompt: String,
    pub(super) tries: u32,
    pub(super) repeats: u32,
    pub(super) refusals: u32,
    pub(super) carry: Option<Value>,
    /// Understood, and read back to the caller.
    pub(super) unconfirmed: Option<Filled>,
}

impl Asking {
    pub(super) fn ask<'f>(&self, flow: &'f Flow) -> Option<&'f Ask> {
        match flow.nodes.get(&self.node) {
            Some(Node::Ask(ask)) => Some(ask),
            _ => None,
        }
    }

    pub(super) fn with_slot<T>(
        &self,
        run: &FlowRun,
        wall: &Zoned,
        then: impl FnOnce(&Ask, &SlotContext<'_>) -> T,
    ) -> Option<T> {
        let ask = self.ask(&run.flow)?;
        let cx = SlotContext {
            choices: &ask.choices,
            length: ask.length,
            carry: self.carry.as_ref(),
            ..run.slot_context(wall)
        };
        Some(then(ask, &cx))
    }

    pub(super) fn expecting(&self, run: &FlowRun) -> SlotKind {
        match self.ask(&run.flow) {
            Some(ask) if self.unconfirmed.is_none() => ask.grammar,
            _ => SlotKind::YesNo,
        }
    }

    pub(super) fn completeness(&self, run: &FlowRun, text: &str, wall: &Zoned) -> Completeness {
        if self.unconfirmed.is_some() {
            let grade = self.with_slot(run, wall, |_, cx| {
                slots::completeness(SlotKind::YesNo, text, cx)
            });
            // "No, it's …" goes on with half a value.
            if yes_no(text) != Some(false) || grade == Some(Completeness::Final) {
                return grade.unwrap_or(Completeness::Open);
            }
        }
        self.with_slot(run, wall, |ask, cx| {
            slots::completeness(ask.grammar, text, cx)
        })
        .unwrap_or(Completeness::Open)
    }

    pub(super) fn answers(&self, run: &FlowRun, text: &str, wall: &Zoned) -> bool {
        if self.unconfirmed.is_some() {
            return yes_no(text).is_some();
        }
        let filled = self.with_slot(run, wall, |ask, cx| {
            ask.grammar != SlotKind::Text
                && matches!(read(ask.grammar, text, cx), Reading::Filled(_))
        });
        filled.unwrap_or(false)
    }

    pub(super) fn digits_wanted(&self, run: &FlowRun) -> usize {
        let (Some(ask), None) = (self.ask(&run.flow), &self.unconfirmed) else {
            return 1;
        };
        digits_wanted(ask, &run.flow.country_code)
    }

    pub(super) fn silence_s(&self, run: &FlowRun) -> Option<f64> {
        self.ask(&run.flow)?.silence_s
    }
}

impl FlowRun {
    pub(super) fn enter_ask(&mut self, cx: &mut Context<'_>, name: &str, ask: &Ask) -> Step {
        let known = |when: &String| Condition::parse(when).is_ok_and(|c| c.holds(&self.variables));
        if let (true, Some(next)) = (ask.skip_when.as_ref().is_some_and(known), &ask.next) {
            return Step::To(next.clone());
        }
        let prompt = self.opening(ask.say.nth(0));
        let asking = Asking {
            node: name.to_owned(),
            prompt: self.render(cx.wall(), &prompt, &[]),
            tries: 0,
            repeats: 0,
            refusals: 0,
            carry: None,
            unconfirmed: None,
        };
        if let Some(filled) = self.said_ahead(cx.wall(), &asking) {
            self.understood(cx, asking, ask, filled);
            return Step::Stay;
        }
        let prompt = asking.prompt.clone();
        self.say(cx, &prompt);
        cx.wait();
        self.at = At::Ask(asking);
        Step::Stay
    }

    /// Takes the caller's words as an answer to a question.
    pub(super) fn answered(
        &mut self,
        cx: &mut Context<'_>,
        asking: Asking,
        text: &str,
        aside: bool,
    ) {
        let flow = Arc::clone(&self.flow);
        let Some(ask) = asking.ask(&flow) else {
            return self.broken(cx);
        };
        let free = ask.grammar == SlotKind::Text && asking.unconfirmed.is_none();
        let meant = self.meant(&asking, text, cx.wall(), free);
        match meant {
            Some(Intent::Goodbye) => self.goodbye(cx, asking),
            Some(Intent::Human) => self.human(cx, asking),
            _ if aside => self.at = At::Ask(asking),
            Some(intent) => self.aside(cx, asking, ask, intent),
            None => self.read_answer(cx, asking, ask, text),
        }
    }

    /// Finds an intent, unless the words are a plain answer to what was asked.
    fn meant(&self, asking: &Asking, text: &str, wall: &Zoned, free: bool) -> Option<Intent> {
        let intent = intent(text, free)?;
        let expected = asking.expecting(self);
        let closed = match intent {
            Intent::Hold => false,
            // "Yes, but can I talk to a person?"
            Intent::Human => expected == SlotKind::Choice,
            _ => matches!(expected, SlotKind::YesNo | SlotKind::Choice),
        };
        let answer = closed && asking.answers(self, text, wall);
        (!answer).then_some(intent)
    }

    fn read_answer(&mut self, cx: &mut Context<'_>, mut asking: Asking, ask: &Ask, text: &str) {
        if let Some(pending) = asking.unconfirmed.take() {
            return self.confirmed(cx, asking, ask, text, pending);
        }
        let wall = cx.wall().clone();
        let reading = asking.with_slot(self, &wall, |ask, scx| read(ask.grammar, text, scx));
        let reading = reading.unwrap_or(Reading::Nothing);
        if !matches!(reading, Reading::Filled(_)) {
            if let Some((filled, rest)) = self.first_of_two(&wall, &asking, text) {
                self.ahead = Some(rest);
                return self.understood(cx, asking, ask, filled);
            }
            if self.corrected_before(cx, &asking, text) {
                return;
            }
        }
        match reading {
            Reading::Filled(filled) => {
                self.ahead = self.rest_of(&wall, &asking, text);
                self.understood(cx, asking, ask, filled);
            }
            Reading::Partial {
                carry,
                spoken,
                missing,
            } => {
                self.half(cx, asking, ask, carry, &spoken, missing);
            }
            Reading::Nothing if declines(ask.grammar, text) => self.refused(cx, asking, ask),
            Reading::Nothing => self.again(cx, asking, ask),
        }
    }

    /// Takes pressed keys as an answer.
    pub(super) fn keyed(&mut self, cx: &mut Context<'_>, digits: &str) {
        let flow = Arc::clone(&self.flow);
        let mut asking = match std::mem::replace(&mut self.at, At::Over) {
            At::Ask(asking) => asking,
            other => {
                self.at = other;
                return;
            }
        };
        let Some(ask) = asking.ask(&flow) else {
            return self.broken(cx);
        };
        if let Some(pending) = asking.unconfirmed.take() {
            return match digits {
                "1" => self.accept(cx, ask, pending),
                "2" => self.confirmed(cx, asking, ask, "no", pending),
                _ => {
                    asking.unconfirmed = Some(pending);
                    self.again(cx, asking, ask);
                }
            };
        }
        let wall = cx.wall().clone();
        let reading = asking.with_slot(self, &wall, |ask, scx| {
            read_digits(ask.grammar, digits, scx)
        });
        match reading.unwrap_or(Reading::Nothing) {
            Reading::Filled(filled) => self.understood(cx, asking, ask, filled),
            Reading::Partial {
                carry,
                spoken,
                missing,
            } => {
                self.half(cx, asking, ask, carry, &spoken, missing);
            }
            Reading::Nothing => self.again(cx, asking, ask),
        }
    }
}

/// Says whether a bare "no" answers a question that asks for no yes or no: the caller would rather
/// not say.
fn declines(grammar: SlotKind, text: &str) -> bool {
    let open = matches!(grammar, SlotKind::YesNo | SlotKind::Choice | SlotKind::Text);
    !open && tokens(text).len() <= 4 && yes_no(text) == Some(false)
}

/// Says how many keys make a whole answer; longer entries end by `#` or a pause.
fn digits_wanted(ask: &Ask, country_code: &str) -> usize {
    match ask.grammar {
        SlotKind::YesNo => 1,
        SlotKind::Choice if ask.choices.len() < 10 => 1,
        SlotKind::Number => ask.length.unwrap_or(32),
        // A national number and its trunk prefix.
        SlotKind::Phone if country_code == "1" => 11,
        _ => 32,
    }
}
