//! The early dialogs of an INVITE of ours: one for each callee that has said something with a tag
//! (RFC 3261 §12.1, §13.2.2.4), each with its own sequence of reliable provisional responses
//! (RFC 3262 §4) and its own offer and answer (RFC 6337 §3.1).

use super::calls::Phase;
use super::clients::{Client, ClientId, MAX_FORKS};
use super::incoming::Heard;
use super::{CallHandle, UserAgent};
use crate::dialog::{Dialog, contact_uri};
use crate::message::Message;

/// An early dialog.
pub(super) struct Early {
    pub(super) dialog: Dialog,
    /// The RSeq of the last reliable provisional response that was taken.
    rseq: Option<u32>,
    pub(super) answer: EarlyAnswer,
}

/// What has become of our offer in an early dialog. Descriptions in unreliable responses only
/// foretell the answer (RFC 6337 §3.1.1), and are not kept.
#[derive(Default)]
pub(super) enum EarlyAnswer {
    /// It is not answered.
    #[default]
    None,
    /// A reliable provisional response has answered it: whatever description comes after that is to
    /// be ignored (RFC 3261 §13.2.1).
    Given(Vec<u8>),
    /// It was answered, and then an UPDATE of the peer has changed the session.
    Changed,
}

/// Where a reliable provisional response stands in its sequence (RFC 3262 §4).
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Place {
    /// It is the first, or follows the last.
    Next,
    /// It was taken before.
    Again,
    /// One before it is missing: it is dropped, and comes again.
    Gap,
}

impl Early {
    pub(super) fn place(&self, rseq: u32) -> Place {
        match self.rseq {
            None => Place::Next,
            Some(last) if rseq <= last => Place::Again,
            Some(last) if rseq - last == 1 => Place::Next,
            Some(_) => Place::Gap,
        }
    }

    /// Takes a reliable provisional response, and returns what it tells of the session: the
    /// answer, if it is that.
    pub(super) fn take(&mut self, rseq: u32, description: Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.rseq = Some(rseq);
        let description = self.foretold(description)?;
        self.answer = EarlyAnswer::Given(description.clone());
        Some(description)
    }

    /// Returns what a description says that is no answer: nothing once there is one.
    pub(super) fn foretold(&self, description: Option<Vec<u8>>) -> Option<Vec<u8>> {
        description.filter(|_| matches!(self.answer, EarlyAnswer::None))
    }
}

impl Client {
    /// Returns the early dialog with this To tag.
    pub(super) fn early(&mut self, tag: &str) -> Option<&mut Early> {
        let mut early = self.early.iter_mut();
        early.find(|early| early.dialog.remote_tag() == tag)
    }

    /// Returns the early dialog of a provisional response, made by it if it is the first; its
    /// Contact is the target from now on (§12.1.2). None without a tag, for a response that makes
    /// no dialog, and for forks beyond [`MAX_FORKS`].
    pub(super) fn early_of(&mut self, response: &Message<'_>) -> Option<&mut Early> {
        let to = response.to().ok()?;
        let tag = to.tag()?;
        let room = self.early.len() < MAX_FORKS;
        match self.early(tag) {
            Some(early) => early
                .dialog
                .refresh_target(contact_uri(response).ok().flatten()),
            None if room => {
                let request = Message::parse(&self.request).ok()?;
                let dialog = Dialog::uac(&request, response).ok()?;
                self.early.push(Early {
                    dialog,
                    rseq: None,
                    answer: EarlyAnswer::None,
                });
            }
            None => {}
        }
        self.early(tag)
    }

    /// Lets the dialog of a 2xx go on where its early dialog was.
    pub(super) fn confirm(&mut self, mut dialog: Dialog) -> Dialog {
        if let Some(early) = self.early(dialog.remote_tag()) {
            dialog.follow(&early.dialog);
        }
        dialog
    }
}

