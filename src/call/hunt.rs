//! The called party: who is rung, stage by stage, until somebody answers. A stage is a trunk, or users
//! whose phones ring at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use offhook_media::Codec;
use tokio::time::{Instant, sleep_until};

use super::busy::Busy;
use super::dial::{DialFailure, Dialling};
use super::fork::{Fork, Legs};
use super::inbound::party;
use super::line::{Attached, Leg};
use super::outbound::{Callee, Whose, sent_over};
use super::outgoing::{self, Progress};
use super::services::Services;
use super::trunk_load::TrunkPlace;
use crate::config::{self, FailOverOn};
use crate::net::media::LegId;
use crate::switch::{Dialled, Way};

/// Hops that a call may take which says nothing of them (RFC 3261 §8.1.1.6).
pub(super) const MAX_FORWARDS: u8 = 70;

/// Those who ring at once.
pub(super) struct Stage {
    pub(super) callees: Vec<Called>,
    pub(super) kind: Kind,
    /// Which of the route's targets it belongs to: trunks of one lead to the same callee.
    pub(super) step: usize,
    /// How long it may ring, where a route says it.
    pub(super) ring: Option<Duration>,
}

/// What a stage's failure means for the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The next trunk leads to the same callee: it is tried where this one could not get there.
    Trunk,
    /// The next users are others: they are rung unless somebody has declined for all.
    Users,
}

/// One of those who ring.
pub(super) struct Called {
    pub(super) callee: Callee,
    /// Whom it sees, as a name-addr; none shows what the trunk's calls show.
    pub(super) from: Option<String>,
    /// Header fields of the caller's that it is told.
    pub(super) headers: Vec<(String, String)>,
    pub(super) whose: Whose,
}

impl Called {
    /// Makes one of those who ring; `to` is what named them.
    pub(super) fn new(callee: Callee, to: &str, from: Option<String>) -> Self {
        let whose = callee.whose(to);
        Self {
            callee,
            from,
            headers: Vec::new(),
            whose,
        }
    }
}

impl Stage {
    /// Whom a trunk leads to.
    pub(super) fn over(dialled: Dialled) -> Self {
        let to = dialled.trunk.clone().unwrap_or_default();
        Self {
            callees: vec![Called::new(Callee::Dialled(dialled), &to, None)],
            kind: Kind::Trunk,
            step: 0,
            ring: None,
        }
    }

    /// Users, all at once or one after the other.
    pub(super) fn of_users(there: Vec<Called>, hunt: config::Hunt) -> Vec<Self> {
        let stage = |callees| Self {
            callees,
            kind: Kind::Users,
            step: 0,
            ring: None,
        };
        match hunt {
            config::Hunt::All => vec![stage(there)],
            config::Hunt::InTurn => {
                let alone = there.into_iter().map(|called| stage(vec![called]));
                alone.collect()
            }
        }
    }

    /// Makes these the stages of one of a route's targets, of which each may ring for so long.
    pub(super) fn of_step(mut stages: Vec<Self>, step: usize, ring: Duration) -> Vec<Self> {
        for stage in &mut stages {
            (stage.step, stage.ring) = (step, Some(ring));
        }
        stages
    }

    /// The trunk that it goes over.
    pub(super) fn trunk(&self) -> Option<&str> {
        let mut trunks = self.callees.iter();
        trunks.find_map(|called| called.whose.trunk.as_deref())
    }

    /// What a trunk's call shows of who calls: a number stands for itself. None where phones ring.
    pub(super) fn shows(&self) -> Option<String> {
        match &self.callees.first()?.callee {
            Callee::Dialled(dialled) => Some(shown_caller(&dialled.from_uri)),
            Callee::Registered(_) => None,
        }
    }

    /// How many places may ring at once.
    pub(super) fn places(&self) -> usize {
        self.callees
            .iter()
            .map(|called| called.callee.places())
            .sum()
    }

    /// Leaves only the best of the places.
    pub(super) fn keep_best(&mut self) {
        self.callees.truncate(1);
        for called in &mut self.callees {
            called.callee.keep_best();
        }
    }

