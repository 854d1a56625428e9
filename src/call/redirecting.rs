//! A call that is redirected (3xx): whoever the terms of its dialling allow is dialled instead
//! (RFC 3261 §8.1.3.4).

use super::dial::{DialFailure, Dialling};
use super::line::Line;
use crate::config::FollowRedirects;
use crate::net::resolver::{Over, Resolver};
use crate::net::sip::Whom;
use crate::switch::{Redirected, Redirects};

/// Where one call's redirects have led.
pub(super) struct Redirecting {
    redirects: Redirects,
    /// What was dialled first.
    first: Dialling,
    /// What the latest of those who were dialled said that did not lead elsewhere.
    said: Option<DialFailure>,
}

impl Redirecting {
    /// Begins with what is dialled first.
    pub(super) fn new(first: &Dialling) -> Self {
        let (terms, uri) = (first.redirects.clone(), &first.request_uri);
        Self {
            redirects: Redirects::new(terms, uri, first.transport),
            first: first.clone(),
            said: None,
        }
    }

    /// Takes what whoever was dialled said, and finds who is dialled next.
    ///
    /// # Errors
    /// With what is to be said of the call, where there is nobody else.
    pub(super) async fn next(
        &mut self,
        line: &Line,
        failure: DialFailure,
    ) -> Result<Dialling, DialFailure> {
        match &failure {
            DialFailure::Refused { status, .. } if *status >= 600 => return Err(failure),
            DialFailure::Refused {
                status, leads_to, ..
            } => self.redirects.handle_redirect(*status, leads_to),
            DialFailure::NoTarget | DialFailure::Nowhere(_) | DialFailure::Sip(_) => {}
            DialFailure::NoAnswer(_)
            | DialFailure::Cancelled
            | DialFailure::NoDescription
            | DialFailure::Media(_) => return Err(failure),
        }
        while let Some(next) = self.redirects.next_contact() {
            match self.dialling(line, next).await {
                Ok(dialling) => {
                    tracing::info!("a call is redirected, and follows");
                    if failure.is_refusal() && !failure.is_redirect() {
                        self.said = Some(failure);
                    }
                    return Ok(dialling);
                }
                Err(why) => tracing::info!(%why, "where a call is redirected cannot be reached"),
            }
        }
        let said = self.said.take().filter(|_| !failure.is_refusal());
        Err(said
            .unwrap_or(failure)
            .not_followed(self.redirects.follow()))
    }

    /// How somebody who is called instead is dialled.
    async fn dialling(&self, line: &Line, next: Redirected) -> Result<Dialling, String> {
        let mut dialling = self.first.clone();
        if next.is_foreign {
            dialling.forget_what_is_the_trunks();
        }
        let first = &self.first.request_uri;
        dialling.to.get_or_insert_with(|| first.clone());
        if next.is_proxy {
            let lr = if next.uri.contains(";lr") { "" } else { ";lr" };
            dialling.route = vec![format!("<{}{lr}>", next.uri)];
        } else {
            dialling.request_uri = next.uri;
        }
        let Some((host, port)) = next.place else {
            return Ok(dialling);
        };
        // A trunk's own proxy takes its calls, wherever they go then.
        let by_proxy = !self.first.route.is_empty() && !next.is_proxy;
        if by_proxy && !next.is_foreign {
            return Ok(dialling);
        }
        dialling.transport = next.transport;
        let resolver = Resolver::from_system();
        let over = Over::Pinned(next.transport);
        let found = resolver.resolve(&host, port, over).await;
        dialling.targets = found.map_err(|error| error.to_string())?.addresses;
        line.reach().order(next.transport, &mut dialling.targets);
        let own = self.first.redirects.certificate.clone();
        let own = own.filter(|_| !next.is_foreign);
        let (host, ca) = own.unwrap_or((host, None));
        dialling.whom = Some(Whom { host, ca });
        Ok(dialling)
    }
}

impl DialFailure {
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { unheard: false, .. })
    }

    fn is_redirect(&self) -> bool {
        self.status()
            .is_some_and(|status| (300..400).contains(&status))
    }

    /// Says of a redirect that it was not followed, and why.
    fn not_followed(mut self, follow: FollowRedirects) -> Self {
        if let Self::Refused {
            status: 300..=399,
            explanation,
            ..
        } = &mut self
        {
            let why =
                format!("; where it leads is not called (trunk.follow_redirects = \"{follow}\")");
            explanation.push_str(&why);
        }
        self
    }
}
