//! Trunks: the carriers and PBXs that calls come from and leave by.

use std::fmt;

use super::number::{Number, normalised};
use super::number_plan::NumberPlan;
use crate::config::{IdentityHeader, Pattern};

/// Who does not want to be known (RFC 3323 §4.1.1.3).
const NOBODY: &str = "anonymous";

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
    /// The user of our address-of-record there.
    pub username: Option<String>,
    /// Its domain, where that is not the host.
    pub domain: Option<String>,
    /// The user of the Contact that is registered with it, which its calls may be for.
    pub contact_user: Option<String>,
    /// How it is told who calls, beside From.
    pub identity: IdentityHeader,
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
    /// Who calls, where the trunk is told so by more than From (RFC 3325), and that it is not to be
    /// told on (RFC 3323).
    pub identity: Vec<(String, String)>,
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
    /// What a call over it shows of its caller.
    fn shown(&self, from: Option<&str>) -> Result<String, DialError> {
        let is_allowed = |caller: &&str| {
            let caller = normalised(caller);
            let mut allowed = self.caller_ids.iter();
            // Who does not want to be known is shown as nobody.
            let is_nobody = caller.eq_ignore_ascii_case(NOBODY);
            let any = self.caller_ids.is_empty() || is_nobody;
            any || allowed.any(|pattern| pattern.matches(&caller))
        };
        let from = from.filter(is_allowed).or(self.caller_id.as_deref());
        let caller = from.or(self.username.as_deref()).unwrap_or(NOBODY);
        let caller = checked_caller(caller)?;
        Ok(self.written(caller))
    }

    /// A caller as the trunk wants it.
    fn written(&self, caller: String) -> String {
        match Number::parse(&caller) {
            Some(number) => self.plan.write(&number),
            None => caller,
        }
    }

    /// The address of one of ours there.
    fn address(&self, user: &str) -> String {
        let is_aor = self.username.as_deref() == Some(user);
        let domain = self.domain.as_deref().filter(|_| is_aor);
        let host = domain.or(self.host.as_deref()).unwrap_or_default();
        uri(Some(user), host, None)
    }

    /// The From of a call that shows this caller, and what else tells of it. A caller who does not
    /// want to be known is nobody in From (RFC 3323 §4.1.1.3); the trunk is told by which number of
    /// ours it pays, and that this stays there (RFC 3325 §9.3).
    fn presented(&self, shown: &str) -> (String, Vec<(String, String)>) {
        let is_nobody = shown.eq_ignore_ascii_case(NOBODY);
        let Some(field) = self.identity.field() else {
            return (self.address(shown), Vec::new());
        };
        let field = |address: String| (field.to_owned(), format!("<{address}>"));
        if !is_nobody {
            let address = self.address(shown);
            return (address.clone(), vec![field(address)]);
        }
        let own = self.caller_id.as_deref().or(self.username.as_deref());
        let own = own.and_then(|own| checked_caller(own).ok());
        let own = own.map(|own| field(self.address(&self.written(own))));
        let private = ("Privacy".to_owned(), "id".to_owned());
        let from = format!("sip:{NOBODY}@anonymous.invalid");
        (from, own.into_iter().chain([private]).collect())
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
        if let Target::Uri {
            user, host, port, ..
        } = &dial.to
            && dial.trunk.is_none()
            && is_loopback(host)
        {
            let from = dial.from.as_deref().unwrap_or("offhook");
            return Ok(Dialled {
                trunk: None,
                request_uri: uri(user.as_deref(), host, *port),
                from_uri: uri(Some(&checked_caller(from)?), own_host, None),
                identity: Vec::new(),
                host: host.clone(),
                port: *port,
            });
        }
        let trunk = self.choose(dial)?;
        let host = trunk.host.clone().unwrap_or_default();
        let user = match &dial.to {
            Target::Number(number) => trunk.plan.write(number),
            Target::Uri { user, .. } => user.clone().unwrap_or_default(),
        };
        let shown = trunk.shown(dial.from.as_deref())?;
        let (from_uri, identity) = trunk.presented(&shown);
        Ok(Dialled {
            trunk: Some(trunk.name.clone()),
            request_uri: uri(Some(&user), &host, trunk.port),
            from_uri,
            identity,
            host,
            port: trunk.port,
        })
    }

    fn choose(&self, dial: &Dial) -> Result<&Trunk, DialError> {
        if let Some(name) = &dial.trunk {
            let Some(trunk) = self.trunks.iter().find(|trunk| trunk.name == *name) else {
                let names: Vec<_> = self.trunks.iter().map(|t| t.name.as_str()).collect();
                return Err(DialError::UnknownTrunk(name.clone(), names.join(", ")));
            };
            if trunk.kind == TrunkKind::Inbound {
                return Err(DialError::InboundOnly(name.clone()));
            }
            if let Target::Uri { host, .. } = &dial.to
                && trunk
                    .host
                    .as_deref()
                    .is_none_or(|own| !own.eq_ignore_ascii_case(host))
            {
                return Err(DialError::NotOnTrunk(dial.to.to_string()));
            }
            return Ok(trunk);
        }
        let outbound = || {
            self.trunks
                .iter()
                .filter(|trunk| trunk.kind != TrunkKind::Inbound)
        };
        match &dial.to {
            Target::Number(_) => outbound().next().ok_or(DialError::NoTrunk),
            Target::Uri { host, .. } => outbound()
                .find(|trunk| {
                    trunk
                        .host
                        .as_deref()
                        .is_some_and(|h| h.eq_ignore_ascii_case(host))
                })
                .ok_or_else(|| DialError::NotOnTrunk(dial.to.to_string())),
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
            domain: None,
            contact_user: None,
            identity: IdentityHeader::None,
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

    /// The From of a call that wants to show a caller, and what else the trunk is told of it.
    fn presented(trunk: &Trunk, from: Option<&str>) -> (String, Vec<String>) {
        let table = TrunkTable::new(vec![trunk.clone()]);
        let dial = Dial {
            from: from.map(str::to_owned),
            ..dial("+12025550123")
        };
        let dialled = table.dial(&dial, "192.0.2.1").unwrap();
        let fields = dialled.identity.into_iter();
        let fields = fields.map(|(name, value)| format!("{name}: {value}"));
        (dialled.from_uri, fields.collect())
    }

    #[test]
    fn a_trunk_is_told_who_calls_as_it_wants_it_and_that_a_caller_is_not_to_be_known() {
        let mut trunk = table().trunks()[1].clone();
        let shown = "sip:+12025550143@acme.pstn.twilio.com".to_owned();
        let withheld = "sip:anonymous@acme.pstn.twilio.com".to_owned();
        let (known, nobody) = (Some("+12025550143"), Some("anonymous"));
        assert_eq!(presented(&trunk, known), (shown.clone(), Vec::new()));
        assert_eq!(presented(&trunk, nobody), (withheld, Vec::new()));
        for (identity, field) in [
            (IdentityHeader::Asserted, "P-Asserted-Identity"),
            (IdentityHeader::Preferred, "P-Preferred-Identity"),
        ] {
            trunk.identity = identity;
            let said = vec![format!("{field}: <{shown}>")];
            assert_eq!(presented(&trunk, known), (shown.clone(), said));
            let (from, fields) = presented(&trunk, nobody);
            assert_eq!(from, "sip:anonymous@anonymous.invalid");
            let own = format!("{field}: <sip:+12025550100@acme.pstn.twilio.com>");
            assert_eq!(fields, [own, "Privacy: id".to_owned()]);
        }
        trunk.caller_id = None;
        assert_eq!(presented(&trunk, nobody).1, ["Privacy: id"]);
    }

    #[test]
    fn our_address_of_record_has_its_own_domain_and_a_number_of_ours_the_trunk_s() {
        let mut trunk = table().trunks()[1].clone();
        trunk.username = Some("us".to_owned());
        trunk.domain = Some("ims.test".to_owned());
        trunk.identity = IdentityHeader::Asserted;
        let numbered = "sip:+12025550100@acme.pstn.twilio.com";
        assert_eq!(presented(&trunk, None).0, numbered);
        trunk.caller_id = None;
        let (from, said) = presented(&trunk, None);
        assert_eq!(from, "sip:us@ims.test");
        assert_eq!(said, ["P-Asserted-Identity: <sip:us@ims.test>"]);
        let (from, said) = presented(&trunk, Some("anonymous"));
        assert_eq!(from, "sip:anonymous@anonymous.invalid");
        assert_eq!(said[0], "P-Asserted-Identity: <sip:us@ims.test>");
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
