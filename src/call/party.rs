//! A party without an agent: its dialog and its leg, for whoever joins it with others.

use std::time::{Duration, Instant};

use offhook_media::mixer::MixerError;
use offhook_sip::{CallHandle, Flow};

use super::digits::{Digits, INFO_DIGIT, Key, info_key, key_info};
use super::line::Leg;
use super::negotiate::{negotiate, offer};
use super::sound::summary;
use super::task::{end_reason, media_timeout};
use super::trouble::{self, Mend, Troubles};
use crate::mailbox;
use crate::meters;
use crate::net::media::{Command, LegEvent};
use crate::net::sip::{Held, ReferAsked, Signal, Sip};
use crate::store::MediaSummary;
use crate::switch::EndReason;

/// A party of a call.
pub(super) struct Party {
    sip: Sip,
    /// Its dialog, which ends with it.
    call: CallHandle,
    /// Where its requests come from.
    flow: Flow,
    held: Held,
    signals: mailbox::Receiver<Signal>,
    /// Its media.
    pub(super) leg: Leg,
    media_open: bool,
    digits: Digits,
    /// What went wrong with its sound.
    troubles: Troubles,
}

/// Something that a party's dialog or leg said, to be taken by [`Party::take`].
pub(super) enum Heard {
    Signal(Option<Signal>),
    Media(Option<LegEvent>),
}

/// What matters of it to others.
#[derive(Debug)]
pub(super) enum News {
    /// Whether it holds the call may have changed: [`Leg::is_held`] tells.
    Hold,
    /// It holds a key down: a telephone-event tells of it, and its release follows.
    KeyDown(char),
    /// It pressed a key.
    Key {
        /// Which.
        digit: char,
        /// How long it was held; zero when that is not known.
        held: Duration,
        /// Whether an INFO tells of it, and not what comes with the sound.
        informed: bool,
        /// Whether the press was told of before, in the other way.
        again: bool,
    },
    /// Its leg takes part in a room, or not, and why not.
    Joined(Result<(), MixerError>),
    /// Its leg is on the media thread that it was moved to.
    Arrived,
    /// Its leg could not be moved, and is where it was.
    Stayed,
    /// It asks to be transferred.
    Refer(ReferAsked),
    /// Something is wrong with its sound, or right again, in words.
    Sound(String),
    /// It is gone, or was hung up since nothing comes of it any more.
    Over(EndReason),
}

impl Party {
    /// Makes a party of an answered call.
    pub(super) fn new(
        sip: Sip,
        (call, held): (CallHandle, Held),
        flow: Flow,
        signals: mailbox::Receiver<Signal>,
        leg: Leg,
    ) -> Self {
        Self {
            held,
            sip,
            call,
            flow,
            signals,
            leg,
            media_open: true,
            digits: Digits::default(),
            troubles: Troubles::default(),
        }
    }

    /// Takes on what went wrong with its sound before.
    pub(super) fn with_troubles(self, troubles: Troubles) -> Self {
        Self { troubles, ..self }
    }

    /// Takes it apart, for who looks after it in another way: its dialog, which ends with the hold on
    /// it, what that says, and its leg.
    pub(super) fn into_parts(self) -> (CallHandle, Held, mailbox::Receiver<Signal>, Leg) {
        (self.call, self.held, self.signals, self.leg)
    }

    /// Waits for what comes next. Dropped before that, nothing is lost.
    pub(super) async fn hear(&mut self) -> Heard {
        tokio::select! {
            signal = self.signals.recv() => Heard::Signal(signal),
            event = self.leg.event(), if self.media_open => Heard::Media(event),
        }
    }

    /// Takes what came, and says what of it matters to others.
    pub(super) async fn take(&mut self, now: Instant, heard: Heard) -> Option<News> {
        match heard {
            Heard::Signal(Some(signal)) => self.take_signal(now, signal).await,
            Heard::Signal(None) => Some(News::Over(EndReason::Failed(
                "the SIP endpoint has ended".to_owned(),
            ))),
            Heard::Media(Some(event)) => self.take_media(now, event).await,
            Heard::Media(None) => {
                self.media_open = false;
                let reason = "the media thread has ended".to_owned();
                Some(self.give_up(EndReason::Failed(reason)).await)
            }
        }
    }

