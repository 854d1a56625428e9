//! A call that the API asks for: trunk, INVITE, and then the agent speaks.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use offhook_sip::Credentials;
use offhook_sip::Transport;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::codecs::Codecs;
use super::dial::{Answered, DialFailure, Dialling, dial};
use super::first_hop::{self, FirstHop};
use super::hunt::Whose;
use super::journal::Journal;
use super::services::{AgentSpec, Live, Place, Services};
use super::spans;
use super::talk::{Answering, Connected, Talk, end_reason_of};
use super::task::Control;
use crate::ai::OnBox;
use crate::clock::{self, Epoch};
use crate::config;
use crate::mailbox;
use crate::net::resolver::{Found, Over, ResolveError, Resolver};
use crate::net::sip::Whom;
use crate::store::CallRecord;
use crate::switch::{Call, Dialled, EndReason, RedirectTerms};

/// How long a phone may ring.
const RING: Duration = Duration::from_secs(60);

/// A call that was taken on, its record in the store already.
pub struct Outbound {
    /// Its record.
    pub record: CallRecord,
    /// The agent that talks.
    pub agent: Arc<AgentSpec>,
    /// Where it goes.
    pub dialled: Dialled,
    /// What the flow is told.
    pub variables: Vec<(String, Value)>,
    /// Its place among the calls that are allowed.
    pub place: Place,
    /// The models.
    pub on_box: Arc<OnBox>,
    /// That it can be reached, and by what it hears of it.
    pub live: (Live, mailbox::Receiver<Control>),
    /// Header fields that its INVITE gets.
    pub headers: Vec<(String, String)>,
}

/// Places a call and lets its agent talk.
pub async fn place(services: Arc<Services>, outbound: Outbound) {
    let span = spans::call("outbound");
    dial_and_talk(services, outbound).instrument(span).await;
}

/// The two halves of a call have each a place of their own in memory ([`Connected`]).
async fn dial_and_talk(services: Arc<Services>, outbound: Outbound) {
    let sip = services.line.sip().clone();
    let ringing: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(ring_out(services, outbound));
    if let Some(connected) = ringing.await {
        let _held = sip.hold(connected.call);
        connected.talk().await;
    }
}

/// Dials until the other side answers; none when the call did not come about, and was written down
/// as that.
async fn ring_out(services: Arc<Services>, outbound: Outbound) -> Option<Box<Connected>> {
    let Outbound {
        record,
        agent,
        dialled,
        variables,
        place,
        on_box,
        live,
        headers,
    } = outbound;
    spans::name(record.id, &agent.config.name);
    let Place {
        permit,
        leg,
        listening,
    } = place;
    let journal = Journal::start(&services, record.clone());
    let at = record.started_at;
    journal.event(
        "call.created",
        at,
        json!({ "from": record.from, "to": record.to }),
    );
    let mut call = Call::outbound(clock::now());
    let (id, epoch) = (record.id, Epoch::take());
    let codecs = Codecs::configured(&services.config, trunk_of(&services.config, &dialled));
    let answering = Answering {
        services: Arc::clone(&services),
        agent,
        on_box,
        leg,
        listening,
        record,
        journal: journal.clone(),
        epoch,
        live,
        rate_hz: codecs.likely_rate_hz(),
    };
    let mut talk = answering.prepare(variables).await;
    if let Some(reason) = talk.called_off() {
        talk.never_answered(call, reason).await;
        return None;
    }
    let dialling = tokio::select! {
        dialling = dialling(&services, &dialled) => dialling.map_err(EndReason::Failed),
        control = talk.controls().recv() => Err(end_reason_of(control)),
    };
    let dialling = match dialling {
        Ok(mut dialling) => {
            let trunk = trunk_of(&services.config, &dialled);
            dialling.add_headers(sent_over(trunk, headers));
            dialling
        }
        Err(reason) => {
            talk.never_answered(call, reason).await;
            return None;
        }
    };
    call.handle_progress();
    let mut rang = false;
    let progress = |status: u16| {
        if !rang && status > 100 {
            rang = true;
            let data = json!({ "status": status });
            journal.event("call.ringing", epoch.timestamp(clock::now()), data);
        }
    };
    let (dialled, called_off) = ring(&services, &mut talk, &dialling, progress).await;
    match dialled {
        Ok(answered) => {
            if called_off.is_some() {
                // The answer was faster: it is asked once more, of the call that runs.
                let _ = services.hang_up(id);
            }
            Some(Box::new(Connected {
                talk,
                state: call,
                call: answered.call,
                signals: answered.signals,
                leg: answered.leg,
                permit,
            }))
        }
        Err(failure) => {
            tracing::info!(%failure, "an outbound call was not answered");
            let reason = end_reason(&failure, called_off);
            talk.never_answered(call, reason).await;
            None
        }
    }
}

