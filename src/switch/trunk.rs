//! Trunks: the carriers and PBXs that calls come from and leave by.

use std::fmt;

use super::number::{Number, normalised};
use super::number_plan::NumberPlan;
use crate::config::Pattern;

/// How a trunk knows us and we know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrunkKind {
    /// Known by address and digest; nothing is registered (Twilio, Plivo, Bandwidth).
    Peer,
    /// We register and keep the binding alive (Telnyx, most European carriers, a PBX).
    Register,
    /// Calls only come in from its networks; none is ever placed.
    Inbound,
}

/// What the switch must know of a trunk to place a call.
#[derive(Debug, Clone)]
pub struct Trunk {
    /// Its name in the configuration.
    pub name: String,
    /// What kind it is.
    pub kind: TrunkKind,
    /// Its host, which also stands in the Request-URI.
    pub host: Option<String>,
    /// Its port, when the configuration names one.
    pub port: Option<u16>,
    /// The digest user, which a registrar also knows as our address of record.
    pub username: Option<String>,
    /// The number that calls show unless they say another.
    pub caller_id: Option<String>,
    /// The callers that it may be shown, where not all: the others are its `caller_id`.
    pub caller_ids: Vec<Pattern>,
    /// How it writes numbers.
    pub plan: NumberPlan,
}

/// Asks for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// Who is called.
    pub to: Target,
    /// The trunk to leave by; without it the first that can.
    pub trunk: Option<String>,
    /// The number to show; without it the trunk's.
    pub from: Option<String>,
}

/// Says where a call goes and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialled {
    /// The trunk's name; none for a direct call to a SIP URI.
    pub trunk: Option<String>,
    /// The Request-URI and the To.
    pub request_uri: String,
    /// The From URI.
    pub from_uri: String,
    /// The host to resolve.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
}

/// Explains why a call cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// No trunk of that name.
    #[error("there is no trunk `{0}`; the configured ones are: {1}")]
    UnknownTrunk(String, String),
    /// The trunk is for incoming calls only.
    #[error("trunk `{0}` is `kind = \"inbound\"`: calls cannot be placed over it")]
    InboundOnly(String),
    /// No trunk can place calls.
    #[error("no trunk can place calls: add a [[trunk]] of kind \"peer\" or \"register\"")]
    NoTrunk,
    /// Not a number and not a SIP URI.
    #[error(
        "`{0}` is neither a phone number nor a SIP URI: write it like +12025550123 \
         or sip:name@host"
    )]
    BadTarget(String),
    /// A URI to another host would use the trunk's credit elsewhere, or none at all.
    #[error(
        "`{0}` is not on a configured trunk's host: a call leaves over a trunk, \
         or to this machine itself"
    )]
    NotOnTrunk(String),
    /// The caller's number is none.
    #[error("`{0}` cannot be shown as the caller: write it like +12025550100")]
    BadCaller(String),
}

impl Trunk {
    /// Whether it leads there: to every number, and to URIs on its own host.
    fn leads_to(&self, to: &Target) -> bool {
        let own = self.host.as_deref();
        match to {
            Target::Number(_) => true,
            Target::Uri { host, .. } => own.is_some_and(|own| own.eq_ignore_ascii_case(host)),
        }
    }

    /// Where a call over it goes, and what it shows.
    fn way(&self, dial: &Dial) -> Result<Dialled, DialError> {
        let host = self.host.clone().unwrap_or_default();
        let user = match &dial.to {
            Target::Number(number) => self.plan.write(number),
            Target::Uri { user, .. } => user.clone().unwrap_or_default(),
        };
        Ok(Dialled {
            trunk: Some(self.name.clone()),
            request_uri: uri(Some(&user), &host, self.port),
            from_uri: uri(Some(&self.shown(dial.from.as_deref())?), &host, None),
            host,
            port: self.port,
        })
    }

    /// What a call over it shows of its caller.
    fn shown(&self, from: Option<&str>) -> Result<String, DialError> {
        let is_allowed = |caller: &&str| {
            let caller = normalised(caller);
            let mut allowed = self.caller_ids.iter();
            // Who does not want to be known is shown as nobody.
            let is_nobody = caller.eq_ignore_ascii_case("anonymous");
            let any = self.caller_ids.is_empty() || is_nobody;
            any || allowed.any(|pattern| pattern.matches(&caller))
        };
        let from = from.filter(is_allowed).or(self.caller_id.as_deref());
        let caller = from.or(self.username.as_deref()).unwrap_or("anonymous");
        let caller = checked_caller(caller)?;
        Ok(match Number::parse(&caller) {
            Some(number) => self.plan.write(&number),
            None => caller,
        })
    }
}

/// The configured trunks.
#[derive(Debug, Clone, Default)]
pub struct TrunkTable {
    trunks: Vec<Trunk>,
}

