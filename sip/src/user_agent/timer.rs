//! Session timers (RFC 4028): how often a call's two sides make sure of each other, and who asks.
//!
//! A timer finds calls that are dead; it never ends one that lives. Therefore, on purpose:
//!
//! - A refresh that is refused leaves the call up and is tried again: only 481, and silence, say
//!   that nobody is there any more (RFC 3261 §12.2.1.2).
//! - Where the peer is to refresh and does not, BYE would be due shortly before the session expires
//!   (§10). Peers that forget are common, and so we refresh at that moment ourselves.
//! - Within a call no interval is refused, and what a peer leaves out of a refresh, or of its answer
//!   to one, goes on as it was: many peers name the timer in the first INVITE only.
//! - Where the peer lets us choose we refresh, since we do not forget. The peer then needs nothing,
//!   and no `Require` (§9, table 2).
//! - A 2xx to our INVITE that names no interval leaves the session without one: a proxy that wants
//!   one writes it there itself (§8.2), so that nobody waits for refreshes. An INVITE that asks for
//!   none gets none.

use std::time::{Duration, Instant};

use super::clients::ClientId;
use super::deadlines::Reason;
use super::settings::SessionTimer;
use crate::message::{HeaderName, Message, Method, Refresher, Refusal, SessionExpires};

/// The option tag of session timers (§3).
pub(super) const OPTION: &str = "timer";

/// The least Min-SE that may be, which absence stands for (§5).
const LEAST_S: u32 = 90;

/// Intervals are kept as if they were within these, whatever a peer says: refreshes come every 10 s
/// at most, and within a week.
const KEPT_S: (u32, u32) = (20, 7 * 24 * 3600);

/// What keeps a call's session alive.
pub(super) struct Session {
    /// The interval that we ask for, raised by each 422; 0 asks for none.
    expires_s: u32,
    /// Our Min-SE, raised by each 422 (§7.3).
    min_se_s: u32,
    update: Update,
    /// Our description that was agreed last, which a refresh by re-INVITE repeats; empty if it is
    /// not known.
    description: Vec<u8>,
    timer: Timer,
}

/// Whether the peer takes UPDATE.
#[derive(Copy, Clone, Eq, PartialEq)]
enum Update {
    /// Its Allow does not say so.
    Unknown,
    /// It says so.
    Allowed,
    /// It has refused one, whatever its Allow says.
    Refused,
}

/// Where the timer stands.
enum Timer {
    /// The session does not expire.
    Off,
    /// A refresh of ours is due in time: because it is for us to refresh, or because the peer will
    /// have forgotten.
    Waiting {
        terms: Terms,
        refresh_at: Instant,
        /// How often it was tried.
        attempts: u8,
    },
    /// Our refresh is out.
    Refreshing {
        terms: Terms,
        attempts: u8,
        refresh: Refresh,
    },
}

/// What was agreed upon.
#[derive(Copy, Clone)]
pub(super) struct Terms {
    /// The session interval.
    interval_s: u32,
    /// Whether we refresh.
    ours: bool,
}

/// A refresh that waits for its answer.
#[derive(Copy, Clone)]
pub(super) struct Refresh {
    pub(super) client: ClientId,
    /// Whether it is an INVITE, with an offer, or an UPDATE.
    pub(super) by_invite: bool,
    /// When an INVITE is cancelled, unless it was: a peer may say that it works on it and no more.
    pub(super) cancel_at: Option<Instant>,
}

impl Terms {
    fn interval(self) -> Duration {
        let (least_s, most_s) = KEPT_S;
        Duration::from_secs(self.interval_s.clamp(least_s, most_s).into())
    }

    /// Returns when we refresh: after half of the interval or, where the peer was to, when BYE would
    /// be due (§10).
    fn refresh_after(self) -> Duration {
        let interval = self.interval();
        match self.ours {
            true => interval / 2,
            false => interval - (interval / 3).min(Duration::from_secs(32)),
        }
    }

    /// Returns how long a refresh that was refused waits: so that some more are tried before the
    /// session expires for the peer.
    fn retry_after(self) -> Duration {
        let (least, most) = (Duration::from_secs(10), Duration::from_secs(300));
        (self.interval() / 8).clamp(least, most)
    }
}

/// Refuses an INVITE whose session would be refreshed more often than we let it (§9): by a peer that
/// knows timers only, since no other could ask for more.
pub(super) fn check(ours: &SessionTimer, invite: &Message<'_>) -> Result<(), Refusal> {
    let least_s = ours.min_se_s.max(LEAST_S);
    match invite.session_expires() {
        Some(asked) if asked.interval_s < least_s && supports(invite) => {
            let refusal = Refusal::new(422, "Session Interval Too Small");
            Err(refusal.with(HeaderName::MinSe, least_s.to_string()))
        }
        _ => Ok(()),
    }
}