/// Dials until the other side answers or fails, or somebody asks for the call's end: that is told too,
/// since the answer may have been faster.
async fn ring(
    services: &Services,
    talk: &mut Talk,
    dialling: &Dialling,
    progress: impl FnMut(u16),
) -> (Result<Answered, DialFailure>, Option<EndReason>) {
    let (leg, attached) = (talk.leg(), talk.attached());
    let controls = talk.controls();
    let (give_up, mut given_up) = mpsc::channel(1);
    let mut called_off = None;
    let dialling = dial(
        &services.line,
        leg,
        dialling,
        attached,
        progress,
        &mut given_up,
    )
    .instrument(spans::leg(leg));
    tokio::pin!(dialling);
    loop {
        tokio::select! {
            answered = &mut dialling => return (answered, called_off),
            Some(control) = controls.recv() => {
                called_off.get_or_insert(end_reason_of(Some(control)));
                let _ = give_up.try_send(());
            }
        }
    }
}

fn end_reason(failure: &DialFailure, called_off: Option<EndReason>) -> EndReason {
    match failure {
        DialFailure::Refused { status, cause, .. } => {
            EndReason::Refused(*status).said(cause.clone())
        }
        DialFailure::NoAnswer(_) => EndReason::Refused(408),
        DialFailure::Cancelled => called_off.unwrap_or(EndReason::Cancelled),
        other => EndReason::Failed(other.to_string()),
    }
}

/// Where somebody who is called is.
pub enum Callee {
    /// Where a number or URI leads.
    Dialled(Dialled),
    /// A user's phones that have registered here, the latest first.
    Registered(Vec<Dialling>),
}

impl Callee {
    /// Works out where the call goes, and how: all places that may ring at once, the best first.
    pub(super) async fn diallings(self, services: &Services) -> Result<Vec<Dialling>, String> {
        match self {
            Self::Registered(phones) => Ok(phones),
            Self::Dialled(dialled) => Ok(vec![dialling(services, &dialled).await?]),
        }
    }

    /// Whose phones these are; `to` is what named them.
    pub(super) fn whose(&self, to: &str) -> Whose {
        match self {
            Self::Registered(_) => Whose {
                trunk: None,
                user: Some(to.to_owned()),
            },
            Self::Dialled(dialled) => Whose {
                trunk: dialled.trunk.clone(),
                user: None,
            },
        }
    }

    /// Leaves only the best of the places.
    pub(super) fn keep_best(&mut self) {
        if let Self::Registered(phones) = self {
            phones.truncate(1);
        }
    }

    /// How many places may ring at once.
    pub(super) fn places(&self) -> usize {
        match self {
            Self::Registered(phones) => phones.len(),
            Self::Dialled(_) => 1,
        }
    }
}