    async fn take_signal(&mut self, now: Instant, signal: Signal) -> Option<News> {
        match negotiate(&self.sip, self.call, &mut self.leg, signal).await {
            None => Some(News::Hold),
            Some(Signal::Info { content_type, body }) => {
                let key = info_key(content_type.as_deref(), &body)?;
                Some(News::Key {
                    digit: key.digit,
                    held: key.held,
                    informed: true,
                    again: !self.digits.inform(now, key),
                })
            }
            Some(Signal::Refer(asked)) => Some(News::Refer(asked)),
            Some(Signal::Ended { cause }) => Some(News::Over(end_reason(cause))),
            Some(_) => None,
        }
    }

    async fn take_media(&mut self, now: Instant, event: LegEvent) -> Option<News> {
        match event {
            LegEvent::KeyDown { digit } => Some(News::KeyDown(digit)),
            LegEvent::Dtmf { digit, held } => Some(News::Key {
                digit,
                held,
                informed: false,
                again: !self.digits.hear(now, digit, held),
            }),
            LegEvent::Joined(joined) => Some(News::Joined(joined)),
            LegEvent::Arrived => Some(News::Arrived),
            LegEvent::Stayed => Some(News::Stayed),
            LegEvent::MediaTimeout { silent_for } => {
                Some(self.give_up(media_timeout(silent_for)).await)
            }
            LegEvent::OneWay { why, silent_for } => {
                meters::one_way_audio(trouble::reason(why));
                let (words, mend) = self.troubles.one_way(why, silent_for);
                if mend == Mend::OfferAgain && !self.leg.is_held() {
                    offer(&self.sip, self.call, &mut self.leg).await;
                }
                words.map(News::Sound)
            }
            LegEvent::TwoWay { after } => self.troubles.two_way(after).map(News::Sound),
            _ => None,
        }
    }

    /// Its dialog.
    pub(super) fn call(&self) -> CallHandle {
        self.call
    }

    /// Where its requests come from.
    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    /// Asks something of the party's leg.
    pub(super) fn ask(&self, command: Command) {
        if let Err(error) = self.leg.media.send(command) {
            tracing::error!(%error, "the media thread did not take a command");
        }
    }

    /// Presses keys, in the way that the party takes them.
    pub(super) async fn press(&self, keys: &[Key]) {
        if !self.leg.takes_keys_by_info() {
            let digits = keys.iter().map(|key| key.digit).collect();
            return self.ask(Command::SendDtmf(self.leg.id, digits));
        }
        for key in keys {
            let told = self.sip.info(self.call, INFO_DIGIT, key_info(*key));
            let _ = told.await;
        }
    }

    /// Lets the party wait, or no longer, and tells it so.
    pub(super) async fn hold(&mut self, hold: bool) {
        self.leg.hold(hold);
        offer(&self.sip, self.call, &mut self.leg).await;
    }

    /// Ends the party's dialog.
    pub(super) async fn hang_up(&self) {
        self.hang_up_because(None).await;
    }

    /// Ends the party's dialog; `reason` is the Reason (RFC 3326) that it is told.
    pub(super) async fn hang_up_because(&self, reason: Option<&str>) {
        let reason = reason.map(str::to_owned);
        if let Err(error) = self.sip.hang_up(self.call, reason).await {
            tracing::warn!(%error, "a call could not be hung up");
        }
    }

    /// Closes the party's media and waits for what it measured.
    pub(super) async fn measured(&mut self) -> Option<MediaSummary> {
        self.leg.close();
        let troubles = std::mem::take(&mut self.troubles).into_words();
        summary(&mut self.leg, troubles).await
    }

    async fn give_up(&self, reason: EndReason) -> News {
        self.hang_up().await;
        News::Over(reason)
    }
}
