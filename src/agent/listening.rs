//! One turn of the caller's speech while it is being heard.

use std::time::{Duration, Instant};

use super::command::SpeculationId;
use super::dialogue::{Act, Completeness, Dialogue};
use super::settings::Settings;

/// A dialogue that has heard a transcript which is not yet committed.
pub(super) struct Fork {
    pub(super) dialogue: Box<dyn Dialogue>,
    /// Acts to perform on commitment; LLM requests among them are already under way.
    pub(super) acts: Vec<Act>,
    pub(super) llm_first_token_ms: Option<u32>,
    /// When its LLM was asked, in ms from the last voiced packet.
    pub(super) llm_begins_ms: Option<u32>,
}

/// One look at the unfinished turn: transcript and turn probability, asked for in parallel.
pub(super) struct Speculation {
    pub(super) id: SpeculationId,
    pub(super) issued: Instant,
    pub(super) transcript: Option<Result<String, ()>>,
    pub(super) transcript_at: Option<Instant>,
    pub(super) probability: Option<f32>,
    pub(super) completeness: Completeness,
    pub(super) fork: Option<Fork>,
}

impl Speculation {
    pub(super) fn new(id: SpeculationId, issued: Instant) -> Self {
        Self {
            id,
            issued,
            transcript: None,
            transcript_at: None,
            probability: None,
            completeness: Completeness::Open,
            fork: None,
        }
    }
}

/// What the end-pointer decides, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The turn is over.
    Commit,
    /// There were no words.
    Drop,
    /// Words may have been said, but the recogniser has none.
    Fail,
}

/// A part of a long turn that is recognised while the caller goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seal {
    pub(super) id: SpeculationId,
    pub(super) issued: Instant,
}

/// Holds the caller's unfinished turn.
pub(super) struct Listening {
    pub(super) started: Instant,
    /// Where the audio begins that is not in `sealed`.
    pub(super) segment_from: Instant,
    /// The text of earlier segments.
    pub(super) sealed: String,
    pub(super) seal: Option<Seal>,
    pub(super) voicing: bool,
    pub(super) voice_since: Instant,
    pub(super) last_voiced: Instant,
    voiced: Duration,
    pub(super) guess: Option<Speculation>,
    /// Believed to be noise: it does not hold the floor.
    pub(super) dismissed: bool,
}

impl Listening {
    pub(super) fn new(at: Instant) -> Self {
        Self {
            started: at,
            segment_from: at,
            sealed: String::new(),
            seal: None,
            voicing: true,
            voice_since: at,
            last_voiced: at,
            voiced: Duration::ZERO,
            guess: None,
            dismissed: false,
        }
    }

    /// Returns the voiced time so far.
    pub(super) fn voiced(&self, now: Instant) -> Duration {
        let running = if self.voicing {
            now.saturating_duration_since(self.voice_since)
        } else {
            Duration::ZERO
        };
        self.voiced + running
    }

    /// Returns when the voiced time reaches `target`, while the voice goes on.
    pub(super) fn voiced_at(&self, target: Duration) -> Option<Instant> {
        self.voicing
            .then(|| self.voice_since + target.saturating_sub(self.voiced))
    }

    pub(super) fn go_on(&mut self, at: Instant) {
        self.voicing = true;
        self.voice_since = at;
        self.dismissed = false;
    }

    pub(super) fn stop(&mut self, at: Instant) {
        let at = at.max(self.voice_since);
        self.voiced += at.saturating_duration_since(self.voice_since);
        self.voicing = false;
        self.last_voiced = at;
    }

    /// Corrects the end of a voice that has stopped, unless it was not after that.
    pub(super) fn stopped_earlier(&mut self, at: Instant) {
        let at = at.max(self.voice_since);
        if !self.voicing && at < self.last_voiced {
            self.voiced = self.voiced.saturating_sub(self.last_voiced - at);
            self.last_voiced = at;
        }
    }

    /// Returns the whole text of the turn, if the last look has a transcript.
    pub(super) fn text(&self) -> Option<String> {
        let last = self.guess.as_ref()?.transcript.as_ref()?;
        let last = last.as_deref().unwrap_or_default().trim();
        Some(join(&self.sealed, last))
    }

    /// Adds a recognised segment.
    pub(super) fn seal_text(&mut self, text: &str) {
        self.sealed = join(&self.sealed, text.trim());
    }

    /// Takes up again a turn that was answered too early; `later` is what made that plain.
    pub(super) fn reopen(mut self, later: &Listening) -> Self {
        self.voiced += later.voiced;
        self.voicing = later.voicing;
        self.voice_since = later.voice_since;
        self.last_voiced = later.last_voiced;
        self.guess = None;
        self.seal = None;
        self.dismissed = false;
        self
    }

    /// Copies everything but the speculation.
    pub(super) fn snapshot(&self) -> Self {
        Self {
            sealed: self.sealed.clone(),
            guess: None,
            seal: None,
            started: self.started,
            segment_from: self.segment_from,
            voicing: self.voicing,
            voice_since: self.voice_since,
            last_voiced: self.last_voiced,
            voiced: self.voiced,
            dismissed: self.dismissed,
        }
    }

    /// Decides the end of the turn: what is due, and when. `None` while voice or jobs go on.
    pub(super) fn verdict(&self, settings: &Settings) -> Option<(Instant, Verdict)> {
        if self.voicing || self.seal.is_some() {
            return None;
        }
        let guess = self.guess.as_ref()?;
        let Some(transcript) = &guess.transcript else {
            return None;
        };
        if transcript.is_err() && self.sealed.is_empty() {
            return Some((self.last_voiced + settings.min_silence, Verdict::Fail));
        }
        let text = self.text().unwrap_or_default();
        if super::backchannel::grade(&text) == super::backchannel::Heard::Nothing {
            return Some((self.last_voiced, Verdict::Drop));
        }
        Some((
            self.last_voiced + silence_wanted(guess, settings),
            Verdict::Commit,
        ))
    }
}

fn silence_wanted(guess: &Speculation, settings: &Settings) -> Duration {
    let by_model = match guess.probability {
        Some(p) if p >= settings.turn_threshold => settings.min_silence,
        _ if settings.turn_model => settings.silence_cap,
        _ => settings.no_model_silence,
    };
    match guess.completeness {
        Completeness::Final => Duration::ZERO,
        Completeness::Complete => by_model.min(settings.complete_silence),
        Completeness::Open => by_model,
        Completeness::Partial => by_model.max(settings.silence_cap),
        Completeness::Incomplete => settings.incomplete_cap,
    }
}

fn join(head: &str, tail: &str) -> String {
    match (head.is_empty(), tail.is_empty()) {
        (true, _) => tail.to_owned(),
        (_, true) => head.to_owned(),
        _ => format!("{head} {tail}"),
    }
}
