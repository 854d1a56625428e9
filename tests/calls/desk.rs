//! A desk: a phone that takes calls, and registers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use offhook::call::codecs::Codecs;
use offhook::call::dial::{Dialling, dial};
use offhook::call::line::{Attached, next_leg};
use offhook::call::{Leg, Line};
use offhook::mailbox;
use offhook::net::media::{Command, FrameSink, MediaThread, PortPool};
use offhook::net::sip::{
    IncomingCall, Listen, News, PlacedRegistration, RegistrationState, Signal, Sip, Tls,
};
use offhook_media::{Frame, SrtpPolicy, UtteranceId};
use offhook_sip::{
    Access, Advertise, CallHandle, Credentials, Refer, Register, Settings, Transport,
};
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
    /// What it takes of an offer.
    pub(crate) codecs: Codecs,
}

/// A call at the desk.
pub(crate) struct Listening {
    sip: Sip,
    pub(crate) call: CallHandle,
    /// Who calls, as it was shown.
    pub(crate) from: String,
    /// Who is called.
    pub(crate) to: String,
    pub(crate) leg: Leg,
    pub(crate) signals: mailbox::Receiver<Signal>,
    heard: mpsc::UnboundedReceiver<Vec<i16>>,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_at([127, 0, 0, 1].into()).await
    }

    /// Opens one at an address of this machine.
    pub(crate) async fn open_at(address: IpAddr) -> Self {
        let listen = [Listen {
            transport: Transport::Udp,
            address: (address, 0).into(),
        }];
        let settings = Settings {
            access: Access {
                open_loopback: true,
                ..Access::default()
            },
            transfers: true,
            ..Settings::default()
        };
        let (sip, news) = Sip::start(&listen, Tls::default(), settings).await.unwrap();
        let uri = format!("sip:boss@{}", sip.listeners()[0].1);
        let media = MediaThread::start(None).unwrap();
        let ports = PortPool::new(26_000..=26_999, 7);
        let line = Line::new(sip, media, ports, Advertise::default());
        Self {
            line: Arc::new(line),
            news,
            uri,
            codecs: Codecs::default(),
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
        self.register_by(switch, name, password, host.parse().unwrap())
            .await
    }

    /// Registers with the switch by way of an address.
    pub(crate) async fn register_by(
        &self,
        switch: &Switch,
        name: &str,
        password: &str,
        hop: SocketAddr,
    ) -> PlacedRegistration {
        let host = switch.uri.split('@').nth(1).unwrap();
        let sip = self.line.sip();
        let flow = sip.flow_to(hop, Transport::Udp).unwrap();
        let register = Register {
            registrar_uri: format!("sip:{host}"),
            aor: format!("sip:{name}@{host}"),
            contact_user: name.to_owned(),
            flow,
            stream: None,
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

    /// Waits for a call and tells it that it rings.
    pub(crate) async fn ring(&mut self) -> Box<IncomingCall> {
        let incoming = self.rings().await;
        let rings = self.line.sip().ring(incoming.call, 180, None);
        rings.await.unwrap();
        incoming
    }

    /// Picks up the next call.
    pub(crate) async fn answer(&mut self) -> Listening {
        let incoming = self.rings().await;
        self.pick_up(*incoming).await
    }

    /// Picks up a call that rings.
    pub(crate) async fn pick_up(&self, incoming: IncomingCall) -> Listening {
        self.take(incoming, async |sip, call, sdp| {
            assert!(sip.answer(call, sdp).await.unwrap());
        })
        .await
    }

    /// Plays something before the answer.
    pub(crate) async fn play_early(&self, incoming: IncomingCall, sound: &[i16]) -> Listening {
        let ringing = self.take(incoming, async |sip, call, sdp| {
            sip.ring(call, 183, Some(sdp)).await.unwrap();
        });
        let ringing = ringing.await;
        ringing.say(sound);
        ringing
    }

    /// Answers a call to which something was played already.
    pub(crate) async fn confirm(&self, early: &Listening) {
        let sip = self.line.sip();
        assert!(sip.answer(early.call, early.leg.sdp()).await.unwrap());
    }

    /// Calls somebody, and waits for the answer.
    pub(crate) async fn dial(&self, uri: &str) -> Listening {
        self.dial_saying(uri, Vec::new()).await
    }

    /// Calls somebody with header fields of its own, and waits for the answer.
    pub(crate) async fn dial_saying(&self, uri: &str, headers: Vec<(String, String)>) -> Listening {
        let host = uri.split('@').nth(1).unwrap();
        let dialling = Dialling {
            pinned: true,
            codecs: self.codecs.clone(),
            headers,
            ..Dialling::new(uri, &self.uri, vec![host.parse().unwrap()], Transport::Udp)
        };
        let (ear, heard) = mpsc::unbounded_channel();
        let attached = Attached {
            sink: Some(Box::new(Ear(ear))),
            ..Attached::default()
        };
        let (_never, mut give_up) = mpsc::channel(1);
        let leg = next_leg();
        let answered = dial(&self.line, leg, &dialling, attached, |_| {}, &mut give_up).await;
        let answered = answered.unwrap();
        Listening {
            sip: self.line.sip().clone(),
            call: answered.call,
            from: String::new(),
            to: uri.to_owned(),
            leg: answered.leg,
            signals: answered.signals,
            heard,
        }
    }

    async fn take(
        &self,
        incoming: IncomingCall,
        tell: impl AsyncFn(&Sip, CallHandle, Vec<u8>),
    ) -> Listening {
        let offer = incoming.invite.offer.clone().unwrap();
        let flow = &incoming.invite.flow;
        let answered = self
            .line
            .answer(flow, &self.codecs, SrtpPolicy::Off, &offer);
        let (half, negotiated) = answered.unwrap();
        let sip = self.line.sip();
        tell(sip, incoming.call, half.sdp()).await;
        let (ear, heard) = mpsc::unbounded_channel();
        let attached = Attached {
            sink: Some(Box::new(Ear(ear))),
            ..Attached::default()
        };
        let remote = flow.remote.ip();
        let leg = self
            .line
            .open(next_leg(), half, negotiated, remote, attached);
        Listening {
            sip: sip.clone(),
            call: incoming.call,
            from: incoming.invite.from.user.clone(),
            to: incoming.invite.to.user.clone(),
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

    /// Presses keys.
    pub(crate) fn press(&self, keys: &str) {
        let press = Command::SendDtmf(self.leg.id, keys.to_owned());
        self.leg.media.send(press).unwrap();
    }

    /// Hangs up, and says why.
    pub(crate) async fn hang_up_because(&self, reason: &str) {
        let reason = Some(reason.to_owned());
        self.sip.hang_up(self.call, reason).await.unwrap();
    }

    /// Hangs up.
    pub(crate) async fn hang_up(&self) {
        self.sip.hang_up(self.call, None).await.unwrap();
    }

    /// Asks for the other side to call somebody else instead.
    pub(crate) async fn refer(&self, to: &str) {
        let refer = Refer {
            refer_to: to.to_owned(),
            ..Refer::default()
        };
        self.sip.refer(self.call, refer).await.unwrap();
    }

    /// Asks for the other side to take our place in another call of ours.
    pub(crate) async fn refer_into(&self, other: &Self) {
        let refer = self.sip.transfer_to(other.call).await.unwrap().unwrap();
        self.sip.refer(self.call, refer).await.unwrap();
    }

    /// What names the call to whoever is to take our place in it (RFC 3891).
    pub(crate) async fn replaces(&self) -> (String, String) {
        let refer = self.sip.transfer_to(self.call).await.unwrap().unwrap();
        let replaces = refer.replaces.unwrap().to_string();
        ("Replaces".to_owned(), replaces)
    }

    /// Waits for the last word about what was asked for; gives all, the first on whether it was
    /// accepted.
    pub(crate) async fn until_referred(&mut self) -> (Result<(), u16>, Vec<u16>) {
        let (mut accepted, mut told) = (Ok(()), Vec::new());
        loop {
            match self.signals.recv().await.unwrap() {
                Signal::ReferAnswered { result } => {
                    accepted = result;
                    if result.is_err() {
                        return (accepted, told);
                    }
                }
                Signal::ReferProgress { status, is_final } => {
                    told.push(status);
                    if is_final {
                        return (accepted, told);
                    }
                }
                _ => {}
            }
        }
    }

    /// Offers the session anew, and returns what the other side answers.
    pub(crate) async fn reoffer(&mut self) -> String {
        let offer = self.leg.offer().unwrap();
        self.sip.reoffer(self.call, offer).await.unwrap();
        loop {
            if let Some(Signal::ReofferAnswered { offer, result }) = self.signals.recv().await {
                let answer = result.unwrap().unwrap();
                self.leg.offer_answered(&offer, Some(&answer)).unwrap();
                return String::from_utf8(answer).unwrap();
            }
        }
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
        self.until(|piece| share(piece, hz) > 0.9).await;
    }

    /// Waits until a piece of 20 ms is heard that is as asked.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&[i16]) -> bool) {
        let mut sound = Vec::new();
        loop {
            sound.extend(self.heard.recv().await.unwrap());
            while sound.len() >= PIECE {
                let piece: Vec<i16> = sound.drain(..PIECE).collect();
                if wanted(&piece) {
                    return;
                }
            }
        }
    }
}
