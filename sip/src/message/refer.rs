//! What a transfer is written in: Refer-To and Refer-Sub (RFC 3515, RFC 4488), Replaces (RFC 3891),
//! Event and Subscription-State (RFC 6665), and the status line that a NOTIFY brings (RFC 3420).

use std::fmt;

use super::params::{Step, step};
use super::start_line::{self, StartLine};
use super::{HeaderError, HeaderName, Message, NameAddr, Params, lex};

/// The Replaces header field (RFC 3891 §6.1): a dialog, as whoever receives it names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaces<'a> {
    /// The Call-ID.
    pub call_id: &'a str,
    /// The receiver's own tag.
    pub to_tag: &'a str,
    /// The other side's tag; `0` stands for a side that has none.
    pub from_tag: &'a str,
    /// Whether only a call that was not answered yet is to be replaced.
    pub early_only: bool,
}

impl<'a> Replaces<'a> {
    /// Reads the one value of a field, which names both tags once each.
    pub fn parse(text: &'a str) -> Option<Replaces<'a>> {
        let text = lex::trim(text);
        let end = text.find(';')?;
        let call_id = lex::trim(lex::slice(text, 0, end));
        // Nothing that would end the value, or the line that it is written to again.
        let is_word = |b: u8| b.is_ascii_graphic() && b != b',';
        if call_id.is_empty() || !call_id.bytes().all(is_word) {
            return None;
        }
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        let mut at = end;
        loop {
            let param = match step(text, at)? {
                Step::Param(param, next) => {
                    at = next;
                    param
                }
                Step::End(end) if end == text.len() => break,
                Step::End(_) => return None,
            };
            let tag = match param.name {
                name if name.eq_ignore_ascii_case("to-tag") => &mut to_tag,
                name if name.eq_ignore_ascii_case("from-tag") => &mut from_tag,
                name => {
                    early_only |= name.eq_ignore_ascii_case("early-only");
                    continue;
                }
            };
            let value = param.value.filter(|value| lex::is_token(value))?;
            if tag.replace(value).is_some() {
                return None;
            }
        }
        Some(Replaces {
            call_id,
            to_tag: to_tag?,
            from_tag: from_tag?,
            early_only,
        })
    }
}

impl fmt::Display for Replaces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (to, from) = (self.to_tag, self.from_tag);
        write!(f, "{};to-tag={to};from-tag={from}", self.call_id)?;
        match self.early_only {
            true => f.write_str(";early-only"),
            false => Ok(()),
        }
    }
}

/// The Event header field (RFC 6665 §8.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPackage<'a> {
    /// The package, such as `refer`.
    pub name: &'a str,
    /// Which of several subscriptions within a dialog.
    pub id: Option<&'a str>,
}

impl<'a> EventPackage<'a> {
    /// Reads a value such as `refer;id=93809824`; other parameters are passed over.
    pub fn parse(text: &'a str) -> Option<EventPackage<'a>> {
        let (name, params) = token_and_params(text)?;
        let id = params.get("id").filter(|id| !id.is_empty());
        Some(EventPackage { name, id })
    }
}

/// What a subscription's state is (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Substate {
    /// It stands.
    Active,
    /// It is not known yet whether it will stand.
    Pending,
    /// It is over.
    Terminated,
    /// A state that Offhook has no name for.
    Other,
}

/// The Subscription-State header field (RFC 6665 §8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    /// The state.
    pub state: Substate,
    /// How long it is so, in seconds, held at 2³²−1.
    pub expires_s: Option<u32>,
    /// Why it is over, such as `noresource`.
    pub reason: Option<&'a str>,
}

impl<'a> SubscriptionState<'a> {
    /// Reads a value such as `active;expires=60`.
    pub fn parse(text: &'a str) -> Option<SubscriptionState<'a>> {
        let (name, params) = token_and_params(text)?;
        let state = match name {
            _ if name.eq_ignore_ascii_case("active") => Substate::Active,
            _ if name.eq_ignore_ascii_case("pending") => Substate::Pending,
            _ if name.eq_ignore_ascii_case("terminated") => Substate::Terminated,
            _ => Substate::Other,
        };
        Some(SubscriptionState {
            state,
            expires_s: params.get("expires").and_then(lex::saturating_u32),
            reason: params.get("reason").filter(|reason| !reason.is_empty()),
        })
    }
}

/// Splits `token *( ";" parameter )`.
fn token_and_params(text: &str) -> Option<(&str, Params<'_>)> {
    let text = lex::trim(text);
    let end = lex::run(text.as_bytes(), 0, lex::TOKEN);
    let mut at = end;
    let end_of_params = loop {
        match step(text, at)? {
            Step::Param(_, next) => at = next,
            Step::End(end) => break end,
        }
    };
    let params = Params::new(lex::slice(text, end, text.len()));
    (end > 0 && end_of_params == text.len()).then_some((lex::slice(text, 0, end), params))
}

/// Reads the status of a `message/sipfrag` that begins with a status line (RFC 3515 §2.4.5), as the
/// NOTIFY of a REFER does; what follows the line is passed over.
pub fn sipfrag_status(body: &[u8]) -> Option<u16> {
    let line = body.split(|&b| b == b'\r' || b == b'\n').next()?;
    if !line.get(..8)?.eq_ignore_ascii_case(b"SIP/2.0 ") {
        return None;
    }
    match start_line::read(line.trim_ascii_end()).ok()?.line {
        StartLine::Response { status, .. } => Some(status),
        StartLine::Request { .. } => None,
    }
}

impl<'a> Message<'a> {
    /// The Refer-To, which stands exactly once (RFC 3515 §2.4.1).
    ///
    /// # Errors
    /// [`HeaderError`] where there is none, more than one, or its value is malformed.
    pub fn refer_to(&self) -> Result<NameAddr<'a>, HeaderError> {
        self.only_address(HeaderName::ReferTo)
    }

