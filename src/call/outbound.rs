//! A call that the API asks for: whom it reaches, over which trunk, and then the agent speaks.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use offhook_sip::{Credentials, Source, Transport};
use serde_json::{Value, json};
use tracing::Instrument;

use super::callee::Callees;
use super::codecs::Codecs;
use super::dial::{DialFailure, Dialling};
use super::first_hop::{self, FirstHop};
use super::hunt::{How, Hunt, MAX_FORWARDS};
use super::journal::Journal;
use super::outgoing::Progress;
use super::party::Party;
use super::services::{AgentSpec, Live, Place, Services};
use super::spans;
use super::talk::{Answering, Connected, Talk, end_reason_of};
use super::task::Control;
use super::trunk_load::TrunkPlace;
use super::trunk_states::TrunkState;
use crate::ai::OnBox;
use crate::clock::{self, Epoch};
use crate::config;
use crate::mailbox;
use crate::net::resolver::{Found, Over, ResolveError, Resolver};
use crate::net::sip::Whom;
use crate::store::CallRecord;
use crate::switch::{Call, Dialled, EndReason, RedirectTerms};

/// How long name servers may take where it is known what they said a minute ago.
const FINDS_WITHIN: Duration = Duration::from_secs(1);
/// How long a phone may ring.
const RING: Duration = Duration::from_secs(60);

/// A call that was taken on, its record in the store already.
pub struct Outbound {
    /// Its record.
    pub record: CallRecord,
    /// The agent that talks.
    pub agent: Arc<AgentSpec>,
    /// Who is rung.
    pub callees: Callees,
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
    let ringing: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(ring_out(services, outbound));
    if let Some(connected) = ringing.await {
        connected.talk().await;
    }
}

/// Dials until the other side answers; none when the call did not come about, and was written down
/// as that.
async fn ring_out(services: Arc<Services>, outbound: Outbound) -> Option<Box<Connected>> {
    let Outbound {
        record,
        agent,
        callees,
        variables,
        place,
        on_box,
        live,
        headers,
    } = outbound;
    spans::name(record.id, &agent.config.name);
    let Place {
        mut permit,
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
    let epoch = Epoch::take();
    let trunk = callees.trunk().and_then(|name| services.config.trunk(name));
    let codecs = Codecs::configured(&services.config, trunk);
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
        goes_on: false,
    };
    let mut talk = answering.prepare(variables).await;
    if let Some(reason) = talk.called_off() {
        talk.never_answered(call, reason).await;
        return None;
    }
    call.handle_progress();
    let mut rang = false;
    let progress = |status: u16| {
        if !std::mem::replace(&mut rang, true) {
            let data = json!({ "status": status });
            journal.event("call.ringing", epoch.timestamp(clock::now()), data);
        }
    };
    match ring(&services, &mut talk, (callees, headers), progress).await {
        Ok(Answered {
            party,
            source,
            trunk,
        }) => {
            permit.keep_pairs(1);
            let flow = party.flow();
            let (handle, held, signals, leg) = party.into_parts();
            Some(Box::new(Connected {
                talk,
                state: call,
                call: handle,
                held: Some(held),
                signals,
                leg,
                flow,
                source,
                permit: permit.over(trunk),
            }))
        }
        Err(reason) => {
            talk.never_answered(call, reason).await;
            None
        }
    }
}

/// Who has answered, and their place on their trunk.
struct Answered {
    party: Box<Party>,
    source: Source,
    trunk: Option<TrunkPlace>,
}

/// Rings until somebody answers, all have failed, or somebody asks for the call's end.
async fn ring(
    services: &Arc<Services>,
    talk: &mut Talk,
    (callees, headers): (Callees, Vec<(String, String)>),
    mut progress: impl FnMut(u16),
) -> Result<Answered, EndReason> {
    let Callees { stages, place } = callees;
    let how = How {
        codec: None,
        max_forwards: MAX_FORWARDS,
        ring: RING,
        ring_most: Duration::MAX,
        headers,
    };
    let leg = (talk.leg(), talk.attached());
    let hunt = Hunt::with_leg(Arc::clone(services), stages, how, leg);
    let mut hunt = hunt.with_place(place);
    let mut heard = tokio::select! {
        heard = hunt.place() => heard,
        control = talk.controls().recv() => {
            hunt.give_up().await;
            return Err(end_reason_of(control));
        }
    };
    loop {
        // Before anything else is heard: who answers may not be recorded.
        talk.goes_over(hunt.trunk());
        match heard {
            Some(Progress::Rings(status)) => progress(status),
            Some(Progress::Answered(party)) => {
                talk.answered_over(hunt.trunk(), hunt.shows());
                let source = hunt.answered_by().into_source();
                let trunk = hunt.into_trunk_place();
                return Ok(Answered {
                    party,
                    source,
                    trunk,
                });
            }
            Some(Progress::Failed(failure)) => {
                tracing::info!(%failure, "an outbound call was not answered");
                return Err(end_reason(&failure));
            }
            Some(Progress::Early) | None => {}
        }
        heard = tokio::select! {
            said = hunt.hear() => hunt.take(said).await,
            control = talk.controls().recv() => {
                hunt.give_up().await;
                return Err(end_reason_of(control));
            }
        };
    }
}

fn end_reason(failure: &DialFailure) -> EndReason {
    match failure {
        DialFailure::Refused { status, cause, .. } => {
            EndReason::Refused(*status).said(cause.clone())
        }
        DialFailure::NoAnswer(_) => EndReason::Refused(408),
        DialFailure::Cancelled => EndReason::Cancelled,
        other => EndReason::Failed(other.to_string()),
    }
}

/// Whose phone answered, or would: a user's, or one that a trunk leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) trunk: Option<String>,
    pub(super) user: Option<String>,
}

impl Whose {
    /// Who they are, as if they called.
    pub(super) fn into_source(self) -> Source {
        match (self.user, self.trunk) {
            (Some(user), _) => Source::User(user),
            (None, Some(trunk)) => Source::Trunk(trunk),
            (None, None) => Source::Local,
        }
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
    let trunk = dialled.trunk.as_deref();
    let trunk = trunk.and_then(|name| services.config.trunk(name));
    let state = match &dialled.trunk {
        Some(trunk) => services.trunk_states.of(trunk),
        None => TrunkState::default(),
    };
    let known = state.found();
    let service_route = state.service_route;
    let resolver = services.resolver.get(clock::now());
    let open = services.line.sip().transports();
    let finding = find(&resolver, trunk, (dialled, &service_route), &open);
    let found = match known {
        // Name servers that are away or slow keep no call from a carrier that was there a minute ago.
        Some(known) => {
            let found = tokio::time::timeout(FINDS_WITHIN, finding).await;
            Ok(found.ok().and_then(Result::ok).unwrap_or(known))
        }
        None => finding.await,
    };
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
        trunk: dialled.trunk.clone(),
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
        speaks_within: trunk.map(|trunk| Duration::from_secs(trunk.trying_timeout_s.into())),
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
