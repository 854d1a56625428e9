//! An agent and its call: prepared while it rings, run once it is answered, written down at the
//! end. Inbound and outbound calls differ only in what comes before.

mod closing;
mod over_trunk;

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use offhook_media::Negotiated;
use offhook_media::music::Background;
use offhook_sip::{CallHandle, Flow, Source};
use serde_json::{Map, Value, json};
use tracing::Instrument;

use self::closing::{Closing, OtherSide};
use super::clerk::Clerk;
use super::conversation::{Conversation, Parts, WORK_QUEUE, Work};
use super::ending::Ending;
use super::hand_over::HandOver;
use super::journal::Journal;
use super::line::{Attached, Half, Leg, LineError};
use super::places::Permit;
use super::requests::Requests;
use super::services::{AgentSpec, Live, Services, variables};
use super::spans;
use super::task::{Control, Ended, Running, Wishes};
use super::trouble::Troubles;
use crate::agent::flow::{FlowRun, RunOptions};
use crate::agent::{self, Agent, Context, Dialogue, Settings, Variables, WallClock};
use crate::ai::OnBox;
use crate::ai::hearing::{Edge, Listening};
use crate::clock::{self, Epoch};
use crate::config::LlmConfig;
use crate::crm::{CRM_CONTACT, given_names};
use crate::mailbox::{self, mailbox};
use crate::meters;
use crate::net::media::{FrameSink, LegId, RecordSink};
use crate::net::sip::{Held, Signal, Sip};
use crate::store::{CallRecord, CallState as StoredState, Direction};
use crate::switch::{Call, EndReason};

/// A call that an agent is about to take.
pub(super) struct Answering {
    pub(super) services: Arc<Services>,
    pub(super) agent: Arc<AgentSpec>,
    pub(super) on_box: Arc<OnBox>,
    pub(super) leg: LegId,
    pub(super) listening: Listening,
    pub(super) record: CallRecord,
    pub(super) journal: Journal,
    /// Ties the call's records to the wall clock.
    pub(super) epoch: Epoch,
    /// That it can be reached, and by what it hears of it.
    pub(super) live: (Live, mailbox::Receiver<Control>),
    /// The rate at which the call will sound, as far as that is known yet.
    pub(super) rate_hz: u32,
    /// Whether the other side talked with somebody before, and has heard that it is recorded.
    pub(super) goes_on: bool,
}

/// An agent that is ready to talk.
pub(super) struct Talk {
    services: Arc<Services>,
    record: CallRecord,
    journal: Journal,
    leg: LegId,
    /// Apart, so that the call's task holds it once, however often this is moved.
    conversation: Box<Conversation>,
    edges: mailbox::Receiver<Edge>,
    sink: Option<Box<dyn FrameSink>>,
    /// Where its recording will lie, once there is sound.
    recording: Option<PathBuf>,
    /// What is said first of that.
    announced: Option<String>,
    ambience: Option<Background>,
    gain_control: bool,
    work: mailbox::Receiver<Work>,
    results: mailbox::Sender<Work>,
    epoch: Epoch,
    live: Live,
    controls: mailbox::Receiver<Control>,
    called_off: Option<EndReason>,
}

/// A call that was answered, and on which its agent has yet to talk. What rings and what talks have
/// each a place of their own in memory, since the first is over when the second, which lasts, begins.
pub(super) struct Connected {
    pub(super) talk: Talk,
    pub(super) state: Call,
    pub(super) call: CallHandle,
    /// What ends a call of ours with its task.
    pub(super) held: Option<Held>,
    pub(super) signals: mailbox::Receiver<Signal>,
    pub(super) leg: Leg,
    /// Where its requests come from, and who its other side is.
    pub(super) flow: Flow,
    pub(super) source: Source,
    /// Its place among the calls that are allowed.
    pub(super) permit: Permit,
}

impl Connected {
    /// Talks until the call is over; all that it takes along is in the future's own memory.
    pub(super) fn talk(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let Self {
            talk,
            state,
            call,
            held,
            signals,
            leg,
            flow,
            source,
            permit,
        } = *self;
        let other_side = OtherSide { held, flow, source };
        let talking = talk.run(state, call, signals, leg, other_side);
        Box::pin(async move {
            talking.await;
            drop(permit);
        })
    }
}

