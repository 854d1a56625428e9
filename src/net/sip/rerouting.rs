//! Ways to the peers of calls whose connection is gone: the next hop's name is looked up (RFC 3263),
//! and over TLS its certificate must be for that name (RFC 5922 §7.2).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use offhook_sip::uri::Uri;
use offhook_sip::{CallHandle, Flow, Transport};
use tokio::sync::mpsc;

use super::callers::Callers;
use super::tls::Tls;
use super::whom::Whom;
use super::{Command, Sip, Tap};
use crate::net::resolver::{Over, Resolver};

/// Names that are looked up at a time. The calls of one more are sent to where their connection led.
const LOOKUPS_MAX: usize = 64;

/// Somebody whose connection is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hop {
    lost: Flow,
    host: String,
    port: Option<u16>,
    transport: Transport,
}

impl Hop {
    /// Reads the URI of a next hop. What went over TLS goes over TLS again, whatever it says, and
    /// what went over TCP where it does not ask for better.
    pub(super) fn read(next_hop: &str, lost: Flow) -> Option<Self> {
        let uri = Uri::parse(next_hop).ok()?;
        let is_named = |name: &str| {
            let named = uri.transport();
            named.is_some_and(|transport| transport.eq_ignore_ascii_case(name))
        };
        let is_secure = next_hop
            .get(..5)
            .is_some_and(|s| s.eq_ignore_ascii_case("sips:"));
        let transport = match lost.transport {
            Transport::Tcp if is_secure || is_named("tls") => Transport::Tls,
            lost => lost,
        };
        Some(Self {
            lost,
            host: uri.host.to_string(),
            port: uri.port,
            transport,
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn lost(&self) -> Flow {
        self.lost
    }
}

/// Who was expected over a connection that is gone, and whose word is taken for who comes next.
pub(super) struct Expected {
    pub(super) whom: Option<Whom>,
    pub(super) ca: Option<PathBuf>,
}

/// The calls that wait for names.
#[derive(Default)]
pub(super) struct Lookups(HashMap<Hop, Vec<CallHandle>>);

/// What becomes of a call that waits for a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// The name is to be looked up.
    First,
    /// It is being looked up.
    Waits,
    /// Too many are.
    Full,
}

impl Lookups {
    pub(super) fn join(&mut self, hop: &Hop, call: CallHandle) -> Joined {
        if let Some(calls) = self.0.get_mut(hop) {
            calls.push(call);
            return Joined::Waits;
        }
        if self.0.len() >= LOOKUPS_MAX {
            return Joined::Full;
        }
        self.0.insert(hop.clone(), vec![call]);
        Joined::First
    }

    /// Takes the calls that a name was looked up for.
    pub(super) fn take(&mut self, hop: &Hop) -> Vec<CallHandle> {
        self.0.remove(hop).unwrap_or_default()
    }
}

/// What the SIP task is reached by, without keeping it alive.
pub(super) struct WeakSip {
    pub(super) commands: mpsc::WeakSender<Command>,
    pub(super) listeners: Arc<[(Transport, std::net::SocketAddr)]>,
    pub(super) callers: Arc<Callers>,
    pub(super) tls: Arc<Tls>,
    pub(super) tap: Tap,
}

impl WeakSip {
    fn upgrade(self) -> Option<Sip> {
        Some(Sip {
            commands: self.commands.upgrade()?,
            listeners: self.listeners,
            callers: self.callers,
            tls: self.tls,
            tap: self.tap,
        })
    }
}

impl Clone for WeakSip {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            listeners: Arc::clone(&self.listeners),
            callers: Arc::clone(&self.callers),
            tls: Arc::clone(&self.tls),
            tap: Arc::clone(&self.tap),
        }
    }
}

/// Looks a hop's name up and tells the SIP task the way there.
pub(super) async fn look_up(sip: WeakSip, hop: Hop, expected: Expected) {
    let over = Over::Pinned(hop.transport);
    let found = Resolver::from_system()
        .resolve(&hop.host, hop.port, over)
        .await;
    let Some(sip) = sip.upgrade() else {
        return;
    };
    let flow = match found {
        Ok(found) => way(&sip, &hop, expected, &found.addresses).await,
        Err(error) => {
            tracing::info!(%error, "where a lost connection's calls go is not known");
            None
        }
    };
    // Where it led is the best that is known then.
    let flow = flow.unwrap_or(hop.lost);
    let _ = sip.send(Command::Reroute(Box::new(hop), flow)).await;
}

/// The flow to the first address that we can send to.
async fn way(
    sip: &Sip,
    hop: &Hop,
    expected: Expected,
    addresses: &[std::net::SocketAddr],
) -> Option<Flow> {
    let same_transport = hop.transport == hop.lost.transport;
    let is_known = hop.transport != Transport::Tls || expected.whom.is_some();
    // The connection that we had made there is made again, and must reach the same as before.
    if same_transport && is_known && addresses.contains(&hop.lost.remote) {
        return Some(hop.lost);
    }
    let whom = Whom {
        host: hop.host.clone(),
        ca: expected.ca,
    };
    for address in addresses {
        match sip.way_to(*address, hop.transport, Some(&whom)).await {
            Ok(flow) => return Some(flow),
            Err(error) => tracing::info!(%error, "a lost connection's peer cannot be reached"),
        }
    }
    None
}

#[cfg(test)]
#[path = "tests/rerouting.rs"]
mod tests;
