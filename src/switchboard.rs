//! The switchboard: takes the SIP task's news, gives calls to their tasks and answers the phones'
//! registrations.

mod phones;

use std::sync::Arc;
use std::time::Duration;

use offhook_sip::Source;
use tokio::sync::mpsc;

use crate::call::{self, Services};
use crate::clock;
use crate::net::sip::{News, Request, local_address_towards};
use crate::switch::{Refused, Wanted, path_of};

/// Runs until the SIP task ends.
pub async fn run(services: Arc<Services>, mut news: mpsc::Receiver<News>) {
    phones::restore(&services).await;
    let every = Duration::from_secs(services.config.sip.nat_ping_s.into());
    let keeping = phones::keep_nats_open(Arc::clone(&services), every);
    let keeper = (!every.is_zero()).then(|| tokio::spawn(keeping));
    let board = Switchboard { services };
    while let Some(event) = news.recv().await {
        board.hear(event).await;
    }
    if let Some(keeper) = keeper {
        keeper.abort();
    }
}

struct Switchboard {
    services: Arc<Services>,
}

impl Switchboard {
    async fn hear(&self, event: News) {
        match event {
            News::Incoming(incoming) => {
                tokio::spawn(call::take(Arc::clone(&self.services), incoming));
            }
            News::Request(request) => self.register_phone(request).await,
            News::Closed(flow) => {
                let users = self.services.registrar().forget(flow);
                for user in &users {
                    phones::remember(&self.services, user);
                }
                tracing::info!(remote = %flow.remote, ?users, "a phone's connection is closed");
            }
        }
    }

    /// Answers a phone's REGISTER (RFC 3261 §10.3); who it is was proven by digest already.
    async fn register_phone(&self, request: Box<Request>) {
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
        let Some(path) = path_of(&message) else {
            let _ = sip.respond(request, 400, Vec::new()).await;
            return;
        };
        let call_id = message.call_id().unwrap_or_default().to_owned();
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let now = clock::now();
        let bound = self.services.registrar().register(
            now,
            &user,
            (request.flow, &path),
            (&call_id, cseq),
            &Wanted::of(&message),
        );
        let sip = sip.clone();
        let answered = match bound {
            Ok(bindings) => {
                phones::remember(&self.services, &user);
                tracing::info!(%user, contacts = bindings.len(), "a phone registered");
                let bindings = bindings.into_iter();
                let bindings = bindings
                    .map(|(uri, left)| ("Contact".to_owned(), format!("<{uri}>;expires={left}")));
                // The proxies see that they are kept (RFC 3327 §5.3).
                let path = path.into_iter().map(|proxy| ("Path".to_owned(), proxy));
                let headers = bindings.chain(path).collect();
                sip.respond(request, 200, headers).await
            }
            Err(Refused::TooBrief(least)) => {
                let headers = vec![("Min-Expires".to_owned(), least.to_string())];
                sip.respond(request, 423, headers).await
            }
            Err(Refused::OutOfOrder) => sip.respond(request, 500, Vec::new()).await,
            Err(Refused::BadWildcard) => sip.respond(request, 400, Vec::new()).await,
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "a phone's REGISTER was not answered");
        }
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
