//! How a trunk writes numbers, and which of them it may be shown.

use std::fmt;
use std::str::FromStr;

use super::network::is_twilio;
use super::pattern::Pattern;
use super::reader::{Reader, Section};
use super::value::text_value;

/// The form in which a trunk writes numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NumberForm {
    /// As whoever calls writes them: `02079460123`.
    #[default]
    AsIs,
    /// With `+` and the country's code: `+442079460123`.
    Plus,
    /// With the country's code alone: `442079460123`.
    Bare,
    /// With what is dialled before another country's code: `00442079460123`.
    International,
    /// As they are dialled within its country, and beyond it as `International`.
    National,
}

impl FromStr for NumberForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "as-is" => Ok(Self::AsIs),
            "plus" => Ok(Self::Plus),
            "bare" => Ok(Self::Bare),
            "international" => Ok(Self::International),
            "national" => Ok(Self::National),
            _ => Err(format!("{text:?} is not one of {NUMBER_FORMS}")),
        }
    }
}

impl fmt::Display for NumberForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsIs => "as-is",
            Self::Plus => "plus",
            Self::Bare => "bare",
            Self::International => "international",
            Self::National => "national",
        })
    }
}

const NUMBER_FORMS: &str = "\"as-is\", \"plus\", \"bare\", \"international\" or \"national\"";

text_value!(
    NumberForm,
    "\"as-is\", \"plus\", \"bare\", \"international\" or \"national\""
);

/// How a trunk writes numbers.
pub(super) struct Numbers {
    pub(super) wanted: NumberForm,
    pub(super) incoming: NumberForm,
    pub(super) country_code: Option<String>,
}

/// Reads how a trunk writes numbers.
pub(super) fn read_numbers(r: &mut Reader<'_>, s: &mut Section) -> Numbers {
    let origins = ["numbers", "incoming_numbers"].map(|key| (key, s.origin_of(key)));
    let wanted = s.or(r, "numbers", NumberForm::default());
    let incoming = s.or(r, "incoming_numbers", wanted);
    let code_origin = s.origin_of("country_code");
    let code = s.opt::<String>(r, "country_code");
    let code = code.map(|code| code.trim_start_matches('+').to_owned());
    let is_code =
        |code: &String| (1..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit());
    if code.as_ref().is_some_and(|code| !is_code(code)) {
        let message = "is no country's code: one to three digits, such as \"44\"";
        s.wrong(r, "country_code", &code_origin, message);
    }
    let needs = |form| matches!(form, NumberForm::National | NumberForm::International);
    let said = origins.into_iter().zip([wanted, incoming]);
    if let Some(((key, origin), form)) = said.into_iter().find(|(_, form)| needs(*form))
        && code.is_none()
    {
        let message = format!("{form:?} needs `country_code`: which country is it in?");
        s.wrong(r, key, &origin, message.to_lowercase());
    }
    Numbers {
        wanted,
        incoming,
        country_code: code,
    }
}

/// Reads which callers a trunk may be shown.
pub(super) fn read_caller_ids(
    r: &mut Reader<'_>,
    s: &mut Section,
    caller_id: Option<&str>,
) -> Vec<Pattern> {
    let origin = s.origin_of("caller_ids");
    let patterns = s.list::<Pattern>(r, "caller_ids");
    if patterns.is_some() && caller_id.is_none() {
        let message = "needs `caller_id`: what is shown of the others?";
        s.wrong(r, "caller_ids", &origin, message);
    }
    patterns.unwrap_or_default()
}

/// Reads the number that outgoing calls come from; at Twilio the environment may have it.
pub(super) fn read_caller_id(
    r: &mut Reader<'_>,
    s: &mut Section,
    host: &Option<String>,
) -> Option<String> {
    let origin = s.origin_of("caller_id");
    let written: Option<String> = s.opt(r, "caller_id");
    let twilio = host.as_deref().is_some_and(is_twilio);
    let from_env = || r.env.var("TWILIO_PHONE_NUMBER").map(str::to_owned);
    let caller_id = written.or_else(|| if twilio { from_env() } else { None })?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+-_.!~*'()".contains(c);
    if caller_id.is_empty() || caller_id.len() > 64 || !caller_id.chars().all(allowed) {
        let message = format!("{caller_id:?} is not a number such as \"+12025550100\"");
        s.wrong(r, "caller_id", &origin, message);
        return None;
    }
    Some(caller_id)
}