    /// Takes a place on the trunk that it goes over.
    pub(super) fn take_trunk(&self, services: &Services) -> Result<Option<TrunkPlace>, Busy> {
        let loads = &services.trunk_loads;
        let place = self.trunk().map(|trunk| loads.take(trunk, Way::Out));
        place.transpose()
    }

    /// Works out where it rings; what cannot be worked out rings nowhere.
    async fn phones(
        self,
        services: &Services,
        how: &How,
    ) -> Result<Vec<(Dialling, Whose)>, DialFailure> {
        let (mut phones, mut failure) = (Vec::new(), DialFailure::NoTarget);
        for called in self.callees {
            let diallings = match called.callee.diallings(services).await {
                Ok(diallings) => diallings,
                Err(words) => {
                    failure = DialFailure::Nowhere(words);
                    continue;
                }
            };
            for mut phone in diallings {
                if let Some(from) = &called.from {
                    phone.from.clone_from(from);
                }
                // The caller's choice first: where the called party has it, nothing needs to be
                // transcoded.
                phone.codecs = phone.codecs.preferring(how.codec);
                let hops = ("Max-Forwards".to_owned(), how.max_forwards.to_string());
                phone.add_missing_headers(called.headers.clone());
                let trunk = called.whose.trunk.as_deref();
                let trunk = trunk.and_then(|name| services.config.trunk(name));
                phone.add_headers(sent_over(trunk, how.headers.clone()));
                phone.headers.push(hops);
                phones.push((phone, called.whose.clone()));
            }
        }
        match phones.is_empty() {
            true => Err(failure),
            false => Ok(phones),
        }
    }
}

impl Kind {
    /// Whether those who come next are tried after a failure; `on` are the refusals after which the
    /// trunk's calls go on.
    fn moves_on_after(self, failure: &DialFailure, rang: bool, on: &FailOverOn) -> bool {
        match self {
            Self::Trunk => match failure {
                // Nothing is to be expected of it any more, whatever it said before.
                DialFailure::Refused { unheard: true, .. } => true,
                // The callee would ring twice.
                _ if rang => false,
                DialFailure::Refused { status, .. } => on.holds(*status),
                DialFailure::NoAnswer(_)
                | DialFailure::NoTarget
                | DialFailure::Nowhere(_)
                | DialFailure::Sip(_) => true,
                DialFailure::Cancelled | DialFailure::NoDescription | DialFailure::Media(_) => {
                    false
                }
            },
            Self::Users => failure.status().is_none_or(|status| status < 600),
        }
    }
}

/// Who a call comes from, as its record shows it.
fn shown_caller(from_uri: &str) -> String {
    let user = offhook_sip::uri::Uri::parse(from_uri).map(|uri| uri.user_text().into_owned());
    party(&user.unwrap_or_default(), from_uri)
}

/// What holds of each of the calls.
pub(super) struct How {
    /// The codec that was agreed on with the caller.
    pub(super) codec: Option<Codec>,
    /// Hops that the call may still take.
    pub(super) max_forwards: u8,
    /// How long a stage may ring that does not say it …
    pub(super) ring: Duration,
    /// … and how long one may at most that does.
    pub(super) ring_most: Duration,
    /// Header fields that each INVITE gets.
    pub(super) headers: Vec<(String, String)>,
}

/// A called party that rings, or is about to.
pub(super) struct Hunt {
    services: Arc<Services>,
    how: How,
    legs: Legs,
    fork: Fork,
    kind: Kind,
    step: usize,
    /// How long it may ring there.
    ring: Duration,
    until: Instant,
    /// Whether more was heard there than that the call was taken on.
    heard: bool,
    /// Whether it rang there, or something was played.
    rang: bool,
    /// The trunk that it rings over.
    trunk: Option<String>,
    /// What it shows there of who calls.
    shows: Option<String>,
    /// The place on that trunk.
    place: Option<TrunkPlace>,
    /// The place that was taken for the first of those who come.
    taken: Option<TrunkPlace>,
    coming: VecDeque<Stage>,
}

/// What was heard of it.
pub(super) enum Heard {
    /// A phone said something: which, and what.
    Phone((usize, outgoing::Heard)),
    /// Nobody answered in time.
    Silence,
}

