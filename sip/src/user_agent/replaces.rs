//! An INVITE that takes the place of a call (RFC 3891).

use super::calls::Phase;
use super::{CallHandle, UserAgent};
use crate::dialog::Dialog;
use crate::message::{HeaderName, Message, Refusal, Replaces};

impl UserAgent {
    /// Finds the call that an INVITE wants to replace, with whether it wants to only before an
    /// answer (§3). Whether its sender may, the switch decides.
    ///
    /// # Errors
    /// 400 for more than one Replaces, a malformed one, or Join beside it; 481 where there is no
    /// such call, or only one that rings here; 486 where it is answered but was not to be; 603
    /// where it is ending.
    pub(super) fn replaced(
        &self,
        invite: &Message<'_>,
    ) -> Result<Option<(CallHandle, bool)>, Refusal> {
        // Who does not know it takes no notice of it (RFC 3261 §8.2.2).
        if !self.settings.transfers {
            return Ok(None);
        }
        let Some(replaces) = invite.replaces()? else {
            return Ok(None);
        };
        if invite.header_bytes(HeaderName::Join).is_some() {
            return Err(Refusal::new(400, "Replaces Beside Join"));
        }
        let unknown = || Refusal::new(481, "Call/Transaction Does Not Exist");
        let handle = self.named(&replaces).ok_or_else(unknown)?;
        let call = self.calls.get(&handle).ok_or_else(unknown)?;
        match call.phase {
            Phase::Established if replaces.early_only => Err(Refusal::new(486, "Busy Here")),
            Phase::Established | Phase::Calling { .. } => Ok(Some((handle, replaces.early_only))),
            // Only whoever placed a call may have it replaced before it is answered.
            Phase::Ringing { .. } => Err(unknown()),
            Phase::Cancelling { .. } | Phase::HangingUp { .. } | Phase::Ending { .. } => {
                Err(Refusal::new(603, "Decline"))
            }
        }
    }

    /// Finds the call of ours that is named (§3).
    pub(super) fn named(&self, replaces: &Replaces<'_>) -> Option<CallHandle> {
        let handle = CallHandle::from_tag(replaces.to_tag)?;
        let mut dialogs = self.dialogs(handle);
        dialogs.any(|d| names(replaces, d)).then_some(handle)
    }
}

/// Whether it names this dialog of ours; `0` stands for no tag too (§4).
fn names(replaces: &Replaces<'_>, dialog: &Dialog) -> bool {
    let matches = |tag| dialog.matches(replaces.call_id, replaces.to_tag, tag);
    matches(Some(replaces.from_tag)) || (replaces.from_tag == "0" && matches(None))
}
