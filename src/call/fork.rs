//! The called party of a bridged call while it rings at all of its phones at once: the first that
//! answers has the call, the others ring no more (RFC 3261 §16.7, of a user agent that forks itself).

use std::sync::Arc;

use futures_util::future::select_all;

use super::dial::{DialFailure, Dialling};
use super::hunt::Whose;
use super::line::{Leg, Line};
use super::outgoing::{Outgoing, Progress};
use crate::net::media::LegId;
use crate::net::sip::Signal;

/// Why a phone rings no more: none of these is a missed call (RFC 3326 §3.1).
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// A party that is called at one phone or several, which all ring.
pub(super) struct Fork {
    branches: Vec<(Outgoing, Whose)>,
    /// Who has answered.
    answered: Whose,
    /// What those that ring no more have said, the best of it.
    failure: Option<DialFailure>,
}

impl Fork {
    /// Makes a party that is not called yet, with a leg a phone, each of which may be of one room
    /// with another leg.
    pub(super) fn new(line: &Arc<Line>, phones: Vec<(Dialling, Whose)>, beside: LegId) -> Self {
        let branch = |(phone, whose)| {
            let leg = line.next_leg_beside(beside);
            (Outgoing::new(Arc::clone(line), phone, leg), whose)
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
    pub(super) async fn hear(&mut self) -> (usize, Option<Signal>) {
        if self.branches.is_empty() {
            return std::future::pending().await;
        }
        let waits = self
            .branches
            .iter_mut()
            .map(|(branch, _)| Box::pin(branch.hear()));
        let (signal, branch, _) = select_all(waits).await;
        (branch, signal)
    }

    /// Takes what a phone said.
    pub(super) async fn take(
        &mut self,
        (branch, signal): (usize, Option<Signal>),
    ) -> Option<Progress> {
        match self.branches.get_mut(branch)?.0.take(signal).await? {
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

    /// Gives up; `reason` is the Reason (RFC 3326) that whoever rings is told.
    pub(super) async fn give_up(&mut self, reason: Option<&str>) {
        self.stop(reason).await;
    }

    async fn stop(&mut self, reason: Option<&str>) {
        for (mut branch, _) in std::mem::take(&mut self.branches) {
            branch.give_up(reason).await;
        }
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