impl Answering {
    /// Looks the other side up in the CRM, makes the agent, and has its first words synthesised.
    /// Who asks for the end meanwhile is told of by [`Talk::called_off`].
    pub(super) async fn prepare(mut self, given: Vec<(String, Value)>) -> Talk {
        let (known, called_off) = self.who_is_it(given).await;
        let Self {
            services,
            agent: spec,
            on_box,
            leg,
            listening: (ears, edges, sink),
            mut record,
            journal,
            epoch,
            live: (live, controls),
            rate_hz,
            goes_on,
        } = self;
        record.variables = known
            .iter()
            .map(|(k, v)| (k.to_owned(), v.clone()))
            .collect();
        journal.variables(&known);
        if let Some(llm) = services.llm.clone().filter(|_| called_off.is_none()) {
            tokio::spawn(async move { llm.warm().await }.in_current_span());
        }
        let (results, work) = mailbox(WORK_QUEUE);
        let is_told = live.recording.is_recorded() && !goes_on;
        let announced = Some(record.trunk.as_deref()).filter(|_| is_told);
        let announced = announced.and_then(|trunk| services.announcement(trunk?));
        let options = RunOptions {
            announcement: announced.clone(),
            ..manners(&spec, services.llm.is_some())
        };
        let dialogue = Box::new(FlowRun::new(Arc::clone(&spec.flow), &known, options));
        let begun = clock::now();
        let wall = clock::zoned(epoch.timestamp(begun), spec.flow.time_zone.as_deref());
        let greeting = first_words(dialogue.as_ref(), wall.clone());
        let settings = settings(&spec, &on_box, services.config.llm.as_ref());
        let ploink = services.config.crm.ploink.as_ref();
        let base_url = ploink.map(|ploink| ploink.base_url.clone());
        let mut conversation = Conversation::new(Parts {
            agent: Agent::new(settings, dialogue, WallClock::new(begun, wall), begun),
            leg,
            media: services.line.thread_of(leg).clone(),
            ears,
            voice: on_box.voice(spec.config.voice.as_deref()),
            requests: Requests::new(services.http.clone(), services.llm.clone(), base_url),
            work: results.clone(),
            rate_hz,
        });
        if let Some(words) = greeting.filter(|_| called_off.is_none()) {
            conversation.prepare(words);
        }
        Talk {
            services,
            record,
            journal,
            leg,
            conversation: Box::new(conversation),
            edges,
            sink: Some(sink),
            recording: None,
            announced,
            ambience: spec.ambience.clone(),
            gain_control: spec.config.gain_control,
            work,
            results,
            epoch,
            live,
            controls,
            called_off,
        }
    }

    /// Returns what the flow is told of the other side, unless the call is to end meanwhile.
    async fn who_is_it(&mut self, given: Vec<(String, Value)>) -> (Variables, Option<EndReason>) {
        let (services, (_, controls)) = (&self.services, &mut self.live);
        let now = self.epoch.timestamp(clock::now());
        let look_up = services
            .sinks
            .look_up(&services.store, self.record.remote(), now);
        tokio::select! {
            contact = look_up => (known(contact, given), None),
            control = controls.recv() => (variables(given), Some(end_reason_of(control))),
        }
    }
}

/// Why a call ends of which somebody outside wants it.
pub(super) fn end_reason_of(control: Option<Control>) -> EndReason {
    match control {
        Some(Control::HangUp) => EndReason::Api,
        Some(Control::Transferred) => EndReason::Transferred,
        Some(Control::Shutdown) | None => EndReason::Shutdown,
    }
}

/// Puts together what the CRM knows of the other side and what this call was given, which wins. A
/// name is one thing: a given one leaves nothing of the CRM's, and is what was known before the
/// call.
fn known(mut contact: Map<String, Value>, given: Vec<(String, Value)>) -> Variables {
    let given: Map<String, Value> = given.into_iter().collect();
    if let Some(names) = given_names(&given) {
        for name in ["first_name", "last_name", "caller_name"] {
            contact.remove(name);
        }
        if let Some(told) = contact.get_mut(CRM_CONTACT) {
            *told = names;
        }
    }
    contact.extend(given);
    variables(contact)
}

