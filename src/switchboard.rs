//! The switchboard: takes the SIP task's news, gives calls to their tasks, keeps the trunks'
//! registrations and answers the phones'.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use offhook_sip::{Register, RegistrationHandle, Source, Transport};
use tokio::sync::mpsc;

use crate::call::{self, Services};
use crate::clock;
use crate::config::{self, TrunkKind};
use crate::meters;
use crate::net::resolver::Resolver;
use crate::net::sip::{News, Request, local_address_towards};
use crate::switch::{Refused, Registrar};

/// How long to wait before a registrar whose name does not resolve is tried again.
const RESOLVE_AGAIN: Duration = Duration::from_secs(30);

/// Runs until the SIP task ends.
pub async fn run(services: Arc<Services>, mut news: mpsc::Receiver<News>) {
    let mut board = Switchboard {
        services: Arc::clone(&services),
        registrar: Registrar::default(),
        registrations: HashMap::new(),
    };
    let (registered, mut new_registrations) = mpsc::channel(16);
    for trunk in services
        .config
        .trunks
        .iter()
        .filter(|trunk| trunk.kind == TrunkKind::Register)
    {
        let task = register(Arc::clone(&services), trunk.clone(), registered.clone());
        tokio::spawn(task);
    }
    drop(registered);
    let mut registering = true;
    loop {
        tokio::select! {
            event = news.recv() => match event {
                Some(event) => board.hear(event).await,
                None => return,
            },
            new = new_registrations.recv(), if registering => match new {
                Some((handle, trunk)) => {
                    board.registrations.insert(handle, trunk);
                }
                None => registering = false,
            },
        }
    }
}

struct Switchboard {
    services: Arc<Services>,
    registrar: Registrar,
    registrations: HashMap<RegistrationHandle, String>,
}

impl Switchboard {
    async fn hear(&mut self, event: News) {
        match event {
            News::Incoming(incoming) => {
                tokio::spawn(call::take(Arc::clone(&self.services), incoming));
            }
            News::Request(request) => self.register_phone(request).await,
            News::Registered {
                registration,
                expires_s,
            } => {
                let Some(trunk) = self.registrations.get(&registration) else {
                    return;
                };
                tracing::info!(%trunk, expires_s, "registered");
                meters::trunk_up(trunk, true);
                self.note(trunk, format!("registered for {expires_s} s"));
            }
            News::RegistrationFailed {
                registration,
                status,
                reason,
                retry_in,
            } => {
                let Some(trunk) = self.registrations.get(&registration) else {
                    return;
                };
                meters::trunk_up(trunk, false);
                let retry_s = retry_in.as_secs();
                tracing::warn!(%trunk, status, %reason, retry_s, "the registration failed");
                let note = format!("failed with {status} {reason}; tried again in {retry_s} s");
                self.note(trunk, note);
            }
            News::Pong { .. } => {}
        }
    }

    fn note(&self, trunk: &str, state: String) {
        let states = &self.services.registrations;
        states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(trunk.to_owned(), state);
    }

