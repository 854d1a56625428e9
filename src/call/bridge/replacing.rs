//! Who of two takes the place of whom, and who goes on in another call.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::pair::{Apart, Pair, Side};
use crate::call::dialogs::{Claim, Given, Wants};
use crate::call::digits::Passing;
use crate::call::party::{News, Party};
use crate::call::places::Permit;
use crate::call::recording::{PausedBy, RecordingSwitch};
use crate::call::ringing::Over;
use crate::call::services::Services;
use crate::call::task::TRANSFERRED;
use crate::clock;
use crate::net::media::{Command, Part};
use crate::switch::EndReason;

/// How long somebody whose place another one has taken may take to hang up.
const PARTING: Duration = Duration::from_secs(5);

/// Somebody is on the way here from another media thread.
pub(super) struct Arriving {
    side: Side,
    /// Whose place they have.
    old: Party,
    /// Kept until that one's media is closed.
    pairs: Option<Permit>,
}

/// Who takes the place of whom.
impl Pair {
    /// Puts another party in the place of one, who is told nothing of it here.
    pub(super) async fn put(&mut self, side: Side, given: Given) -> Option<EndReason> {
        let Given { party, who, pairs } = given;
        if side == Side::Called {
            self.answered.written.journal.transferred(who.bridge());
        }
        let old = std::mem::replace(self.party_mut(side), party);
        *self.who.of(side) = who;
        (*self.joined.of(side), *self.waits.of(side)) = (false, false);
        *self.keys.of(side) = Passing::default();
        old.ask(Command::Leave(old.leg.id));
        let beside = self.party(side.other()).leg.id;
        let services = Arc::clone(&self.answered.services);
        let moves = self
            .party_mut(side)
            .leg
            .settle_beside(&services.line, beside);
        self.arriving = Some(Arriving { side, old, pairs });
        match moves {
            // Its commands would overtake it.
            Ok(true) => None,
            Ok(false) => self.arrived(side).await,
            Err(error) => Some(EndReason::Failed(error.to_string())),
        }
    }

    /// Takes note that somebody who has another one's place is of the same media thread as whom
    /// they talk with.
    pub(super) async fn arrived(&mut self, side: Side) -> Option<EndReason> {
        let arriving = self.arriving.take_if(|arriving| arriving.side == side)?;
        let Arriving { old, pairs, .. } = arriving;
        let party = self.party(side);
        let leg = party.leg.id;
        if side == Side::Caller {
            party.ask(Command::PassRecorder {
                from: old.leg.id,
                to: leg,
            });
        }
        party.ask(Command::Join {
            leg,
            room: self.room,
            part: Part::Talks,
            shares_playout: false,
        });
        dismiss(&self.answered.services, old, pairs);
        if self.held && side == Side::Caller {
            self.answered.party.hold(true).await;
        }
        self.look_at_hold(side);
        self.look_at_hold(side.other());
        self.are_two();
        self.look_at_recording(side);
        None
    }

    /// Whether somebody is on the way here from another media thread.
    pub(super) fn has_arriving(&self) -> bool {
        self.arriving.is_some()
    }

    /// Looks whether the call may be recorded with somebody new, and tells them where they are to
    /// be told.
    pub(super) fn look_at_recording(&self, side: Side) {
        let services = &self.answered.services;
        let who = match side {
            Side::Caller => &self.who.caller,
            Side::Called => &self.who.called,
        };
        let recording = services.recording_switch(self.id());
        let recording = recording.filter(RecordingSwitch::is_recorded);
        let (Some(trunk), Some(recording)) = (who.trunk_name(), recording) else {
            return;
        };
        if !services.may_record(trunk) {
            tracing::info!(%trunk, "a transferred call is not recorded any more");
            recording.pause(PausedBy::Transfer);
        } else if let Some(text) = services.announcement(trunk) {
            services.announce(&text, &self.party(side).leg, recording);
        }
    }

    /// Takes something that another call, or somebody who calls, wants of this one.
    pub(super) async fn take_claim(&mut self, claim: Claim) -> Option<Apart> {
        let sides = [Side::Caller, Side::Called];
        let mut sides = sides.into_iter();
        let side = sides.find(|side| self.party(*side).call() == claim.dialog)?;
        // One thing at a time; what is dropped is refused.
        if self.referral.is_some() || self.arriving.is_some() {
            return None;
        }
        match claim.wants {
            // Nobody waits for them any more.
            Wants::Other(reply) if reply.is_closed() => None,
            Wants::Other(reply) => Some(Apart::Given(side, reply)),
            Wants::Replacement(given) => {
                self.tell_of_transfer("replaced", given.who.name(), side);
                // Nobody else tells them (RFC 3891 §3).
                self.party(side).hang_up().await;
                self.put(side, *given).await.map(Apart::Over)
            }
        }
    }

    /// Gives the one who stays to another call, and ends this one.
    pub(super) async fn give(mut self, leaves: Side, reply: oneshot::Sender<Given>) {
        let stays = leaves.other();
        self.found.forget();
        let (stayer, leaver) = (self.party(stays), self.party(leaves));
        if stays == Side::Caller {
            // What is recorded is this call.
            stayer.ask(Command::PassRecorder {
                from: stayer.leg.id,
                to: leaver.leg.id,
            });
        }
        if stays == Side::Caller && self.held {
            // Who held them knows nothing of the other call.
            self.answered.party.hold(false).await;
        }
        if *self.waits.of(stays) {
            let stayer = self.party(stays);
            stayer.ask(Command::Unhold(stayer.leg.id));
        }
        if stays == Side::Caller {
            std::mem::swap(&mut self.answered.party, &mut self.called);
            std::mem::swap(&mut self.who.caller, &mut self.who.called);
        }
        self.event(
            "call.transfer",
            json!({ "state": "merged", "by": leaves.as_str() }),
        );
        let given = Given {
            party: self.called,
            who: self.who.called,
            pairs: self.answered.services.places.take_pairs(1).ok(),
        };
        if let Err(given) = reply.send(given) {
            given.party.hang_up().await;
        }
        self.answered.party.hang_up().await;
        let over = Over {
            outcome: Some(TRANSFERRED),
            ..Over::because(EndReason::Transferred)
        };
        self.answered.end(over).await;
    }
}

/// Lets somebody go whose place another one has: they hang up themselves, or are hung up.
pub(super) fn dismiss(services: &Services, mut old: Party, pairs: Option<Permit>) {
    services.background.spawn(async move {
        let parts = async {
            loop {
                let heard = old.hear().await;
                if let Some(News::Over(_)) = old.take(clock::now(), heard).await {
                    return;
                }
            }
        };
        if timeout(PARTING, parts).await.is_err() {
            old.hang_up().await;
        }
        let _ = old.measured().await;
        drop(pairs);
    });
}
