//! Why a call ended, as the other side puts it in a Reason header field (RFC 3326).

use offhook_sip::message::{Reason, reason_phrase, unquote};

/// Characters of a text that are kept.
const TEXT_MAX: usize = 80;
/// Values of a header field that are looked at.
const VALUES_MAX: usize = 8;
/// Bytes of a header field that are looked at.
const FIELD_MAX: usize = 1_024;

/// What the other side says of why a call ended, or is not to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// The telephone network's cause (ITU-T Q.850), 1 to 127.
    pub q850: Option<u8>,
    /// The SIP status that stands for it.
    pub sip: Option<u16>,
    /// What is said beside, of one line.
    pub text: Option<String>,
}

impl Cause {
    /// Reads a Reason header field; none where it says nothing that is known.
    #[must_use]
    pub fn parse(field: &str) -> Option<Self> {
        let mut cause = Self::default();
        if field.len() > FIELD_MAX {
            return None;
        }
        for value in values(field).take(VALUES_MAX) {
            let Some(reason) = Reason::parse(value.trim()) else {
                continue;
            };
            let known = match reason.protocol {
                name if name.eq_ignore_ascii_case("Q.850") => {
                    let q850 = reason.cause.and_then(|cause| u8::try_from(cause).ok());
                    cause.q850 = cause
                        .q850
                        .or(q850.filter(|cause| (1..=127).contains(cause)));
                    true
                }
                name if name.eq_ignore_ascii_case("SIP") => {
                    let sip = reason.cause.filter(|cause| (100..=699).contains(cause));
                    cause.sip = cause.sip.or(sip);
                    true
                }
                _ => false,
            };
            if known && cause.text.is_none() {
                cause.text = reason.text.and_then(one_line);
            }
        }
        (cause != Self::default()).then_some(cause)
    }

    /// Reads the Reason among the header fields of a response.
    #[must_use]
    pub fn of(headers: &[(String, String)]) -> Option<Self> {
        let is_reason = |name: &str| name.eq_ignore_ascii_case("Reason");
        let fields = headers.iter().filter(|(name, _)| is_reason(name));
        let fields: Vec<&str> = fields.map(|(_, field)| field.as_str()).collect();
        Self::parse(&fields.join(", "))
    }

    /// The cause in words: what was said, and what it stands for.
    #[must_use]
    pub fn describe(&self) -> String {
        let q850 = self.q850.map(|cause| match q850_words(cause) {
            Some(words) => format!("{words} (Q.850 cause {cause})"),
            None => format!("Q.850 cause {cause}"),
        });
        let sip = self.sip.map(|status| match status {
            // It is what the other side says that counts: OK says nothing.
            200 => "SIP 200".to_owned(),
            _ => format!("{} (SIP {status})", reason_phrase(status)),
        });
        let text = self.text.as_ref().map(|text| format!("\"{text}\""));
        let said: Vec<String> = [q850, sip, text].into_iter().flatten().collect();
        said.join(", ")
    }

