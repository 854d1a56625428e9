//! A scripted caller: the other side's brain, which acts only on what it hears.

use std::time::Duration;

use serde::Deserialize;

use super::flow::{nearest, similar, tokens};
use super::{Context, Dialogue, Event, Variables};

/// How much unanswered speech is kept, in words.
const MAX_HEARD: usize = 200;

/// Describes a caller: what it says when it hears what.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerScript {
    /// The caller's name, for logs.
    pub name: String,
    /// The rules; the one with most words heard wins, the earlier one among equals.
    pub rule: Vec<CallerRule>,
    /// What it says into a long silence, in turn; then it hangs up.
    #[serde(default)]
    pub on_silence: Vec<String>,
    /// Seconds of silence before that.
    #[serde(default = "default_silence_s")]
    pub silence_s: f64,
}

/// Describes one thing that the caller reacts to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerRule {
    /// Phrases of which all words must be heard, in any order, with room for slips.
    pub hears: Vec<String>,
    /// What it says, each time the next; the last one stays. Nothing: it only listens.
    #[serde(default)]
    pub say: Vec<String>,
    /// Whether it hangs up after that.
    #[serde(default)]
    pub hang_up: bool,
}

/// Says what is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The text is no such script.
    #[error("{0}")]
    Syntax(String),
    /// A rule can never apply.
    #[error("rule {0}: `hears` has no words")]
    Deaf(usize),
}

impl CallerScript {
    /// Reads a script.
    ///
    /// # Errors
    /// Returns what is wrong, with the nearest valid key for an unknown one.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let script: Self = toml::from_str(text).map_err(|error| {
            let message = error.message();
            let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
            let hint = quoted
                .split_first()
                .and_then(|(w, valid)| nearest(w, valid.iter().copied()));
            let hint = hint
                .map(|n| format!("; did you mean `{n}`?"))
                .unwrap_or_default();
            ScriptError::Syntax(format!("{message}{hint}"))
        })?;
        for (at, rule) in script.rule.iter().enumerate() {
            if rule.hears.iter().all(|h| tokens(h).is_empty()) {
                return Err(ScriptError::Deaf(at + 1));
            }
        }
        Ok(script)
    }
}

fn default_silence_s() -> f64 {
    8.0
}

/// Plays a caller's script as a [`Dialogue`].
#[derive(Debug, Clone)]
pub struct ScriptedCaller {
    script: CallerScript,
    used: Vec<usize>,
    /// Words heard since it last said something.
    heard: Vec<String>,
    silences: usize,
    variables: Variables,
    outcome: &'static str,
}

impl ScriptedCaller {
    /// Makes a caller.
    pub fn new(script: CallerScript) -> Self {
        let used = vec![0; script.rule.len()];
        Self {
            script,
            used,
            heard: Vec::new(),
            silences: 0,
            variables: Variables::new(),
            outcome: "cut_off",
        }
    }

    fn hear(&mut self, cx: &mut Context<'_>, text: &str) {
        self.silences = 0;
        self.heard.extend(tokens(text));
        let surplus = self.heard.len().saturating_sub(MAX_HEARD);
        self.heard.drain(..surplus);
        let Some(at) = self.matching() else {
            cx.wait();
            return;
        };
        self.heard.clear();
        let (Some(rule), Some(used)) = (self.script.rule.get(at), self.used.get_mut(at)) else {
            return;
        };
        if let Some(say) = rule.say.get(*used).or(rule.say.last()) {
            cx.say(say);
        }
        *used += 1;
        if rule.hang_up {
            self.outcome = "completed";
            cx.end();
        } else {
            cx.wait();
        }
    }

    /// Finds the rule that the most words speak for.
    fn matching(&self) -> Option<usize> {
        let mut best: Option<(usize, usize)> = None;
        for (at, rule) in self.script.rule.iter().enumerate() {
            let score = rule
                .hears
                .iter()
                .filter_map(|h| self.score(h))
                .max()
                .unwrap_or(0);
            if score > best.map_or(0, |(_, score)| score) {
                best = Some((at, score));
            }
        }
        best.map(|(at, _)| at)
    }

