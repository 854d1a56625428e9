//! Slot grammars: what people say when they are asked for something, read without a model.
//!
//! Every grammar takes a recogniser's transcript as it is (capitals, commas, "p.m.", digits or
//! words) and yields a [`Reading`].

mod choice;
mod clock_words;
mod date_time;
mod date_words;
mod day_words;
mod email;
mod email_domain;
mod email_spelling;
mod money;
mod name;
mod number;
mod phone;
mod text;
mod time_span;
mod words;
mod yes_no;

use jiff::Zoned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::choice::Choice;
pub(crate) use self::words::{similar, tokens};
pub(crate) use self::yes_no::yes_no;
use crate::agent::{Completeness, Variables};

/// Names a slot's grammar.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// A person's name.
    Name,
    /// An e-mail address, spoken or spelled.
    Email,
    /// A phone number, spoken or keyed.
    Phone,
    /// Yes or no; key 1 is yes, key 2 is no.
    YesNo,
    /// A day and a time in the future.
    DateTime,
    /// A day in the future.
    Date,
    /// A number, in words or digits.
    Number,
    /// A sum of money or a range of it.
    Money,
    /// A span of time from now, or a range of it.
    TimeSpan,
    /// One of the listed choices.
    Choice,
    /// Anything.
    Text,
}

/// Gives a grammar what it needs to know.
#[derive(Debug, Clone, Copy)]
pub struct SlotContext<'a> {
    /// The time in the conversation's zone.
    pub wall: &'a Zoned,
    /// What is known already.
    pub variables: &'a Variables,
    /// The choices of [`SlotKind::Choice`].
    pub choices: &'a [Choice],
    /// The calling code that a national phone number gets.
    pub country_code: &'a str,
    /// The currency of a sum that names none.
    pub currency: &'a str,
    /// The number of digits that a [`SlotKind::Number`] has, if that is fixed.
    pub length: Option<usize>,
    /// What an earlier answer gave of the value.
    pub carry: Option<&'a Value>,
}

/// Holds a value that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// The value, as it is stored and sent.
    pub value: Value,
    /// The value as it is said.
    pub spoken: String,
    /// Further values, by the suffix of their variable's name.
    pub extras: Vec<(&'static str, Value)>,
}

impl Filled {
    fn new(value: impl Into<Value>, spoken: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            spoken: spoken.into(),
            extras: Vec::new(),
        }
    }

    /// Returns a moment's day and time as [`SlotContext::carry`] takes them.
    pub(super) fn halves(&self) -> Value {
        let extra = |name: &str| self.extras.iter().find(|(n, _)| *n == name).map(|(_, v)| v);
        serde_json::json!({"day": extra("date"), "time": extra("time")})
    }
}

/// Says what is missing from half a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A day is known, the time is not.
    Time,
    /// A time is known, the day is not.
    Day,
    /// What was said lies in the past.
    Future,
    /// A phone number has too few or too many digits.
    Digits,
    /// An address has no recognisable domain.
    Domain,
}

/// Holds what a grammar understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A whole value.
    Filled(Filled),
    /// Half a value.
    Partial {
        /// What to pass as [`SlotContext::carry`] with the next answer.
        carry: Value,
        /// What was understood, as it is said.
        spoken: String,
        /// What is missing.
        missing: Missing,
    },
    /// Nothing.
    Nothing,
}

impl Reading {
    /// Returns the whole value, if there is one.
    pub fn filled(self) -> Option<Filled> {
        match self {
            Self::Filled(filled) => Some(filled),
            _ => None,
        }
    }
}

/// Reads a transcript.
pub fn read(kind: SlotKind, said: &str, cx: &SlotContext<'_>) -> Reading {
    match kind {
        SlotKind::Name => name::read(said),
        SlotKind::Email => email::read(said, cx),
        SlotKind::Phone => phone::read(said, cx),
        SlotKind::YesNo => yes_no::read(said),
        SlotKind::DateTime => date_time::read(said, cx, true),
        SlotKind::Date => date_time::read(said, cx, false),
        SlotKind::Number => number::read(said, cx),
        SlotKind::Money => money::read(said, cx),
        SlotKind::TimeSpan => time_span::read(said, cx),
        SlotKind::Choice => choice::read(said, cx.choices),
        SlotKind::Text => text::read(said),
    }
}

/// Reads pressed keys.
pub fn read_digits(kind: SlotKind, digits: &str, cx: &SlotContext<'_>) -> Reading {
    match kind {
        SlotKind::YesNo => match digits {
            "1" => Reading::Filled(yes_no::filled(true)),
            "2" => Reading::Filled(yes_no::filled(false)),
            _ => Reading::Nothing,
        },
        SlotKind::Choice => {
            let index = digits.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            let choice = index.and_then(|n| cx.choices.get(n));
            choice.map_or(Reading::Nothing, |c| Reading::Filled(c.filled()))
        }
        SlotKind::Phone => phone::read(digits, cx),
        SlotKind::Number | SlotKind::Money => number::read(&digits.replace('*', "."), cx),
        _ => Reading::Nothing,
    }
}

/// Grades an answer that may still go on.
pub fn completeness(kind: SlotKind, said: &str, cx: &SlotContext<'_>) -> Completeness {
    if words::dangles(said) {
        return Completeness::Incomplete;
    }
    match kind {
        SlotKind::YesNo => yes_no::completeness(said),
        SlotKind::Email => email::completeness(said, cx),
        SlotKind::Phone => phone::completeness(said, cx),
        SlotKind::Name => name::completeness(said),
        SlotKind::Number => number::completeness(said, cx),
        SlotKind::DateTime | SlotKind::Date | SlotKind::TimeSpan => match read(kind, said, cx) {
            Reading::Filled(_) => Completeness::Complete,
            Reading::Partial {
                missing: Missing::Future,
                ..
            } => Completeness::Open,
            Reading::Partial { .. } => Completeness::Partial,
            Reading::Nothing => Completeness::Open,
        },
        SlotKind::Money => money::completeness(said, cx),
        SlotKind::Choice => match choice::read(said, cx.choices) {
            Reading::Filled(_) if tokens(said).len() <= 3 => Completeness::Complete,
            _ => Completeness::Open,
        },
        SlotKind::Text => Completeness::Open,
    }
}

#[cfg(test)]
pub(crate) mod fixtures {
    use super::*;

    /// Reads with an empty context on Thursday, 4 June 2026, 10:00 in New York.
    pub(crate) fn read_at_ten(kind: SlotKind, said: &str) -> Reading {
        with_context(|cx| read(kind, said, cx))
    }

    pub(crate) fn with_context<T>(run: impl FnOnce(&SlotContext<'_>) -> T) -> T {
        let wall: Zoned = "2026-06-04T10:00:00-04:00[America/New_York]"
            .parse()
            .unwrap();
        let variables: Variables = [("caller_phone", "+14155550123")].into_iter().collect();
        run(&SlotContext {
            wall: &wall,
            variables: &variables,
            choices: &[],
            country_code: "1",
            currency: "USD",
            length: None,
            carry: None,
        })
    }
}
