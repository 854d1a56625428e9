//! An agent and its call: prepared while it rings, run once it is answered, written down at the
//! end. Inbound and outbound calls differ only in what comes before.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use offhook_media::{Negotiated, Stats};
use offhook_sip::CallHandle;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::conversation::{Conversation, Parts, WORK_QUEUE, Work};
use super::dial::Attached;
use super::journal::{Final, Journal};
use super::line::{Half, Leg, LineError};
use super::requests::Requests;
use super::services::{AgentSpec, Live, Services, variables};
use super::task::{Control, Running};
use crate::agent::flow::{FlowRun, RunOptions};
use crate::agent::{self, Agent, Context, Dialogue, Settings, WallClock};
use crate::ai::OnBox;
use crate::ai::hearing::Edge;
use crate::clock;
use crate::meters;
use crate::net::media::{LegEvent, LegId, SinkBuilder};
use crate::net::sip::Signal;
use crate::store::{CallRecord, CallState as StoredState, JitterBufferSummary, MediaSummary};
use crate::switch::{Call, CallState, EndReason, Outcome};

/// What the CRM has to say who calls; the caller does not wait longer.
const LOOK_UP: Duration = Duration::from_millis(800);
/// How long a closed leg may take to tell its figures.
const CLOSING: Duration = Duration::from_secs(2);

/// A call that an agent is about to take.
pub(super) struct Answering {
    pub(super) services: Arc<Services>,
    pub(super) agent: Arc<AgentSpec>,
    pub(super) on_box: Arc<OnBox>,
    pub(super) record: CallRecord,
    pub(super) journal: Journal,
}

/// An agent that is ready to talk.
pub(super) struct Talk {
    services: Arc<Services>,
    record: CallRecord,
    journal: Journal,
    leg: LegId,
    conversation: Conversation,
    edges: mpsc::Receiver<Edge>,
    sink: Option<SinkBuilder>,
    work: mpsc::Receiver<Work>,
    results: mpsc::Sender<Work>,
    live: Live,
    controls: mpsc::Receiver<Control>,
}

impl Answering {
    /// Looks the other side up in the CRM, makes the agent, and has its first words synthesised.
    pub(super) async fn prepare(self, given: Vec<(String, Value)>) -> Talk {
        let Self {
            services,
            agent: spec,
            on_box,
            mut record,
            journal,
        } = self;
        let mut known = variables(given);
        let now = services.epoch.timestamp(clock::now());
        let look_up = services
            .sinks
            .look_up(&services.store, record.remote(), now);
        match tokio::time::timeout(LOOK_UP, look_up).await {
            Ok(contact) => known.extend(&variables(contact)),
            Err(_) => tracing::warn!("the CRM did not say in time who calls"),
        }
        record.variables = known
            .iter()
            .map(|(k, v)| (k.to_owned(), v.clone()))
            .collect();
        journal.variables(&known);
        if let Some(llm) = &services.llm {
            let llm = llm.clone();
            tokio::spawn(async move { llm.warm().await });
        }
        let leg = super::line::next_leg();
        let (ears, edges, sink) = on_box.hearing.listen(leg);
        let (results, work) = mpsc::channel(WORK_QUEUE);
        let dialogue = {
            let options = manners(&spec, services.llm.is_some());
            Box::new(FlowRun::new(Arc::clone(&spec.flow), &known, options))
        };
        let greeting = first_words(dialogue.as_ref());
        let settings = settings(&spec, &on_box);
        let begun = clock::now();
        let wall = WallClock::new(begun, clock::wall());
        let base_url = services
            .config
            .crm
            .ploink
            .as_ref()
            .map(|p| p.base_url.clone());
        let mut conversation = Conversation::new(Parts {
            agent: Agent::new(settings, dialogue, wall, begun),
            leg,
            media: services.line.thread_of(leg),
            ears,
            voice: on_box.voice(spec.config.voice.as_deref()),
            requests: Requests::new(services.http.clone(), services.llm.clone(), base_url),
            work: results.clone(),
        });
        if let Some(words) = greeting {
            conversation.prepare(words);
        }
        let (live, controls) = services.go_live(record.id);
        let sink = Some(sink);
        Talk {
            services,
            record,
            journal,
            leg,
            conversation,
            edges,
            sink,
            work,
            results,
            live,
            controls,
        }
    }
}