fn supports(message: &Message<'_>) -> bool {
    let fields = [HeaderName::Supported, HeaderName::Require];
    fields.iter().any(|&name| message.lists(name, OPTION))
}

impl Session {
    /// Begins a call: nothing is agreed upon yet.
    pub(super) fn new(settings: &SessionTimer) -> Self {
        let min_se_s = settings.min_se_s.max(LEAST_S);
        let expires_s = match settings.expires_s {
            0 => 0,
            expires_s => expires_s.max(min_se_s),
        };
        Self {
            expires_s,
            min_se_s,
            update: Update::Unknown,
            description: Vec::new(),
            timer: Timer::Off,
        }
    }

    /// Writes what an INVITE that makes a call asks for; who refreshes is left to the callee (§7.1).
    pub(super) fn ask(&self) -> Vec<(HeaderName, String)> {
        match self.expires_s {
            0 => Vec::new(),
            interval_s => self.fields(interval_s, None),
        }
    }

    /// Writes what our requests within a call say: who refreshes stays who it was (§7.4).
    pub(super) fn keep(&self) -> Vec<(HeaderName, String)> {
        let Some(terms) = self.terms() else {
            return Vec::new();
        };
        let refresher = match terms.ours {
            true => Refresher::Uac,
            false => Refresher::Uas,
        };
        self.fields(terms.interval_s, Some(refresher))
    }

    fn fields(&self, interval_s: u32, refresher: Option<Refresher>) -> Vec<(HeaderName, String)> {
        let expires = SessionExpires {
            interval_s,
            refresher,
        };
        let mut fields = vec![(HeaderName::SessionExpires, expires.to_string())];
        if self.min_se_s != LEAST_S {
            fields.push((HeaderName::MinSe, self.min_se_s.to_string()));
        }
        fields
    }

    fn terms(&self) -> Option<Terms> {
        match self.timer {
            Timer::Off => None,
            Timer::Waiting { terms, .. } | Timer::Refreshing { terms, .. } => Some(terms),
        }
    }

    /// Takes a 2xx to our INVITE or UPDATE (§7.2): whoever it names refreshes, and we where it names
    /// nobody.
    pub(super) fn accepted(&mut self, now: Instant, response: &Message<'_>) {
        self.learn(response);
        let said = response.session_expires().map(|said| Terms {
            interval_s: said.interval_s,
            ours: said.refresher != Some(Refresher::Uas),
        });
        self.timer = match said.or(self.terms()) {
            Some(terms) => Timer::waiting(now, terms),
            None => Timer::Off,
        };
    }

    /// Takes an INVITE or UPDATE of the peer that is answered by 2xx, and returns what that says
    /// (§9).
    pub(super) fn agree(
        &mut self,
        now: Instant,
        request: &Message<'_>,
    ) -> Vec<(HeaderName, String)> {
        self.learn(request);
        let (before, asked) = (self.terms(), request.session_expires());
        let asked_terms = asked.map(|asked| Terms {
            interval_s: asked.interval_s,
            ours: match asked.refresher {
                Some(refresher) => refresher == Refresher::Uas,
                None => before.is_none_or(|before| before.ours),
            },
        });
        let Some(agreed) = asked_terms.or(before) else {
            return Vec::new();
        };
        match &mut self.timer {
            // Ours stays out: its answer sets the timer again.
            Timer::Refreshing { terms, .. } => *terms = agreed,
            timer => *timer = Timer::waiting(now, agreed),
        }
        if asked.is_none() && !supports(request) {
            return Vec::new();
        }
        let refresher = match agreed.ours {
            true => Refresher::Uas,
            false => Refresher::Uac,
        };
        let expires = SessionExpires {
            interval_s: agreed.interval_s,
            refresher: Some(refresher),
        };
        let mut fields = vec![(HeaderName::SessionExpires, expires.to_string())];
        if refresher == Refresher::Uac {
            fields.push((HeaderName::Require, OPTION.to_owned()));
        }
        fields
    }

