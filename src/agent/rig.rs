//! A virtual switch around one agent: a caller with a script, a recogniser, a playout and a clock
//! that moves only when told. It also watches the rules that no order of events may break.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Zoned;

use super::flow::{FlowRun, RunOptions, parse};
use super::watch::Watch;
use super::{
    Agent, ClausePlayed, Command, Dialogue, HttpRequest, LlmRequest, PlayoutEvent, Settings,
    SpeculationId, TurnId, TurnRecord, Variables, WallClock,
};

pub(super) const STT_MS: u64 = 80;
pub(super) const TURN_MS: u64 = 50;
const TTS_MS: u64 = 40;
const MS_PER_CHAR: u64 = 60;
/// What the voice detector needs to be sure of silence.
pub(super) const HANGOVER_MS: u64 = 120;

#[derive(Debug, Clone)]
enum Due {
    Transcript(SpeculationId, Option<String>),
    Probability(SpeculationId, f32),
    Cancelled(TurnId, Vec<ClausePlayed>),
    Stop { at: Instant },
}

struct Clause {
    turn: TurnId,
    clause: u32,
    total_ms: u64,
    ready: Instant,
}

struct Playing {
    clause: Clause,
    since: Instant,
    played_ms: u64,
}

pub(super) struct Rig {
    pub(super) agent: Agent,
    pub(super) now: Instant,
    start: Instant,
    due: BTreeMap<(Instant, u64), Due>,
    seq: u64,
    spoken: Vec<(Instant, String)>,
    queue: VecDeque<Clause>,
    playing: Option<Playing>,
    pub(super) paused: bool,
    /// The call is on hold: the playout stands.
    pub(super) held: bool,
    /// The probability that the turn model gives.
    pub(super) p: f32,
    pub(super) stt_ms: u64,
    /// What the recogniser makes of everything, if set.
    pub(super) transcript: Option<Option<String>>,
    /// Playout reports nothing at all.
    pub(super) mute: bool,
    pub(super) log: Vec<(u64, Command)>,
    pub(super) voice_since: Option<Instant>,
    pub(super) watch: Watch,
    pub(super) https: Vec<HttpRequest>,
    pub(super) llms: Vec<LlmRequest>,
}

#[expect(clippy::disallowed_methods, reason = "an origin for the virtual clock")]
fn origin() -> Instant {
    Instant::now()
}