impl Hunt {
    /// Makes a party that is not called yet, with legs beside the caller's.
    pub(super) fn new(
        services: Arc<Services>,
        stages: Vec<Stage>,
        how: How,
        beside: LegId,
    ) -> Self {
        Self::with_legs(services, stages, how, Legs::Beside(beside))
    }

    /// Makes one whose leg, wherever it is answered, is this, with what is attached to it.
    pub(super) fn with_leg(
        services: Arc<Services>,
        stages: Vec<Stage>,
        how: How,
        (leg, attached): (LegId, Attached),
    ) -> Self {
        Self::with_legs(services, stages, how, Legs::one(leg, attached))
    }

    fn with_legs(services: Arc<Services>, stages: Vec<Stage>, how: How, legs: Legs) -> Self {
        let fork = Fork::new(&services.line, Vec::new(), &legs);
        Self {
            services,
            step: 0,
            ring: how.ring,
            how,
            legs,
            fork,
            kind: Kind::Users,
            until: Instant::now(),
            heard: false,
            rang: false,
            trunk: None,
            shows: None,
            place: None,
            taken: None,
            coming: stages.into(),
        }
    }

    /// Begins with a place that was taken on the first one's trunk.
    pub(super) fn with_place(mut self, place: Option<TrunkPlace>) -> Self {
        self.taken = place;
        self
    }

    /// Rings at those who come next; none who can be rung is a failure.
    pub(super) async fn place(&mut self) -> Option<Progress> {
        let mut failure = DialFailure::NoTarget;
        while let Some(stage) = self.coming.pop_front() {
            (self.kind, self.step) = (stage.kind, stage.step);
            let How {
                ring, ring_most, ..
            } = self.how;
            self.ring = stage.ring.map_or(ring, |own| own.min(ring_most));
            self.place = None;
            (self.trunk, self.shows) = (stage.trunk().map(str::to_owned), stage.shows());
            let place = match self.taken.take() {
                None => stage.take_trunk(&self.services),
                taken => Ok(taken),
            };
            match place {
                Ok(place) => self.place = place,
                Err(busy) => {
                    failure = DialFailure::Nowhere(busy.to_string());
                    continue;
                }
            }
            let phones = match stage.phones(&self.services, &self.how).await {
                Ok(phones) => phones,
                Err(nowhere) => {
                    failure = nowhere;
                    continue;
                }
            };
            self.fork = Fork::new(&self.services.line, phones, &self.legs);
            self.until = Instant::now() + self.ring;
            (self.heard, self.rang) = (false, false);
            match self.fork.place().await {
                Some(Progress::Failed(failed)) if self.moves_on_after(&failed) => {
                    failure = failed;
                }
                progress => return progress,
            }
        }
        Some(Progress::Failed(failure))
    }

    /// Waits for what is heard next. Dropped before that, nothing is lost.
    pub(super) async fn hear(&mut self) -> Heard {
        tokio::select! {
            heard = self.fork.hear() => Heard::Phone(heard),
            () = sleep_until(self.until) => Heard::Silence,
        }
    }

    /// Takes what was heard.
    pub(super) async fn take(&mut self, heard: Heard) -> Option<Progress> {
        let failure = match heard {
            Heard::Phone(heard) => match self.fork.take(heard).await? {
                Progress::Failed(failure) => failure,
                other => {
                    self.heard = true;
                    self.rang |= self.fork.is_ringing();
                    return Some(other);
                }
            },
            Heard::Silence => {
                self.fork.give_up_unheard(self.heard).await;
                DialFailure::NoAnswer(self.ring)
            }
        };
        if !self.moves_on_after(&failure) {
            return Some(Progress::Failed(failure));
        }
        tracing::info!(%failure, "the next ones are rung");
        match self.place().await {
            // Who comes last and cannot be rung at all says less than who was rung.
            Some(Progress::Failed(DialFailure::NoTarget | DialFailure::Nowhere(_))) => {
                Some(Progress::Failed(failure))
            }
            progress => progress,
        }
    }

