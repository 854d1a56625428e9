//! What comes of an answer: taken, read back, corrected, completed, or asked for again.

use jiff::Zoned;
use serde_json::{Value, json};

use super::ask::Asking;
use super::definition::Ask;
use super::phrases::hint;
use super::run::{At, FlowRun};
use super::slots::{Filled, Missing, Reading, SlotContext, SlotKind, read, yes_no};
use crate::agent::Context;

impl FlowRun {
    pub(super) fn understood(
        &mut self,
        cx: &mut Context<'_>,
        mut asking: Asking,
        ask: &Ask,
        filled: Filled,
    ) {
        let Some(confirm) = &ask.confirm else {
            self.answered_node = Some(asking.node);
            return self.accept(cx, ask, filled);
        };
        self.ahead = None;
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
    pub(super) fn confirmed(
        &mut self,
        cx: &mut Context<'_>,
        mut asking: Asking,
        ask: &Ask,
        text: &str,
        pending: Filled,
    ) {
        let answer = yes_no(text);
        if answer == Some(true) {
            self.answered_node = None;
            return self.accept(cx, ask, pending);
        }
        let correction = without_refusal(text);
        let reading = self.corrected(cx.wall(), &asking, &correction, &pending);
        match reading {
            Reading::Filled(other) if other.value == pending.value && answer.is_none() => {
                self.accept(cx, ask, pending);
            }
            Reading::Filled(other)
                if other.value != pending.value && ask.grammar != SlotKind::Text =>
            {
                self.understood(cx, asking, ask, other);
            }
            Reading::Partial {
                carry,
                spoken,
                missing,
            } if answer == Some(false) => {
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

    /// Reads a correction of what was read back. Half a value leaves the other half as it was:
    /// "no, at four", "no, gmail dot com".
    fn corrected(&self, wall: &Zoned, asking: &Asking, said: &str, pending: &Filled) -> Reading {
        let with = |carry: Option<&Value>| {
            let reading = asking.with_slot(self, wall, |ask, scx| {
                let scx = SlotContext { carry, ..*scx };
                read(ask.grammar, said, &scx)
            });
            reading.unwrap_or(Reading::Nothing)
        };
        let fresh = with(None);
        if !matches!(fresh, Reading::Partial { .. } | Reading::Nothing) {
            return fresh;
        }
        let kind = asking.ask(&self.flow).map(|ask| ask.grammar);
        let value = pending.value.as_str().unwrap_or_default();
        let (local, domain) = value.split_once('@').unwrap_or((value, ""));
        let rest = match (kind, &fresh) {
            (Some(SlotKind::DateTime), Reading::Partial { .. }) => pending.halves(),
            (Some(SlotKind::Email), _) => json!(local),
            _ => return fresh,
        };
        match (with(Some(&rest)), fresh) {
            (Reading::Filled(whole), _) => Reading::Filled(whole),
            // "No, jane dot dough": the domain stays.
            (
                _,
                Reading::Partial {
                    carry,
                    missing: Missing::Domain,
                    ..
                },
            ) => {
                let local = carry.as_str().unwrap_or_default();
                let whole = format!("{local}@{domain}");
                asking
                    .with_slot(self, wall, |_, scx| read(SlotKind::Email, &whole, scx))
                    .unwrap_or(Reading::Nothing)
            }
            (_, fresh) => fresh,
        }
    }

    pub(super) fn accept(&mut self, cx: &mut Context<'_>, ask: &Ask, filled: Filled) {
        let yes = filled.value.as_bool();
        self.store(ask, filled);
        let branch = match yes {
            Some(true) => ask.on_yes.as_ref(),
            Some(false) => ask.on_no.as_ref(),
            None => None,
        };
        match branch.or(ask.next.as_ref()) {
            Some(next) => self.go(cx, &next.clone()),
            None => self.broken(cx),
        }
        // What was said ahead counts for the next question only.
        self.ahead = None;
    }

    /// Keeps a value under its slot's names.
    pub(super) fn store(&mut self, ask: &Ask, filled: Filled) {
        let slot = &ask.slot;
        self.variables
            .insert(format!("{slot}_spoken"), filled.spoken);
        for (suffix, value) in filled.extras {
            self.variables.insert(format!("{slot}_{suffix}"), value);
        }
        self.variables.insert(slot.clone(), filled.value);
    }

    /// Half a value: asks for the rest of it.
    pub(super) fn half(
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
    pub(super) fn again(&mut self, cx: &mut Context<'_>, mut asking: Asking, ask: &Ask) {
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

    pub(super) fn give_up(&mut self, cx: &mut Context<'_>, ask: &Ask) {
        match &ask.on_fail {
            Some(target) => self.go(cx, &target.clone()),
            None => {
                let phrase = self.flow.phrases.broken.clone();
                self.farewell(cx, &phrase, "not_understood");
            }
        }
    }
}

/// Strips the "no, that's wrong" from a correction.
pub(super) fn without_refusal(text: &str) -> String {
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
