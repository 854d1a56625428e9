//! The called party of a bridged call while it rings at all of its phones at once: the first that
//! answers has the call, the others ring no more (RFC 3261 §16.7, of a user agent that forks itself).

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::select_all;
use tokio::time::timeout;

use super::dial::{DialFailure, Dialling, ENDING};
use super::line::{Attached, Leg, Line};
use super::outbound::Whose;
use super::outgoing::{Ending, Heard, Outgoing, Progress};
use crate::net::media::LegId;

/// Why a phone rings no more: none of these is a missed call (RFC 3326 §3.1).
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Which legs those have who ring.
#[derive(Clone)]
pub(super) enum Legs {
    /// Each one of its own, which may be of one room with this one, and heard before the answer.
    Beside(LegId),
    /// Whoever answers has this one, and what is attached to it.
    One(LegId, Attachment),
}

/// What is attached to the leg of whoever answers.
#[derive(Clone)]
pub(super) struct Attachment(Arc<Mutex<Option<Attached>>>);

impl Legs {
    /// One leg, whoever answers.
    pub(super) fn one(leg: LegId, attached: Attached) -> Self {
        Self::One(leg, Attachment(Arc::new(Mutex::new(Some(attached)))))
    }
}

impl Attachment {
    /// Takes it; none where it has been.
    pub(super) fn take(&self) -> Option<Attached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A party that is called at one phone or several, which all ring.
pub(super) struct Fork {
    branches: Vec<(Outgoing, Whose)>,
    /// Who has answered.
    answered: Whose,
    /// What those that ring no more have said, the best of it.
    failure: Option<DialFailure>,
}

impl Fork {
    /// Makes a party that is not called yet.
    pub(super) fn new(line: &Arc<Line>, phones: Vec<(Dialling, Whose)>, legs: &Legs) -> Self {
        let branch = |(phone, whose)| {
            let (leg, attachment) = match legs {
                Legs::Beside(other) => (line.next_leg_beside(*other), None),
                Legs::One(leg, attachment) => (*leg, Some(attachment.clone())),
            };
            let outgoing = Outgoing::new(Arc::clone(line), phone, leg);
            (outgoing.with_attachment(attachment), whose)
        };
        Self {
            branches: phones.into_iter().map(branch).collect(),
            answered: Whose::default(),
            failure: None,
        }
    }

    /// Calls all phones.
    pub(super) async fn place(&mut self) -> Option<Progress> {
        for (mut branch, whose) in std::mem::take(&mut self.branches) {
            match branch.place().await {
                Some(Progress::Failed(failure)) => self.note(failure),
                _ => self.branches.push((branch, whose)),
            }
        }
        self.failed()
    }

    /// Waits for what a phone says next: which, and what. Dropped before that, nothing is lost.
    pub(super) async fn hear(&mut self) -> (usize, Heard) {
        if self.branches.is_empty() {
            return std::future::pending().await;
        }
        let waits = self
            .branches
            .iter_mut()
            .map(|(branch, _)| Box::pin(branch.hear()));
        let (heard, branch, _) = select_all(waits).await;
        (branch, heard)
    }

    /// Takes what a phone said.
    pub(super) async fn take(&mut self, (branch, heard): (usize, Heard)) -> Option<Progress> {
        match self.branches.get_mut(branch)?.0.take(heard).await? {
            Progress::Answered(party) => {
                self.answered = self.branches.remove(branch).1;
                self.stop(Some(ELSEWHERE)).await;
                Some(Progress::Answered(party))
            }
            Progress::Failed(failure) => {
                self.branches.remove(branch);
                // Nobody is to be asked any more who the callee has said will not answer (§21.6).
                if failure.status().is_some_and(|status| status >= 600) {
                    self.stop(None).await;
                }
                self.note(failure);
                self.failed()
            }
            other => Some(other),
        }
    }

    /// The legs of phones that play something before they answer.
    pub(super) fn early_legs(&self) -> impl Iterator<Item = &Leg> {
        let branches = self.branches.iter();
        branches.filter_map(|(branch, _)| branch.early_leg())
    }

    /// Whether a phone rings, or plays something.
    pub(super) fn is_ringing(&self) -> bool {
        self.branches.iter().any(|(branch, _)| branch.is_ringing())
    }

    /// Who has answered.
    pub(super) fn answered_by(&self) -> &Whose {
        &self.answered
    }

    /// Gives up on phones that were too slow; where none was heard of at all, nobody is there.
    pub(super) async fn give_up_unheard(&mut self, heard: bool) {
        for (branch, _) in self.branches.iter().filter(|_| !heard) {
            branch.note_silence();
        }
        self.stop(None).await;
    }

    /// Gives up; `reason` is the Reason (RFC 3326) that whoever rings is told. Where a call comes to
    /// nothing by that, it is waited a while until that is settled.
    pub(super) async fn give_up(&mut self, reason: Option<&str>) {
        let endings = self.stop(reason).await;
        let settled = async {
            for mut ending in endings {
                ending.settled().await;
            }
        };
        let _ = timeout(ENDING, settled).await;
    }

    async fn stop(&mut self, reason: Option<&str>) -> Vec<Ending> {
        let mut endings = Vec::new();
        for (mut branch, _) in std::mem::take(&mut self.branches) {
            endings.extend(branch.give_up(reason).await);
        }
        endings
    }

    /// Keeps the failure that tells more; of two alike the first.
    fn note(&mut self, failure: DialFailure) {
        let kept = self.failure.as_ref().map_or(u8::MAX, rank);
        if rank(&failure) < kept {
            self.failure = Some(failure);
        }
    }

    /// What is said of the whole, once no phone rings.
    fn failed(&mut self) -> Option<Progress> {
        if !self.branches.is_empty() {
            return None;
        }
        let failure = self.failure.take().unwrap_or(DialFailure::NoTarget);
        Some(Progress::Failed(failure))
    }
}

/// How much a failure tells of the callee, the most first: a decline for all, then what one phone
/// says, that nobody was there, and what went wrong on the way (§16.7 step 6).
fn rank(failure: &DialFailure) -> u8 {
    match failure.status() {
        Some(600..) => 0,
        Some(408 | 480 | 487) => 2,
        Some(300..=499) => 1,
        Some(_) => 3,
        None => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_several_phones_say_the_most_telling_is_told() {
        for (said, told) in [
            (vec![480, 486, 503], 486),
            (vec![503, 408], 408),
            (vec![486, 404], 486),
            (vec![486, 603], 603),
        ] {
            let mut fork = Fork {
                branches: Vec::new(),
                answered: Whose::default(),
                failure: Some(DialFailure::NoTarget),
            };
            for status in said {
                fork.note(DialFailure::refused(status));
            }
            let told_now = match fork.failed() {
                Some(Progress::Failed(failure)) => failure.status(),
                _ => None,
            };
            assert_eq!(told_now, Some(told));
        }
    }
}
