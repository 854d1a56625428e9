//! The registrar for `[[user]]` phones (RFC 3261 §10.3): who can be reached where, until when.
//!
//! A phone that binds anew after a restart, from another port, takes the place of its old binding
//! where it says which phone it is (`+sip.instance`, RFC 5626 §6), and of the oldest one where there is
//! no more room: a user whose phone was moved about is not locked out for an hour.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_sip::message::{HeaderName, Message};
use offhook_sip::uri::Uri;
use offhook_sip::{Flow, Transport};

/// Contacts that one user may hold: several phones, not a flood.
const CONTACTS_MAX: usize = 10;
/// Contacts of one REGISTER that are read.
const CONTACTS_READ: usize = 16;
/// The longest name of a phone that is kept, in bytes: a URN in quotes takes 50.
const INSTANCE_MAX: usize = 200;
/// How long a phone asks to be known where it does not say, in seconds.
const EXPIRES_DEFAULT_S: u32 = 3600;
/// Proxies between a phone and us that are kept: one with more is refused.
const PATH_MAX: usize = 8;
/// The shortest lifetime granted, in seconds; a shorter wish is answered 423.
const EXPIRES_MIN_S: u32 = 60;
/// The longest lifetime granted, in seconds.
const EXPIRES_MAX_S: u32 = 3600;

/// One contact of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The contact URI.
    pub contact: String,
    /// The flow that the REGISTER came on: the way back through the phone's NAT.
    pub flow: Flow,
    /// The proxies that requests to the phone take, the first of them first, each in angle brackets
    /// (RFC 3327 §5.3).
    pub path: Vec<String>,
    /// The REGISTER's Call-ID.
    pub call_id: String,
    /// Its CSeq number.
    pub cseq: u32,
    /// Which phone it is, of all that there are, and which of its flows.
    pub instance: Option<Instance>,
    /// When the binding ends.
    pub expires: Instant,
    /// When it is pinged next, where something must keep its NAT open.
    ping_at: Option<Instant>,
}

/// The name of a phone (RFC 5626 §4.1) and, where it keeps several flows, the number of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `+sip.instance`, as it stands there.
    pub id: String,
    /// `reg-id`.
    pub flow: Option<u32>,
}

impl Binding {
    /// Makes a binding.
    #[must_use]
    pub fn new(
        wanted: &Wanted,
        (flow, path): (Flow, &[String]),
        (call_id, cseq): (&str, u32),
        expires: Instant,
    ) -> Self {
        Self {
            contact: wanted.contact.clone(),
            flow,
            path: path.to_vec(),
            call_id: call_id.to_owned(),
            cseq,
            instance: wanted.instance.clone(),
            expires,
            ping_at: None,
        }
    }

    /// Whether it is of the same phone as a newer one, and was before it restarted or moved: the same
    /// flow of it, or, where it numbers none, one of another life (its Call-ID stays as long as it
    /// runs, RFC 3261 §10.2.4).
    fn is_replaced_by(&self, wanted: &Wanted, call_id: &str) -> bool {
        let (Some(old), Some(new)) = (&self.instance, &wanted.instance) else {
            return false;
        };
        old.id == new.id
            && match (old.flow, new.flow) {
                (Some(old), Some(new)) => old == new,
                _ => self.call_id != call_id,
            }
    }

    /// Whether it is behind a NAT that forgets it unless something passes: what its requests come from
    /// is not what it says.
    #[must_use]
    pub fn is_behind_nat(&self) -> bool {
        self.flow.transport == Transport::Udp
            && self.path.is_empty()
            && self.contact_address() != Some(self.flow.remote)
    }

    /// The address that the contact itself names.
    fn contact_address(&self) -> Option<SocketAddr> {
        let uri = Uri::parse(&self.contact).ok()?;
        let ip = uri.host.address()?;
        Some(SocketAddr::new(ip, uri.port.unwrap_or(5060)))
    }

    /// Its connection is gone; false where it cannot be reached without.
    fn lose_connection(&mut self) -> bool {
        let elsewhere = self.without_connection();
        self.flow = elsewhere.unwrap_or(self.flow);
        elsewhere.is_some()
    }