    /// Whether those who come next are tried after a failure of those who rang. Other ways to a callee
    /// who will not answer are passed over.
    fn moves_on_after(&mut self, failure: &DialFailure) -> bool {
        let step = self.step;
        let is_same = |stage: &mut Stage| stage.step == step;
        if self.kind == Kind::Trunk && self.coming.front_mut().is_some_and(is_same) {
            let trunk = self.trunk.as_deref();
            let trunk = trunk.and_then(|name| self.services.config.trunk(name));
            let usual = FailOverOn::default();
            let on = trunk.map_or(&usual, |trunk| &trunk.fail_over_on);
            if self.kind.moves_on_after(failure, self.rang, on) {
                return true;
            }
            while self.coming.pop_front_if(is_same).is_some() {}
        }
        let others = Kind::Users.moves_on_after(failure, self.rang, &FailOverOn::default());
        others && !self.coming.is_empty()
    }

    /// What it shows there of who calls, where that is a trunk's.
    pub(super) fn shows(&self) -> Option<String> {
        self.shows.clone()
    }

    /// The trunk that it rings over.
    pub(super) fn trunk(&self) -> Option<&str> {
        self.trunk.as_deref()
    }

    /// The legs of phones that play something before they answer.
    pub(super) fn early_legs(&self) -> impl Iterator<Item = &Leg> {
        self.fork.early_legs()
    }

    /// Whose phone has answered.
    pub(super) fn answered_by(&self) -> Whose {
        self.fork.answered_by().clone()
    }

    /// The place on the trunk that it was answered over.
    pub(super) fn into_trunk_place(mut self) -> Option<TrunkPlace> {
        self.take_trunk_place()
    }

    /// Takes that place.
    pub(super) fn take_trunk_place(&mut self) -> Option<TrunkPlace> {
        self.place.take()
    }

    /// Gives up.
    pub(super) async fn give_up(&mut self) {
        self.give_up_because(None).await;
    }

    /// Gives up; `reason` is the Reason (RFC 3326) that whoever rings is told.
    pub(super) async fn give_up_because(&mut self, reason: Option<&str>) {
        self.coming.clear();
        self.fork.give_up(reason).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves_on(kind: Kind, failure: &DialFailure, rang: bool) -> bool {
        kind.moves_on_after(failure, rang, &FailOverOn::default())
    }

    #[test]
    fn another_trunk_is_tried_for_what_is_the_carriers_fault_and_not_the_callees() {
        for status in [401, 402, 403, 407, 408, 488, 500, 503, 504] {
            let refused = DialFailure::refused(status);
            assert!(moves_on(Kind::Trunk, &refused, false), "{status}");
            assert!(!moves_on(Kind::Trunk, &refused, true), "{status}");
        }
        for status in [302, 404, 480, 484, 486, 600, 603] {
            let refused = DialFailure::refused(status);
            assert!(!moves_on(Kind::Trunk, &refused, false), "{status}");
        }
        assert!(moves_on(Kind::Trunk, &DialFailure::NoTarget, false));
        let silence = DialFailure::NoAnswer(Duration::from_secs(60));
        assert!(moves_on(Kind::Trunk, &silence, false));
        assert!(!moves_on(Kind::Trunk, &silence, true));
        // It was answered.
        assert!(!moves_on(Kind::Trunk, &DialFailure::NoDescription, false));
    }

    #[test]
    fn a_carrier_that_is_gone_while_the_callee_rings_is_left() {
        let gone = DialFailure::silent(Duration::from_secs(6));
        assert!(moves_on(Kind::Trunk, &gone, false));
        assert!(moves_on(Kind::Trunk, &gone, true));
    }

    #[test]
    fn the_next_user_is_rung_unless_somebody_declined_for_all() {
        for status in [404, 480, 486, 503] {
            let refused = DialFailure::refused(status);
            assert!(moves_on(Kind::Users, &refused, true), "{status}");
        }
        assert!(!moves_on(Kind::Users, &DialFailure::refused(603), true));
        let rang = DialFailure::NoAnswer(Duration::from_secs(20));
        assert!(moves_on(Kind::Users, &rang, true));
    }
}
