//! The registrar for `[[user]]` phones (RFC 3261 §10.3): who can be reached where, until when.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use offhook_sip::Flow;

/// Contacts that one user may hold: several phones, not a flood.
const CONTACTS_MAX: usize = 10;
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
    /// The REGISTER's Call-ID.
    pub call_id: String,
    /// Its CSeq number.
    pub cseq: u32,
    /// When the binding ends.
    pub expires: Instant,
}

/// Explains why a REGISTER was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// 423 Interval Too Brief with this `Min-Expires`.
    TooBrief(u32),
    /// 403: the user holds too many contacts.
    TooMany,
    /// 500: an older request of the same Call-ID came late (§10.3 step 7).
    OutOfOrder,
    /// 400: `Contact: *` without `Expires: 0`.
    BadWildcard,
}

/// Holds the users' bindings.
#[derive(Debug, Default)]
pub struct Registrar {
    bindings: HashMap<String, Vec<Binding>>,
}

impl Registrar {
    /// Applies one REGISTER of `user`, and gives the bindings that hold afterwards.
    ///
    /// `contacts` are the Contact URIs with the seconds each asks for; an empty list only asks.
    ///
    /// # Errors
    /// When RFC 3261 §10.3 asks for a refusal; then nothing has changed.
    pub fn register(
        &mut self,
        now: Instant,
        user: &str,
        flow: Flow,
        (call_id, cseq): (&str, u32),
        contacts: &[(String, u32)],
    ) -> Result<Vec<(String, u32)>, Refused> {
        self.expire(now);
        let mut held = self.bindings.get(user).cloned().unwrap_or_default();
        for (contact, expires_s) in contacts {
            let late = |binding: &Binding| binding.call_id == call_id && binding.cseq >= cseq;
            if contact == "*" {
                if *expires_s != 0 || contacts.len() != 1 {
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
            if *expires_s == 0 {
                continue;
            }
            if *expires_s < EXPIRES_MIN_S {
                return Err(Refused::TooBrief(EXPIRES_MIN_S));
            }
            if held.len() == CONTACTS_MAX {
                return Err(Refused::TooMany);
            }
            let lifetime = Duration::from_secs(u64::from((*expires_s).min(EXPIRES_MAX_S)));
            held.push(Binding {
                contact: contact.clone(),
                flow,
                call_id: call_id.to_owned(),
                cseq,
                expires: now + lifetime,
            });
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

    /// Forgets the bindings over a connection that is closed, and gives how many those were
    /// (RFC 5626 §5.3: nobody is reached over a flow that has failed).
    pub fn forget(&mut self, flow: Flow) -> usize {
        let mut forgotten = 0;
        self.bindings.retain(|_, held| {
            let before = held.len();
            held.retain(|binding| binding.flow != flow);
            forgotten += before - held.len();
            !held.is_empty()
        });
        forgotten
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
mod tests {
    use super::*;
    use offhook_sip::Transport;

    const PHONE: &str = "sip:alice@192.0.2.9:5062";

    fn flow() -> Flow {
        Flow {
            transport: Transport::Udp,
            local: "127.0.0.1:5060".parse().unwrap(),
            remote: "192.0.2.9:5062".parse().unwrap(),
        }
    }

    fn register(
        registrar: &mut Registrar,
        now: Instant,
        cseq: u32,
        contacts: &[(&str, u32)],
    ) -> Result<Vec<(String, u32)>, Refused> {
        let contacts: Vec<_> = contacts
            .iter()
            .map(|(c, e)| ((*c).to_owned(), *e))
            .collect();
        registrar.register(now, "alice", flow(), ("id-1", cseq), &contacts)
    }

    #[test]
    fn a_binding_holds_until_it_expires_or_is_removed() {
        let (mut registrar, now) = (Registrar::default(), crate::clock::now());
        let held = register(&mut registrar, now, 1, &[(PHONE, 120)]).unwrap();
        assert_eq!(held, [(PHONE.to_owned(), 120)]);
        assert_eq!(registrar.online(now), 1);
        assert_eq!(registrar.online(now + Duration::from_secs(121)), 0);
        assert_eq!(register(&mut registrar, now, 2, &[(PHONE, 0)]), Ok(vec![]));
        assert!(registrar.bindings(now, "alice").is_empty());
    }

    #[test]
    fn a_late_duplicate_a_short_wish_and_a_bad_wildcard_change_nothing() {
        let (mut registrar, now) = (Registrar::default(), crate::clock::now());
        register(&mut registrar, now, 5, &[(PHONE, 120)]).unwrap();
        assert_eq!(
            register(&mut registrar, now, 4, &[(PHONE, 0)]),
            Err(Refused::OutOfOrder)
        );
        let brief = register(&mut registrar, now, 6, &[(PHONE, 10)]);
        assert_eq!(brief, Err(Refused::TooBrief(EXPIRES_MIN_S)));
        assert_eq!(
            register(&mut registrar, now, 7, &[("*", 60)]),
            Err(Refused::BadWildcard)
        );
        assert_eq!(registrar.bindings(now, "alice").len(), 1);
        assert_eq!(register(&mut registrar, now, 8, &[("*", 0)]), Ok(vec![]));
    }

    #[test]
    fn a_binding_ends_with_its_connection_and_others_do_not() {
        let (mut registrar, now) = (Registrar::default(), crate::clock::now());
        let page = Flow {
            transport: Transport::Wss,
            ..flow()
        };
        register(&mut registrar, now, 1, &[(PHONE, 120)]).unwrap();
        let contacts = [("sip:q7@df7jal23ls0d.invalid;transport=ws".to_owned(), 120)];
        let bound = registrar.register(now, "alice", page, ("id-2", 1), &contacts);
        assert_eq!(bound.unwrap().len(), 2);
        assert_eq!(registrar.forget(page), 1);
        let held = registrar.bindings(now, "alice");
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].contact, PHONE);
        assert_eq!(registrar.forget(flow()), 1);
        assert_eq!((registrar.online(now), registrar.forget(flow())), (0, 0));
    }

    #[test]
    fn a_user_cannot_hold_contacts_without_bound() {
        let (mut registrar, now) = (Registrar::default(), crate::clock::now());
        for n in 0..10 {
            let contact = format!("sip:alice@192.0.2.9:{}", 6000 + n);
            register(&mut registrar, now, n + 1, &[(&contact, 120)]).unwrap();
        }
        assert_eq!(
            register(&mut registrar, now, 99, &[(PHONE, 120)]),
            Err(Refused::TooMany)
        );
    }
}
