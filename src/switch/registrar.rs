//! The registrar for `[[user]]` phones (RFC 3261 §10.3): who can be reached where, until when.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use offhook_sip::Flow;
use offhook_sip::message::{HeaderName, Message};

/// Contacts that one user may hold: several phones, not a flood.
const CONTACTS_MAX: usize = 10;
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
    /// Applies one REGISTER of `user`, and gives the bindings that hold afterwards.
    ///
    /// `contacts` are the Contact URIs with the seconds each asks for; an empty list only asks. The
    /// way back to them is over the flow, and by the proxies of the path.
    ///
    /// # Errors
    /// When RFC 3261 §10.3 asks for a refusal; then nothing has changed.
    pub fn register(
        &mut self,
        now: Instant,
        user: &str,
        (flow, path): (Flow, &[String]),
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
                path: path.to_vec(),
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
        registrar.register(now, "alice", (flow(), &[]), ("id-1", cseq), &contacts)
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
    fn the_path_of_a_register_is_read_whole_or_not_at_all() {
        let read = |fields: &str| {
            let text = format!("REGISTER sip:a.test SIP/2.0\r\n{fields}\r\n");
            path_of(&Message::parse(text.as_bytes()).unwrap())
        };
        assert_eq!(read(""), Some(Vec::new()));
        let two = "Path: <sip:p2.test;lr>, <sip:p1.test;lr;ob>\r\nPath: <sip:p0.test;lr>\r\n";
        let wanted = [
            "<sip:p2.test;lr>",
            "<sip:p1.test;lr;ob>",
            "<sip:p0.test;lr>",
        ];
        assert_eq!(read(two).unwrap(), wanted);
        assert_eq!(read("Path: <sip:p1.test;lr>, <sip:strict.test>\r\n"), None);
        assert_eq!(read("Path: <sip:p1.test;lr>, ?\r\n"), None);
        assert_eq!(read(&"Path: <sip:p1.test;lr>\r\n".repeat(9)), None);
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
        let bound = registrar.register(now, "alice", (page, &[]), ("id-2", 1), &contacts);
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
