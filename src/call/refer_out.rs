//! A transfer that a trunk is asked for by REFER (RFC 3515), where it can: the call is the carrier's
//! from then on, and takes no media, ports or calls here.

use offhook_sip::{CallHandle, Refer};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::outbound::Callee;
use super::services::Services;

/// What is told of a REFER that may wait.
const TOLD: usize = 16;

/// The dialog of an agent's call, over which a transfer may be asked for.
pub(super) struct Dialog {
    pub(super) call: CallHandle,
    /// The trunk that the call is over.
    pub(super) trunk: Option<String>,
    /// Hears of a REFER that is under way.
    told: Option<mpsc::Sender<Told>>,
}

/// What the other side says of our REFER.
#[derive(Debug)]
pub(super) enum Told {
    /// Whether it accepts, or the status that refused it.
    Answered(Result<(), u16>),
    /// How far the call is that it places, and whether that is the last word.
    Progress { status: u16, is_final: bool },
}

impl Services {
    /// Notes over which dialog an agent's call goes.
    pub(super) fn note_dialog(&self, id: Uuid, call: CallHandle, trunk: Option<String>) {
        if let Some(live) = self.live_calls().get_mut(&id) {
            live.dialog = Some(Dialog {
                call,
                trunk,
                told: None,
            });
        }
    }

    /// Asks a call's trunk to call somebody in our place, where it leads there and `trunk.refer` says
    /// that it can. What it says comes over what is returned.
    pub(super) async fn refer_out(
        &self,
        id: Uuid,
        callee: &Callee,
    ) -> Option<mpsc::Receiver<Told>> {
        let Callee::Dialled(dialled) = callee else {
            return None;
        };
        let (tell, told) = mpsc::channel(TOLD);
        let call = {
            let mut calls = self.live_calls();
            let dialog = calls.get_mut(&id)?.dialog.as_mut()?;
            let trunk = dialog.trunk.as_deref()?;
            let can = self.config.trunk(trunk).is_some_and(|trunk| trunk.refer);
            if !can || dialled.trunk.as_deref() != Some(trunk) {
                return None;
            }
            dialog.told = Some(tell);
            dialog.call
        };
        let refer = Refer {
            refer_to: dialled.request_uri.clone(),
            referred_by: Some(dialled.from_uri.clone()),
            ..Refer::default()
        };
        let sip = self.line.sip();
        sip.refer(call, refer).await.is_ok().then_some(told)
    }

    /// Passes on what the other side of a call says of our REFER.
    pub(super) fn tell_of_refer(&self, id: Uuid, what: Told) {
        let calls = self.live_calls();
        let dialog = calls.get(&id).and_then(|call| call.dialog.as_ref());
        if let Some(tell) = dialog.and_then(|dialog| dialog.told.as_ref()) {
            // Some word of progress may be lost, the last one is not: there are few.
            let _ = tell.try_send(what);
        }
    }
}