    /// The Referred-By, in whose name the sender acts (RFC 3892 §3).
    ///
    /// # Errors
    /// [`HeaderError`] where there is none, more than one, or its value is malformed.
    pub fn referred_by(&self) -> Result<NameAddr<'a>, HeaderError> {
        self.only_address(HeaderName::ReferredBy)
    }

    /// The Replaces of an INVITE, if it has one.
    ///
    /// # Errors
    /// [`HeaderError`] where there is more than one, or its value is malformed.
    pub fn replaces(&self) -> Result<Option<Replaces<'a>>, HeaderError> {
        let malformed = HeaderError::Malformed(HeaderName::Replaces);
        let value = self.only(HeaderName::Replaces)?;
        value
            .map(|value| Replaces::parse(value).ok_or(malformed))
            .transpose()
    }

    /// The Event; `None` where absent or unreadable.
    pub fn event(&self) -> Option<EventPackage<'a>> {
        EventPackage::parse(self.header(HeaderName::Event)?)
    }

    /// The Subscription-State; `None` where absent or unreadable.
    pub fn subscription_state(&self) -> Option<SubscriptionState<'a>> {
        SubscriptionState::parse(self.header(HeaderName::SubscriptionState)?)
    }

    /// Whether a REFER, or its answer, wants reports by NOTIFY (RFC 4488 §4); `None` where Refer-Sub
    /// is absent or unreadable.
    pub fn refer_sub(&self) -> Option<bool> {
        match token_and_params(self.header(HeaderName::ReferSub)?)?.0 {
            word if word.eq_ignore_ascii_case("true") => Some(true),
            word if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    fn only_address(&self, name: HeaderName) -> Result<NameAddr<'a>, HeaderError> {
        let value = self.only(name)?.ok_or(HeaderError::Missing(name))?;
        NameAddr::parse(value).ok_or(HeaderError::Malformed(name))
    }

    /// The value of a field that may stand once only.
    fn only(&self, name: HeaderName) -> Result<Option<&'a str>, HeaderError> {
        let malformed = HeaderError::Malformed(name);
        let mut lines = self.lines(name);
        match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(line), None) => self.line_text(line).ok_or(malformed).map(Some),
            (Some(_), Some(_)) => Err(malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaces_names_a_dialog_by_both_tags_once_each() {
        let text = "98732@sip.example.com\r\n ;from-tag=r33th4x0r ; to-tag=ff87ff;x;EARLY-ONLY";
        let replaces = Replaces::parse(text).unwrap();
        assert_eq!(
            replaces.to_string(),
            "98732@sip.example.com;to-tag=ff87ff;from-tag=r33th4x0r;early-only"
        );
        for bad in [
            "",
            "a",
            ";to-tag=1;from-tag=2",
            "a;to-tag=1",
            "a;from-tag=1",
            "a;to-tag;from-tag=1",
            "a;to-tag=;from-tag=1",
            "a;to-tag=1;from-tag=2;to-tag=1",
            "a;to-tag=1;from-tag=2;",
            "a;to-tag=1;from-tag=2, b;to-tag=1;from-tag=2",
            "a, b;to-tag=1;from-tag=2",
            "a b;to-tag=1;from-tag=2",
            "a\r\nEvil: x;to-tag=1;from-tag=2",
            "ä;to-tag=1;from-tag=2",
            "a;to-tag=\"1\r\n2\";from-tag=2",
        ] {
            assert_eq!(Replaces::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn events_and_states_are_read_with_their_parameters() {
        let event = EventPackage::parse(" refer ; id=93809824").unwrap();
        assert_eq!((event.name, event.id), ("refer", Some("93809824")));
        assert_eq!(EventPackage::parse("refer").unwrap().id, None);
        for bad in ["", ";id=1", "refer;", "refer id", "refer, refer"] {
            assert_eq!(EventPackage::parse(bad), None, "{bad}");
        }
        let state = SubscriptionState::parse("Active;expires=60").unwrap();
        assert_eq!((state.state, state.expires_s), (Substate::Active, Some(60)));
        let state = SubscriptionState::parse("terminated;reason=noresource").unwrap();
        assert_eq!(state.state, Substate::Terminated);
        assert_eq!(state.reason, Some("noresource"));
        let state = SubscriptionState::parse("waiting;expires=soon").unwrap();
        assert_eq!((state.state, state.expires_s), (Substate::Other, None));
    }

    #[test]
    fn of_a_sipfrag_only_the_status_line_is_read() {
        for (body, status) in [
            ("SIP/2.0 100 Trying", Some(100)),
            ("SIP/2.0 200 OK\r\nContact: <sip:a@b>\r\n\r\n", Some(200)),
            ("sip/2.0 603\r\n", Some(603)),
            ("SIP/2.0 486 Busy\nTo: x", Some(486)),
            ("SIP/2.0 700 x", None),
            ("SIP/2.0", None),
            ("SIP/3.0 200 OK", None),
            ("INVITE sip:a@b SIP/2.0", None),
            ("\r\nSIP/2.0 200 OK", None),
            ("", None),
        ] {
            assert_eq!(sipfrag_status(body.as_bytes()), status, "{body}");
        }
        assert_eq!(sipfrag_status(b"SIP/2.0 200 \xff\xfe"), Some(200));
    }
}
