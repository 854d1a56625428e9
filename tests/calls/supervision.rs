//! A supervisor on a running call: listens, barges in, and is gone again.

use std::sync::Arc;

use offhook::call::codecs::Codecs;
use offhook::call::line::{Attached, next_leg};
use offhook::call::{Leg, Line};
use offhook::mailbox;
use offhook::net::media::{Command, FrameSink, MediaThread, PortPool};
use offhook::net::sip::{Listen, News, PlacedRegistration, RegistrationState, Signal, Sip};
use offhook_media::{Frame, SrtpPolicy, UtteranceId};
use offhook_sip::{Access, Advertise, CallHandle, Credentials, Register, Settings, Transport};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::caller::Caller;
use crate::rig::Switch;

/// It asks once, and waits patiently.
const FLOW: &str = r#"
name = "patient"
start = "first"

[on_silence]
after_s = 60
say = "Are you still there?"

[nodes.first]
type = "ask"
say = "Welcome. Please hold the line for as long as you like, and then tell me your story."
slot = "first"
grammar = "text"
next = "first"
"#;

/// What each side sounds like, in Hz.
const CALLER: f64 = 1_000.0;
const SUPERVISOR: f64 = 700.0;
/// Samples that are looked at at once: 20 ms, whole periods of both.
const PIECE: usize = 160;

fn tone(hz: f64, seconds: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * hz / 8_000.0;
    (0..seconds * 8_000)
        .map(|n| (8_000.0 * (step * n as f64).sin()) as i16)
        .collect()
}

/// How much of a piece of sound is this tone, from 0 to 1, when it is loud enough.
fn share(sound: &[i16], hz: f64) -> f64 {
    let (mut sines, mut cosines, mut all) = (0.0, 0.0, 0.0);
    for (n, sample) in sound.iter().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * hz * n as f64 / 8_000.0).sin_cos();
        let sample = f64::from(*sample);
        sines += sample * sin;
        cosines += sample * cos;
        all += sample * sample;
    }
    let tone = (sines * sines + cosines * cosines) * 2.0 / sound.len() as f64;
    if all < 1e6 { 0.0 } else { tone / all }
}

struct Ear(mpsc::UnboundedSender<Vec<i16>>);

impl FrameSink for Ear {
    fn frame(&mut self, frame: &Frame) {
        let _ = self.0.send(frame.samples().to_vec());
    }
}

/// A supervisor's desk: a phone that takes calls.
struct Desk {
    line: Arc<Line>,
    news: mpsc::Receiver<News>,
    uri: String,
}

/// A call at the desk.
struct Listening {
    call: CallHandle,
    leg: Leg,
    signals: mailbox::Receiver<Signal>,
    heard: mpsc::UnboundedReceiver<Vec<i16>>,
}

impl Desk {
    async fn open() -> Self {
        let listen = [Listen {
            transport: Transport::Udp,
            address: "127.0.0.1:0".parse().unwrap(),
        }];
        let settings = Settings {
            access: Access {
                open_loopback: true,
                ..Access::default()
            },
            ..Settings::default()
        };
        let (sip, news) = Sip::start(&listen, settings).await.unwrap();
        let uri = format!("sip:boss@{}", sip.listeners()[0].1);
        let media = MediaThread::start(None).unwrap();
        let ports = PortPool::new(26_000..=26_999, 7);
        let line = Line::new(sip, media, Vec::new(), ports, Advertise::default());
        Self {
            line: Arc::new(line),
            news,
            uri,
        }
    }

    /// Registers with the switch as a user.
    async fn register(&self, switch: &Switch, name: &str, password: &str) -> PlacedRegistration {
        let host = switch.uri.split('@').nth(1).unwrap();
        let sip = self.line.sip();
        let flow = sip.flow_to(host.parse().unwrap(), Transport::Udp).unwrap();
        let register = Register {
            registrar_uri: format!("sip:{host}"),
            aor: format!("sip:{name}@{host}"),
            contact_user: name.to_owned(),
            flow,
            route: Vec::new(),
            credentials: Some(Credentials {
                username: name.to_owned(),
                password: password.to_owned(),
            }),
            expires_s: 300,
        };
        let mut placed = sip.register(register).await.unwrap();
        let there =
            |state: &RegistrationState| matches!(state, RegistrationState::Registered { .. });
        placed.state.wait_for(there).await.unwrap();
        placed
    }

    /// Picks up.
    async fn answer(&mut self) -> Listening {
        let incoming = loop {
            if let Some(News::Incoming(incoming)) = self.news.recv().await {
                break incoming;
            }
        };
        let offer = incoming.invite.offer.clone().unwrap();
        let flow = &incoming.invite.flow;
        let codecs = Codecs::default();
        let answered = self.line.answer(flow, &codecs, SrtpPolicy::Off, &offer);
        let (half, negotiated) = answered.unwrap();
        let sip = self.line.sip();
        assert!(sip.answer(incoming.call, half.sdp()).await.unwrap());
        let (ear, heard) = mpsc::unbounded_channel();
        let attached = Attached {
            sink: Some(Box::new(move || Box::new(Ear(ear)))),
            ..Attached::default()
        };
        let remote = flow.remote.ip();
        let leg = self
            .line
            .open(next_leg(), half, negotiated, remote, attached);
        Listening {
            call: incoming.call,
            leg: leg.unwrap(),
            signals: incoming.signals,
            heard,
        }
    }
}

