//! Sound that goes one way only: noticed, explained, and where the rules allow it, healed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{MediaSession, Notice};
use crate::sdp::Direction;
use crate::stats::Stats;

/// What should come is missed after so long, and looked for again as often. It is looked for at
/// ticks: the first one after this is not later than half a second.
const PATIENCE: Duration = Duration::from_millis(480);
/// So many refused packets within that time are a stream, not somebody who knocks.
const STREAM_PACKETS: u64 = 5;
/// Of so many reports in a row none may say that the peer hears us …
const SILENT_REPORTS: u8 = 3;
/// … while so many packets were sent to it from one to the next.
const SENT_BETWEEN: u64 = 50;
/// A peer that never said anything of us must have been silent about us for so long: its first report
/// may be older than what it heard first.
const NEVER_TOLD_FOR: Duration = Duration::from_secs(5);

/// Says why one side hears nothing of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneWay {
    /// Nothing comes from the peer.
    NothingComes,
    /// What comes is from an address that may not send to this session.
    WrongSource {
        /// Where it comes from.
        from: SocketAddr,
    },
    /// What comes is of a payload type that was not agreed on.
    WrongPayload {
        /// That type.
        payload_type: u8,
    },
    /// What comes is not authentic: other keys, or none.
    NotAuthentic,
    /// What comes is no RTP.
    NotRtp,
    /// What comes is our own sound, sent back.
    Looped,
    /// The peer's reports say that nothing of ours comes to it.
    NotHeard,
}

/// Whom a report of the peer tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToldOf {
    /// Of us: how far our stream came, by its highest sequence number.
    Us(u32),
    /// Of other sources than ours.
    Others,
    /// It has no block.
    Nobody,
}

/// Watches whether sound flows both ways.
#[derive(Debug)]
pub(super) struct Watch {
    /// When sound was last heard, or should have begun to flow: at the answer, or the end of a
    /// hold.
    since: Instant,
    due: Instant,
    /// Something that can be used came since then, and since the last look.
    ever_heard: bool,
    heard: bool,
    /// What was refused up to the last look.
    refused: Refused,
    last_source: Option<SocketAddr>,
    last_payload_type: u8,
    told: Option<OneWay>,
    /// That a stranger sends while the peer is silent was told.
    stranger_told: bool,
    reports: Reports,
}

/// What the peer's reports say about our sound.
#[derive(Clone, Copy, Debug, Default)]
struct Reports {
    /// Reports in a row by which it hears nothing of us.
    silent: u8,
    /// When the first of these was sent out to us; of one that tells of us none is known.
    since: Option<Instant>,
    highest_sequence: Option<u32>,
    sent: u64,
    told: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    source: u64,
    payload: u64,
    unauthentic: u64,
    malformed: u64,
    looped: u64,
}

