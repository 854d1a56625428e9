//! What of a call's header fields others learn: its flow by variables, and the other side of a
//! bridge by header fields of its own.

use offhook_sip::message::NameAddr;
use offhook_sip::{Incoming, Source};
use serde_json::{Map, Value, json};

use super::caller::{is_private, values};
use crate::config::Pattern;
use crate::switch::Number;

/// Header fields of a call that a flow is told of, at most …
const FIELDS_MAX: usize = 20;
/// … and bytes of each one's value.
const VALUE_MAX: usize = 512;
/// The most bytes of a signed identity that goes on: PASSporTs with a certificate's address take
/// some 800.
const IDENTITY_MAX: usize = 2_048;

/// What a call's header fields tell its flow: those of its own (`X-…`) in `headers`, who had the
/// call before (RFC 5806, RFC 7044), why it was sent here (RFC 3326), and what its carrier made of
/// the caller's number (ATIS-1000074).
pub(super) fn told(invite: &Incoming, is_twilios: bool) -> Vec<(String, Value)> {
    let mut told = Vec::new();
    let own = own_fields(invite);
    if !own.is_empty() {
        told.push(("headers".to_owned(), Value::Object(own)));
    }
    if let Some(number) = diverted_from(invite) {
        told.push(("diverted_from".to_owned(), json!(number)));
    }
    if let Some(reason) = reason(invite) {
        told.push(("call_reason".to_owned(), json!(reason)));
    }
    if let Some(Verstat { verdict, level }) = verstat(invite, is_twilios) {
        told.push(("verstat".to_owned(), json!(verdict)));
        if let Some(level) = level {
            told.push(("attestation".to_owned(), json!(level)));
        }
    }
    told
}

/// Why a call was sent here, where it says so: its Reason fields as one.
fn reason(invite: &Incoming) -> Option<String> {
    let said: Vec<&str> = values(invite, "Reason").map(str::trim).collect();
    let said = said.join(", ");
    (!said.is_empty() && said.len() <= VALUE_MAX).then_some(said)
}

/// The fields of a call's own, by names as flows can write them: `X-Order-Id` is `x_order_id`.
fn own_fields(invite: &Incoming) -> Map<String, Value> {
    let fields = invite.headers.iter();
    let own = fields.filter(|(name, value)| is_own(name) && value.len() <= VALUE_MAX);
    own.take(FIELDS_MAX)
        .map(|(name, value)| (variable(name), json!(value.trim())))
        .collect()
}

/// Whether a header field is a call's own, so that it means something to whoever agreed on it alone.
#[must_use]
pub fn is_own(name: &str) -> bool {
    let prefix = name.get(..2);
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-")) && name.len() > 2
}

fn variable(name: &str) -> String {
    let letter = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_lowercase(),
        false => '_',
    };
    name.chars().map(letter).collect()
}

/// Who was called before this call came here: the last of [`had_it_before`].
fn diverted_from(invite: &Incoming) -> Option<String> {
    had_it_before(invite, Of::All).into_iter().next()
}

/// Those who were called before this call came here, the last of them first: whom the Diversions
/// name from the top (RFC 5806 §5), or the entries of the History-Info from the last but one
/// (RFC 7044 §5).
pub(super) fn had_it_before(invite: &Incoming, of: Of) -> Vec<String> {
    let entries = |name| values(invite, name).flat_map(split_at_commas);
    let counts = |entry: &&str| of == Of::All || !is_private_entry(entry);
    let user = |entry: &str| {
        let address = NameAddr::parse(entry.trim())?;
        let user = address.uri.user_text().into_owned();
        let number = Number::parse(&user).map(|number| number.to_string());
        number.or(Some(user)).filter(|user| !user.is_empty())
    };
    let mut diversions = entries("Diversion").take(FIELDS_MAX).peekable();
    if diversions.peek().is_some() {
        return diversions.filter(counts).map_while(user).collect();
    }
    let history: Vec<&str> = entries("History-Info").take(FIELDS_MAX).collect();
    let before = history.into_iter().rev().skip(1);
    before.filter(counts).map_while(user).collect()
}

/// Of whom it is told that they had a call before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Of all, for those who may know it: it stays here.
    All,
    /// Of those who let it be known.
    Public,
}

/// Whether whoever an entry names does not want to be told of: `privacy` of a Diversion (RFC 5806
/// §4), or a Privacy in the URI's headers of a History-Info entry (RFC 7044 §10.1.2).
fn is_private_entry(entry: &str) -> bool {
    let entry = entry.to_ascii_lowercase().replace([' ', '\t', '"'], "");
    let of_history = entry.contains("?privacy=") || entry.contains("&privacy=");
    let diversion = entry.split(";privacy=").skip(1);
    let mut diversion = diversion.map(|rest| rest.split(';').next() != Some("off"));
    of_history || diversion.any(|private| private)
}

