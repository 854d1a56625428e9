//! Whom a call was for before it was led elsewhere, as carriers are told: Diversion (RFC 5806) or
//! History-Info (RFC 7044).
//!
//! Numbers alone are told, at our own host: neither where they are nor what they are called there is
//! anybody else's business.

use super::number::Number;
use crate::config::DiversionHeader;

/// Those who had a call before that are told at most.
const TOLD_MAX: usize = 5;

/// Somebody whom a call was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverted {
    /// Its number, as the trunk that is told writes it.
    pub number: String,
    /// Why it went on.
    pub why: Why,
}

/// Why a call went on from somebody (RFC 5806 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// All of its calls do.
    Unconditional,
    /// It did not take the call.
    NoAnswer,
    /// It gave the call to somebody else.
    Deflection,
    /// That is not known here.
    Unknown,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unconditional => "unconditional",
            Self::NoAnswer => "no-answer",
            Self::Deflection => "deflection",
            Self::Unknown => "unknown",
        }
    }

    /// The status that stands for it in History-Info (RFC 4458 §2).
    fn status(self) -> u16 {
        match self {
            Self::Unconditional => 302,
            Self::NoAnswer => 408,
            Self::Deflection => 480,
            Self::Unknown => 404,
        }
    }
}

/// Reads the numbers of those who had a call before, the last of them first; names are left out.
#[must_use]
pub fn numbers_of<'n>(users: impl IntoIterator<Item = &'n str>) -> Vec<Number> {
    let numbers = users.into_iter().filter_map(Number::parse);
    numbers.take(TOLD_MAX).collect()
}

/// The header field that tells a trunk whom a call was for, the last of them first; `target` is the
/// Request-URI that it has now. None where nothing is to be told.
#[must_use]
pub fn diversion_field(
    header: DiversionHeader,
    diverted: &[Diverted],
    target: &str,
    own_host: &str,
) -> Option<(String, String)> {
    let told = diverted.get(..TOLD_MAX).unwrap_or(diverted);
    if told.is_empty() {
        return None;
    }
    match header {
        DiversionHeader::None => None,
        DiversionHeader::Diversion => {
            let entry = |Diverted { number, why }: &Diverted| {
                format!("<sip:{number}@{own_host}>;reason={}", why.as_str())
            };
            let entries: Vec<String> = told.iter().map(entry).collect();
            Some(("Diversion".to_owned(), entries.join(", ")))
        }
        DiversionHeader::HistoryInfo => {
            Some(("History-Info".to_owned(), history(told, target, own_host)))
        }
    }
}

/// The history from whoever was called first to who is called now (RFC 7044 §5): each entry is of
/// the one before it, and says why that one was left.
fn history(told: &[Diverted], target: &str, own_host: &str) -> String {
    let (mut index, mut entries) = ("1".to_owned(), Vec::new());
    let mut left: Option<Why> = None;
    for Diverted { number, why } in told.iter().rev() {
        let cause = left.map(|why| format!(";cause={}", why.status()));
        let cause = cause.unwrap_or_default();
        let mapped = mapped_from(&index);
        entries.push(format!(
            "<sip:{number}@{own_host}{cause}>;index={index}{mapped}"
        ));
        index.push_str(".1");
        left = Some(*why);
    }
    let cause = left.map_or(404, Why::status);
    let mapped = mapped_from(&index);
    entries.push(format!("<{target};cause={cause}>;index={index}{mapped}"));
    entries.join(", ")
}

/// Which entry an entry took the place of (RFC 7044 §10.3).
fn mapped_from(index: &str) -> String {
    let from = index.strip_suffix(".1");
    from.map_or_else(String::new, |from| format!(";mp={from}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diverted() -> Vec<Diverted> {
        let by = |number: &str, why| Diverted {
            number: number.to_owned(),
            why,
        };
        vec![
            by("+12025550100", Why::Unconditional),
            by("+12025550111", Why::Unknown),
        ]
    }

    fn field(header: DiversionHeader, diverted: &[Diverted]) -> Option<(String, String)> {
        diversion_field(header, diverted, "sip:+442079460123@carrier", "192.0.2.1")
    }

    #[test]
    fn a_diversion_names_who_was_called_last_first() {
        let (name, value) = field(DiversionHeader::Diversion, &diverted()).unwrap();
        assert_eq!(name, "Diversion");
        assert_eq!(
            value,
            "<sip:+12025550100@192.0.2.1>;reason=unconditional, \
             <sip:+12025550111@192.0.2.1>;reason=unknown"
        );
    }

    #[test]
    fn a_history_goes_from_who_was_called_first_to_who_is_called_now() {
        let (name, value) = field(DiversionHeader::HistoryInfo, &diverted()).unwrap();
        assert_eq!(name, "History-Info");
        assert_eq!(
            value,
            "<sip:+12025550111@192.0.2.1>;index=1, \
             <sip:+12025550100@192.0.2.1;cause=404>;index=1.1;mp=1, \
             <sip:+442079460123@carrier;cause=302>;index=1.1.1;mp=1.1"
        );
    }

    #[test]
    fn nothing_is_told_unless_it_is_wanted_and_of_many_a_few() {
        assert_eq!(field(DiversionHeader::None, &diverted()), None);
        assert_eq!(field(DiversionHeader::Diversion, &[]), None);
        let many: Vec<Diverted> = diverted().into_iter().cycle().take(100).collect();
        let (_, value) = field(DiversionHeader::Diversion, &many).unwrap();
        assert_eq!(value.split(", ").count(), TOLD_MAX);
        let users = ["+1 202 555 0100", "reception", "+12025550111"];
        let numbers: Vec<String> = numbers_of(users).iter().map(Number::to_string).collect();
        assert_eq!(numbers, ["+12025550100", "+12025550111"]);
    }
}
