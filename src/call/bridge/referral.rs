//! One of two who talk wants the other one to talk with somebody else: with whom it says (blind), or
//! with whom it talks in another call (attended). It is asked for by REFER (RFC 3515, RFC 5589), and
//! told what comes of it.
//!
//! Who is to come rings as if whoever asks had called: by the same routes and rules. Until they
//! answer, the one who waits hears music, also where the one who asked has hung up; where nobody
//! answers, the two go on.

use std::sync::Arc;
use std::time::Duration;

use offhook_sip::{Incoming, Party as Named, ReferTo, Source};
use serde_json::json;
use tokio::sync::oneshot;

use super::pair::{Pair, Side, ended_by};
use super::turning::Turned;
use super::{Passage, RING, status_for};
use crate::call::admission::{Admitted, AgentsCall, admit};
use crate::call::called::unify_numbers;
use crate::call::dial::DialFailure;
use crate::call::dialogs::{Given, Who};
use crate::call::hunt::{self, How, Hunt, MAX_FORWARDS};
use crate::call::outgoing::Progress;
use crate::call::party::Party;
use crate::call::places::Permit;
use crate::call::services::Services;
use crate::net::sip::{ReferAsked, ReferReport};
use crate::switch::EndReason;

/// What one of two wants to come of the other.
pub(super) struct Referral {
    /// Who asked.
    by: Side,
    /// Whether they are gone.
    left: Option<EndReason>,
    /// Who is to come, as they named them.
    to: String,
    report: ReferReport,
    comes: Comes,
}

/// How somebody comes.
enum Comes {
    /// They are called.
    Rings {
        hunt: Box<Hunt>,
        pairs: Option<Permit>,
    },
    /// Another call gives them away.
    Given(oneshot::Receiver<Given>),
}

/// Who is called as somebody wants it.
enum CalledOut {
    /// Phones, which ring.
    Phones(Comes),
    /// An agent, which is there at once.
    Agent(Box<AgentsCall>),
}

/// What is heard of who is to come.
pub(super) enum Heard {
    Rings(hunt::Heard),
    Given(Option<Box<Given>>),
}

impl Referral {
    /// Whether this one wants it.
    pub(super) fn is_by(&self, side: Side) -> bool {
        self.by == side
    }

    /// Waits for what is heard of who is to come, if anybody is. Dropped before that, nothing is
    /// lost.
    pub(super) async fn hear(referral: &mut Option<Self>) -> Heard {
        match referral {
            None => std::future::pending().await,
            Some(Self { comes, .. }) => match comes {
                Comes::Rings { hunt, .. } => Heard::Rings(hunt.hear().await),
                Comes::Given(given) => Heard::Given(given.await.ok().map(Box::new)),
            },
        }
    }
}

/// Whether whoever this is may transfer calls, and take the place of who talks in one: our users, and
/// those whom a trunk leads to that is configured so.
pub(in crate::call) fn may_transfer(services: &Services, source: &Source) -> bool {
    match source {
        Source::User(_) | Source::Local => true,
        Source::Trunk(name) => services.config.trunk(name).is_some_and(|t| t.transfers),
    }
}

