//! The called party of a bridged call: who is rung, stage by stage, until somebody answers. A stage is
//! a trunk, or users whose phones ring at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use offhook_media::Codec;
use tokio::time::{Instant, sleep_until};

use super::busy::Busy;
use super::dial::{DialFailure, Dialling};
use super::fork::Fork;
use super::line::Leg;
use super::outbound::Callee;
use super::outgoing::Progress;
use super::services::Services;
use super::trunk_load::TrunkPlace;
use crate::net::media::LegId;
use crate::net::sip::Signal;
use crate::switch::Way;

/// Hops that a call may take which says nothing of them (RFC 3261 §8.1.1.6).
pub(super) const MAX_FORWARDS: u8 = 70;

/// Those who ring at once.
pub(super) struct Stage {
    pub(super) callees: Vec<Called>,
    pub(super) kind: Kind,
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

/// Whose phone answered, or would: a user's, or one that a trunk leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) trunk: Option<String>,
    pub(super) user: Option<String>,
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
    fn take_trunk(&self, services: &Services) -> Result<Option<TrunkPlace>, Busy> {
        let trunk = self
            .callees
            .iter()
            .find_map(|called| called.whose.trunk.as_deref());
        let loads = &services.trunk_loads;
        trunk.map(|trunk| loads.take(trunk, Way::Out)).transpose()
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
    /// Whether those who come next are tried after a failure.
    fn moves_on_after(self, failure: &DialFailure, rang: bool) -> bool {
        match self {
            // The callee would ring twice.
            Self::Trunk if rang => false,
            Self::Trunk => match failure {
                DialFailure::Refused { status, .. } => matches!(status, 408 | 500..=599),
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

/// What holds of each of the calls.
pub(super) struct How {
    /// The codec that was agreed on with the caller.
    pub(super) codec: Option<Codec>,
    /// Hops that the call may still take.
    pub(super) max_forwards: u8,
    /// How long a stage may ring.
    pub(super) ring: Duration,
}

/// A called party that rings, or is about to.
pub(super) struct Hunt {
    services: Arc<Services>,
    how: How,
    /// The caller's leg, beside which all of theirs are.
    beside: LegId,
    fork: Fork,
    kind: Kind,
    until: Instant,
    /// Whether it rang there, or something was heard of it.
    rang: bool,
    /// The place on the trunk that it rings over.
    place: Option<TrunkPlace>,
    coming: VecDeque<Stage>,
}

/// What was heard of it.
pub(super) enum Heard {
    /// A phone said something: which, and what.
    Phone((usize, Option<Signal>)),
    /// Nobody answered in time.
    Silence,
}

impl Hunt {
    /// Makes a party that is not called yet.
    pub(super) fn new(
        services: Arc<Services>,
        stages: Vec<Stage>,
        how: How,
        beside: LegId,
    ) -> Self {
        let fork = Fork::new(&services.line, Vec::new(), beside);
        Self {
            services,
            how,
            beside,
            fork,
            kind: Kind::Users,
            until: Instant::now(),
            rang: false,
            place: None,
            coming: stages.into(),
        }
    }

    /// Rings at those who come next; none who can be rung is a failure.
    pub(super) async fn place(&mut self) -> Option<Progress> {
        let mut failure = DialFailure::NoTarget;
        while let Some(stage) = self.coming.pop_front() {
            self.kind = stage.kind;
            self.place = None;
            match stage.take_trunk(&self.services) {
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
            self.fork = Fork::new(&self.services.line, phones, self.beside);
            self.until = Instant::now() + self.how.ring;
            self.rang = false;
            match self.fork.place().await {
                Some(Progress::Failed(failed)) if self.kind.moves_on_after(&failed, false) => {
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
                    self.rang = true;
                    return Some(other);
                }
            },
            Heard::Silence => {
                self.fork.give_up_unheard(self.rang).await;
                DialFailure::NoAnswer(self.how.ring)
            }
        };
        if self.coming.is_empty() || !self.kind.moves_on_after(&failure, self.rang) {
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

    #[test]
    fn another_trunk_is_tried_for_what_is_the_carriers_fault_and_not_the_callees() {
        for status in [408, 500, 503, 504] {
            assert!(
                Kind::Trunk.moves_on_after(&DialFailure::refused(status), false),
                "{status}"
            );
            assert!(
                !Kind::Trunk.moves_on_after(&DialFailure::refused(status), true),
                "{status}"
            );
        }
        for status in [403, 404, 480, 486, 603] {
            assert!(
                !Kind::Trunk.moves_on_after(&DialFailure::refused(status), false),
                "{status}"
            );
        }
        assert!(Kind::Trunk.moves_on_after(&DialFailure::NoTarget, false));
        let silence = DialFailure::NoAnswer(Duration::from_secs(60));
        assert!(Kind::Trunk.moves_on_after(&silence, false));
        assert!(!Kind::Trunk.moves_on_after(&silence, true));
        // It was answered.
        assert!(!Kind::Trunk.moves_on_after(&DialFailure::NoDescription, false));
    }

    #[test]
    fn the_next_user_is_rung_unless_somebody_declined_for_all() {
        for status in [404, 480, 486, 503] {
            assert!(
                Kind::Users.moves_on_after(&DialFailure::refused(status), true),
                "{status}"
            );
        }
        assert!(!Kind::Users.moves_on_after(&DialFailure::refused(603), true));
        let rang = DialFailure::NoAnswer(Duration::from_secs(20));
        assert!(Kind::Users.moves_on_after(&rang, true));
    }
}
