//! How an agent's call ends for it: with the call, which is written down, or with somebody who takes
//! it over.

use std::sync::Arc;

use offhook_sip::{Flow, Source};
use tracing::Instrument;

use crate::call::bridge;
use crate::call::dialogs::Who;
use crate::call::ending::Ending;
use crate::call::journal::Journal;
use crate::call::party::Party;
use crate::call::ringing::{PickedUp, Written};
use crate::call::services::{Live, Services};
use crate::call::sound::summary;
use crate::call::task::{Over, TRANSFERRED, Taken};
use crate::clock::{self, Epoch};
use crate::net::media::Command;
use crate::net::sip::Held;
use crate::switch::Call;

/// What a call's other side is known by, for whoever takes the call over.
pub(super) struct OtherSide {
    /// What ends a call of ours with its task.
    pub(super) held: Option<Held>,
    pub(super) flow: Flow,
    pub(super) source: Source,
}

/// What a call that is talked on is written down with, once it is over.
pub(super) struct Closing {
    pub(super) services: Arc<Services>,
    pub(super) call: Call,
    pub(super) journal: Journal,
    pub(super) epoch: Epoch,
    pub(super) live: Live,
}

impl Closing {
    pub(super) async fn write(mut self, mut over: Over) {
        self.call.handle_end(clock::now(), over.reason.clone());
        // The caller was gone before whoever has taken the call over could be heard.
        let far = match self.services.taker_of(self.journal.id) {
            Some(mut taker) => {
                taker.party.hang_up().await;
                taker.party.measured().await
            }
            None => None,
        };
        let troubles = over.troubles.into_words();
        let media = summary(&mut over.leg, troubles).await;
        let end = Ending {
            call: self.call,
            media,
            far,
            outcome: over.outcome.map(|outcome| outcome.outcome),
            epoch: self.epoch,
        };
        end.write(&self.services, self.journal).await;
        drop(self.live);
    }

    /// Leaves the call to whoever has taken it over; it is written down once those two are done. The
    /// agent's flow has its last requests meanwhile.
    pub(super) async fn give(self, taken: Taken, other_side: OtherSide) {
        let Self {
            services,
            call: state,
            journal,
            epoch,
            live,
        } = self;
        let Taken {
            call,
            signals,
            leg,
            control: controls,
            troubles,
            last_words,
        } = taken;
        let OtherSide { held, flow, source } = other_side;
        let (id, sip) = (journal.id, services.line.sip().clone());
        let held = held.unwrap_or_else(|| sip.hold(call));
        let party = Party::new(sip, (call, held), flow, signals, leg).with_troubles(troubles);
        party.ask(Command::LeaveToPeople(party.leg.id));
        let who = Who {
            source,
            shown: services.shown_of(id),
            _trunk: None,
        };
        let answered = PickedUp {
            party,
            written: Written {
                state,
                journal,
                epoch,
                live,
            },
            controls,
            announcement: None,
            came_to: Some(TRANSFERRED),
            last_words: Some(tokio::spawn(last_words.run().in_current_span())),
            services: Arc::clone(&services),
        };
        bridge::go_on(answered, who, services.taker_of(id)).await;
    }
}
