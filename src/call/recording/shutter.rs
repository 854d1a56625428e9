//! What of a call may be recorded, frame by frame, and where it lies in the file: pure, so that the
//! simulation runs it as well.

use offhook_media::RecordFrame;

use super::RecordingSwitch;

/// So long after a pause there still is silence: what came within it may be played later, by as
/// much as the jitter buffer's greatest delay (240 ms) and a step.
const LATE_MS: u64 = 260;

/// Keeps back what belongs to a pause.
#[derive(Debug)]
pub(crate) struct Shutter {
    switch: RecordingSwitch,
    /// Where the last frame ended.
    position: u64,
    /// Where a pause and what comes late of it end.
    quiet_until: u64,
}

impl Shutter {
    pub(crate) fn new(switch: RecordingSwitch) -> Self {
        Self {
            switch,
            position: 0,
            quiet_until: 0,
        }
    }

    /// Whether the next frame of the call may be recorded; silence stands in for one that may not.
    pub(crate) fn is_open_for(&mut self, frame: &RecordFrame) -> bool {
        self.position = frame.position + RecordFrame::SAMPLES as u64;
        if self.switch.was_paused() {
            self.quiet_until = self.position + u64::from(frame.rate_hz) * LATE_MS / 1_000;
        }
        frame.position >= self.quiet_until
    }

    /// Where the call's last frame ended, in samples.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }
}

/// Where in the call a file ends, so that what is missing of it gets its time in silence.
#[derive(Debug, Default)]
pub(crate) struct FileEnd(u64);

impl FileEnd {
    /// Samples of silence to be written, so that the file reaches a position of the call.
    pub(crate) fn missing_to(&mut self, position: u64) -> u64 {
        let missing = position.saturating_sub(self.0);
        self.0 += missing;
        missing
    }

    /// Takes note of a frame that was written.
    pub(crate) fn wrote(&mut self, frame: &RecordFrame) {
        self.0 = frame.position + RecordFrame::SAMPLES as u64;
    }
}