impl Refused {
    fn of(stats: &Stats) -> Self {
        Self {
            source: stats.foreign,
            payload: stats.unknown_payload,
            unauthentic: stats.unauthenticated,
            malformed: stats.malformed + stats.truncated + stats.wrong_version + stats.oversized,
            looped: stats.looped,
        }
    }
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            due: now + PATIENCE,
            ever_heard: false,
            heard: false,
            refused: Refused::default(),
            last_source: None,
            last_payload_type: 0,
            told: None,
            stranger_told: false,
            reports: Reports::default(),
        }
    }

    /// Begins anew: sound flows from now on, or again.
    pub(super) fn restart(&mut self, now: Instant, stats: &Stats) {
        let reports = Reports {
            silent: 0,
            since: None,
            ..self.reports
        };
        *self = Self {
            refused: Refused::of(stats),
            reports,
            ..Self::new(now)
        };
    }

    #[inline]
    pub(super) fn heard(&mut self) {
        self.heard = true;
    }

    /// Whether sound was found to come since it should begin to.
    pub(super) fn was_heard(&self) -> bool {
        self.ever_heard
    }

    pub(super) fn refused_source(&mut self, from: SocketAddr) {
        self.last_source = Some(from);
    }

    pub(super) fn refused_payload(&mut self, payload_type: u8) {
        self.last_payload_type = payload_type;
    }

    /// What most of what was refused since the last look says.
    fn evidence(&self, now: Refused) -> Option<OneWay> {
        let before = self.refused;
        let causes = [
            (
                now.source - before.source,
                self.last_source.map(|from| OneWay::WrongSource { from }),
            ),
            (
                now.payload - before.payload,
                Some(OneWay::WrongPayload {
                    payload_type: self.last_payload_type,
                }),
            ),
            (
                now.unauthentic - before.unauthentic,
                Some(OneWay::NotAuthentic),
            ),
            (now.malformed - before.malformed, Some(OneWay::NotRtp)),
            (now.looped - before.looped, Some(OneWay::Looped)),
        ];
        let (packets, cause) = causes.into_iter().max_by_key(|(packets, _)| *packets)?;
        cause.filter(|_| packets >= STREAM_PACKETS)
    }

    /// What is to be told at a look: why nothing is heard, when that is new.
    fn look(&mut self, stats: &Stats) -> Option<OneWay> {
        let refused = Refused::of(stats);
        let evidence = self.evidence(refused);
        self.refused = refused;
        // Who has been heard may be silent for as long as it likes.
        let missed = (!self.ever_heard).then_some(OneWay::NothingComes);
        let why = evidence.or(missed)?;
        // A stranger may send as long as it likes, and each pause of the peer would be told.
        if matches!(why, OneWay::WrongSource { .. })
            && self.ever_heard
            && std::mem::replace(&mut self.stranger_told, true)
        {
            return None;
        }
        let known = self.told.is_some_and(|told| told.is_like(why));
        if known || (self.told.is_some() && why == OneWay::NothingComes) {
            return None;
        }
        self.told = Some(why);
        Some(why)
    }
}

impl OneWay {
    /// Whether this is the same trouble, if from another address.
    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl MediaSession {
    /// Looks whether sound flows, when it is time to.
    pub(super) fn watch(&mut self, now: Instant) {
        if now < self.watch.due {
            return;
        }
        self.watch.due = now + PATIENCE;
        if self.negotiated.direction != Direction::SendRecv {
            return self.watch.restart(now, &self.stats);
        }
        let silent_for = now.saturating_duration_since(self.watch.since);
        if std::mem::take(&mut self.watch.heard) {
            self.watch.ever_heard = true;
            self.watch.since = now;
            self.watch.refused = Refused::of(&self.stats);
            if self.watch.told.take().is_some() {
                self.notify(Notice::TwoWay { after: silent_for });
            }
            return;
        }
        self.guard.fall_back();
        if let Some(why) = self.watch.look(&self.stats) {
            self.notify(Notice::OneWay { why, silent_for });
        }
    }

    /// Takes what a report of the peer says of our stream: nothing, or how far it came. Who sends no
    /// reports, and who reports of others alone (a relay's other side), says nothing by that: only who
    /// did tell of us, and who is heard and reports of nobody at all, is believed to hear nothing.
    pub(super) fn report_tells(&mut self, now: Instant, told: ToldOf) {
        let is_heard = self.watch.ever_heard || self.watch.heard;
        let sent = self.stream.packets();
        let reports = &mut self.watch.reports;
        let sent_since = sent - std::mem::replace(&mut reports.sent, sent);
        let highest = match told {
            ToldOf::Us(highest) => Some(highest),
            ToldOf::Others | ToldOf::Nobody => None,
        };
        let moved = highest.is_some() && highest != reports.highest_sequence;
        reports.highest_sequence = highest.or(reports.highest_sequence);
        let told_before = reports.highest_sequence.is_some();
        let hears_nobody = told == ToldOf::Nobody && is_heard;
        if moved {
            (reports.silent, reports.since, reports.told) = (0, None, false);
        } else if sent_since >= SENT_BETWEEN
            && (told_before || hears_nobody)
            && self.negotiated.direction.sends()
        {
            reports.silent = reports.silent.saturating_add(1);
            reports.since.get_or_insert(now);
        }
        let silent_for = now.saturating_duration_since(reports.since.unwrap_or(now));
        let is_deaf = told_before || silent_for >= NEVER_TOLD_FOR;
        if reports.silent >= SILENT_REPORTS
            && is_deaf
            && !std::mem::replace(&mut reports.told, true)
        {
            self.notify(Notice::OneWay {
                why: OneWay::NotHeard,
                silent_for,
            });
        }
    }
}