    /// Answers a phone's REGISTER (RFC 3261 §10.3); who it is was proven by digest already.
    async fn register_phone(&mut self, request: Box<Request>) {
        let sip = self.services.line.sip();
        let message = request.message.view();
        let user = match &request.source {
            Source::User(user) => user.clone(),
            // A trunk or a stranger on this machine has no phone to be reached at.
            _ => {
                let _ = sip.respond(request, 403, Vec::new()).await;
                return;
            }
        };
        // A user may bind contacts to its own address only (§10.3 step 4).
        let own = message
            .to()
            .is_ok_and(|to| to.uri.user_text() == user.as_str());
        if !own {
            let _ = sip.respond(request, 403, Vec::new()).await;
            return;
        }
        let default_s = message.expires().unwrap_or(3600);
        let contacts: Vec<(String, u32)> = message
            .contacts()
            .filter_map(Result::ok)
            .take(16)
            .map(|contact| {
                let expires_s = contact.expires().unwrap_or(default_s);
                let uri = contact
                    .address()
                    .map_or("*", |address| address.uri.as_str());
                (uri.to_owned(), expires_s)
            })
            .collect();
        let call_id = message.call_id().unwrap_or_default().to_owned();
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let now = clock::now();
        let bound = self
            .registrar
            .register(now, &user, request.flow, (&call_id, cseq), &contacts);
        let sip = sip.clone();
        let answered = match bound {
            Ok(bindings) => {
                tracing::info!(%user, contacts = bindings.len(), "a phone registered");
                let headers = bindings
                    .into_iter()
                    .map(|(uri, left)| ("Contact".to_owned(), format!("<{uri}>;expires={left}")))
                    .collect();
                sip.respond(request, 200, headers).await
            }
            Err(Refused::TooBrief(least)) => {
                let headers = vec![("Min-Expires".to_owned(), least.to_string())];
                sip.respond(request, 423, headers).await
            }
            Err(Refused::TooMany) => sip.respond(request, 403, Vec::new()).await,
            Err(Refused::OutOfOrder) => sip.respond(request, 500, Vec::new()).await,
            Err(Refused::BadWildcard) => sip.respond(request, 400, Vec::new()).await,
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "a phone's REGISTER was not answered");
        }
    }
}

/// Resolves a registrar, however long that takes, and registers with it.
async fn register(
    services: Arc<Services>,
    trunk: config::TrunkConfig,
    registered: mpsc::Sender<(RegistrationHandle, String)>,
) {
    let transport = match trunk.transport {
        Some(config::Transport::Tcp) => Transport::Tcp,
        _ => Transport::Udp,
    };
    let resolver = Resolver::from_system();
    let (host, port) = match &trunk.outbound_proxy {
        Some(proxy) => call::host_and_port(proxy),
        None => (trunk.host.clone(), trunk.port),
    };
    loop {
        let target = match resolver.resolve(&host, port, transport).await {
            Ok(found) => found.first().copied(),
            Err(error) => {
                tracing::warn!(trunk = %trunk.name, %error, "the registrar has no address");
                None
            }
        };
        let Some(target) = target else {
            tokio::time::sleep(RESOLVE_AGAIN).await;
            continue;
        };
        let flow = match services.line.sip().flow_to(target, transport) {
            Ok(flow) => flow,
            Err(error) => {
                tracing::error!(trunk = %trunk.name, %error, "the trunk cannot be registered");
                return;
            }
        };
        let user = trunk.username.clone().unwrap_or_default();
        let port = trunk
            .port
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        let register = Register {
            // No user part: some registrars drop one silently (RFC 3261 §10.2).
            registrar_uri: format!("sip:{}{port}", trunk.host),
            aor: format!("sip:{user}@{}", trunk.host),
            contact_user: user,
            flow,
            route: trunk
                .outbound_proxy
                .iter()
                .map(|p| format!("<sip:{p};lr>"))
                .collect(),
            credentials: call::credentials(&trunk),
            expires_s: trunk.expires_s,
        };
        match services.line.sip().register(register).await {
            Ok(handle) => {
                let _ = registered.send((handle, trunk.name)).await;
            }
            Err(error) => {
                tracing::error!(trunk = %trunk.name, %error, "the trunk cannot be registered");
            }
        }
        return;
    }
}

/// The address that stands in our own URIs when no trunk gives one.
#[must_use]
pub fn own_host(services: &Services) -> String {
    let listener = services
        .line
        .sip()
        .listeners()
        .first()
        .map(|(_, address)| *address);
    let ip = listener.map(|address| {
        if address.ip().is_unspecified() {
            let outside = std::net::SocketAddr::from(([192, 0, 2, 1], 9));
            local_address_towards(outside).unwrap_or(address.ip())
        } else {
            address.ip()
        }
    });
    match ip {
        Some(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
        Some(ip) => ip.to_string(),
        None => "localhost".to_owned(),
    }
}