fn settings(spec: &AgentSpec, on_box: &OnBox) -> Settings {
    Settings {
        turn_model: on_box.judges_turns,
        call_limit: Duration::from_secs(u64::from(spec.config.max_duration_s)),
        greeting_delay: Duration::from_millis(u64::from(spec.config.greeting_delay_ms)),
        allow_interrupt: spec.config.allow_interrupt,
        ..Settings::default()
    }
}

/// What the agent's configuration says of the conversation itself.
fn manners(spec: &AgentSpec, llm: bool) -> RunOptions {
    let silence = spec.config.silence_timeout_s;
    RunOptions {
        llm,
        greeting: spec.config.greeting.clone(),
        silence_after: silence.map(|s| Duration::from_secs(u64::from(s))),
        max_silences: spec.config.max_silences,
    }
}

/// What the dialogue would say first, so that it can be synthesised while the phone rings.
fn first_words(dialogue: &dyn Dialogue) -> Option<String> {
    let mut trial = dialogue.fork();
    let mut requests = 0;
    let mut context = Context::new(clock::wall(), &mut requests);
    trial.handle(&mut context, agent::Event::Start);
    let first = context.into_acts().into_iter().find_map(|act| match act {
        agent::Act::Say { text, .. } => Some(text),
        _ => None,
    })?;
    agent::clauses::split(&first).into_iter().next()
}

impl Talk {
    /// The leg's name, for dialling.
    pub(super) fn leg(&self) -> LegId {
        self.leg
    }

    /// Requests from outside, while it still rings.
    pub(super) fn controls(&mut self) -> &mut mpsc::Receiver<Control> {
        &mut self.controls
    }

    /// What is attached to the leg's media.
    pub(super) fn attached(&mut self) -> Attached {
        let path = self.services.recording_path(self.record.id);
        let recorder = match (&self.services.recorder, path) {
            (Some(recorder), Some(path)) => {
                let sink = recorder.record(path.clone());
                self.journal.recording(path);
                Some(sink)
            }
            _ => None,
        };
        Attached {
            sink: self.sink.take(),
            recorder,
        }
    }

    /// Starts the media of an answered call.
    pub(super) fn open(
        &mut self,
        half: Half,
        negotiated: Negotiated,
        remote: IpAddr,
    ) -> Result<Leg, LineError> {
        let attached = self.attached();
        let line = &self.services.line;
        line.open(
            self.leg,
            half,
            negotiated,
            remote,
            attached.sink,
            attached.recorder,
        )
    }

    /// Talks until the call is over, and writes it down.
    pub(super) async fn run(
        mut self,
        mut call: Call,
        handle: CallHandle,
        signals: mpsc::Receiver<Signal>,
        leg: Leg,
    ) {
        let now = clock::now();
        call.handle_answer(now);
        meters::call_answered(
            call.direction().as_str(),
            now.saturating_duration_since(call.started()),
        );
        let epoch = self.services.epoch;
        self.record.state = StoredState::InProgress;
        self.record.answered_at = Some(epoch.timestamp(now));
        self.journal.answered(epoch.timestamp(now));
        if let Some(watcher) = &self.services.watcher {
            watcher.answered(&self.record);
        }
        let id = self.record.id;
        let watcher = self.services.watcher.clone();
        let on_turn = Box::new(move |turn: &agent::TurnRecord| {
            meters::turn(turn);
            if let Some(watcher) = &watcher {
                watcher.turn(id, turn);
            }
        });
        let running = Running {
            line: Arc::clone(&self.services.line),
            call: handle,
            signals,
            leg,
            edges: self.edges,
            work: self.work,
            conversation: self.conversation,
            journal: Some(self.journal.clone()),
            control: self.controls,
            epoch,
            on_turn: Some(on_turn),
            results: self.results,
        };
        let mut over = running.run().await;
        call.handle_end(clock::now(), over.reason.clone());
        let media = summary(&mut over.leg).await;
        let outcome = over.outcome.map(|outcome| outcome.outcome);
        let end = Ending {
            call,
            media,
            outcome,
        };
        end.write(&self.services, self.journal).await;
        drop(self.live);
    }

