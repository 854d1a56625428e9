//! A desk: a phone that takes calls, and registers.

use std::sync::Arc;

use offhook::call::codecs::Codecs;
use offhook::call::line::{Attached, next_leg};
use offhook::call::{Leg, Line};
use offhook::net::media::{Command, FrameSink, MediaThread, PortPool};
use offhook::net::sip::{
    IncomingCall, Listen, News, PlacedRegistration, RegistrationState, Signal, Sip,
};
use offhook_media::{Frame, SrtpPolicy, UtteranceId};
use offhook_sip::{Access, Advertise, CallHandle, Credentials, Register, Settings, Transport};
use tokio::sync::mpsc;

use crate::rig::Switch;
use crate::tones::{PIECE, share};

struct Ear(mpsc::UnboundedSender<Vec<i16>>);

impl FrameSink for Ear {
    fn frame(&mut self, frame: &Frame) {
        let _ = self.0.send(frame.samples().to_vec());
    }
}

/// A phone that takes calls.
pub(crate) struct Desk {
    pub(crate) line: Arc<Line>,
    news: mpsc::Receiver<News>,
    pub(crate) uri: String,
}

/// A call at the desk.
pub(crate) struct Listening {
    pub(crate) call: CallHandle,
    pub(crate) leg: Leg,
    pub(crate) signals: mpsc::Receiver<Signal>,
    heard: mpsc::UnboundedReceiver<Vec<i16>>,
}

impl Desk {
    pub(crate) async fn open() -> Self {
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
    pub(crate) async fn register(
        &self,
        switch: &Switch,
        name: &str,
        password: &str,
    ) -> PlacedRegistration {
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

    /// Waits for a call.
    pub(crate) async fn rings(&mut self) -> Box<IncomingCall> {
        loop {
            if let Some(News::Incoming(incoming)) = self.news.recv().await {
                return incoming;
            }
        }
    }

    /// Picks up the next call.
    pub(crate) async fn answer(&mut self) -> Listening {
        let incoming = self.rings().await;
        self.pick_up(*incoming).await
    }

    /// Picks up a call that rings.
    pub(crate) async fn pick_up(&self, incoming: IncomingCall) -> Listening {
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
    pub(crate) fn say(&self, sound: &[i16]) {
        let (leg, utterance) = (self.leg.id, UtteranceId(1));
        let play = Command::Play {
            leg,
            utterance,
            samples: sound.into(),
        };
        self.leg.media.send(play).unwrap();
    }

    /// Waits until the other side has hung up.
    pub(crate) async fn until_over(&mut self) {
        while let Some(signal) = self.signals.recv().await {
            if matches!(signal, Signal::Ended { .. }) {
                return;
            }
        }
    }

    /// Waits until a tone is heard, pure enough to be nothing else.
    pub(crate) async fn until_heard(&mut self, hz: f64) {
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
