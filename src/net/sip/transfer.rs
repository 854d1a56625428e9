//! Transfers that the other side of a call asks for, or is asked for (RFC 3515).

use offhook_sip::{CallHandle, Refer, ReferTo};
use tokio::sync::{mpsc, oneshot};

use super::{Command, Sip, SipError};

/// The other side of a call asks to be transferred. Dropped, it is refused.
#[derive(Debug)]
pub struct ReferAsked {
    /// Where to.
    pub refer_to: ReferTo,
    /// The call of ours that is to be replaced there, where it is one.
    pub replaces: Option<CallHandle>,
    commands: mpsc::Sender<Command>,
    call: CallHandle,
    is_open: bool,
}

/// Tells whoever asked for a transfer what becomes of it. Dropped without a last word, it says that
/// nothing has.
#[derive(Debug)]
pub struct ReferReport {
    commands: mpsc::Sender<Command>,
    call: CallHandle,
    is_open: bool,
}

impl ReferAsked {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        call: CallHandle,
        refer_to: ReferTo,
        replaces: Option<CallHandle>,
    ) -> Self {
        Self {
            refer_to,
            replaces,
            commands,
            call,
            is_open: true,
        }
    }

    /// Accepts it, for what is returned to tell what becomes of it.
    #[must_use]
    pub fn accept(mut self) -> ReferReport {
        self.answer(Ok(()));
        ReferReport {
            commands: self.commands.clone(),
            call: self.call,
            is_open: true,
        }
    }

    /// Refuses it with a status from 300 to 699.
    pub fn refuse(mut self, status: u16) {
        self.answer(Err(status));
    }

    fn answer(&mut self, answer: Result<(), u16>) {
        if std::mem::take(&mut self.is_open) {
            // A full queue may refuse it: then the user agent does, some seconds later.
            let answer = Command::AnswerRefer(self.call, answer);
            let _ = self.commands.try_send(answer);
        }
    }
}

impl Drop for ReferAsked {
    fn drop(&mut self) {
        self.answer(Err(603));
    }
}

impl ReferReport {
    /// Tells how far the call is that was asked for: its status, from 200 on the last. Without a
    /// `reason` it is the status's own.
    pub fn tell(&mut self, status: u16, reason: &str) {
        if self.is_open {
            self.is_open = status < 200;
            let report = Command::NotifyRefer(self.call, status, reason.to_owned());
            let _ = self.commands.try_send(report);
        }
    }
}

impl Drop for ReferReport {
    fn drop(&mut self) {
        self.tell(503, "");
    }
}

impl Sip {
    /// Asks the other side of an answered call to call somebody else instead (RFC 3515);
    /// [`Signal::ReferAnswered`](super::Signal::ReferAnswered) tells whether it will.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn refer(&self, call: CallHandle, refer: Refer) -> Result<(), SipError> {
        self.send(Command::Refer(call, Box::new(refer))).await
    }

    /// Returns the transfer of somebody into our place in an answered call (RFC 5589 §7), to be
    /// asked for in another call; none where the call is not answered, or over.
    ///
    /// # Errors
    /// When the SIP task has ended.
    pub async fn transfer_to(&self, call: CallHandle) -> Result<Option<Refer>, SipError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::TransferTo(call, reply)).await?;
        answer.await.map_err(|_| SipError::Gone)
    }
}
