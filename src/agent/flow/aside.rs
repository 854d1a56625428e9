//! What callers say instead of an answer, and what they are told.

use std::sync::Arc;

use super::ask::Asking;
use super::definition::Ask;
use super::intents::Intent;
use super::run::{At, FlowRun};
use crate::agent::Context;

/// How often a question is repeated for "hello?" and "what?" before that counts as a try.
const MAX_REPEATS: u32 = 3;

impl FlowRun {
    /// Answers what the caller says instead of an answer.
    pub(super) fn aside(
        &mut self,
        cx: &mut Context<'_>,
        mut asking: Asking,
        ask: &Ask,
        intent: Intent,
    ) {
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
            Intent::Repeat
            | Intent::Greeting
            | Intent::Identity
            | Intent::Language
            | Intent::Anger => {
                asking.repeats += 1;
                if asking.repeats > MAX_REPEATS {
                    return self.again(cx, asking, ask);
                }
                let lead = match intent {
                    Intent::Repeat => phrases.repeat,
                    Intent::Identity => phrases.identity,
                    Intent::Language => phrases.language,
                    Intent::Anger => phrases.upset,
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

    pub(super) fn refused(&mut self, cx: &mut Context<'_>, mut asking: Asking, ask: &Ask) {
        asking.refusals += 1;
        match &ask.on_refuse {
            Some(target) => self.go(cx, &target.clone()),
            None if asking.refusals > 1 => self.give_up(cx, ask),
            None => self.again(cx, asking, ask),
        }
    }

    pub(super) fn goodbye(&mut self, cx: &mut Context<'_>, _asking: Asking) {
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

    pub(super) fn human(&mut self, cx: &mut Context<'_>, mut asking: Asking) {
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
}