impl Pair {
    /// Takes a REFER of one of the two; gives the agent that the caller goes on with, where it is one.
    pub(super) async fn refer(&mut self, by: Side, asked: ReferAsked) -> Option<Turned> {
        let services = Arc::clone(&self.answered.services);
        let source = self.who.of(by).source.clone();
        if !may_transfer(&services, &source) {
            tracing::info!("a trunk asked for a transfer, which `transfers` does not allow it");
            asked.refuse(403);
            return None;
        }
        if self.referral.is_some() || self.has_arriving() {
            asked.refuse(491);
            return None;
        }
        let (refer_to, replaces) = (asked.refer_to.clone(), asked.replaces);
        // Accepted, whatever comes of it: some refusals would end the call (RFC 5057 §5.1).
        let mut report = asked.accept();
        let to = called_by(&refer_to);
        let comes = match (&refer_to.replaces, replaces) {
            (None, _) => self.call_out(by, &source, &refer_to).await,
            (Some(_), Some(dialog)) => {
                let is_ours = [by, by.other()]
                    .map(|side| self.party(side).call())
                    .contains(&dialog);
                let given = (!is_ours).then(|| services.claim_other(dialog));
                let given = given.map(Comes::Given);
                given.map(CalledOut::Phones).ok_or(481)
            }
            // A dialog of somebody else's.
            (Some(_), None) => Err(481),
        };
        let referral = match comes {
            Ok(CalledOut::Agent(agents)) => {
                report.tell(200, "");
                self.tell_of_transfer("answered", &to, by);
                return Some(Turned { agents, to });
            }
            Ok(CalledOut::Phones(comes)) => Referral {
                by,
                left: None,
                to,
                report,
                comes,
            },
            Err(status) => {
                report.tell(status, "");
                self.tell_of_transfer("failed", &to, by);
                return None;
            }
        };
        let attended = matches!(referral.comes, Comes::Given(_));
        self.tell_of_transfer(
            if attended { "merging" } else { "ringing" },
            &referral.to,
            by,
        );
        self.referral = Some(referral);
        self.look_at_hold(by);
        None
    }

    /// Calls whom one of them named, as if it had called them itself.
    async fn call_out(
        &mut self,
        by: Side,
        source: &Source,
        refer_to: &ReferTo,
    ) -> Result<CalledOut, u16> {
        let services = Arc::clone(&self.answered.services);
        let mut invite = as_invite(source, refer_to, self.party(by));
        unify_numbers(&services, &mut invite);
        let passage = match admit(&services, &invite) {
            Ok(Admitted::Bridge(passage)) => passage,
            // An agent's call is the caller's.
            Ok(Admitted::Agent(agents)) if by == Side::Called => {
                return Ok(CalledOut::Agent(Box::new(agents)));
            }
            Ok(Admitted::Agent(_) | Admitted::Room(_)) => return Err(501),
            Err(refusal) => {
                tracing::info!(status = refusal.status, reason = %refusal.reason, "not transferred");
                return Err(refusal.status);
            }
        };
        let Passage {
            mut stages, permit, ..
        } = *passage;
        // Phones show who is to talk there, not who sends them.
        let shown = self.who.of(by.other()).shown.clone();
        for called in stages.iter_mut().flat_map(|stage| &mut stage.callees) {
            if let (Some(from), Some(shown)) = (&mut called.from, &shown) {
                from.clone_from(shown);
            }
        }
        let waits = &self.party(by.other()).leg;
        let how = How {
            codec: Some(waits.codec),
            max_forwards: MAX_FORWARDS,
            ring: RING,
            ring_most: Duration::MAX,
            headers: Vec::new(),
        };
        let mut hunt = Box::new(Hunt::new(services, stages, how, waits.id));
        match hunt.place().await {
            Some(Progress::Failed(failure)) => Err(status_of(&failure)),
            _ => Ok(CalledOut::Phones(Comes::Rings {
                hunt,
                pairs: Some(permit),
            })),
        }
    }

    /// Takes what was heard of who is to come; says why the two come apart, where they do.
    pub(super) async fn take_referral(&mut self, heard: Heard) -> Option<EndReason> {
        match heard {
            Heard::Rings(heard) => self.take_rings(heard).await,
            Heard::Given(Some(given)) => {
                let referral = self.referral.take()?;
                self.comes(referral, *given).await
            }
            Heard::Given(None) => self.comes_not(481).await,
        }
    }

    async fn take_rings(&mut self, heard: hunt::Heard) -> Option<EndReason> {
        let referral = self.referral.as_mut()?;
        let Comes::Rings { hunt, .. } = &mut referral.comes else {
            return None;
        };
        match hunt.take(heard).await? {
            Progress::Rings(status) => referral.report.tell(status, ""),
            Progress::Early => referral.report.tell(183, ""),
            Progress::Failed(failure) => {
                tracing::info!(%failure, "a call was not transferred");
                return self.comes_not(status_of(&failure)).await;
            }
            Progress::Answered(party) => {
                let mut referral = self.referral.take()?;
                let whose = hunt_of(&mut referral)?.answered_by();
                let place = hunt_of(&mut referral).and_then(Hunt::take_trunk_place);
                let services = &self.answered.services;
                let who = Who::called(services, whose, &referral.to, place);
                let given = Given {
                    party: *party,
                    who,
                    pairs: pairs_of(&mut referral).map(|pairs| pairs.into_pairs(1)),
                };
                return self.comes(referral, given).await;
            }
        }
        None
    }