impl Listening {
    fn say(&self, sound: &[i16]) {
        let (leg, utterance) = (self.leg.id, UtteranceId(1));
        let play = Command::Play {
            leg,
            utterance,
            samples: sound.into(),
        };
        self.leg.media.send(play).unwrap();
    }

    /// Waits until a tone is heard, pure enough to be nothing else.
    async fn until_heard(&mut self, hz: f64) {
        let mut sound = Vec::new();
        loop {
            sound.extend(self.heard.recv().await.unwrap());
            while sound.len() >= PIECE {
                let piece: Vec<i16> = sound.drain(..PIECE).collect();
                if share(&piece, hz) > 0.9 {
                    return;
                }
            }
        }
    }
}

async fn code(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    (status, answer.json::<Value>().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_listens_barges_in_and_is_gone_and_the_agent_goes_on() {
    let switch = Switch::start(FLOW, "").await;
    let mut desk = Desk::open().await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    let id = answered.call_id.clone().unwrap();
    let path = format!("/v1/calls/{id}/supervise");
    let whisper = json!({ "to": desk.uri, "mode": "whisper" });
    let (status, problem) = code(switch.post(&path, &whisper, None).await).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("software"));

    events.agent_said("tell me your story").await;
    let listen = json!({ "to": desk.uri });
    assert_eq!(switch.post(&path, &listen, None).await.status(), 202);
    let mut supervisor = desk.answer().await;
    let joined = events.until("call.supervised", |_| true).await;
    assert_eq!(joined.data["mode"], "listen");
    let (status, _) = code(switch.post(&path, &listen, None).await).await;
    assert_eq!(status, 409, "there is one supervisor a call");
    // The supervisor speaks all the while, and hears the caller.
    supervisor.say(&tone(SUPERVISOR, 20));
    caller.say(&tone(CALLER, 2));
    supervisor.until_heard(CALLER).await;
    let silent = caller.heard_so_far();
    assert!(
        silent
            .chunks_exact(PIECE)
            .all(|piece| share(piece, SUPERVISOR) < 0.9),
        "a listener is heard by nobody"
    );

    assert_eq!(switch.patch(&path, &json!({ "mode": "barge" })).await, 202);
    events
        .until("call.supervised", |data| data["mode"] == "barge")
        .await;
    caller
        .until_heard(|piece| share(piece, SUPERVISOR) > 0.9)
        .await;

    // The supervisor hangs up; the agent is there again.
    let sip = desk.line.sip().clone();
    sip.hang_up(supervisor.call, None).await.unwrap();
    events
        .until("call.supervised", |data| data["mode"].is_null())
        .await;
    while let Some(signal) = supervisor.signals.recv().await {
        if matches!(signal, Signal::Ended { .. }) {
            break;
        }
    }
    let (status, _) = code(
        switch
            .post(
                &format!("/v1/calls/{id}/supervise"),
                &json!({
        "to": "sip:nobody@192.0.2.9" }),
                None,
            )
            .await,
    )
    .await;
    assert_eq!(status, 422, "the API is no relay");
    caller.say(&crate::rig::voice("jfk.wav"));
    events
        .until("call.turn", |turn| turn["who"] == "caller")
        .await;
    caller.hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_phone_is_reached_by_name_and_hung_up_with_the_call() {
    let user = "[[user]]\nname = \"boss\"\npassword = \"correct horse battery\"\n";
    let switch = Switch::start(FLOW, user).await;
    let mut desk = Desk::open().await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    let answered = events.until("call.answered", |_| true).await;
    let id = answered.call_id.clone().unwrap();
    let barge = json!({ "to": "boss", "mode": "barge" });
    let path = format!("/v1/calls/{id}/supervise");
    let (status, problem) = code(switch.post(&path, &barge, None).await).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("registered"));
    let _registered = desk
        .register(&switch, "boss", "correct horse battery")
        .await;
    assert_eq!(switch.post(&path, &barge, None).await.status(), 202);
    let mut supervisor = desk.answer().await;
    events
        .until("call.supervised", |data| data["mode"] == "barge")
        .await;
    caller.hang_up().await;
    while let Some(signal) = supervisor.signals.recv().await {
        if matches!(signal, Signal::Ended { .. }) {
            break;
        }
    }
    events.until("call.ended", |_| true).await;
    let (status, _) = code(switch.post(&path, &barge, None).await).await;
    assert_eq!(status, 409);
    switch.stop().await;
}