    /// Writes down a call that was never answered.
    pub(super) async fn never_answered(self, mut call: Call, reason: EndReason) {
        call.handle_end(clock::now(), reason);
        let end = Ending {
            call,
            media: None,
            outcome: None,
        };
        end.write(&self.services, self.journal).await;
        drop(self.live);
    }
}

struct Ending {
    call: Call,
    media: Option<MediaSummary>,
    outcome: Option<String>,
}

impl Ending {
    async fn write(self, services: &Services, journal: Journal) {
        let state = self.call.state().clone();
        let reason = self
            .call
            .reason()
            .map(EndReason::describe)
            .unwrap_or_default();
        let ended = self.call.ended().unwrap_or_else(clock::now);
        let end = Final {
            state: stored_state(&state),
            ended_at: services.epoch.timestamp(ended),
            outcome: self.outcome.unwrap_or_else(|| state.as_str().to_owned()),
            reason: reason.clone(),
            media: self.media,
        };
        meters::call_ended(self.call.direction().as_str(), state.as_str());
        tracing::info!(call = %journal.id, state = state.as_str(), %reason, "a call ended");
        if let Some(record) = journal.finish(end).await
            && let Some(watcher) = &services.watcher
        {
            watcher.ended(&record);
        }
    }
}

pub(crate) fn stored_state(state: &CallState) -> StoredState {
    match state {
        CallState::Queued => StoredState::Queued,
        CallState::Ringing => StoredState::Ringing,
        CallState::InProgress => StoredState::InProgress,
        CallState::Ended(Outcome::Completed) => StoredState::Completed,
        CallState::Ended(Outcome::Busy) => StoredState::Busy,
        CallState::Ended(Outcome::NoAnswer) => StoredState::NoAnswer,
        CallState::Ended(Outcome::Canceled) => StoredState::Canceled,
        CallState::Ended(Outcome::Failed) => StoredState::Failed,
    }
}

/// What a call's record keeps of its leg's figures.
pub(crate) fn media_summary(codec: Option<String>, stats: &Stats) -> MediaSummary {
    let ratio = |ratio: f32| (f64::from(ratio) * 1e5).round() / 1e5;
    MediaSummary {
        codec,
        packets: stats.received,
        lost: stats.lost,
        jitter_ms: stats.jitter_ms.into(),
        mos: stats.mos.map(f64::from),
        jitter_buffer: Some(JitterBufferSummary {
            target_ms: stats.buffer_target_ms,
            delay_ms: stats.buffer_delay_ms,
            concealed: ratio(stats.concealed_ratio),
            accelerated: ratio(stats.accelerated_ratio),
            expanded: ratio(stats.expanded_ratio),
        }),
    }
}

/// Waits for the closed leg's figures.
async fn summary(leg: &mut Leg) -> Option<MediaSummary> {
    let codec = leg.codec.name().to_owned();
    let closed = async {
        while let Some(event) = leg.events.recv().await {
            if let LegEvent::Closed { stats } = event {
                return Some(stats);
            }
        }
        None
    };
    let stats: Box<Stats> = tokio::time::timeout(CLOSING, closed).await.ok().flatten()?;
    meters::leg_closed(&stats);
    Some(media_summary(Some(codec), &stats))
}

/// What every outbound call tells its flow.
#[must_use]
pub fn outbound_facts(to: &str) -> Vec<(String, Value)> {
    vec![
        ("caller_phone".to_owned(), json!(to)),
        ("direction".to_owned(), json!("outbound")),
    ]
}