/// Loads a flow of the repository.
pub(super) fn flow(name: &str, variables: &Variables, options: RunOptions) -> Box<dyn Dialogue> {
    let path = format!("{}/config/flows/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let flow = parse(&path, &text).unwrap_or_else(|p| panic!("{p:?}"));
    Box::new(FlowRun::new(Arc::new(flow), variables, options))
}

/// Plays a flow written in a test.
pub(super) fn flow_of(text: &str) -> Box<dyn Dialogue> {
    let flow = parse("test.toml", text).unwrap_or_else(|p| panic!("{p:?}"));
    Box::new(FlowRun::new(
        Arc::new(flow),
        &Variables::new(),
        RunOptions {
            llm: true,
            ..RunOptions::default()
        },
    ))
}

impl Rig {
    pub(super) fn new(dialogue: Box<dyn Dialogue>) -> Self {
        Self::with(Settings::default(), dialogue)
    }

    pub(super) fn with(settings: Settings, dialogue: Box<dyn Dialogue>) -> Self {
        let start = origin();
        let wall: Zoned = "2026-06-04T10:00:00-04:00[America/New_York]"
            .parse()
            .unwrap();
        Self {
            agent: Agent::new(settings, dialogue, WallClock::new(start, wall), start),
            now: start,
            start,
            due: BTreeMap::new(),
            seq: 0,
            spoken: Vec::new(),
            queue: VecDeque::new(),
            playing: None,
            paused: false,
            held: false,
            p: 0.9,
            stt_ms: STT_MS,
            transcript: None,
            mute: false,
            log: Vec::new(),
            voice_since: None,
            watch: Watch::default(),
            https: Vec::new(),
            llms: Vec::new(),
        }
    }

    pub(super) fn answer(&mut self) {
        self.agent.handle_answered(self.now);
        self.drain();
    }

    pub(super) fn ms(&self) -> u64 {
        u64::try_from(self.now.duration_since(self.start).as_millis()).unwrap()
    }

    fn schedule(&mut self, after_ms: u64, due: Due) {
        self.seq += 1;
        self.due
            .insert((self.now + Duration::from_millis(after_ms), self.seq), due);
    }

    /// Performs the agent's commands.
    pub(super) fn drain(&mut self) {
        while let Some(command) = self.agent.poll_command() {
            self.watch.command(&command);
            self.perform(&command);
            self.log.push((self.ms(), command));
        }
        if !self.agent.is_finished() && self.agent.answered_at.is_some() {
            assert!(
                self.agent.poll_timeout().is_some(),
                "nothing will ever happen again"
            );
        }
    }

    fn perform(&mut self, command: &Command) {
        match command {
            Command::Speak { turn, clause, text } => self.queue.push_back(Clause {
                turn: *turn,
                clause: *clause,
                total_ms: text.chars().count() as u64 * MS_PER_CHAR,
                ready: self.now + Duration::from_millis(TTS_MS),
            }),
            Command::PausePlayout => {
                self.hold();
                self.paused = true;
            }
            Command::ResumePlayout => {
                self.paused = false;
                if let Some(playing) = &mut self.playing {
                    playing.since = self.now;
                }
            }
            Command::CancelTurn { turn } => self.cancel(*turn),
            Command::Recognise {
                speculation,
                from,
                until,
                ..
            } => {
                let text = match &self.transcript {
                    Some(fixed) => fixed.clone(),
                    None => Some(self.said_between(*from, *until)),
                };
                self.schedule(self.stt_ms, Due::Transcript(*speculation, text));
            }
            Command::DetectTurn { speculation } => {
                self.schedule(TURN_MS, Due::Probability(*speculation, self.p));
            }
            Command::Http(request) => self.https.push(request.clone()),
            Command::Llm(request) => self.llms.push(request.clone()),
            _ => {}
        }
    }

    fn said_between(&self, from: Instant, until: Instant) -> String {
        let parts = self
            .spoken
            .iter()
            .filter(|(at, _)| *at >= from && *at <= until);
        parts
            .map(|(_, text)| text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn hold(&mut self) {
        if let Some(playing) = self.playing.as_mut().filter(|_| !self.paused && !self.held) {
            playing.played_ms += self.now.duration_since(playing.since).as_millis() as u64;
        }
    }

    fn cancel(&mut self, turn: TurnId) {
        self.hold();
        self.paused = false;
        let mut played = Vec::new();
        if let Some(playing) = self.playing.take() {
            played.push(ClausePlayed {
                clause: playing.clause.clause,
                played_ms: playing.played_ms as u32,
                total_ms: Some(playing.clause.total_ms as u32),
            });
        }
        self.queue.retain(|c| c.turn != turn);
        self.schedule(20, Due::Cancelled(turn, played));
    }

    /// Returns when the playout has something to report.
    fn playout_due(&self) -> Option<Instant> {
        if self.paused || self.held || self.mute {
            return None;
        }
        match &self.playing {
            Some(p) => Some(
                p.since
                    + Duration::from_millis(p.clause.total_ms - p.played_ms.min(p.clause.total_ms)),
            ),
            None => self.queue.front().map(|c| c.ready.max(self.now)),
        }
    }

    fn play(&mut self) {
        let now = self.now;
        let event = match self.playing.take() {
            Some(p) => {
                if self.watch.turn == Some(p.clause.turn) {
                    self.watch.settled += 1;
                }
                PlayoutEvent::Finished {
                    turn: p.clause.turn,
                    clause: p.clause.clause,
                }
            }
            None => {
                let Some(clause) = self.queue.pop_front() else {
                    return;
                };
                let event = PlayoutEvent::Started {
                    turn: clause.turn,
                    clause: clause.clause,
                    at: now,
                };
                self.playing = Some(Playing {
                    clause,
                    since: now,
                    played_ms: 0,
                });
                event
            }
        };
        self.agent.handle_playout(now, event);
        self.drain();
    }

    /// Fails the clause that plays or comes next.
    pub(super) fn fail_clause(&mut self) {
        let clause = self
            .playing
            .take()
            .map(|p| p.clause)
            .or_else(|| self.queue.pop_front());
        if let Some(clause) = clause {
            if self.watch.turn == Some(clause.turn) {
                self.watch.settled += 1;
            }
            let event = PlayoutEvent::Failed {
                turn: clause.turn,
                clause: clause.clause,
            };
            self.agent.handle_playout(self.now, event);
            self.drain();
        }
    }

    /// Moves the clock, letting everything happen in order.
    pub(super) fn advance(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            let due = self.due.keys().next().map(|(at, _)| *at);
            let timer = self.agent.poll_timeout().map(|(at, _)| at);
            let next = [due, timer, self.playout_due()].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if due == Some(next) {
                self.happen();
            } else if self.playout_due() == Some(next) {
                self.play();
            } else {
                self.agent.handle_timeout(self.now);
                self.drain();
                let again = self.agent.poll_timeout();
                assert!(
                    again.is_none_or(|(at, _)| at > self.now),
                    "a timer that does not move: {again:?}"
                );
            }
            self.watch_floor();
        }
        self.now = end;
    }

    fn happen(&mut self) {
        let Some((_, due)) = self.due.pop_first() else {
            return;
        };
        let now = self.now;
        match due {
            Due::Transcript(id, Some(text)) => self.agent.handle_transcript(now, id, &text),
            Due::Transcript(id, None) => self.agent.handle_recognition_failed(now, id),
            Due::Probability(id, p) => self.agent.handle_turn_probability(now, id, p),
            Due::Cancelled(turn, played) => {
                self.agent
                    .handle_playout(now, PlayoutEvent::Cancelled { turn, played });
            }
            Due::Stop { at } => {
                self.voice_since = None;
                self.agent.handle_speech_stop(now, at);
            }
        }
        self.drain();
    }

    /// The agent must not talk on while the caller talks.
    fn watch_floor(&self) {
        let long = self.voice_since.is_some_and(|at| {
            let voiced = self.now.duration_since(at).as_millis();
            (1_000..19_000).contains(&voiced)
        });
        let interruptible = self.agent.air.as_ref().is_some_and(|a| a.interruptible);
        let ending = self.agent.ending.is_some();
        if long && interruptible && !ending && self.agent.ear.is_some() {
            assert!(
                !self.sounding(),
                "the agent talks over the caller\n{}",
                self.tail()
            );
        }
    }

    /// Shows the last commands, for a failure's message.
    fn tail(&self) -> String {
        let last = self.log.iter().skip(self.log.len().saturating_sub(20));
        let lines = last.map(|(at, c)| format!("{at} {c:?}"));
        format!(
            "{}\n{} now",
            lines.collect::<Vec<_>>().join("\n"),
            self.ms()
        )
    }

    pub(super) fn sounding(&self) -> bool {
        self.playing.is_some() && !self.paused && !self.held
    }

    /// The other side holds the call.
    pub(super) fn put_on_hold(&mut self) {
        self.hold();
        self.held = true;
        self.agent.handle_held(self.now);
        self.drain();
    }

    /// The other side takes the call off hold.
    pub(super) fn take_off_hold(&mut self) {
        self.held = false;
        if let Some(playing) = &mut self.playing {
            playing.since = self.now;
        }
        self.agent.handle_resumed(self.now);
        self.drain();
    }

    pub(super) fn voice_on(&mut self) {
        self.voice_since = Some(self.now);
        self.agent.handle_speech_start(self.now, self.now);
        self.drain();
    }

    pub(super) fn voice_off(&mut self, text: &str) {
        self.spoken.push((self.now, text.to_owned()));
        self.schedule(HANGOVER_MS, Due::Stop { at: self.now });
    }

    /// The caller says something for so long; afterwards the detector's hangover has passed.
    pub(super) fn say_for(&mut self, text: &str, ms: u64) {
        self.voice_on();
        self.advance(ms);
        self.voice_off(text);
        self.advance(HANGOVER_MS);
    }

    /// The caller says something, at a person's speed.
    pub(super) fn say(&mut self, text: &str) {
        self.say_for(text, 250 + text.chars().count() as u64 * MS_PER_CHAR);
    }

    /// Lets the agent finish what it says.
    pub(super) fn hear_out(&mut self) {
        for _ in 0..1_000 {
            self.advance(50);
            let done = self.playing.is_none() && self.queue.is_empty();
            let heard = self.agent.ear.is_none() && self.agent.unsaid.is_empty();
            if done && heard && self.agent.air.is_none() {
                return;
            }
        }
        panic!("the agent never finishes");
    }

    pub(super) fn turns(&self) -> Vec<&TurnRecord> {
        let records = self.log.iter().filter_map(|(_, c)| match c {
            Command::Record(record) => Some(record),
            _ => None,
        });
        records.collect()
    }

    pub(super) fn said_since(&self, ms: u64) -> String {
        let texts = self
            .log
            .iter()
            .filter(|(at, _)| *at >= ms)
            .filter_map(|(_, c)| match c {
                Command::Speak { text, .. } => Some(text.as_str()),
                _ => None,
            });
        texts.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn count(&self, test: impl Fn(&Command) -> bool) -> usize {
        self.log.iter().filter(|(_, c)| test(c)).count()
    }

    pub(super) fn at(&self, test: impl Fn(&Command) -> bool) -> Option<u64> {
        self.log
            .iter()
            .rev()
            .find(|(_, c)| test(c))
            .map(|(at, _)| *at)
    }
}
