//! A call that ends with whoever serves it.

use offhook_sip::CallHandle;
use tokio::sync::mpsc;

use super::Command;

/// Ends its call when it is dropped ([`Sip::hold`](super::Sip::hold)).
#[derive(Debug)]
pub struct Held {
    commands: mpsc::Sender<Command>,
    call: CallHandle,
}

impl Held {
    pub(super) fn new(commands: mpsc::Sender<Command>, call: CallHandle) -> Self {
        Self { commands, call }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A full queue may refuse it; the call then ends with its next signal, which nobody reads.
        let _ = self.commands.try_send(Command::HangUp(self.call, None));
    }
}