    /// Lets somebody take the place of whoever wanted that.
    async fn comes(&mut self, mut referral: Referral, given: Given) -> Option<EndReason> {
        referral.report.tell(200, "");
        self.tell_of_transfer("answered", &referral.to, referral.by);
        self.put(referral.by, given).await
    }

    /// Nobody comes: the two go on, if both are there.
    async fn comes_not(&mut self, status: u16) -> Option<EndReason> {
        let mut referral = self.referral.take()?;
        referral.report.tell(status, "");
        self.tell_of_transfer("failed", &referral.to, referral.by);
        self.look_at_hold(referral.by);
        referral.left.map(|reason| ended_by(referral.by, reason))
    }

    /// Whether one of them is gone while somebody is to come in their place.
    pub(super) fn has_left(&self, side: Side) -> bool {
        let referral = self.referral.as_ref();
        referral.is_some_and(|referral| referral.is_by(side) && referral.left.is_some())
    }

    /// Takes note that one of them is gone. Whoever asked for somebody to come may leave meanwhile.
    pub(super) fn one_is_gone(&mut self, side: Side, reason: EndReason) -> Option<EndReason> {
        match self.referral.as_mut().filter(|r| r.is_by(side)) {
            Some(referral) => {
                referral.left = Some(reason);
                None
            }
            None => Some(ended_by(side, reason)),
        }
    }

    /// Nobody is to come any more.
    pub(super) async fn give_up_referral(&mut self) {
        let Some(mut referral) = self.referral.take() else {
            return;
        };
        referral.report.tell(487, "");
        if let Some(hunt) = hunt_of(&mut referral) {
            hunt.give_up().await;
        }
    }

    pub(super) fn tell_of_transfer(&self, state: &str, to: &str, by: Side) {
        let data = json!({ "state": state, "to": to, "by": by.as_str() });
        self.event("call.transfer", data);
    }
}

fn hunt_of(referral: &mut Referral) -> Option<&mut Hunt> {
    match &mut referral.comes {
        Comes::Rings { hunt, .. } => Some(hunt),
        Comes::Given(_) => None,
    }
}

/// The place among calls of who is called.
fn pairs_of(referral: &mut Referral) -> Option<Permit> {
    match &mut referral.comes {
        Comes::Rings { pairs, .. } => pairs.take(),
        Comes::Given(_) => None,
    }
}

/// What tells whoever asked why nobody comes.
fn status_of(failure: &DialFailure) -> u16 {
    match failure {
        DialFailure::Refused { status, .. } => status_for(*status),
        DialFailure::Cancelled | DialFailure::NoAnswer(_) => 480,
        _ => 503,
    }
}

/// Whom a REFER names.
fn called_by(refer_to: &ReferTo) -> String {
    let uri = offhook_sip::uri::Uri::parse(&refer_to.uri);
    let user = uri.map(|uri| uri.user_text().into_owned());
    user.unwrap_or_default()
}

/// The INVITE that would call whom a REFER names.
fn as_invite(source: &Source, refer_to: &ReferTo, by: &Party) -> Incoming {
    let named = |user: &str, uri: &str| Named {
        display: String::new(),
        uri: uri.to_owned(),
        user: user.to_owned(),
    };
    let user = match source {
        Source::User(name) => name.as_str(),
        Source::Trunk(_) | Source::Local => "",
    };
    Incoming {
        request_uri: refer_to.uri.clone(),
        from: named(user, ""),
        to: named(&called_by(refer_to), &refer_to.uri),
        call_id: String::new(),
        headers: Vec::new(),
        offer: None,
        content_type: None,
        replaces: None,
        replaces_is_early_only: false,
        source: source.clone(),
        flow: by.flow(),
    }
}
