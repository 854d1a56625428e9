//! A call's recording begins.

use std::path::PathBuf;

use uuid::Uuid;

use super::RecordingSwitch;
use crate::call::Services;
use crate::net::media::RecordSink;

impl Services {
    /// Begins a call's recording, if it has one; gives where it will lie as well.
    pub(in crate::call) fn begin_recording(
        &self,
        id: Uuid,
        switch: &RecordingSwitch,
    ) -> Option<(Box<dyn RecordSink>, PathBuf)> {
        let recorder = self.recorder.as_ref();
        let recorder = recorder.filter(|_| switch.is_recorded())?;
        let path = self.recording_path(id)?;
        match recorder.record(path.clone(), switch.clone()) {
            Ok(sink) => Some((sink, path)),
            Err(error) => {
                tracing::error!(%error, call = %id, "a call is not recorded");
                switch.give_up();
                None
            }
        }
    }
}
