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
        let shown = self.shown(dial.from.as_deref())?;
        let (from_uri, identity) = self.presented(&shown);
        Ok(Dialled {
            trunk: Some(self.name.clone()),
            request_uri: uri(Some(&user), &host, self.port),
            from_uri,
            identity,
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
                identity: Vec::new(),
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
mod tests;
