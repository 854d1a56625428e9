//! What a trunk's own messages say of it: what it is, what it asks for, how it wants calls kept alive.

use std::time::Instant;

use offhook_sip::message::{HeaderName, Message};
use tokio::sync::mpsc;

use super::Findings;
use crate::clock;
use crate::config::TrunkConfig;
use crate::phone::Phone;

/// Messages that are kept; a call has some twenty.
const KEPT_MAX: usize = 500;
/// The most of a header that is shown, in characters.
const SHOWN_MAX: usize = 300;

/// What has come from it.
pub(super) struct Seen {
    coming: mpsc::Receiver<Box<[u8]>>,
    kept: Vec<Box<[u8]>>,
}

impl Seen {
    /// Looks at what comes to a phone from now on.
    pub(super) fn of(phone: &Phone) -> Self {
        Self {
            coming: phone.line.sip().tap(KEPT_MAX),
            kept: Vec::new(),
        }
    }

    /// Takes in what has come.
    pub(super) fn look(&mut self) -> &mut Self {
        while let Ok(message) = self.coming.try_recv() {
            self.keep(message);
        }
        self
    }

    fn keep(&mut self, message: Box<[u8]>) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(message);
        }
    }

    /// Waits for the final answer to a request of this method that has not come yet, and gives its
    /// status.
    pub(super) async fn final_answer(&mut self, method: &str, until: Instant) -> Option<u16> {
        loop {
            let message = tokio::select! {
                message = self.coming.recv() => message?,
                () = clock::sleep_until(Some(until)) => return None,
            };
            let status = Message::parse(&message).ok().and_then(|message| {
                let status = answers(&message, method)?;
                // It is asked again, with the answer to that.
                (status >= 200 && !matches!(status, 401 | 407)).then_some(status)
            });
            self.keep(message);
            if status.is_some() {
                return status;
            }
        }
    }

    /// The answers to a method that have come, the latest first.
    fn answers_to(&self, method: &'static str) -> impl Iterator<Item = (u16, Message<'_>)> {
        let messages = self.kept.iter().rev();
        let messages = messages.filter_map(|message| Message::parse(message).ok());
        messages.filter_map(move |message| Some((answers(&message, method)?, message)))
    }

    /// What it says it is, and what it can do.
    pub(super) fn introduction(&self, findings: &mut Findings) {
        let Some((_, answer)) = self.answers_to("OPTIONS").next() else {
            return;
        };
        let names = [HeaderName::Server, HeaderName::UserAgent];
        let name = names.into_iter().find_map(|name| answer.header(name));
        let list = |name: HeaderName| {
            let values: Vec<&str> = answer.values(name).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        let said = [
            name.map(|name| format!("it says that it is {name}")),
            list(HeaderName::Allow).map(|methods| format!("takes {methods}")),
            list(HeaderName::Supported).map(|extensions| format!("knows {extensions}")),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        if !said.is_empty() {
            findings.good("introduction", shown(&said.join("; ")));
        }
    }

    /// What it asks us for before it takes a request.
    pub(super) fn challenge(
        &self,
        method: &'static str,
        trunk: &TrunkConfig,
        findings: &mut Findings,
    ) {
        let mut challenges = self.answers_to(method);
        let challenge = challenges.find(|(status, _)| matches!(status, 401 | 407));
        let Some((status, answer)) = challenge else {
            if self.answers_to(method).next().is_some() {
                let found = format!("none for {method}: it knows us by our address");
                findings.good("challenge", found);
            }
            return;
        };
        let asks = answer.authenticate().map(|asked| {
            let algorithm = match asked.algorithm() {
                Some(algorithm) => algorithm.as_str(),
                None => "an algorithm that we do not know",
            };
            format!("{algorithm} in realm {:?}", asked.realm())
        });
        let asks: Vec<String> = asks.collect();
        let found = shown(&format!(
            "{method} is asked for a password ({status}): {}",
            asks.join(", or ")
        ));
        if !answer.authenticate().any(|asked| asked.is_supported()) {
            let mend =
                "none of that can be answered: ask the carrier for digest with MD5 or SHA-256";
            return findings.bad("challenge", found, mend);
        }
        match trunk.password {
            Some(_) => findings.good("challenge", found),
            None => findings.bad(
                "challenge",
                found,
                "set `username` and `password`, or have the carrier know your address",
            ),
        }
    }

    /// How it wants the call kept alive (RFC 4028).
    pub(super) fn timer(&self, findings: &mut Findings) {
        let answer = self.answers_to("INVITE");
        let mut answer = answer.filter(|(status, _)| (200..300).contains(status));
        let Some((_, answer)) = answer.next() else {
            return;
        };
        let found = match answer.session_expires() {
            Some(timer) => {
                let (lasts_s, refresher) = (timer.interval_s, timer.refresher);
                let who = match refresher.map(|who| who.to_string()).as_deref() {
                    Some("uac") => "we refresh it",
                    Some("uas") => "it refreshes it",
                    _ => "nobody is said to refresh it, so we do",
                };
                format!("a call lasts {lasts_s} s without a refresh, and {who} at half of that")
            }
            None => "it asks for no refresh of calls: one that died is found by its silence".into(),
        };
        findings.good("session timer", found);
    }
}

/// The status of an answer to a method.
fn answers(message: &Message<'_>, method: &str) -> Option<u16> {
    let status = message.status()?;
    let answered = message.cseq().ok()?.method;
    (answered.as_str() == method).then_some(status)
}

/// A text of theirs on one line, and no longer than a person reads.
fn shown(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(SHOWN_MAX).collect()
}
