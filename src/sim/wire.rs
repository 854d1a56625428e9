//! What one call's wire saw: which utterance each packet of the switch carried, and when the
//! caller's sound came.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use offhook_media::codec::{Codec, Decoder};
use offhook_media::rtp::RtpPacket;
use offhook_media::{Negotiated, UtteranceId};

use super::invariants::Rule;
use super::keys::Keys;
use super::leg::Command;
use super::models::spoken_samples;
use super::presses::Presses;
use super::stream::Streams;
use super::voice::{self, Run};
use crate::agent::{TurnId, TurnRecord};

/// A fade of 5 ms is the most that may follow on a pause or a cancellation.
const FADE: usize = 40;
/// Samples of one step of the leg.
const STEP: usize = 160;
/// Where sound is cut it may be counted so much too short: fades in and out.
const SLACK: usize = 2 * FADE;

/// A rule that was broken, and how.
pub(super) type Broken = (Rule, String);

/// One utterance of the voice.
#[derive(Debug)]
struct Utterance {
    text: String,
    samples: usize,
    place: Option<(TurnId, u32)>,
    sent: usize,
    first: Option<Instant>,
    cancelled: bool,
}

#[derive(Debug, Default)]
struct Turn {
    clauses: Vec<String>,
    recorded: bool,
}

/// Why there should be silence, and how much sound may still come.
#[derive(Debug, Clone, Copy)]
struct Hush {
    rule: Rule,
    left: usize,
}

#[derive(Default)]
pub(super) struct Wire {
    utterances: BTreeMap<UtteranceId, Utterance>,
    turns: BTreeMap<TurnId, Turn>,
    cancelling: VecDeque<TurnId>,
    current: Option<UtteranceId>,
    hush: Option<Hush>,
    streams: Streams,
    pub(super) keys: Keys,
    pub(super) presses: Presses,
    /// When somebody hung up.
    ended: Option<Instant>,
    /// When audible packets of the caller came.
    voiced: Vec<Instant>,
    /// Whether the caller wants sound.
    on_hold: bool,
    paused: bool,
    aside: bool,
    ptime_ms: u32,
}

impl Wire {
    pub(super) fn spoken(&mut self, turn: TurnId, _clause: u32, text: &str) {
        self.turns
            .entry(turn)
            .or_default()
            .clauses
            .push(text.to_owned());
    }

    pub(super) fn synthesised(&mut self, utterance: UtteranceId, text: &str) {
        let spoken = Utterance {
            text: text.to_owned(),
            samples: spoken_samples(text),
            place: None,
            sent: 0,
            first: None,
            cancelled: false,
        };
        self.utterances.insert(utterance, spoken);
    }

    pub(super) fn placed(&mut self, place: impl Fn(UtteranceId) -> Option<(TurnId, u32)>) {
        let recent = self.utterances.iter_mut().rev().take(64);
        for (id, utterance) in recent.filter(|(_, u)| u.place.is_none()) {
            utterance.place = place(*id);
        }
    }

    pub(super) fn cancelling(&mut self, turn: TurnId) {
        self.cancelling.push_back(turn);
    }

    /// What a code on this wire means now.
    fn meaning(&self, code: u8) -> Option<UtteranceId> {
        let named = |id: &&UtteranceId| id.0 % u64::from(voice::CODES) == u64::from(code);
        self.utterances
            .keys()
            .rev()
            .take(voice::CODES.into())
            .find(named)
            .copied()
    }

    /// The words of a code, for who hears it at the other end.
    pub(super) fn text(&self, code: u8) -> Option<&str> {
        let id = self.meaning(code)?;
        self.utterances.get(&id).map(|u| u.text.as_str())
    }

    /// From now on there should be silence, but for a fade and what fills a packet already.
    fn hush(&mut self, rule: Rule) {
        let left = FADE + self.packing();
        self.hush = Some(Hush { rule, left });
    }

    /// Samples that may wait for their packet to be full: of a packet time beyond one step.
    fn packing(&self) -> usize {
        let packet = self.ptime_ms.max(20) as usize * voice::RATE_HZ / 1_000;
        // What is left over is what no number of steps fills.
        let (mut a, mut b) = (packet, STEP);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        packet - a
    }

    /// Takes note that the leg has carried out a command.
    pub(super) fn commanded(&mut self, command: &Command) -> Option<Broken> {
        match command {
            Command::Pause => {
                self.paused = true;
                self.hush_for(Rule::SoundWhilePaused);
            }
            Command::Resume => {
                self.paused = false;
                self.end_hush();
            }
            Command::SetAside(true) => {
                self.aside = true;
                self.hush(Rule::SoundWhileAside);
            }
            Command::SetAside(false) => {
                self.aside = false;
                self.end_hush();
            }
            Command::Cancel => {
                let turn = self.cancelling.pop_front();
                let dead = |place: Option<(TurnId, u32)>| place.map(|(t, _)| t) <= turn;
                for utterance in self.utterances.values_mut() {
                    utterance.cancelled |= utterance.place.is_some() && dead(utterance.place);
                }
                self.paused = false;
                self.hush_for(Rule::SoundOfCancelledTurn);
            }
            Command::Renegotiate(negotiated) => return self.agreed(negotiated),
            Command::Play(..) | Command::Finish(_) | Command::Close => {}
        }
        None
    }

