//! `trunk.fail_over_on`: which refusals of a carrier send a call on to the next trunk.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::reader::{Reader, Section};
use super::tree::Value;
use super::value::FromValue;

/// What is written in one place at most.
const MAX_WRITTEN: usize = 50;

/// The refusals after which a call goes on to the next trunk: those by which a carrier says that it
/// will not or cannot, not those by which the callee does.
///
/// By default: wrong or missing credentials (401, 407), no credit (402), not allowed (403), nobody
/// on the way answers (408), media that it does not take (488), and whatever it fails at (5xx).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailOverOn(Vec<Statuses>);

/// One status, or a class of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Statuses(RangeInclusive<u16>);

impl FailOverOn {
    /// Whether a refusal with this status sends a call on.
    #[must_use]
    pub fn holds(&self, status: u16) -> bool {
        self.0.iter().any(|Statuses(range)| range.contains(&status))
    }

    pub(super) fn read(r: &mut Reader<'_>, s: &mut Section) -> Self {
        let key = "fail_over_on";
        let origin = s.origin_of(key);
        let Some(written) = s.list::<Statuses>(r, key) else {
            return Self::default();
        };
        if written.len() > MAX_WRITTEN {
            let message = format!("names {}: {MAX_WRITTEN} at most", written.len());
            s.wrong(r, key, &origin, message);
        }
        Self(written)
    }
}

impl Default for FailOverOn {
    fn default() -> Self {
        let one = |status| Statuses(status..=status);
        let mut on: Vec<_> = [401, 402, 403, 407, 408, 488].map(one).into();
        on.push(Statuses(500..=599));
        Self(on)
    }
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = match text {
            "5xx" => Some(500..=599),
            // A decline for all, which some carriers say when they mean it, is believed everywhere.
            _ => {
                let one = text.parse().ok().filter(|one| (400..=599).contains(one));
                one.map(|status: u16| status..=status)
            }
        };
        let bad = || format!("{text} is no such refusal: from 400 to 599, or \"5xx\" for a class");
        found.map(Self).ok_or_else(bad)
    }
}

impl FromValue for Statuses {
    const EXPECTED: &'static str = "a status such as 503, or \"5xx\"";

    fn from_value(value: &Value, _loose: bool) -> Option<Result<Self, String>> {
        match value {
            Value::Integer(status) => Some(status.to_string().parse()),
            Value::Text(text) => Some(text.trim().parse()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carrier_that_refuses_is_left_and_a_callee_who_does_is_believed() {
        let on = FailOverOn::default();
        for status in [401, 402, 403, 407, 408, 488, 500, 501, 503, 504] {
            assert!(on.holds(status), "{status}");
        }
        for status in [302, 404, 410, 480, 484, 486, 487, 600, 603] {
            assert!(!on.holds(status), "{status}");
        }
    }

    #[test]
    fn a_status_or_a_class_is_written_and_no_answer_for_all() {
        let range = |text: &str| text.parse::<Statuses>().map(|found| found.0);
        assert_eq!(range("480"), Ok(480..=480));
        assert_eq!(range("5xx"), Ok(500..=599));
        for text in ["603", "6xx", "200", "302", "", "busy"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
