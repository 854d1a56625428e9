//! Asking for a value: reading it, asking again, confirming, and what callers say instead.

use std::sync::Arc;

use jiff::Zoned;
use serde_json::Value;

use super::condition::Condition;
use super::definition::{Ask, Flow, Node};
use super::intents::{Intent, intent};
use super::phrases::hint;
use super::run::{At, FlowRun, Step};
use super::slots::{
    self, Filled, Missing, Reading, SlotContext, SlotKind, read, read_digits, yes_no,
};
use crate::agent::{Completeness, Context};

/// How often a question is repeated for "hello?" and "what?" before that counts as a try.
const MAX_REPEATS: u32 = 3;

/// One question in progress.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) node: String,
    /// The question as it was last put.
    pub(super) prompt: String,
    tries: u32,
    repeats: u32,
    refusals: u32,
    carry: Option<Value>,
    /// Understood, and read back to the caller.
    unconfirmed: Option<Filled>,
}

impl Asking {
    fn ask<'f>(&self, flow: &'f Flow) -> Option<&'f Ask> {
        match flow.nodes.get(&self.node) {
            Some(Node::Ask(ask)) => Some(ask),
            _ => None,
        }
    }

    fn with_slot<T>(
        &self,
        run: &FlowRun,
        wall: &Zoned,
        then: impl FnOnce(&Ask, &SlotContext<'_>) -> T,
    ) -> Option<T> {
        let ask = self.ask(&run.flow)?;
        let cx = SlotContext {
            wall,
            variables: &run.variables,
            choices: &ask.choices,
            country_code: &run.flow.country_code,
            currency: &run.flow.currency,
            length: ask.length,
            carry: self.carry.as_ref(),
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
        let prompt = self.render(cx.wall(), ask.say.nth(0), &[]);
        self.say(cx, &prompt);
        cx.wait();
        self.at = At::Ask(Asking {
            node: name.to_owned(),
            prompt,
            tries: 0,
            repeats: 0,
            refusals: 0,
            carry: None,
            unconfirmed: None,
        });
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
        let meant = self.meant(&asking, ask, text, cx.wall(), free);
        match meant {
            Some(Intent::Goodbye) => self.goodbye(cx, asking),
            Some(Intent::Human) => self.human(cx, asking),
            _ if aside => self.at = At::Ask(asking),
            Some(intent) => self.aside(cx, asking, ask, intent),
            None => self.read_answer(cx, asking, ask, text),
        }
    }

    /// Finds an intent, unless the words are a plain answer to what was asked.
    fn meant(
        &self,
        asking: &Asking,
        ask: &Ask,
        text: &str,
        wall: &Zoned,
        free: bool,
    ) -> Option<Intent> {
        let intent = intent(text, free)?;
        let closed = matches!(ask.grammar, SlotKind::YesNo | SlotKind::Choice);
        let answer = closed && intent != Intent::Hold && asking.answers(self, text, wall);
        (!answer).then_some(intent)
    }

    fn read_answer(&mut self, cx: &mut Context<'_>, mut asking: Asking, ask: &Ask, text: &str) {
        if let Some(pending) = asking.unconfirmed.take() {
            return self.confirmed(cx, asking, ask, text, pending);
        }
        let wall = cx.wall().clone();
        let reading = asking.with_slot(self, &wall, |ask, scx| read(ask.grammar, text, scx));
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

    fn understood(&mut self, cx: &mut Context<'_>, mut asking: Asking, ask: &Ask, filled: Filled) {
        let Some(confirm) = &ask.confirm else {
            return self.accept(cx, ask, filled);
        };
        let nth = usize::try_from(asking.tries).unwrap_or(0);
        let locals = [("spoken", filled.spoken.as_str())];
        asking.prompt = self.render(cx.wall(), confirm.nth(nth), &locals);
        asking.unconfirmed = Some(filled);
        let prompt = asking.prompt.clone();
        self.say(cx, &prompt);
        cx.wait();
        self.at = At::Ask(asking);
    }

    /// Takes the answer to a value that was read back: yes, no, or a correction.
    fn confirmed(
        &mut self,
        cx: &mut Context<'_>,
        mut asking: Asking,
        ask: &Ask,
        text: &str,
        pending: Filled,
    ) {
        let answer = yes_no(text);
        if answer == Some(true) {
            return self.accept(cx, ask, pending);
        }
        let wall = cx.wall().clone();
        let correction = without_refusal(text);
        let reading = asking.with_slot(self, &wall, |ask, scx| read(ask.grammar, &correction, scx));
        match reading {
            Some(Reading::Filled(other)) if other.value == pending.value && answer.is_none() => {
                self.accept(cx, ask, pending);
            }
            Some(Reading::Filled(other))
                if other.value != pending.value && ask.grammar != SlotKind::Text =>
            {
                self.understood(cx, asking, ask, other);
            }
            Some(Reading::Partial {
                carry,
                spoken,
                missing,
            }) if answer == Some(false) => {
                self.half(cx, asking, ask, carry, &spoken, missing);
            }
            _ if answer == Some(false) => {
                asking.tries += 1;
                let sorry = self.flow.phrases.corrected.clone();
                self.ask_again(cx, asking, ask, &sorry);
            }
            _ => {
                asking.unconfirmed = Some(pending);
                self.again(cx, asking, ask);
            }
        }
    }

    fn accept(&mut self, cx: &mut Context<'_>, ask: &Ask, filled: Filled) {
        let yes = filled.value.as_bool();
        self.variables
            .insert(format!("{}_spoken", ask.slot), filled.spoken);
        for (suffix, value) in filled.extras {
            self.variables
                .insert(format!("{}_{suffix}", ask.slot), value);
        }
        self.variables.insert(ask.slot.clone(), filled.value);
        let branch = match yes {
            Some(true) => ask.on_yes.as_ref(),
            Some(false) => ask.on_no.as_ref(),
            None => None,
        };
        match branch.or(ask.next.as_ref()) {
            Some(next) => self.go(cx, &next.clone()),
            None => self.broken(cx),
        }
    }

    /// Half a value: asks for the rest of it.
    fn half(
        &mut self,
        cx: &mut Context<'_>,
        mut asking: Asking,
        ask: &Ask,
        carry: Value,
        spoken: &str,
        missing: Missing,
    ) {
        asking.tries += 1;
        if asking.tries >= ask.max_tries.saturating_add(1) {
            return self.give_up(cx, ask);
        }
        asking.carry = (!carry.is_null()).then_some(carry);
        let phrase = self.flow.phrases.missing(missing).to_owned();
        asking.prompt = self.render(cx.wall(), &phrase, &[("spoken", &capital(&phrase, spoken))]);
        let prompt = asking.prompt.clone();
        self.say(cx, &prompt);
        cx.wait();
        self.at = At::Ask(asking);
    }

    /// Nothing understood: asks in other words, or gives up.
    fn again(&mut self, cx: &mut Context<'_>, mut asking: Asking, ask: &Ask) {
        asking.tries += 1;
        let nth = usize::try_from(asking.tries.saturating_sub(1)).unwrap_or(0);
        let sorry = self.flow.phrases.not_understood.nth(nth).to_owned();
        self.ask_again(cx, asking, ask, &sorry);
    }

    fn ask_again(&mut self, cx: &mut Context<'_>, mut asking: Asking, ask: &Ask, sorry: &str) {
        if asking.tries >= ask.max_tries {
            return self.give_up(cx, ask);
        }
        let sorry = self.render(cx.wall(), sorry, &[]);
        self.say(cx, &sorry);
        let nth = usize::try_from(asking.tries.saturating_sub(1)).unwrap_or(0);
        if asking.unconfirmed.is_none() {
            let other = ask.reask.nth(nth);
            let words = if other.is_empty() {
                ask.say.nth(nth)
            } else {
                other
            };
            asking.prompt = self.render(cx.wall(), words, &[]);
        }
        let prompt = asking.prompt.clone();
        self.say(cx, &prompt);
        if asking.tries >= 2 || ask.reask.iter().next().is_none() {
            let kind = asking.expecting(self);
            self.say(cx, hint(kind));
        }
        cx.wait();
        self.at = At::Ask(asking);
    }

    fn give_up(&mut self, cx: &mut Context<'_>, ask: &Ask) {
        match &ask.on_fail {
            Some(target) => self.go(cx, &target.clone()),
            None => {
                let phrase = self.flow.phrases.broken.clone();
                self.farewell(cx, &phrase, "not_understood");
            }
        }
    }

    /// Answers what the caller says instead of an answer.
    fn aside(&mut self, cx: &mut Context<'_>, mut asking: Asking, ask: &Ask, intent: Intent) {
        let phrases = self.flow.phrases.clone();
        match intent {
            Intent::Hold => {
                self.holding = true;
                let said = self.render(cx.wall(), &phrases.hold, &[]);
                self.say(cx, &said);
                cx.wait();
                self.at = At::Ask(asking);
            }
            Intent::Refuse => self.refused(cx, asking, ask),
            Intent::Repeat | Intent::Greeting | Intent::Identity => {
                asking.repeats += 1;
                if asking.repeats > MAX_REPEATS {
                    return self.again(cx, asking, ask);
                }
                let lead = match intent {
                    Intent::Repeat => phrases.repeat,
                    Intent::Identity => phrases.identity,
                    _ => String::new(),
                };
                let lead = self.render(cx.wall(), &lead, &[]);
                self.say(cx, &lead);
                let prompt = asking.prompt.clone();
                self.say(cx, &prompt);
                cx.wait();
                self.at = At::Ask(asking);
            }
            Intent::Goodbye => self.goodbye(cx, asking),
            Intent::Human => self.human(cx, asking),
        }
    }

    fn refused(&mut self, cx: &mut Context<'_>, mut asking: Asking, ask: &Ask) {
        asking.refusals += 1;
        match &ask.on_refuse {
            Some(target) => self.go(cx, &target.clone()),
            None if asking.refusals > 1 => self.give_up(cx, ask),
            None => self.again(cx, asking, ask),
        }
    }

    fn goodbye(&mut self, cx: &mut Context<'_>, _asking: Asking) {
        match self.flow.on_goodbye.clone() {
            Some(target) => self.go(cx, &target),
            None => {
                let phrase = self.flow.phrases.goodbye.clone();
                let noted = self.variables.text("outcome");
                let outcome = if noted.is_empty() {
                    "caller_ended"
                } else {
                    &noted
                };
                self.farewell(cx, &phrase, outcome);
            }
        }
    }

    fn human(&mut self, cx: &mut Context<'_>, mut asking: Asking) {
        self.variables.insert("callback_requested", true);
        if let Some(target) = self.flow.on_human.clone() {
            return self.go(cx, &target);
        }
        let flow = Arc::clone(&self.flow);
        asking.repeats += 1;
        if asking.repeats > MAX_REPEATS {
            let Some(ask) = asking.ask(&flow) else {
                return self.broken(cx);
            };
            return self.again(cx, asking, ask);
        }
        let said = self.render(cx.wall(), &flow.phrases.human, &[]);
        self.say(cx, &said);
        let prompt = asking.prompt.clone();
        self.say(cx, &prompt);
        cx.wait();
        self.at = At::Ask(asking);
    }

    /// The caller spoke and nothing could be made of it.
    pub(super) fn not_understood(&mut self, cx: &mut Context<'_>) {
        let flow = Arc::clone(&self.flow);
        match std::mem::replace(&mut self.at, At::Over) {
            At::Ask(asking) => match asking.ask(&flow) {
                Some(ask) => self.again(cx, asking, ask),
                None => self.broken(cx),
            },
            At::Llm(turn) => {
                self.at = At::Llm(turn);
                let said = self.render(cx.wall(), flow.phrases.not_understood.nth(0), &[]);
                self.say(cx, &said);
                cx.wait();
            }
            other => self.at = other,
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

/// Strips the "no, that's wrong" from a correction.
fn without_refusal(text: &str) -> String {
    const REFUSALS: [&str; 16] = [
        "no",
        "nope",
        "nah",
        "sorry",
        "actually",
        "wrong",
        "that's",
        "thats",
        "not",
        "right",
        "correct",
        "incorrect",
        "quite",
        "wait",
        "but",
        "it's",
    ];
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.peek() {
        let bare: String = word
            .chars()
            .filter(|c| c.is_alphanumeric() || *c == '\'')
            .collect();
        if !REFUSALS.contains(&bare.to_lowercase().as_str()) {
            break;
        }
        words.next();
    }
    words.collect::<Vec<_>>().join(" ")
}

/// Capitalises a value that begins a sentence.
fn capital(phrase: &str, spoken: &str) -> String {
    let starts = phrase.trim_start().starts_with("{{spoken}}");
    let mut chars = spoken.chars();
    match (starts, chars.next()) {
        (true, Some(first)) => first.to_uppercase().chain(chars).collect(),
        _ => spoken.to_owned(),
    }
}