impl TrunkTable {
    /// Makes a table over `trunks`, the preferred one first.
    #[must_use]
    pub fn new(trunks: Vec<Trunk>) -> Self {
        Self { trunks }
    }

    /// The trunks in order.
    #[must_use]
    pub fn trunks(&self) -> &[Trunk] {
        &self.trunks
    }

    /// Works out where a call goes. `own_host` stands in the From of a direct call.
    ///
    /// A SIP URI is only dialled on a trunk's host or on loopback: the API is no open relay.
    ///
    /// # Errors
    /// When no trunk may or can place it.
    pub fn dial(&self, dial: &Dial, own_host: &str) -> Result<Dialled, DialError> {
        let mut ways = self.ways(dial, own_host)?.into_iter();
        ways.next().ok_or(DialError::NoTrunk)
    }

    /// Works out all ways by which a call may go, the first trunk's first: one by the trunk that is
    /// named, or one by each that can place it.
    ///
    /// # Errors
    /// When no trunk may or can place it.
    pub fn ways(&self, dial: &Dial, own_host: &str) -> Result<Vec<Dialled>, DialError> {
        if let Target::Uri {
            user, host, port, ..
        } = &dial.to
            && dial.trunk.is_none()
            && is_loopback(host)
        {
            let from = dial.from.as_deref().unwrap_or("offhook");
            return Ok(vec![Dialled {
                trunk: None,
                request_uri: uri(user.as_deref(), host, *port),
                from_uri: uri(Some(&checked_caller(from)?), own_host, None),
                host: host.clone(),
                port: *port,
            }]);
        }
        let (mut ways, mut wrong) = (Vec::new(), DialError::NoTrunk);
        for trunk in self.choose(dial)?.into_iter().rev() {
            match trunk.way(dial) {
                Ok(way) => ways.push(way),
                Err(error) => wrong = error,
            }
        }
        ways.reverse();
        match ways.is_empty() {
            true => Err(wrong),
            false => Ok(ways),
        }
    }

    /// The trunks that can place a call.
    fn choose(&self, dial: &Dial) -> Result<Vec<&Trunk>, DialError> {
        if let Some(name) = &dial.trunk {
            let Some(trunk) = self.trunks.iter().find(|trunk| trunk.name == *name) else {
                let names: Vec<_> = self.trunks.iter().map(|t| t.name.as_str()).collect();
                return Err(DialError::UnknownTrunk(name.clone(), names.join(", ")));
            };
            if trunk.kind == TrunkKind::Inbound {
                return Err(DialError::InboundOnly(name.clone()));
            }
            if !trunk.leads_to(&dial.to) {
                return Err(DialError::NotOnTrunk(dial.to.to_string()));
            }
            return Ok(vec![trunk]);
        }
        let outbound = self.trunks.iter().filter(|t| t.kind != TrunkKind::Inbound);
        let found: Vec<_> = outbound.filter(|trunk| trunk.leads_to(&dial.to)).collect();
        match (&dial.to, found.is_empty()) {
            (_, false) => Ok(found),
            (Target::Number(_), true) => Err(DialError::NoTrunk),
            (Target::Uri { .. }, true) => Err(DialError::NotOnTrunk(dial.to.to_string())),
        }
    }
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Who has this number, over a trunk.
    Number(Number),
    /// Who is at a SIP URI.
    Uri {
        /// The URI as it was written.
        text: String,
        /// Its user part, as it was written.
        user: Option<String>,
        /// Its host.
        host: String,
        /// Its port.
        port: Option<u16>,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Uri { text, .. } => f.write_str(text),
        }
    }
}

impl Target {
    /// Reads a phone number or a SIP URI.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, DialError> {
        let bad = || DialError::BadTarget(text.chars().take(80).collect());
        let text = text.trim();
        if text
            .get(..4)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip:"))
        {
            let parsed = offhook_sip::uri::Uri::parse(text).map_err(|_| bad())?;
            let host = parsed.host.to_string();
            if host.is_empty() {
                return Err(bad());
            }
            let user = parsed.user.map(str::to_owned);
            return Ok(Self::Uri {
                text: text.to_owned(),
                user,
                host,
                port: parsed.port,
            });
        }
        let number = text.strip_prefix("tel:").unwrap_or(text);
        Number::parse(number).map(Self::Number).ok_or_else(bad)
    }
}