/// Splits a header field's value at its commas, but not within quotes or angle brackets.
pub(super) fn split_at_commas(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    value.split(move |c: char| {
        let literal = escaped;
        escaped = quoted && c == '\\' && !literal;
        match c {
            '"' if !literal => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            ',' => return !quoted && !bracketed,
            _ => {}
        }
        false
    })
}

/// What a carrier made of a caller's number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verstat {
    /// `TN-Validation-Passed`, `TN-Validation-Failed` or `No-TN-Validation`.
    verdict: &'static str,
    /// How well the caller's own carrier knows it: A, B or C, where that is said.
    level: Option<&'static str>,
}

/// What a trunk says of its caller's number, in P-Asserted-Identity, From or, if it is Twilio, in a
/// field of its own. Nobody else is believed.
fn verstat(invite: &Incoming, is_twilios: bool) -> Option<Verstat> {
    if !matches!(invite.source, Source::Trunk(_)) {
        return None;
    }
    let asserted = values(invite, "P-Asserted-Identity").flat_map(split_at_commas);
    let named = asserted.chain(values(invite, "From"));
    let in_address = named.filter_map(verstat_of).next();
    let of_twilio = || values(invite, "X-Twilio-VerStat").find_map(Verstat::parse);
    in_address.or_else(|| is_twilios.then(of_twilio).flatten())
}

fn verstat_of(value: &str) -> Option<Verstat> {
    // Of the address alone: a caller may choose the name that stands before it.
    let address = NameAddr::parse(value.trim())?;
    let of_user = address
        .uri
        .user
        .into_iter()
        .flat_map(|user| user.split(';').skip(1));
    let of_user = of_user.filter_map(|param| param.split_once('='));
    let mut of_user = of_user.filter(|(name, _)| name.eq_ignore_ascii_case("verstat"));
    let said = of_user.next().map(|(_, said)| said);
    Verstat::parse(said.or_else(|| address.uri.param("verstat"))?)
}

impl Verstat {
    /// Reads a verdict and what may follow it: the level of attestation (`-A`), and how the call
    /// came here (`-Diverted`, `-Passthrough`).
    fn parse(said: &str) -> Option<Self> {
        const VERDICTS: [&str; 3] = [
            "TN-Validation-Passed",
            "TN-Validation-Failed",
            "No-TN-Validation",
        ];
        const LEVELS: [&str; 3] = ["A", "B", "C"];
        const WAYS: [&str; 2] = ["Diverted", "Passthrough"];
        let said = said.trim();
        let of = |verdict: &&'static str| {
            let start = said.get(..verdict.len())?;
            let rest = said.get(verdict.len()..)?;
            let more = rest.strip_prefix('-');
            let is_whole = rest.is_empty() || more.is_some();
            let is_it = start.eq_ignore_ascii_case(verdict) && is_whole;
            is_it.then_some((*verdict, more.into_iter().flat_map(|more| more.split('-'))))
        };
        let (verdict, mut more) = VERDICTS.iter().find_map(of)?;
        let one_of = |word: &str, known: &[&'static str]| {
            let mut known = known.iter();
            known.find(|k| k.eq_ignore_ascii_case(word)).copied()
        };
        let (mut level, mut word) = (None, more.next());
        if let Some(found) = word.and_then(|word| one_of(word, &LEVELS)) {
            (level, word) = (Some(found), more.next());
        }
        let rest = word.into_iter().chain(more);
        let mut rest = rest.map(|word| one_of(word, &WAYS));
        rest.all(|known| known.is_some())
            .then_some(Self { verdict, level })
    }
}

/// What of a call's header fields goes on over another trunk: the caller's signed identity
/// (RFC 8224), which signs the number that goes on with it, and those of its own that `wanted` names.
pub(super) fn passed_on(invite: &Incoming, wanted: &[Pattern]) -> Vec<(String, String)> {
    // What goes on without its number is signed for nobody.
    let has_number = Number::parse(&invite.from.user).is_some() && !is_private(invite);
    let is_known = matches!(invite.source, Source::Trunk(_)) && has_number;
    let signed = |name: &str, value: &str| {
        is_known && name.eq_ignore_ascii_case("Identity") && value.len() <= IDENTITY_MAX
    };
    let named = |name: &str, value: &str| {
        let wanted = wanted.iter().any(|pattern| pattern.matches(name));
        wanted && is_own(name) && value.len() <= VALUE_MAX
    };
    let fields = invite.headers.iter();
    let passed = fields.filter(|(name, value)| signed(name, value) || named(name, value));
    passed.take(FIELDS_MAX).cloned().collect()
}

#[cfg(test)]
mod tests;