fn settings(spec: &AgentSpec, on_box: &OnBox, llm: Option<&LlmConfig>) -> Settings {
    let settings = Settings {
        turn_model: on_box.judges_turns,
        call_limit: Duration::from_secs(u64::from(spec.config.max_duration_s)),
        greeting_delay: Duration::from_millis(u64::from(spec.config.greeting_delay_ms)),
        allow_interrupt: spec.config.allow_interrupt,
        ..Settings::default()
    };
    let Some(llm) = llm else { return settings };
    settings.with_llm_limits(
        Duration::from_millis(llm.first_token_timeout_ms.into()),
        Duration::from_millis(llm.token_timeout_ms.into()),
    )
}

/// What the agent's configuration says of the conversation itself.
fn manners(spec: &AgentSpec, llm: bool) -> RunOptions {
    let silence = spec.config.silence_timeout_s;
    RunOptions {
        llm,
        greeting: spec.config.greeting.clone(),
        silence_after: silence.map(|s| Duration::from_secs(u64::from(s))),
        max_silences: spec.config.max_silences,
        announcement: None,
    }
}

/// What the dialogue would say first, so that it can be synthesised while the phone rings.
fn first_words(dialogue: &dyn Dialogue, wall: Zoned) -> Option<String> {
    let mut trial = dialogue.fork();
    let mut requests = 0;
    let mut context = Context::new(wall, &mut requests);
    trial.handle(&mut context, agent::Event::Start);
    let first = context.into_acts().into_iter().find_map(|act| match act {
        agent::Act::Say { text, .. } => Some(text),
        _ => None,
    })?;
    agent::clauses::split(&first).into_iter().next()
}

impl Talk {
    /// What its call speaks SIP by.
    pub(super) fn sip(&self) -> Sip {
        self.services.line.sip().clone()
    }

    /// The leg's name, for dialling.
    pub(super) fn leg(&self) -> LegId {
        self.leg
    }

    /// Requests from outside, while it still rings.
    pub(super) fn controls(&mut self) -> &mut mailbox::Receiver<Control> {
        &mut self.controls
    }

    /// Why the call must not come about any more, if somebody asked for its end while it was
    /// prepared.
    pub(super) fn called_off(&mut self) -> Option<EndReason> {
        let asked = self.controls.try_recv();
        let asked = asked.map(|control| end_reason_of(Some(control)));
        self.called_off.take().or(asked)
    }

    /// What is attached to the leg's media.
    pub(super) fn attached(&mut self) -> Attached {
        Attached {
            recorder: self.begin_recording(),
            ..self.attached_to_running()
        }
    }

    /// What is attached to media that runs already, and is recorded if it is to be.
    pub(super) fn attached_to_running(&mut self) -> Attached {
        Attached {
            sink: self.sink.take(),
            ambience: self.ambience.clone(),
            gain_control: self.gain_control,
            ..Attached::default()
        }
    }

    /// Begins the call's recording, if it has one.
    fn begin_recording(&mut self) -> Option<Box<dyn RecordSink>> {
        let (id, switch) = (self.record.id, &self.live.recording);
        let (sink, path) = self.services.begin_recording(id, switch)?;
        self.recording = Some(path);
        Some(sink)
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
        line.open(self.leg, half, negotiated, remote, attached)
    }