    /// The Reason header field that tells somebody else, without the words of whoever said it.
    #[must_use]
    pub fn passed_on(&self) -> Option<String> {
        let elsewhere = self.sip == Some(200);
        let sip = self.sip.map(|status| match elsewhere {
            // What phones know it by (RFC 3326 §3.1).
            true => format!("SIP;cause={status};text=\"Call completed elsewhere\""),
            false => format!("SIP;cause={status}"),
        });
        let q850 = self.q850.map(|cause| format!("Q.850;cause={cause}"));
        let values: Vec<String> = [sip, q850].into_iter().flatten().collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// A header field's values, which commas part but not within quotes.
fn values(field: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    field.split(move |c: char| {
        let literal = std::mem::replace(&mut escaped, false);
        match c {
            '\\' if quoted && !literal => escaped = true,
            '"' if !literal => quoted = !quoted,
            ',' => return !quoted,
            _ => {}
        }
        false
    })
}

/// What may stand in a record: one line, not too long.
fn one_line(text: &str) -> Option<String> {
    let text = unquote(text);
    let printed = text.chars().filter(|c| !c.is_control());
    let line: String = printed.take(TEXT_MAX).collect();
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// What a cause is called (ITU-T Q.850 table 1).
fn q850_words(cause: u8) -> Option<&'static str> {
    Some(match cause {
        1 => "the number is not assigned",
        2 | 3 => "there is no route to it",
        16 => "a normal end",
        17 => "busy",
        18 => "nobody responds there",
        19 => "nobody answers",
        20 => "the subscriber is absent",
        21 => "the call is rejected",
        22 => "the number has changed",
        26 => "somebody else has the call",
        27 => "it is out of order",
        28 => "the number is incomplete or wrong",
        29 => "the network refuses a facility",
        31 => "a normal end, not further described",
        34 => "no circuit is free",
        38 => "the network is out of order",
        41 => "a temporary failure of the network",
        42 => "the network's switch is congested",
        44 => "the channel that was asked for is not free",
        47 => "the network lacks a resource",
        50 => "the facility is not subscribed to",
        55 => "calls are barred there",
        57 | 58 => "the kind of call is not allowed or not to be had",
        63 => "the service is not to be had",
        65 | 79 => "the network does not implement it",
        87 => "the caller is no member of the closed group",
        88 => "the two sides do not fit together",
        102 => "a timer of the network ran out",
        111 => "a fault of a network's protocol",
        127 => "a network on the way gives no reason",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(field: &str) -> Option<String> {
        Cause::parse(field).map(|cause| cause.describe())
    }

    #[test]
    fn a_reason_is_told_in_words_and_its_numbers() {
        for (field, told) in [
            ("Q.850;cause=16", "a normal end (Q.850 cause 16)"),
            (
                "Q.850 ;cause=34 ;text=\"No circuit, try \\\"later\\\"\"",
                "no circuit is free (Q.850 cause 34), \"No circuit, try \"later\"\"",
            ),
            (
                "SIP;cause=200;text=\"Call completed elsewhere\"",
                "SIP 200, \"Call completed elsewhere\"",
            ),
            (
                "SIP;cause=486, q.850;cause=17",
                "busy (Q.850 cause 17), Busy Here (SIP 486)",
            ),
            ("Q.850;cause=99", "Q.850 cause 99"),
        ] {
            assert_eq!(words(field).as_deref(), Some(told), "{field}");
        }
    }

    #[test]
    fn what_says_nothing_that_is_known_is_left_out_and_what_is_long_is_cut() {
        for field in [
            "",
            ";cause=16",
            "Q.850",
            "Q.850;cause=0",
            "Q.850;cause=400",
            "SIP;cause=99999",
            "X.400;cause=16;text=\"x\"",
            ",,,\"",
        ] {
            assert_eq!(words(field), None, "{field}");
        }
        let long = format!("SIP;cause=480;text=\"a\tb{}\"", "é".repeat(300));
        let cause = Cause::parse(&long).unwrap();
        let text = cause.text.unwrap();
        assert_eq!(text.chars().count(), TEXT_MAX);
        assert!(text.starts_with("abé"), "{text}");
        assert_eq!(words(&"Q.850;cause=16,".repeat(1_000)), None);
    }

    #[test]
    fn the_numbers_go_on_and_the_words_of_whoever_said_them_do_not() {
        let on = |field| Cause::parse(field).and_then(|cause| cause.passed_on());
        let secret = "Q.850;cause=34;text=\"gateway 10.0.0.7\"";
        assert_eq!(on(secret).as_deref(), Some("Q.850;cause=34"));
        assert_eq!(
            on("SIP;cause=200;text=\"Answered by bob\"").as_deref(),
            Some("SIP;cause=200;text=\"Call completed elsewhere\"")
        );
        assert_eq!(
            on("SIP;cause=480,Q.850;cause=19").as_deref(),
            Some("SIP;cause=480, Q.850;cause=19")
        );
        assert_eq!(on("SIP;text=\"x\""), None);
    }
}
