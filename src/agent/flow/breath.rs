//! Two answers in one breath, and an answer that is mended after the next question was put.

use std::sync::Arc;

use jiff::Zoned;

use super::answer::without_refusal;
use super::ask::Asking;
use super::definition::Node;
use super::run::{At, FlowRun};
use super::slots::{Filled, Reading, SlotKind, read, tokens};
use crate::agent::Context;

/// What is certain enough to be taken as an answer that was not asked for yet.
const EVIDENT: [SlotKind; 3] = [SlotKind::Email, SlotKind::Phone, SlotKind::DateTime];

impl FlowRun {
    /// Returns what is left of an answer for the next question: "yes, tomorrow at three", "Jane
    /// Doe, jane at example dot com".
    pub(super) fn rest_of(&self, wall: &Zoned, asking: &Asking, text: &str) -> Option<String> {
        match asking.expecting(self) {
            SlotKind::YesNo => Some(text.to_owned()),
            SlotKind::Name => self.first_of_two(wall, asking, text).map(|(_, rest)| rest),
            _ => None,
        }
    }

    /// Reads the name from an answer that goes on with another value.
    pub(super) fn first_of_two(
        &self,
        wall: &Zoned,
        asking: &Asking,
        text: &str,
    ) -> Option<(Filled, String)> {
        if asking.expecting(self) != SlotKind::Name {
            return None;
        }
        let parts = parts(text);
        (1..parts.len()).rev().find_map(|at| {
            let (head, tail) = parts.split_at_checked(at)?;
            let (head, tail) = (head.concat(), tail.concat());
            let reading = asking.with_slot(self, wall, |ask, scx| read(ask.grammar, &head, scx));
            let filled = reading?.filled()?;
            self.is_evident(wall, asking, &tail)
                .then_some((filled, tail))
        })
    }

    fn is_evident(&self, wall: &Zoned, asking: &Asking, text: &str) -> bool {
        let whole = asking.with_slot(self, wall, |_, scx| {
            EVIDENT
                .iter()
                .any(|kind| matches!(read(*kind, text, scx), Reading::Filled(_)))
        });
        whole.unwrap_or(false)
    }

    /// Takes what was said before its question, if it answers it.
    pub(super) fn said_ahead(&mut self, wall: &Zoned, asking: &Asking) -> Option<Filled> {
        let ahead = self.ahead.take()?;
        let kind = asking.expecting(self);
        if !EVIDENT.contains(&kind) {
            return None;
        }
        asking
            .with_slot(self, wall, |_, scx| read(kind, &ahead, scx))?
            .filled()
    }

    /// Takes a correction of the answer before this question, and puts the question again: "What's
    /// your e-mail address?" "No, my name is Jayne." Says whether there was one.
    pub(super) fn corrected_before(
        &mut self,
        cx: &mut Context<'_>,
        asking: &Asking,
        text: &str,
    ) -> bool {
        const CUES: [&str; 6] = ["no", "sorry", "actually", "wait", "oh", "my"];
        let opens = tokens(text)
            .first()
            .is_some_and(|w| CUES.contains(&w.as_str()));
        let flow = Arc::clone(&self.flow);
        let before = self.answered_node.as_ref().filter(|_| opens);
        let Some(Node::Ask(before)) = before.and_then(|name| flow.nodes.get(name)) else {
            return false;
        };
        let correctable = matches!(
            before.grammar,
            SlotKind::Name | SlotKind::Phone | SlotKind::Email | SlotKind::DateTime
        );
        let said = without_refusal(text);
        let wall = cx.wall().clone();
        let reading = asking.with_slot(self, &wall, |_, scx| read(before.grammar, &said, scx));
        let Some(Reading::Filled(filled)) = reading.filter(|_| correctable) else {
            return false;
        };
        self.store(before, filled);
        let sorry = self.render(&wall, &flow.phrases.corrected, &[]);
        self.say(cx, &sorry);
        let prompt = asking.prompt.clone();
        self.say(cx, &prompt);
        cx.wait();
        self.at = At::Ask(asking.clone());
        true
    }
}

/// Splits what was said where one value may end and the next begin; the parts keep their marks.
fn parts(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut fresh = true;
    for word in text.split_whitespace() {
        let joint = matches!(word.to_lowercase().as_str(), "and" | "my");
        match out.last_mut().filter(|_| !(fresh || joint)) {
            Some(last) => {
                last.push_str(word);
                last.push(' ');
            }
            None => out.push(format!("{word} ")),
        }
        fresh = word.ends_with([',', '.', ';', '!', '?']);
    }
    out
}
