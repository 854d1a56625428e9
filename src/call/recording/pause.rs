//! Whether a call's recording runs: known to whoever pauses it and to the media thread, which asks
//! with every frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Who holds a recording back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PausedBy {
    /// Somebody asked over the API.
    Api,
    /// The flow is where nothing may be recorded, or a room has not let the caller in yet.
    Flow,
    /// Somebody has taken the call over who is not to be recorded.
    Transfer,
    /// Somebody could not be told that they are recorded.
    Untold,
}

impl PausedBy {
    fn bit(self) -> u8 {
        match self {
            Self::Api => 1,
            Self::Flow => 2,
            Self::Transfer => 4,
            Self::Untold => 8,
        }
    }

    /// Its word in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Flow => "flow",
            Self::Transfer => "transfer",
            Self::Untold => "untold",
        }
    }
}

/// The event that tells of a pause, or of its end.
#[must_use]
pub fn recording_event(paused: bool) -> &'static str {
    match paused {
        true => "recording.paused",
        false => "recording.resumed",
    }
}

/// The call has no recording at all.
const UNRECORDED: u8 = 0x80;
/// There was a pause of which the recording has not taken note: it may end before the next frame.
const UNSEEN: u8 = 0x40;

/// Pauses one call's recording, from before it begins. Each side lifts only what it laid on, so
/// that neither undoes what the other keeps secret. Cloning is cheap; a clone is the same switch.
#[derive(Debug, Clone, Default)]
pub struct RecordingSwitch(Arc<AtomicU8>);

impl RecordingSwitch {
    /// Makes one of a call that is recorded or is not.
    #[must_use]
    pub fn new(recorded: bool) -> Self {
        let switch = Self::default();
        if !recorded {
            switch.give_up();
        }
        switch
    }

    /// Pauses, from the next frame on, and says whether the recording ran until now.
    pub fn pause(&self, by: PausedBy) -> bool {
        self.0.fetch_or(by.bit() | UNSEEN, Ordering::AcqRel) & !UNSEEN == 0
    }

    /// Takes that side's pause away, and says whether the recording goes on by that.
    pub fn resume(&self, by: PausedBy) -> bool {
        self.0.fetch_and(!by.bit(), Ordering::AcqRel) & !UNSEEN == by.bit()
    }

    /// Notes that there is no recording after all.
    pub fn give_up(&self) {
        self.0.fetch_or(UNRECORDED, Ordering::AcqRel);
    }

    /// Whether the call has a recording, be it paused or yet to begin.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.load(Ordering::Acquire) & UNRECORDED == 0
    }

    /// Whether nothing may be written now.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.load(Ordering::Acquire) & !UNSEEN != 0
    }

    /// Whether nothing may be written now, or there was a pause since this was asked last.
    pub(super) fn was_paused(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0 && self.0.fetch_and(!UNSEEN, Ordering::AcqRel) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_lifts_only_its_own_pause_and_a_change_is_told_once() {
        let switch = RecordingSwitch::new(true);
        assert!(!switch.is_paused() && !switch.resume(PausedBy::Api));
        assert!(switch.pause(PausedBy::Flow) && !switch.pause(PausedBy::Flow));
        assert!(!switch.pause(PausedBy::Api));
        assert!(!switch.resume(PausedBy::Api));
        assert!(switch.is_paused(), "the flow still keeps it secret");
        assert!(switch.resume(PausedBy::Flow) && !switch.resume(PausedBy::Flow));
        assert!(!switch.is_paused());
        assert!(switch.was_paused() && !switch.was_paused(), "noticed once");
        assert!(!RecordingSwitch::new(false).is_recorded());
        let unrecorded = RecordingSwitch::new(false);
        assert!(!unrecorded.pause(PausedBy::Flow) && !unrecorded.resume(PausedBy::Flow));
    }
}
