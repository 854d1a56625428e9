//! A call that the API asks for: trunk, INVITE, and then the agent speaks.

use std::sync::Arc;
use std::time::Duration;

use offhook_sip::Credentials;
use offhook_sip::Transport;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::codecs::Codecs;
use super::dial::{DialFailure, Dialling, dial};
use super::journal::Journal;
use super::services::{AgentSpec, Services};
use super::talk::Answering;
use crate::ai::OnBox;
use crate::clock;
use crate::config;
use crate::net::resolver::Resolver;
use crate::store::CallRecord;
use crate::switch::{Call, Dialled, EndReason};

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
    pub place: OwnedSemaphorePermit,
    /// The models.
    pub on_box: Arc<OnBox>,
}

/// Places a call and lets its agent talk.
pub async fn place(services: Arc<Services>, outbound: Outbound) {
    let Outbound {
        record,
        agent,
        dialled,
        variables,
        place,
        on_box,
    } = outbound;
    let journal = Journal::start(&services, record.clone());
    let at = record.started_at;
    journal.event(
        "call.created",
        at,
        json!({ "from": record.from, "to": record.to }),
    );
    let mut call = Call::outbound(clock::now());
    let codecs = Codecs::configured(&services.config, trunk_of(&services.config, &dialled));
    let answering = Answering {
        services: Arc::clone(&services),
        agent,
        on_box,
        record,
        journal: journal.clone(),
        rate_hz: codecs.likely_rate_hz(),
    };
    let mut talk = answering.prepare(variables).await;
    let dialling = match dialling(&services, &dialled).await {
        Ok(dialling) => dialling,
        Err(reason) => return talk.never_answered(call, EndReason::Failed(reason)).await,
    };
    call.handle_progress();
    let (leg, attached) = (talk.leg(), talk.attached());
    let epoch = services.epoch;
    let mut rang = false;
    let progress = |status: u16| {
        if !rang && status > 100 {
            rang = true;
            let data = json!({ "status": status });
            journal.event("call.ringing", epoch.timestamp(clock::now()), data);
        }
    };
    let (give_up, mut given_up) = mpsc::channel(1);
    let dialled = {
        let controls = talk.controls();
        let dialling = dial(
            &services.line,
            leg,
            &dialling,
            attached,
            progress,
            &mut given_up,
        );
        tokio::pin!(dialling);
        loop {
            tokio::select! {
                answered = &mut dialling => break answered,
                Some(_) = controls.recv() => {
                    let _ = give_up.try_send(());
                }
            }
        }
    };
    match dialled {
        Ok(answered) => {
            talk.run(call, answered.call, answered.signals, answered.leg)
                .await
        }
        Err(failure) => {
            tracing::info!(%failure, "an outbound call was not answered");
            talk.never_answered(call, end_reason(&failure)).await;
        }
    }
    drop(place);
}

fn end_reason(failure: &DialFailure) -> EndReason {
    match failure {
        DialFailure::Refused { status, .. } => EndReason::Refused(*status),
        DialFailure::NoAnswer(_) => EndReason::Refused(408),
        DialFailure::Cancelled => EndReason::Api,
        other => EndReason::Failed(other.to_string()),
    }
}

/// Works out addresses, credentials and codecs of a call.
async fn dialling(services: &Services, dialled: &Dialled) -> Result<Dialling, String> {
    let trunk = trunk_of(&services.config, dialled);
    let transport = match trunk.and_then(|trunk| trunk.transport) {
        Some(config::Transport::Tcp) => Transport::Tcp,
        _ => Transport::Udp,
    };
    let proxy = trunk.and_then(|trunk| trunk.outbound_proxy.clone());
    let (host, port) = match &proxy {
        Some(proxy) => host_and_port(proxy),
        None => (dialled.host.clone(), dialled.port),
    };
    let resolver = Resolver::from_system();
    let targets = resolver
        .resolve(&host, port, transport)
        .await
        .map_err(|error| error.to_string())?;
    Ok(Dialling {
        request_uri: dialled.request_uri.clone(),
        from: format!("<{}>", dialled.from_uri),
        targets,
        transport,
        route: proxy
            .map(|proxy| format!("<sip:{proxy};lr>"))
            .into_iter()
            .collect(),
        credentials: trunk.and_then(credentials),
        codecs: Codecs::configured(&services.config, trunk),
        headers: Vec::new(),
        ring_timeout: RING,
    })
}

/// The trunk that a call leaves by.
fn trunk_of<'a>(config: &'a config::Config, dialled: &Dialled) -> Option<&'a config::TrunkConfig> {
    let named = |trunk: &&config::TrunkConfig| Some(&trunk.name) == dialled.trunk.as_ref();
    config.trunks.iter().find(named)
}

/// The digest credentials of a trunk, when it has any.
#[must_use]
pub(crate) fn credentials(trunk: &config::TrunkConfig) -> Option<Credentials> {
    let (user, password) = (trunk.username.as_ref()?, trunk.password.as_ref()?);
    Some(Credentials {
        username: user.clone(),
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