    /// Talks until the call is over, and writes it down. What is set up here takes no room in the
    /// future, which lasts as long as the call.
    fn run(
        mut self,
        mut call: Call,
        handle: CallHandle,
        signals: mailbox::Receiver<Signal>,
        leg: Leg,
        other_side: OtherSide,
    ) -> impl Future<Output = ()> + Send {
        let now = clock::now();
        self.conversation.set_rate(leg.rate_hz);
        let is_new = call.answered().is_none();
        call.handle_answer(now);
        let journal = self.journal.clone();
        self.services
            .in_conversation(self.record.id, &leg, journal, None);
        let trunk = self.record.trunk.clone();
        self.services.note_dialog(self.record.id, handle, trunk);
        let epoch = self.epoch;
        self.record.state = StoredState::InProgress;
        // Who talked with somebody before was answered then.
        if is_new {
            let waited = now.saturating_duration_since(call.started());
            meters::call_answered(call.direction().as_str(), waited);
            self.record.answered_at = Some(epoch.timestamp(now));
            self.journal.answered(epoch.timestamp(now));
            if let Some(watcher) = &self.services.watcher {
                watcher.answered(&self.record);
            }
        }
        if let Some(path) = self.recording {
            self.journal.recording(path);
        }
        let id = self.record.id;
        let watcher = self.services.watcher.clone();
        let on_turn = Box::new(move |turn: &agent::TurnRecord| {
            meters::turn(turn);
            if let Some(watcher) = &watcher {
                watcher.turn(id, turn);
            }
        });
        let over_services = Arc::clone(&self.services);
        if self.record.direction == Direction::Outbound
            && let Some(called) = self.services.shown_to_phone(self.record.remote())
        {
            self.services.note_shown(id, called);
        }
        let hand_over = HandOver {
            services: Arc::clone(&self.services),
            id,
            by: self.record.agent.clone().unwrap_or_default(),
        };
        let joined_services = Arc::clone(&self.services);
        let running = Running {
            line: Arc::clone(&self.services.line),
            call: handle,
            signals,
            leg,
            edges: self.edges,
            work: self.work,
            conversation: self.conversation,
            clerk: Clerk {
                journal: Some(self.journal.clone()),
                on_turn: Some(on_turn),
                results: self.results,
                epoch,
                recording: self.live.recording.clone(),
                hand_over: Some(hand_over),
            },
            control: self.controls,
            troubles: Troubles::default(),
            wishes: self.live.wishes(),
            done: Wishes::default(),
            left_to_trunk: false,
            on_joined: Some(Box::new(move |joined| {
                if joined.is_err() {
                    // A supervisor who would talk to nobody leaves the agent alone.
                    let _ = joined_services.end_supervision(id);
                }
            })),
            on_over: Some(Box::new(move || over_services.nobody_talks(id))),
        };
        // Apart: the task would hold it twice, as it is made and as it runs.
        let talking = Box::pin(running.run().instrument(spans::leg(self.leg)));
        let closing = Closing {
            services: self.services,
            call,
            journal: self.journal,
            epoch,
            live: self.live,
        };
        async move {
            match talking.await {
                Ended::Over(over) => Box::pin(closing.write(*over)).await,
                Ended::Taken(taken) => Box::pin(closing.give(*taken, other_side)).await,
            }
        }
    }

    /// Writes down a call that was never answered.
    pub(super) async fn never_answered(self, mut call: Call, reason: EndReason) {
        call.handle_end(clock::now(), reason);
        let end = Ending {
            call,
            media: None,
            far: None,
            outcome: None,
            epoch: self.epoch,
        };
        end.write(&self.services, self.journal).await;
        drop(self.live);
    }
}

/// What every outbound call tells its flow.
#[must_use]
pub fn outbound_facts(to: &str) -> Vec<(String, Value)> {
    vec![
        ("caller_phone".to_owned(), json!(to)),
        ("direction".to_owned(), json!("outbound")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(contact: Value, given: Value) -> Value {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        let known = known(map(contact), map(given).into_iter().collect());
        serde_json::to_value(known).unwrap()
    }

    #[test]
    fn what_a_call_was_given_goes_before_what_the_crm_knows() {
        let crm = json!({"contact_id": 7, "caller_email": "ada@example.com",
            "first_name": "Ada", "last_name": "Lovelace", "caller_name": "Ada Lovelace",
            CRM_CONTACT: {"first_name": "Ada", "last_name": "Lovelace"}});
        let given = json!({"caller_email": "ada@work.example", "need": "a roof"});
        let known = told(crm.clone(), given);
        assert_eq!(known["caller_email"], "ada@work.example");
        assert_eq!(
            (&known["need"], &known["first_name"]),
            (&json!("a roof"), &json!("Ada"))
        );
        let renamed = told(crm, json!({"caller_name": "Bob Jones"}));
        let expected = json!({"contact_id": 7, "caller_email": "ada@example.com",
            "caller_name": "Bob Jones",
            CRM_CONTACT: {"first_name": "Bob", "last_name": "Jones"}});
        assert_eq!(renamed, expected);
    }
}
