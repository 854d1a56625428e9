//! What is kept of everything on the wire, and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};

use offhook_sip::message::{Message, Method};

/// A dialog that a 2xx to an INVITE has made: Call-ID and callee's tag.
type Dialog = (String, String);

#[derive(Default)]
pub(crate) struct Books {
    /// The hops left of each request, by branch and method.
    hops: BTreeMap<(String, String), u8>,
    /// The 2xx that have come to a caller and were not acknowledged yet, by dialog and CSeq.
    unacknowledged: BTreeSet<(Dialog, u32)>,
    /// How many INFOs were challenged and neither sent again nor overtaken by a BYE, by Call-ID and
    /// sender's tag.
    challenged: BTreeMap<(String, String), usize>,
    /// The BYEs that were challenged and not sent again: Call-ID, sender's and receiver's tag.
    asked_to_leave: BTreeSet<(String, String, String)>,
    /// Whether each dialog was ended by a BYE.
    dialogs: BTreeMap<Dialog, bool>,
    /// How many INFOs were challenged.
    pub(crate) questions: usize,
    /// How many dialogs each INVITE that makes a call has made: Call-ID and caller's tag.
    answers: BTreeMap<(String, String), BTreeSet<String>>,
}

/// More proxies than a request ever passes, even one that spirals.
const MOST_VIAS: usize = 9;

impl Books {
    /// Notes what is sent, by a user agent or by the proxy.
    pub(crate) fn sent(&mut self, seed: u64, message: &Message<'_>) {
        let Some(method) = message.method() else {
            return;
        };
        let name = method.as_str().to_owned();
        let branches: Vec<String> = message
            .vias()
            .map(|via| via.unwrap().branch.unwrap().to_owned())
            .collect();
        assert!(
            branches.len() <= MOST_VIAS,
            "seed {seed}: {name} runs in a loop"
        );
        let hops = message.max_forwards().expect("Max-Forwards");
        let mut branches = branches.into_iter().map(|branch| (branch, name.clone()));
        let own = branches.next().unwrap();
        if let Some(before) = branches.next().and_then(|key| self.hops.get(&key)) {
            assert!(
                hops < *before,
                "seed {seed}: {name} with {hops} hops left after {before}"
            );
        }
        let known = self.hops.entry(own).or_insert(hops);
        assert!(
            hops <= *known,
            "seed {seed}: {name} is repeated with {hops} hops after {known}"
        );
        *known = hops;
        let call_id = message.call_id().unwrap().to_owned();
        let (from, to) = tags(message);
        match method {
            Method::Ack => {
                let number = message.cseq().unwrap().number;
                self.unacknowledged.remove(&((call_id, to), number));
            }
            Method::Info if message.authorization().next().is_some() => {
                let asked = self.challenged.get_mut(&(call_id, from));
                if let Some(asked) = asked {
                    *asked = asked.saturating_sub(1);
                }
            }
            Method::Bye => {
                self.challenged.retain(|(other, _), _| *other != call_id);
                if message.authorization().next().is_some() {
                    self.asked_to_leave.remove(&(call_id, from, to));
                }
                if let Some(ended) = self.dialog(message) {
                    *ended = true;
                }
            }
            _ => {}
        }
    }

    /// Notes what has come to a user agent.
    pub(crate) fn heard(&mut self, message: &Message<'_>) {
        let cseq = message.cseq().unwrap();
        if message.status() == Some(407) {
            self.asked(message, cseq.method);
        }
        let is_2xx = message.status().is_some_and(|s| (200..300).contains(&s));
        if !is_2xx || cseq.method != Method::Invite {
            return;
        }
        let call_id = message.call_id().unwrap().to_owned();
        let (from, to) = (message.from().unwrap(), message.to().unwrap());
        let tag = to.tag().unwrap().to_owned();
        let caller = (call_id.clone(), from.tag().unwrap().to_owned());
        self.unacknowledged
            .insert(((call_id.clone(), tag.clone()), cseq.number));
        // A re-INVITE of the callee makes none.
        if !self
            .dialogs
            .contains_key(&(call_id.clone(), caller.1.clone()))
        {
            self.answers.entry(caller).or_default().insert(tag.clone());
            self.dialogs.entry((call_id, tag)).or_default();
        }
    }

    /// Notes a challenge.
    fn asked(&mut self, message: &Message<'_>, method: Method<'_>) {
        let is_over = self.dialog(message).is_some_and(|ended| *ended);
        let call_id = message.call_id().unwrap().to_owned();
        let (from, to) = tags(message);
        match method {
            // Its answer would cross a BYE.
            Method::Info if is_over => {}
            Method::Info => {
                *self.challenged.entry((call_id, from)).or_default() += 1;
                self.questions += 1;
            }
            Method::Bye => {
                self.asked_to_leave.insert((call_id, from, to));
            }
            _ => {}
        }
    }

    /// Whether the dialog of a message was ended, whoever of the two has sent it.
    fn dialog(&mut self, message: &Message<'_>) -> Option<&mut bool> {
        let call_id = message.call_id().unwrap();
        let (from, to) = tags(message);
        let keys = [to, from].map(|tag| (call_id.to_owned(), tag));
        let key = keys.iter().find(|key| self.dialogs.contains_key(key))?;
        self.dialogs.get_mut(key)
    }

    /// How many INVITEs were answered by more than one.
    pub(crate) fn races(&self) -> usize {
        self.answers.values().filter(|tags| tags.len() > 1).count()
    }

    /// Checks that every 2xx that came was acknowledged, and every dialog ended.
    pub(crate) fn check(&self, seed: u64) {
        let open = &self.unacknowledged;
        assert!(open.is_empty(), "seed {seed}: without ACK: {open:?}");
        let asked = self.challenged.iter().find(|(_, count)| **count > 0);
        assert_eq!(asked, None, "seed {seed}: without a password");
        let leaving = &self.asked_to_leave;
        assert!(
            leaving.is_empty(),
            "seed {seed}: BYE without a password: {leaving:?}"
        );
        let unended = self.dialogs.iter().find(|(_, ended)| !**ended);
        assert_eq!(unended, None, "seed {seed}: without BYE");
    }
}

/// The tags of the sender and of the receiver of a request, or of what was answered.
fn tags(message: &Message<'_>) -> (String, String) {
    let (from, to) = (message.from().unwrap(), message.to().unwrap());
    let tag = |tag: Option<&str>| tag.unwrap_or_default().to_owned();
    (tag(from.tag()), tag(to.tag()))
}
