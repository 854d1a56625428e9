//! Sentences that the engine says by itself; a flow may replace each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::definition::Text;
use super::slots::{Missing, SlotKind};

/// Holds the engine's own sentences; `{{spoken}}` is the value in question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Phrases {
    /// Before a question is asked again.
    pub not_understood: Text,
    /// Before a question is repeated because the caller asked.
    pub repeat: String,
    /// To a caller who needs a moment.
    pub hold: String,
    /// To a caller who wants a person.
    pub human: String,
    /// To a caller who asks whom they are talking to.
    pub identity: String,
    /// To a caller who would rather speak another language.
    pub language: String,
    /// To a caller who swears.
    pub upset: String,
    /// After a caller rejects what was understood.
    pub corrected: String,
    /// To a caller who says goodbye.
    pub goodbye: String,
    /// To a caller who stays silent.
    pub no_answer: String,
    /// While a request takes its time.
    pub still_waiting: String,
    /// When the LLM fails the first time.
    pub trouble: String,
    /// When nothing works any more.
    pub broken: String,
    /// When the longest call is reached.
    pub call_limit: String,
    /// When a day is known and the time is not.
    pub missing_time: String,
    /// When a time is known and the day is not.
    pub missing_day: String,
    /// When the caller names a time in the past.
    pub past: String,
    /// When a phone number is not whole.
    pub missing_digits: String,
    /// When an address lacks what follows the at sign.
    pub missing_domain: String,
}

impl Default for Phrases {
    fn default() -> Self {
        Self {
            not_understood: Text::Many(vec![
                "Sorry, I didn't catch that.".into(),
                "I'm sorry, I still didn't get it.".into(),
            ]),
            repeat: "Sure.".into(),
            hold: "Of course, take your time.".into(),
            human: "I'm sorry, I can't put you through right now. I've noted that you would like \
                    a call back from a person."
                .into(),
            identity: "I'm an automated assistant.".into(),
            language: "I'm sorry, I only speak English.".into(),
            upset: "I'm sorry that this is annoying. If you would like a person to call you back, \
                    just say so."
                .into(),
            corrected: "Sorry about that.".into(),
            goodbye: "Thank you for calling. Goodbye!".into(),
            no_answer: "I can't hear you, so I'll hang up now. Please call again any time. \
                        Goodbye!"
                .into(),
            still_waiting: "One moment please, I'm still on it.".into(),
            trouble: "Sorry, one moment.".into(),
            broken: "I'm sorry, something went wrong on our side. We will call you back. Goodbye!"
                .into(),
            call_limit: "I'm sorry, I have to end the call here. Thank you for calling. Goodbye!"
                .into(),
            missing_time: "And what time {{spoken}} works for you?".into(),
            missing_day: "And on which day, at {{spoken}}?".into(),
            past: "{{spoken}} has already passed. Which day and time would work for you?".into(),
            missing_digits: "I got {{spoken}}, which is not a whole phone number. Could you give \
                             me all of it, with the area code?"
                .into(),
            missing_domain: "I got {{spoken}}. And what comes after the at sign?".into(),
        }
    }
}

impl Phrases {
    /// Returns the sentence that asks for what is missing.
    pub fn missing(&self, missing: Missing) -> &str {
        match missing {
            Missing::Time => &self.missing_time,
            Missing::Day => &self.missing_day,
            Missing::Future => &self.past,
            Missing::Digits => &self.missing_digits,
            Missing::Domain => &self.missing_domain,
        }
    }
}

/// Returns what helps a caller whose answer was not understood twice.
pub(super) fn hint(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Email => {
            "Please say it slowly, letter by letter if you like: for example, j o e, at, g mail \
             dot com."
        }
        SlotKind::Phone => "You can say the digits one by one, or key them in, then press pound.",
        SlotKind::YesNo => "Please say yes or no, or press one for yes and two for no.",
        SlotKind::DateTime => "For example: tomorrow at three in the afternoon.",
        SlotKind::Date => "For example: next Tuesday, or June the fifth.",
        SlotKind::Number => "You can say the number, or key it in and press pound.",
        SlotKind::Money => "A rough figure is fine, for example four hundred thousand.",
        SlotKind::TimeSpan => "A rough idea is fine, for example two to three months.",
        SlotKind::Name => "You can also spell it.",
        SlotKind::Choice | SlotKind::Text => "",
    }
}