/// What is shown of a caller, a number or a name.
fn checked_caller(caller: &str) -> Result<String, DialError> {
    let caller = normalised(caller);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-_.".contains(&b);
    if !caller.is_empty() && caller.len() <= 64 && caller.bytes().all(allowed) {
        Ok(caller)
    } else {
        Err(DialError::BadCaller(caller.chars().take(80).collect()))
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn uri(user: Option<&str>, host: &str, port: Option<u16>) -> String {
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("sip:{user}{host}{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TrunkTable {
        let trunk = |name: &str, kind, host: Option<&str>| Trunk {
            name: name.to_owned(),
            kind,
            host: host.map(str::to_owned),
            port: None,
            username: None,
            caller_id: Some("+12025550100".to_owned()),
            caller_ids: Vec::new(),
            plan: NumberPlan::default(),
        };
        TrunkTable::new(vec![
            trunk("pbx", TrunkKind::Inbound, None),
            trunk("twilio", TrunkKind::Peer, Some("acme.pstn.twilio.com")),
        ])
    }

    fn dial(to: &str) -> Dial {
        Dial {
            to: Target::parse(to).unwrap(),
            trunk: None,
            from: None,
        }
    }

    #[test]
    fn a_trunk_is_shown_the_callers_that_it_may_be_and_nobody_as_nobody() {
        let mut trunk = table().trunks()[1].clone();
        trunk.caller_ids = vec!["+1202*".parse().unwrap()];
        for (from, shown) in [
            (Some("+12025550143"), "+12025550143"),
            (Some("+442079460123"), "+12025550100"),
            (Some("anonymous"), "anonymous"),
            (None, "+12025550100"),
        ] {
            assert_eq!(trunk.shown(from).unwrap(), shown, "{from:?}");
        }
    }

    #[test]
    fn a_number_leaves_by_the_first_trunk_that_places_calls() {
        let dialled = table()
            .dial(&dial("+1 (202) 555-0123"), "192.0.2.1")
            .unwrap();
        assert_eq!(dial("tel:+1-202-555-0123"), dial("+12025550123"));
        assert_eq!(dialled.request_uri, "sip:+12025550123@acme.pstn.twilio.com");
        assert_eq!(dialled.from_uri, "sip:+12025550100@acme.pstn.twilio.com");
        assert_eq!(dialled.trunk.as_deref(), Some("twilio"));
    }

    #[test]
    fn a_number_may_leave_by_every_trunk_that_places_calls_and_a_uri_by_those_on_its_host() {
        let mut trunks = table().trunks().to_vec();
        let spare = |name: &str, host: &str| Trunk {
            name: name.to_owned(),
            host: Some(host.to_owned()),
            ..trunks[1].clone()
        };
        let spares = [
            spare("spare", "spare.example"),
            spare("again", "Spare.Example"),
        ];
        trunks.extend(spares);
        let table = TrunkTable::new(trunks);
        let names = |dial: &Dial| -> Vec<String> {
            let ways = table.ways(dial, "192.0.2.1").unwrap().into_iter();
            ways.filter_map(|way| way.trunk).collect()
        };
        assert_eq!(names(&dial("+12025550123")), ["twilio", "spare", "again"]);
        assert_eq!(names(&dial("sip:bob@spare.example")), ["spare", "again"]);
        let mut named = dial("+12025550123");
        named.trunk = Some("spare".to_owned());
        assert_eq!(
            names(&named),
            ["spare"],
            "no other than the one that is named"
        );
    }

    #[test]
    fn the_api_is_no_open_relay() {
        let refused = table().dial(&dial("sip:victim@203.0.113.9"), "192.0.2.1");
        assert!(matches!(refused, Err(DialError::NotOnTrunk(_))));
        let mut over_trunk = dial("sip:victim@203.0.113.9");
        over_trunk.trunk = Some("twilio".to_owned());
        let refused = table().dial(&over_trunk, "192.0.2.1");
        assert!(matches!(refused, Err(DialError::NotOnTrunk(_))));
        let local = table()
            .dial(&dial("sip:bob@127.0.0.1:5090"), "192.0.2.1")
            .unwrap();
        assert_eq!((local.trunk, local.port), (None, Some(5090)));
    }

    #[test]
    fn what_cannot_be_dialled_is_said_in_words() {
        for text in ["hello", "+1202\r\nX", "sip:"] {
            assert!(matches!(Target::parse(text), Err(DialError::BadTarget(_))));
        }
        let mut inbound = dial("+12025550123");
        inbound.trunk = Some("pbx".to_owned());
        assert!(matches!(
            table().dial(&inbound, "h"),
            Err(DialError::InboundOnly(_))
        ));
        inbound.trunk = Some("nope".to_owned());
        let error = table().dial(&inbound, "h").unwrap_err().to_string();
        assert!(error.contains("pbx, twilio"), "{error}");
        let mut spoofed = dial("+12025550123");
        spoofed.from = Some("x@y>".to_owned());
        assert!(matches!(
            table().dial(&spoofed, "h"),
            Err(DialError::BadCaller(_))
        ));
        let none = TrunkTable::default().dial(&dial("+12025550123"), "h");
        assert_eq!(none, Err(DialError::NoTrunk));
    }
}