    /// Nothing but the end of it lets sound go on while somebody else talks.
    fn hush_for(&mut self, rule: Rule) {
        match self.aside {
            true => self.hush(Rule::SoundWhileAside),
            false => self.hush(rule),
        }
    }

    /// Sound may go on, unless something else keeps it back.
    fn end_hush(&mut self) {
        match (self.aside, self.paused) {
            (false, false) => self.hush = None,
            (true, _) => self.hush(Rule::SoundWhileAside),
            (_, true) => self.hush(Rule::SoundWhilePaused),
        }
    }

    /// Takes note of what holds of the switch's media from now on.
    pub(super) fn agreed(&mut self, negotiated: &Negotiated) -> Option<Broken> {
        self.ptime_ms = negotiated.ptime_ms;
        self.on_hold = !negotiated.direction.sends();
        self.keys.switch_uses(negotiated.srtp.as_ref())
    }

    /// Takes note that the call ends, whoever ended it.
    pub(super) fn ended(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }

    /// Holds what happened against what was to happen, once all is over.
    pub(super) fn check(&self) -> Option<Broken> {
        self.presses.check(self.ended?)
    }

    /// Takes an RTP packet that the switch sends.
    pub(super) fn sent(&mut self, now: Instant, bytes: &[u8]) -> Vec<Broken> {
        let bytes = match self.keys.open_sent(bytes) {
            Ok(bytes) => bytes,
            Err(broken) => return vec![broken],
        };
        let Ok(packet) = RtpPacket::parse(&bytes) else {
            return vec![(Rule::RtpTime, "what is sent is no RTP".to_owned())];
        };
        let mut broken: Vec<Broken> = Vec::new();
        broken.extend(self.streams.sent(&packet));
        if self.on_hold {
            broken.push((Rule::SoundOnHold, "a packet is sent on hold".to_owned()));
        }
        let mut sound = [0; 1_024];
        let Some(length) = decode(&packet, &mut sound) else {
            return broken;
        };
        for run in voice::runs(sound.get(..length).unwrap_or_default()) {
            if let Some(code) = run.code {
                broken.extend(self.heard_of_switch(now, code, run));
            }
        }
        broken
    }

    fn heard_of_switch(&mut self, now: Instant, code: u8, run: Run) -> Option<Broken> {
        let meant = self.meaning(code);
        if run.samples > FADE && meant != self.current {
            let id = meant.ok_or((Rule::UnaskedSpeech, format!("nobody made sound {code}")));
            match id.and_then(|id| self.begin(id).map(|()| id)) {
                Ok(id) => self.current = Some(id),
                Err(broken) => return Some(broken),
            }
        }
        if let Some(hush) = &mut self.hush {
            if run.samples > hush.left {
                let rule = hush.rule;
                return Some((
                    rule,
                    format!("{} samples of {:?}", run.samples, self.current),
                ));
            }
            hush.left -= run.samples;
        }
        if let Some(utterance) = self.current.and_then(|id| self.utterances.get_mut(&id)) {
            utterance.sent += run.samples;
            utterance.first.get_or_insert(now);
        }
        None
    }

    /// Another utterance begins to sound: may it?
    fn begin(&mut self, id: UtteranceId) -> Result<(), Broken> {
        let Some(utterance) = self.utterances.get(&id) else {
            return Ok(());
        };
        let Some(place) = utterance.place else {
            let what = format!("{id:?} was only prepared: {:?}", utterance.text);
            return Err((Rule::UnaskedSpeech, what));
        };
        // What fills a packet already may begin with it: it is within the hush.
        if utterance.cancelled && self.hush.is_none() {
            let what = format!("{id:?} at {place:?} was cancelled");
            return Err((Rule::SoundOfCancelledTurn, what));
        }
        let before = self.current.and_then(|id| self.utterances.get(&id));
        if let Some(before) = before.filter(|before| before.place >= Some(place)) {
            let what = format!("{place:?} sounds after {:?}", before.place);
            return Err((Rule::TwoSpeeches, what));
        }
        // A new turn is heard after a cancelled one.
        let hushed = |hush: Hush| hush.rule == Rule::SoundOfCancelledTurn;
        if !utterance.cancelled && self.hush.is_some_and(hushed) {
            self.hush = None;
        }
        Ok(())
    }

