//! A call that goes over another trunk than it began with, since that one could not take it.

use super::Talk;
use crate::call::recording::PausedBy;

impl Talk {
    /// Takes note of the trunk that the call goes over now, where its first one could not take it.
    /// Who would hear now that they are recorded, and were not to be told so before, are not.
    pub(in crate::call) fn goes_over(&mut self, trunk: Option<&str>) {
        if self.record.trunk.as_deref() == trunk {
            return;
        }
        let announced = |trunk: Option<&str>| trunk.and_then(|t| self.services.announcement(t));
        let untold = announced(trunk);
        let told = untold.is_none() || untold == self.announced;
        match told && self.services.records(trunk) {
            true => self.live.recording.resume(PausedBy::Untold),
            false => self.live.recording.pause(PausedBy::Untold),
        };
        self.record.trunk = trunk.map(str::to_owned);
    }

    /// Takes note of who has answered, and what they were shown.
    pub(in crate::call) fn answered_over(&mut self, trunk: Option<&str>, from: Option<String>) {
        self.goes_over(trunk);
        if let Some(from) = from {
            self.record.from = from;
        }
        let (trunk, from) = (self.record.trunk.clone(), self.record.from.clone());
        self.journal.over(trunk, from);
    }
}