    /// Where it is reached without its connection: a phone that is not behind a NAT listens at its
    /// contact. One that speaks TLS has no certificate to be known by.
    fn without_connection(&self) -> Option<Flow> {
        let address = self.contact_address()?;
        let listens = self.flow.transport == Transport::Tcp
            && address.ip() == self.flow.remote.ip()
            && address != self.flow.remote;
        listens.then_some(Flow {
            remote: address,
            ..self.flow
        })
    }
}

/// A contact that a phone wants to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The contact URI; `*` stands for all that are bound.
    pub contact: String,
    /// For how long, in seconds; 0 for no longer.
    pub expires_s: u32,
    /// Which phone it is.
    pub instance: Option<Instance>,
}

impl Wanted {
    /// Reads the contacts of a REGISTER.
    #[must_use]
    pub fn of(register: &Message<'_>) -> Vec<Self> {
        let default_s = register.expires().unwrap_or(EXPIRES_DEFAULT_S);
        let contacts = register.contacts().filter_map(Result::ok);
        let wanted = contacts.take(CONTACTS_READ).map(|contact| {
            let expires_s = contact.expires().unwrap_or(default_s);
            let address = contact.address();
            let instance = address.and_then(|address| {
                let id = address.params.get("+sip.instance")?;
                let flow = address.params.get("reg-id");
                (!id.is_empty() && id.len() <= INSTANCE_MAX).then(|| Instance {
                    id: id.to_owned(),
                    flow: flow.and_then(|number| number.parse().ok()),
                })
            });
            let uri = address.map_or("*", |address| address.uri.as_str());
            Self {
                contact: uri.to_owned(),
                expires_s,
                instance,
            }
        });
        wanted.collect()
    }
}

/// Explains why a REGISTER was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// 423 Interval Too Brief with this `Min-Expires`.
    TooBrief(u32),
    /// 500: an older request of the same Call-ID came late (§10.3 step 7).
    OutOfOrder,
    /// 400: `Contact: *` without `Expires: 0`.
    BadWildcard,
}

/// Reads the proxies that a REGISTER has come by and that want to be in the way of what goes back
/// (RFC 3327 §5.3). None where there are too many, or one of them cannot be read or is a strict
/// router (§4): a phone that is not reached over them is not reached.
#[must_use]
pub fn path_of(register: &Message<'_>) -> Option<Vec<String>> {
    let mut path = Vec::new();
    for proxy in register.addresses(HeaderName::Path) {
        let proxy = proxy.ok().filter(|proxy| proxy.uri.is_loose_route())?;
        if path.len() == PATH_MAX {
            return None;
        }
        path.push(format!("<{}>", proxy.uri));
    }
    Some(path)
}

/// Holds the users' bindings.
#[derive(Debug, Default)]
pub struct Registrar {
    bindings: HashMap<String, Vec<Binding>>,
}

impl Registrar {
    /// Applies one REGISTER of `user`, and gives the bindings that hold afterwards, with the seconds
    /// that are left of each.
    ///
    /// No contacts only ask. The way back to them is over the flow, and by the proxies of the path.
    ///
    /// # Errors
    /// When RFC 3261 §10.3 asks for a refusal; then nothing has changed.
    pub fn register(
        &mut self,
        now: Instant,
        user: &str,
        way: (Flow, &[String]),
        (call_id, cseq): (&str, u32),
        contacts: &[Wanted],
    ) -> Result<Vec<(String, u32)>, Refused> {
        self.expire(now);
        let mut held = self.bindings.get(user).cloned().unwrap_or_default();
        for wanted in contacts {
            let (contact, expires_s) = (&wanted.contact, wanted.expires_s);
            let late = |binding: &Binding| binding.call_id == call_id && binding.cseq >= cseq;
            if contact == "*" {
                if expires_s != 0 || contacts.len() != 1 {
                    return Err(Refused::BadWildcard);
                }
                if held.iter().any(late) {
                    return Err(Refused::OutOfOrder);
                }
                held.clear();
                break;
            }
            if held
                .iter()
                .any(|binding| binding.contact == *contact && late(binding))
            {
                return Err(Refused::OutOfOrder);
            }
            held.retain(|binding| binding.contact != *contact);
            if expires_s == 0 {
                continue;
            }
            if expires_s < EXPIRES_MIN_S {
                return Err(Refused::TooBrief(EXPIRES_MIN_S));
            }
            held.retain(|binding| !binding.is_replaced_by(wanted, call_id));
            if held.len() == CONTACTS_MAX {
                // The one that was bound, or refreshed, longest ago.
                held.remove(0);
            }
            let lifetime = Duration::from_secs(u64::from(expires_s.min(EXPIRES_MAX_S)));
            let mut binding = Binding::new(wanted, way, (call_id, cseq), now + lifetime);
            binding.ping_at = binding.is_behind_nat().then_some(now);
            held.push(binding);
        }
        let answer = held
            .iter()
            .map(|b| (b.contact.clone(), remaining_s(b, now)))
            .collect();
        if held.is_empty() {
            self.bindings.remove(user);
        } else {
            self.bindings.insert(user.to_owned(), held);
        }
        Ok(answer)
    }