    fn score(&self, phrase: &str) -> Option<usize> {
        let wanted = tokens(phrase);
        let all = !wanted.is_empty()
            && wanted
                .iter()
                .all(|w| self.heard.iter().any(|h| similar(h, w)));
        all.then_some(wanted.len())
    }

    fn silent(&mut self, cx: &mut Context<'_>) {
        match self.script.on_silence.get(self.silences) {
            Some(text) => {
                cx.say(text);
                cx.wait();
            }
            None => {
                self.outcome = "gave_up";
                cx.end();
            }
        }
        self.silences += 1;
    }
}

impl Dialogue for ScriptedCaller {
    fn handle(&mut self, cx: &mut Context<'_>, event: Event<'_>) {
        match event {
            Event::Heard { text, .. } => self.hear(cx, text),
            Event::Silence(_) => self.silent(cx),
            Event::CallLimit => {
                self.outcome = "call_limit";
                cx.end();
            }
            Event::HungUp if self.outcome == "cut_off" => self.outcome = "other_side_ended",
            // It speaks when spoken to.
            _ => {}
        }
    }

    fn fork(&self) -> Box<dyn Dialogue> {
        Box::new(self.clone())
    }

    fn variables(&self) -> &Variables {
        &self.variables
    }

    fn outcome(&self) -> String {
        self.outcome.to_owned()
    }

    fn silence_after(&self) -> Duration {
        Duration::try_from_secs_f64(self.script.silence_s.clamp(1.0, 600.0))
            .unwrap_or(Duration::from_secs(8))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Zoned;

    use super::*;
    use crate::agent::Act;

    const SCRIPT: &str = r#"
        name = "Jane"
        on_silence = ["Hello?"]
        [[rule]]
        hears = ["your name", "who am I speaking with"]
        say = ["My name is Jane Doe.", "It's Jane."]
        [[rule]]
        hears = ["name is Robin"]
        [[rule]]
        hears = ["goodbye", "have a great day"]
        say = ["Bye!"]
        hang_up = true
    "#;

    fn acts(caller: &mut ScriptedCaller, event: Event<'_>) -> Vec<Act> {
        let wall: Zoned = "2026-06-04T10:00:00+00:00[UTC]".parse().unwrap();
        let mut ids = 0;
        let mut cx = Context::new(wall, &mut ids);
        caller.handle(&mut cx, event);
        cx.into_acts()
    }

    fn says(caller: &mut ScriptedCaller, text: &str) -> Option<String> {
        let heard = Event::Heard { text, aside: false };
        acts(caller, heard).into_iter().find_map(|a| match a {
            Act::Say { text, .. } => Some(text),
            _ => None,
        })
    }

    #[test]
    fn it_answers_what_it_hears_even_garbled_and_in_pieces() {
        let mut jane = ScriptedCaller::new(CallerScript::parse(SCRIPT).unwrap());
        assert_eq!(says(&mut jane, "Thanks for calling."), None);
        assert_eq!(says(&mut jane, "May I have your"), None);
        assert_eq!(
            says(&mut jane, "nane please?").as_deref(),
            Some("My name is Jane Doe.")
        );
        assert_eq!(
            says(&mut jane, "Sorry, your name again?").as_deref(),
            Some("It's Jane.")
        );
        assert_eq!(
            says(&mut jane, "Thanks, Jane. Have a great day!").as_deref(),
            Some("Bye!")
        );
        assert_eq!(jane.outcome(), "completed");
    }

    #[test]
    fn it_gives_up_after_its_words_for_silence() {
        let mut jane = ScriptedCaller::new(CallerScript::parse(SCRIPT).unwrap());
        assert!(
            acts(&mut jane, Event::Silence(1))
                .iter()
                .any(|a| matches!(a, Act::Say { .. }))
        );
        assert_eq!(acts(&mut jane, Event::Silence(2)), [Act::End]);
    }

    #[test]
    fn a_wrong_key_is_mended() {
        let error = CallerScript::parse("name = 'x'\n[[rule]]\nhear = ['a']").unwrap_err();
        assert!(error.to_string().contains("hears"), "{error}");
    }
}
