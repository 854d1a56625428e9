//! Bridged calls by their dialogs, so that a transfer that names one of them finds it (RFC 3891): who
//! talks there goes on in another call, or with somebody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offhook_sip::message::NameAddr;
use offhook_sip::{CallHandle, Incoming, Source};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::caller::shown_to_user;
use super::outbound::Whose;
use super::party::Party;
use super::places::Permit;
use super::services::Services;
use super::trunk_load::TrunkPlace;
use crate::net::media::LegId;
use crate::store::Bridge;
use crate::switchboard::own_host;

/// Claims that may wait for one call.
const CLAIMS: usize = 4;
/// How long a dialog may take to be a bridged call's: a party that has answered may transfer at once,
/// while the other one is only being answered, and that waits for its record.
const MEETS_WITHIN: Duration = Duration::from_secs(2);

/// Who a party of a bridged call is.
#[derive(Debug)]
pub(super) struct Who {
    /// Who let them in, or whose phone it is.
    pub(super) source: Source,
    /// What a phone shows of them that is called in their name, as a name-addr.
    pub(super) shown: Option<String>,
    /// Their place on the trunk that they are reached over.
    pub(super) _trunk: Option<TrunkPlace>,
}

impl Who {
    /// Says who calls.
    pub(super) fn calls(services: &Services, invite: &Incoming) -> Self {
        Self {
            source: invite.source.clone(),
            shown: Some(shown_to_user(invite, &own_host(services))),
            _trunk: None,
        }
    }

    /// Says who was called: a user, or somebody whom a trunk leads to.
    pub(super) fn called(
        services: &Services,
        whose: Whose,
        to: &str,
        trunk: Option<TrunkPlace>,
    ) -> Self {
        let shown = services.shown_to_phone(whose.user.as_deref().unwrap_or(to));
        Self {
            source: whose.into_source(),
            shown,
            _trunk: trunk,
        }
    }

    /// What names them: a user's name, or a trunk's.
    pub(super) fn name(&self) -> &str {
        match &self.source {
            Source::User(name) | Source::Trunk(name) => name,
            Source::Local => "",
        }
    }

    /// What the record says of them, as the one who is talked with.
    pub(super) fn bridge(&self) -> Bridge {
        let shown = self.shown.as_deref().and_then(NameAddr::parse);
        let shown = shown.map(|shown| shown.uri.user_text().into_owned());
        let (trunk, user) = match &self.source {
            Source::User(name) => (None, Some(name.clone())),
            Source::Trunk(name) => (Some(name.clone()), None),
            Source::Local => (None, None),
        };
        Bridge {
            to: shown.unwrap_or_else(|| self.name().to_owned()),
            trunk,
            user,
            media: None,
        }
    }

    /// The trunk that they are reached over.
    pub(super) fn trunk_name(&self) -> Option<&str> {
        match &self.source {
            Source::Trunk(name) => Some(name),
            Source::User(_) | Source::Local => None,
        }
    }
}

/// A party that talks, to be given from one call to another. Dropped, it is hung up.
pub(super) struct Given {
    pub(super) party: Party,
    pub(super) who: Who,
    /// The port pair of whoever's place they take, until that one's media is closed.
    pub(super) pairs: Option<Permit>,
}

/// Something that another call, or somebody who calls, wants of a bridged call.
pub(super) struct Claim {
    /// One of its two dialogs.
    pub(super) dialog: CallHandle,
    pub(super) wants: Wants,
}

/// What is wanted; dropped, it is refused.
pub(super) enum Wants {
    /// Whoever talks with the dialog's party, which is done then.
    Other(oneshot::Sender<Given>),
    /// That the call goes on with this one in the place of the dialog's party.
    Replacement(Box<Given>),
}

/// The bridged calls of a switch.
#[derive(Default)]
pub(super) struct Dialogs {
    entries: Mutex<HashMap<CallHandle, Entry>>,
    /// Told of each call that there is to be found.
    more: watch::Sender<()>,
}

struct Entry {
    claims: mpsc::Sender<Claim>,
    /// The leg of the dialog's other party, beside which a leg lives that is to talk with it.
    other: LegId,
}

impl Dialogs {
    /// Waits a moment until a bridged call has a dialog.
    pub(super) async fn known(&self, dialog: CallHandle) {
        let mut more = self.more.subscribe();
        let known = async {
            while !self.entries().contains_key(&dialog) && more.changed().await.is_ok() {}
        };
        let _ = timeout(MEETS_WITHIN, known).await;
    }

    /// Puts somebody in the place of a dialog's party; false where no bridged call has the dialog any
    /// more, and then they are hung up.
    pub(super) fn replace(&self, dialog: CallHandle, with: Given) -> bool {
        let wants = Wants::Replacement(Box::new(with));
        self.claim(Claim { dialog, wants })
    }

    fn claim(&self, claim: Claim) -> bool {
        let entries = self.entries();
        let claims = entries.get(&claim.dialog).map(|entry| entry.claims.clone());
        // Whoever is dropped with a claim that nobody takes must not find the lock taken.
        drop(entries);
        claims.is_some_and(|claims| claims.try_send(claim).is_ok())
    }

    /// The leg beside which one must live that is to take the place of a dialog's party.
    pub(super) fn other_leg(&self, dialog: CallHandle) -> Option<LegId> {
        self.entries().get(&dialog).map(|entry| entry.other)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<CallHandle, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Services {
    /// Claims the other party of a dialog, once a bridged call has it; nobody is given where none
    /// has.
    pub(super) fn claim_other(self: &Arc<Self>, dialog: CallHandle) -> oneshot::Receiver<Given> {
        let (mut reply, given) = oneshot::channel();
        let services = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = reply.closed() => return,
                () = services.dialogs.known(dialog) => {}
            }
            let wants = Wants::Other(reply);
            services.dialogs.claim(Claim { dialog, wants });
        });
        given
    }
}

/// A bridged call that can be found by its dialogs until this is dropped.
pub(super) struct Found {
    services: Arc<Services>,
    sender: mpsc::Sender<Claim>,
    dialogs: Vec<CallHandle>,
    /// What is wanted of it.
    pub(super) claims: mpsc::Receiver<Claim>,
}

impl Found {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let (sender, claims) = mpsc::channel(CLAIMS);
        Self {
            services,
            sender,
            dialogs: Vec::new(),
            claims,
        }
    }

    /// Has it found by the dialogs of these two, and by no others.
    pub(super) fn by(&mut self, one: &Party, other: &Party) {
        self.forget();
        let mut entries = self.services.dialogs.entries();
        for (party, other) in [(one, other), (other, one)] {
            let entry = Entry {
                claims: self.sender.clone(),
                other: other.leg.id,
            };
            entries.insert(party.call(), entry);
            self.dialogs.push(party.call());
        }
        drop(entries);
        self.services.dialogs.more.send_replace(());
    }

    /// Has it found no more.
    pub(super) fn forget(&mut self) {
        let mut entries = self.services.dialogs.entries();
        for dialog in self.dialogs.drain(..) {
            entries.remove(&dialog);
        }
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        self.forget();
    }
}