    /// A connection is closed: forgets the bindings over it (RFC 5626 §5.3: nobody is reached over a
    /// flow that has failed), but for phones that are reached by a connection to where they listen.
    /// Gives whose bindings have changed.
    pub fn forget(&mut self, flow: Flow) -> Vec<String> {
        let mut changed = Vec::new();
        self.bindings.retain(|user, held| {
            if held.iter().all(|binding| binding.flow != flow) {
                return true;
            }
            changed.push(user.clone());
            held.retain_mut(|binding| match binding.flow == flow {
                true => binding.lose_connection(),
                false => true,
            });
            !held.is_empty()
        });
        changed
    }

    /// Takes up bindings from before a restart, those alone that a phone can still be reached by:
    /// connections ended with it, and so did what is bound to a listener that is no more.
    pub fn restore(
        &mut self,
        now: Instant,
        user: &str,
        bindings: Vec<Binding>,
        listeners: &[(Transport, SocketAddr)],
    ) {
        let kept = bindings.into_iter().filter_map(|mut binding| {
            let way = (binding.flow.transport, binding.flow.local);
            let is_there = match binding.flow.transport {
                Transport::Udp => listeners.contains(&way),
                _ => listeners.contains(&way) && binding.lose_connection(),
            };
            binding.ping_at = binding.is_behind_nat().then_some(now);
            (is_there && binding.expires > now).then_some(binding)
        });
        let kept: Vec<Binding> = kept.take(CONTACTS_MAX).collect();
        if !kept.is_empty() {
            self.bindings.entry(user.to_owned()).or_insert(kept);
        }
    }

    /// The bindings whose NAT must be kept open now; each is asked for again after `every`.
    pub fn to_ping(&mut self, now: Instant, every: Duration) -> Vec<Binding> {
        let mut due = Vec::new();
        for binding in self.bindings.values_mut().flatten() {
            if binding.ping_at.is_some_and(|at| at <= now) && binding.expires > now {
                binding.ping_at = Some(now + every);
                due.push(binding.clone());
            }
        }
        due
    }

    /// All bindings of a user, for a record of them.
    #[must_use]
    pub fn all_of(&self, user: &str) -> &[Binding] {
        self.bindings
            .get(user)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The bindings of `user` that hold at `now`, the latest first.
    #[must_use]
    pub fn bindings(&self, now: Instant, user: &str) -> Vec<&Binding> {
        let held = self
            .bindings
            .get(user)
            .map(Vec::as_slice)
            .unwrap_or_default();
        held.iter()
            .rev()
            .filter(|binding| binding.expires > now)
            .collect()
    }

    /// How many users have a phone registered at `now`.
    #[must_use]
    pub fn online(&self, now: Instant) -> usize {
        self.bindings
            .values()
            .filter(|held| held.iter().any(|b| b.expires > now))
            .count()
    }

    fn expire(&mut self, now: Instant) {
        self.bindings.retain(|_, held| {
            held.retain(|binding| binding.expires > now);
            !held.is_empty()
        });
    }
}

fn remaining_s(binding: &Binding, now: Instant) -> u32 {
    let left = binding.expires.saturating_duration_since(now).as_secs();
    u32::try_from(left).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