    /// Takes an RTP packet of the caller that reaches the switch.
    pub(super) fn received(&mut self, now: Instant, bytes: &[u8]) {
        let Some(bytes) = self.keys.open_received(bytes) else {
            return;
        };
        let Ok(packet) = RtpPacket::parse(&bytes) else {
            return;
        };
        let mut sound = [0; 1_024];
        let Some(length) = decode(&packet, &mut sound) else {
            return;
        };
        let sound = sound.get(..length).unwrap_or_default();
        let audible = |run: &Run| run.code.is_some() && run.samples > FADE;
        if voice::runs(sound).iter().any(audible) {
            self.voiced.push(now);
        }
    }

    /// Takes an RTP packet that the caller sends; one that is encrypted is only judged as it
    /// reaches the switch.
    pub(super) fn sent_by_caller(&mut self, bytes: &[u8]) -> Option<Broken> {
        if self.keys.hide_the_caller() {
            return None;
        }
        let packet = RtpPacket::parse(bytes).ok()?;
        self.streams.sent(&packet)
    }

    /// Holds a record of the agent's turn against what was sent of it.
    pub(super) fn recorded(&mut self, record: &TurnRecord) -> Vec<Broken> {
        // An answer that was taken back is not recorded, and may be given again in the same words.
        let open = self.turns.iter().filter(|(_, turn)| !turn.recorded);
        let said = open.filter(|(_, turn)| turn.clauses.join(" ") == record.text);
        let Some(id) = said
            .map(|(id, _)| *id)
            .max_by_key(|id| (self.first_of(*id), *id))
        else {
            let what = format!("{:?} was never to be said", record.text);
            return vec![(Rule::MemoryBeyondSent, what)];
        };
        let Some(turn) = self.turns.get_mut(&id) else {
            return Vec::new();
        };
        turn.recorded = true;
        let clauses = turn.clauses.clone();
        let mut broken = Vec::new();
        broken.extend(self.remembered(id, &clauses, record));
        broken.extend(self.voice_to_voice(id, record));
        broken
    }

    /// When the first audible packet of a turn left.
    fn first_of(&self, turn: TurnId) -> Option<Instant> {
        let of_turn = |u: &&Utterance| u.place.is_some_and(|(t, _)| t == turn);
        let utterances = self.utterances.values().filter(of_turn);
        utterances.filter_map(|u| u.first).min()
    }

    fn remembered(&self, turn: TurnId, clauses: &[String], record: &TurnRecord) -> Option<Broken> {
        let heard = record.heard_text.as_deref().unwrap_or(&record.text);
        let slack = SLACK + self.packing();
        let mut most = 0;
        for (n, text) in clauses.iter().enumerate() {
            let place = Some((turn, u32::try_from(n).unwrap_or(u32::MAX)));
            let spoken = self.utterances.values().rev().find(|u| u.place == place);
            let chars = text.chars().count();
            let share = spoken.map_or(0, |u| match u.sent {
                0 => 0,
                sent if sent + slack >= u.samples => chars,
                sent => chars * (sent + slack) / u.samples.max(1),
            });
            most += share;
            // A space stands between clauses.
            most += usize::from(share > 0);
        }
        let remembered = heard.chars().count();
        (remembered > most).then(|| {
            let what = format!("{remembered} characters of {most} that were sent: {heard:?}");
            (Rule::MemoryBeyondSent, what)
        })
    }

    /// From a voiced packet that came to the first audible one that left, within a packet.
    fn voice_to_voice(&self, turn: TurnId, record: &TurnRecord) -> Option<Broken> {
        let told = Duration::from_millis(record.latency.voice_to_voice_ms?.into());
        let Some(first) = self.first_of(turn) else {
            // Its first sound may wait for a packet to be full, and will not be sent any more.
            if self.packing() > 0 {
                return None;
            }
            let what = "an answer that was never sent has one".to_owned();
            return Some((Rule::VoiceToVoice, what));
        };
        let frame = Duration::from_millis(u64::from(self.ptime_ms.max(20)) + 1);
        let begun = first.checked_sub(told)?;
        let near = |at: &&Instant| {
            at.saturating_duration_since(begun) <= frame
                && begun.saturating_duration_since(**at) <= frame
        };
        let earlier = self.voiced.iter().filter(|at| **at <= first);
        (!earlier.clone().any(|at| near(&at))).then(|| {
            let last = earlier.max().map(|at| first.saturating_duration_since(*at));
            let what = format!("told {told:?}; on the wire the last voice lies back by {last:?}");
            (Rule::VoiceToVoice, what)
        })
    }
}

fn decode(packet: &RtpPacket<'_>, sound: &mut [i16]) -> Option<usize> {
    let codec = Codec::from_static_payload_type(packet.header.payload_type)?;
    Some(Decoder::new(voice::RATE_HZ as u32).decode(codec, packet.payload, sound))
}