    /// Takes a 422 (§7.3): what it asks for is asked for from now on. False where that is not more
    /// than what it refuses, or nothing was asked for.
    pub(super) fn raise(&mut self, response: &Message<'_>) -> bool {
        let asked_s = self.terms().map_or(self.expires_s, |t| t.interval_s);
        let Some(least_s) = response.min_se().filter(|&s| asked_s > 0 && s > asked_s) else {
            return false;
        };
        self.min_se_s = self.min_se_s.max(least_s);
        self.expires_s = self.min_se_s;
        if let Timer::Waiting { terms, .. } | Timer::Refreshing { terms, .. } = &mut self.timer {
            terms.interval_s = self.min_se_s;
        }
        true
    }

    /// Learns from a message whether the peer takes UPDATE.
    fn learn(&mut self, message: &Message<'_>) {
        let says = message.header_bytes(HeaderName::Allow).is_some();
        let allows = message.lists(HeaderName::Allow, Method::Update.as_str());
        self.update = match self.update {
            Update::Refused => Update::Refused,
            _ if allows => Update::Allowed,
            _ if says => Update::Unknown,
            as_it_was => as_it_was,
        };
    }

    /// Learns that the peer refuses UPDATE as such (RFC 3261 §21.4.6, §21.5.2).
    pub(super) fn refuses_update(&mut self) {
        self.update = Update::Refused;
    }

    /// Keeps a description of ours that both sides hold to now.
    pub(super) fn describe(&mut self, description: Vec<u8>) {
        self.description = description;
    }

    /// Returns the offer of the next refresh: none where UPDATE does without.
    pub(super) fn offer(&self) -> Option<Vec<u8>> {
        let offers = self.update != Update::Allowed && !self.description.is_empty();
        offers.then(|| self.description.clone())
    }

    /// Whether our refresh waits for its answer.
    pub(super) fn is_refreshing(&self) -> bool {
        matches!(self.timer, Timer::Refreshing { .. })
    }

    /// Whether our refresh is an offer that waits for its answer.
    pub(super) fn is_offered(&self) -> bool {
        matches!(
            self.timer,
            Timer::Refreshing {
                refresh: Refresh {
                    by_invite: true,
                    ..
                },
                ..
            }
        )
    }

    /// Returns our refresh while it waits for its answer.
    pub(super) fn refresh(&mut self) -> Option<&mut Refresh> {
        match &mut self.timer {
            Timer::Refreshing { refresh, .. } => Some(refresh),
            _ => None,
        }
    }

    /// Whether our refresh is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.timer, Timer::Waiting { refresh_at, .. } if refresh_at <= now)
    }

    /// Takes it upon us to refresh, since the peer has forgotten, if it was for the peer.
    pub(super) fn take_over(&mut self) {
        if let Timer::Waiting { terms, .. } = &mut self.timer {
            terms.ours = true;
        }
    }

    /// Our refresh is out.
    pub(super) fn sent(&mut self, refresh: Refresh) {
        if let Timer::Waiting {
            terms, attempts, ..
        } = self.timer
        {
            self.timer = Timer::Refreshing {
                terms,
                attempts: attempts.saturating_add(1),
                refresh,
            };
        }
    }

    /// Tries again after a while and returns true, unless that was done `most` times.
    pub(super) fn try_again(&mut self, refresh_at: Instant, most: u8) -> bool {
        match self.timer {
            Timer::Refreshing {
                terms, attempts, ..
            }
            | Timer::Waiting {
                terms, attempts, ..
            } if attempts < most => {
                self.timer = Timer::Waiting {
                    terms,
                    refresh_at,
                    attempts,
                };
                true
            }
            _ => false,
        }
    }

    /// Our refresh was refused: it is tried again in a while.
    pub(super) fn refused(&mut self, now: Instant) {
        if let Some(terms) = self.terms() {
            self.timer = Timer::Waiting {
                terms,
                refresh_at: now + terms.retry_after(),
                attempts: 0,
            };
        }
    }

    /// Ends the timer with the call; returns our refresh that is still out.
    pub(super) fn stop(&mut self) -> Option<ClientId> {
        let out = self.refresh().map(|refresh| refresh.client);
        self.timer = Timer::Off;
        out
    }

    /// Returns when the timer wants attention, and why.
    pub(super) fn deadline(&self) -> Option<(Instant, Reason)> {
        match self.timer {
            Timer::Off => None,
            Timer::Waiting { refresh_at, .. } => Some((refresh_at, Reason::SessionTimer)),
            Timer::Refreshing { refresh, .. } => {
                refresh.cancel_at.map(|at| (at, Reason::OfferUnanswered))
            }
        }
    }
}

impl Timer {
    /// Begins the interval anew.
    fn waiting(now: Instant, terms: Terms) -> Self {
        Self::Waiting {
            terms,
            refresh_at: now + terms.refresh_after(),
            attempts: 0,
        }
    }
}