/// Works out addresses, credentials and codecs of a call.
async fn dialling(services: &Services, dialled: &Dialled) -> Result<Dialling, String> {
    let trunk = trunk_of(&services.config, dialled);
    let service_route = match &dialled.trunk {
        Some(trunk) => services.trunk_states.of(trunk).service_route,
        None => Vec::new(),
    };
    let resolver = Resolver::from_system();
    let open = services.line.sip().transports();
    let found = find(&resolver, trunk, (dialled, &service_route), &open).await;
    let Found {
        transport,
        addresses: mut targets,
    } = found.map_err(|error| error.to_string())?;
    services.line.reach().order(transport, &mut targets);
    let addresses = targets.iter().map(SocketAddr::ip);
    let redirects = match trunk {
        Some(trunk) => RedirectTerms::of_trunk(trunk, addresses),
        None => RedirectTerms::default(),
    };
    Ok(Dialling {
        request_uri: dialled.request_uri.clone(),
        to: None,
        from: format!("<{}>", dialled.from_uri),
        targets,
        transport,
        pinned: trunk.is_some_and(|trunk| trunk.transport.is_some()),
        whom: Some(trunk.map_or_else(|| Whom::by_name(&dialled.host), first_hop::whom)),
        local: None,
        route: trunk
            .map(|trunk| first_hop::route(trunk, &service_route))
            .unwrap_or_default(),
        credentials: trunk.and_then(credentials),
        codecs: Codecs::configured(&services.config, trunk),
        srtp: match &dialled.trunk {
            Some(trunk) => services.config.trunk_srtp(trunk),
            None => services.config.media.srtp,
        },
        headers: headers_of(trunk, dialled),
        ring_timeout: RING,
        redirects,
    })
}

/// Finds where a call goes first: as its trunk's registrar wants it (RFC 3608), or where its
/// configuration says if nothing is found there.
async fn find(
    resolver: &Resolver,
    trunk: Option<&config::TrunkConfig>,
    (dialled, service_route): (&Dialled, &[String]),
    open: &[Transport],
) -> Result<Found, ResolveError> {
    let Some(trunk) = trunk else {
        let over = Over::Open(open);
        return resolver.resolve(&dialled.host, dialled.port, over).await;
    };
    if let Some(hop) = FirstHop::of_service_route(trunk, service_route) {
        let over = Over::of(hop.pinned, open);
        match resolver.resolve(&hop.host, hop.port, over).await {
            Ok(found) => return Ok(found),
            Err(error) => {
                let trunk = &trunk.name;
                tracing::warn!(%trunk, %error, "the registrar's Service-Route leads nowhere");
            }
        }
    }
    let hop = FirstHop::configured(trunk);
    let over = Over::of(hop.pinned, open);
    resolver.resolve(&hop.host, hop.port, over).await
}

/// The trunk that a call leaves by.
fn trunk_of<'a>(config: &'a config::Config, dialled: &Dialled) -> Option<&'a config::TrunkConfig> {
    let named = |trunk: &&config::TrunkConfig| Some(&trunk.name) == dialled.trunk.as_ref();
    config.trunks.iter().find(named)
}

/// The header fields that a trunk's own configuration gives a call.
pub(crate) fn headers_of(
    trunk: Option<&config::TrunkConfig>,
    dialled: &Dialled,
) -> Vec<(String, String)> {
    let own = trunk.map(|trunk| trunk.headers.clone());
    let own = own.unwrap_or_default().into_iter();
    sent_over(trunk, own.chain(dialled.identity.clone()).collect())
}

/// Those of a call's header fields that are sent over a trunk: it may want to be rid of some.
pub(super) fn sent_over(
    trunk: Option<&config::TrunkConfig>,
    mut headers: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let removed = trunk.map_or(&[][..], |trunk| &trunk.remove_headers);
    headers.retain(|(name, _)| !removed.iter().any(|pattern| pattern.matches(name)));
    headers
}

/// The digest credentials of a trunk, when it has any.
#[must_use]
pub(crate) fn credentials(trunk: &config::TrunkConfig) -> Option<Credentials> {
    let (user, password) = (trunk.digest_user()?, trunk.password.as_ref()?);
    Some(Credentials {
        username: user.to_owned(),
        password: password.expose().to_owned(),
    })
}

/// Splits `host:port`, with IPv6 in brackets.
#[must_use]
pub(crate) fn host_and_port(text: &str) -> (String, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host.to_owned(), port.parse().ok())
        }
        _ => (text.to_owned(), None),
    }
}