impl UserAgent {
    /// Returns the INVITE of ours that makes a call which is not answered yet.
    pub(super) fn invite_of(&self, handle: CallHandle) -> Option<ClientId> {
        match self.calls.get(&handle)?.phase {
            Phase::Calling { client, .. } | Phase::Cancelling { client, .. } => Some(client),
            _ => None,
        }
    }

    /// Returns a call's dialogs: the one, or, while our INVITE is not answered, all early ones.
    pub(super) fn dialogs(&self, handle: CallHandle) -> impl Iterator<Item = &Dialog> {
        let dialog = self.calls.get(&handle).and_then(|c| c.dialog.as_ref());
        let client = self.invite_of(handle).and_then(|id| self.clients.get(&id));
        let early = client.into_iter().flat_map(|client| &client.early);
        dialog.into_iter().chain(early.map(|early| &early.dialog))
    }

    /// Returns the dialog of a call with a peer of this tag.
    pub(super) fn dialog_with(&mut self, handle: CallHandle, tag: &str) -> Option<&mut Dialog> {
        let invite = self.invite_of(handle);
        if let Some(dialog) = &mut self.calls.get_mut(&handle)?.dialog {
            return (dialog.remote_tag() == tag).then_some(dialog);
        }
        let early = self.clients.get_mut(&invite?)?.early(tag)?;
        Some(&mut early.dialog)
    }

    /// Returns the early dialog with a peer of this tag, while our INVITE is not answered.
    fn early_with(&mut self, handle: CallHandle, tag: &str) -> Option<&mut Early> {
        let invite = self.invite_of(handle)?;
        self.clients.get_mut(&invite)?.early(tag)
    }

    /// Returns whether the peer of this tag may offer something in an early dialog: the first offer
    /// has its answer, and both came reliably (RFC 3311 §5.1). While several callees ring, none may:
    /// the switch has one session for all of them.
    pub(super) fn is_settled_early(&mut self, handle: CallHandle, tag: &str) -> bool {
        let Some(call) = self.calls.get(&handle) else {
            return false;
        };
        if matches!(call.phase, Phase::Ringing { .. }) {
            return call.provisionals.is_described();
        }
        let invite = self.invite_of(handle).and_then(|id| self.clients.get(&id));
        let alone = invite.is_some_and(|client| client.early.len() == 1);
        let early = self.early_with(handle, tag);
        alone && early.is_some_and(|early| !matches!(early.answer, EarlyAnswer::None))
    }

    /// Takes the target of a peer's request that was agreed to (§12.2.2).
    pub(super) fn move_target(
        &mut self,
        handle: CallHandle,
        tag: &str,
        (contact, heard): (Option<String>, Heard),
    ) {
        match self.early_with(handle, tag) {
            Some(early) => early.dialog.refresh_target(contact),
            None => {
                if let Some(call) = self.calls.get_mut(&handle) {
                    call.refresh_target(contact, heard);
                }
            }
        }
    }

    /// Learns that an UPDATE of the peer has changed the session, perhaps in an early dialog.
    pub(super) fn early_changed(&mut self, handle: CallHandle, tag: &str) {
        if let Some(early) = self.early_with(handle, tag) {
            early.answer = EarlyAnswer::Changed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_goes_on_by_one_and_does_not_wrap() {
        let dialog = {
            let invite = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP b;branch=z9hG4bKx\r\n\
                From: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\
                Contact: <sip:c@d>\r\n\r\n";
            Dialog::uas(&Message::parse(invite).unwrap(), "2").unwrap()
        };
        let mut early = Early {
            dialog,
            rseq: None,
            answer: EarlyAnswer::None,
        };
        assert_eq!(early.place(u32::MAX), Place::Next, "the first begins it");
        early.take(u32::MAX - 1, None);
        assert_eq!(early.place(u32::MAX), Place::Next);
        assert_eq!(early.place(u32::MAX - 1), Place::Again);
        early.take(u32::MAX, None);
        assert_eq!(early.place(1), Place::Again);
        early.take(7, None);
        assert_eq!(early.place(9), Place::Gap);
    }
}
