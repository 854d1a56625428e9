//! A scripted caller: a user agent and a media session of its own, and a mind that acts on what it
//! hears over RTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_media::sdp;
use offhook_media::{
    Direction, Event as MediaEvent, LocalMedia, MediaSession, Negotiated, SessionConfig,
    SessionDescription, UtteranceId,
};
use offhook_sip::{CallHandle, Event, Flow, Invite, Settings, Transport, UserAgent};

use super::clock::{Action, Datagram, Kind, Moment};
use super::invariants::Rule;
use super::leg::{Command, Leg};
use super::mind::Mind;
use super::plan::CallerPlan;
use super::voice;
use super::world::Cx;

/// Whatever happens, a caller does not stay on the line for longer.
const PATIENCE_MS: u64 = 36 * 60_000;

pub(super) struct Caller {
    number: usize,
    ua: UserAgent,
    address: SocketAddr,
    switch: SocketAddr,
    plan: CallerPlan,
    call: Option<CallHandle>,
    over: bool,
    leg: Option<Leg>,
    local: LocalMedia,
    /// Our description that is in force, and the one that is offered.
    description: SessionDescription,
    offered: Option<SessionDescription>,
    mind: Mind,
    last_utterance: u64,
    /// The ACK of our call, of which an UPDATE is made.
    ack: Option<String>,
    updates: u32,
}

impl Caller {
    pub(super) fn new(
        cx: &mut Cx,
        number: usize,
        address: SocketAddr,
        switch: SocketAddr,
        plan: CallerPlan,
        seed: [u8; 32],
    ) -> Self {
        let settings = Settings {
            product: "Caller/simulated".to_owned(),
            seed,
            ..Settings::default()
        };
        let mut local = LocalMedia::new(SocketAddr::new(address.ip(), 4000), 1 + number as u64);
        local.codecs.clone_from(&plan.codecs);
        local.ptime_ms = plan.ptime_ms;
        let seed = u64::from_le_bytes([
            seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], seed[6], seed[7],
        ]);
        let caller = Self {
            number,
            ua: UserAgent::new(settings),
            address,
            switch,
            mind: Mind::new(seed, &plan),
            call: None,
            over: false,
            leg: None,
            description: sdp::offer(&local),
            local,
            offered: None,
            last_utterance: 0,
            ack: None,
            updates: 0,
            plan,
        };
        caller.put_on_the_agenda(cx);
        caller
    }

    fn put_on_the_agenda(&self, cx: &mut Cx) {
        let plan = &self.plan;
        let mut acts = vec![(0, Action::Dial), (PATIENCE_MS, Action::HangUp)];
        acts.extend(plan.hang_up_at_ms.map(|at| (at, Action::HangUp)));
        for (at, for_ms) in &plan.holds {
            acts.push((*at, Action::Offer(Direction::SendOnly)));
            acts.push((at + for_ms, Action::Offer(Direction::SendRecv)));
        }
        for (at, by_update) in &plan.refreshes {
            let refresh = match by_update {
                true => Action::Update,
                false => Action::Refresh,
            };
            acts.push((*at, refresh));
        }
        let keys = plan.keys.iter();
        acts.extend(keys.map(|(at, key, info)| (*at, Action::Key(*key, *info))));
        let noises = plan.noises.iter();
        acts.extend(noises.map(|(at, ms)| (*at, Action::Say(super::models::NOISE, *ms))));
        for (at, act) in acts {
            let at = cx.clock.at_ms(plan.dial_at_ms + at);
            cx.clock.at(at, Moment::Act(self.number, act));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over && self.ua.is_idle()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let tick = self.leg.as_ref().map(|leg| leg.session.next_tick());
        crate::clock::earliest(tick, self.ua.poll_timeout().map(|(at, _)| at))
    }

    pub(super) fn handle_timeout(&mut self, cx: &mut Cx) {
        let now = cx.clock.now();
        if self.ua.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.ua.handle_timeout(now);
            self.drain_sip(cx);
        }
        if let Some(leg) = self.leg.as_mut().filter(|l| l.session.next_tick() <= now) {
            leg.tick(now);
            self.drain_leg(cx);
            self.think(cx);
        }
    }

    fn holds(&self) -> bool {
        self.local.direction != Direction::SendRecv
    }

    fn think(&mut self, cx: &mut Cx) {
        if self.holds() {
            return;
        }
        let wire = cx.watch.wire(self.number);
        let now = cx.clock.now();
        let decided = wire.and_then(|wire| self.mind.decide(now, |code| wire.text(code)));
        if let Some(action) = decided {
            self.act(cx, action);
        }
    }

    pub(super) fn receive(&mut self, cx: &mut Cx, datagram: &Datagram) {
        let now = cx.clock.now();
        if datagram.kind == Kind::Sip {
            let flow = self.flow();
            self.ua.receive(now, flow, &datagram.bytes);
            return self.drain_sip(cx);
        }
        if let Some(leg) = &mut self.leg {
            leg.receive(now, datagram);
            self.drain_leg(cx);
        }
    }

    fn flow(&self) -> Flow {
        Flow {
            transport: Transport::Udp,
            local: self.address,
            remote: self.switch,
        }
    }

    pub(super) fn act(&mut self, cx: &mut Cx, action: Action) {
        cx.note(self.number, || format!("caller: {action:?}"));
        let now = cx.clock.now();
        match (action, self.call) {
            (Action::Dial, None) => self.dial(cx),
            (_, None) => {}
            (Action::Dial, Some(_)) => {}
            (Action::HangUp, Some(call)) => self.ua.hang_up(now, call, None),
            (Action::Say(code, ms), Some(_)) => self.say(cx, code, ms),
            (Action::Offer(direction), Some(call)) => {
                self.local.direction = direction;
                self.offer(now, call);
            }
            (Action::Refresh, Some(call)) => self.offer(now, call),
            (Action::Key(key, true), Some(call)) => {
                let body = format!("Signal={key}\r\nDuration=160\r\n").into_bytes();
                self.ua.info(now, call, "application/dtmf-relay", body);
            }
            (Action::Key(key, false), Some(_)) => {
                if let Some(leg) = &mut self.leg {
                    let _ = leg.session.send_dtmf(&key.to_string());
                }
            }
            (Action::Update, Some(_)) => self.update(cx),
        }
        self.drain_sip(cx);
    }

    fn dial(&mut self, cx: &mut Cx) {
        let (name, host) = (self.number, self.address.ip());
        let invite = Invite {
            request_uri: format!("sip:lead@{}", self.switch.ip()),
            to: format!("sip:lead@{}", self.switch.ip()),
            from: format!("sip:{name}@{host}"),
            route: Vec::new(),
            flow: self.flow(),
            credentials: None,
            body: self.description.to_string().into_bytes(),
            content_type: "application/sdp".to_owned(),
            headers: Vec::new(),
        };
        match self.ua.invite(cx.clock.now(), invite) {
            Ok(call) => self.call = Some(call),
            Err(error) => cx.violate(Rule::Malformed, self.number, error.to_string()),
        }
    }

    fn offer(&mut self, now: Instant, call: CallHandle) {
        if self.leg.is_none() {
            return;
        }
        let offer = sdp::reoffer(&self.description, &self.local);
        self.ua.reinvite(now, call, offer.to_string().into_bytes());
        self.offered = Some(offer);
    }

    /// Refreshes by UPDATE (RFC 3311), as a carrier's border element does of its own.
    fn update(&mut self, cx: &mut Cx) {
        let Some(ack) = self.ack.clone().filter(|_| self.leg.is_some()) else {
            return;
        };
        self.updates += 1;
        let mut lines = vec![
            ack.lines()
                .next()
                .unwrap_or_default()
                .replacen("ACK", "UPDATE", 1),
        ];
        for line in ack.lines().skip(1).take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "via" => lines.push(format!(
                    "Via: SIP/2.0/UDP {};rport;branch=z9hG4bKupdate{}",
                    self.address, self.updates
                )),
                "cseq" => lines.push(line.replace("ACK", "UPDATE")),
                "content-length" => {}
                _ => lines.push(line.to_owned()),
            }
        }
        lines.push(format!("Contact: <sip:{}@{}>", self.number, self.address));
        lines.push("Session-Expires: 1800;refresher=uac".to_owned());
        lines.push("Content-Length: 0\r\n\r\n".to_owned());
        let datagram = Datagram {
            kind: Kind::Sip,
            from: self.address,
            to: self.switch,
            bytes: lines.join("\r\n").into_bytes(),
        };
        cx.transmit(datagram, false);
    }

    fn say(&mut self, cx: &mut Cx, code: u8, ms: u64) {
        let now = cx.clock.now();
        let Some(leg) = &mut self.leg else { return };
        self.last_utterance += 1;
        let utterance = UtteranceId(self.last_utterance);
        let samples = voice::sound(code, ms as usize * voice::RATE_HZ / 1_000);
        leg.obey(now, Command::Play(utterance, samples.into()));
        leg.obey(now, Command::Finish(utterance));
        self.mind.speaks(now + Duration::from_millis(ms));
        self.drain_leg(cx);
    }

    fn drain_sip(&mut self, cx: &mut Cx) {
        loop {
            while let Some(transmit) = self.ua.poll_transmit() {
                let datagram = Datagram {
                    kind: Kind::Sip,
                    from: self.address,
                    to: transmit.flow.remote,
                    bytes: transmit.bytes.to_vec(),
                };
                if datagram.bytes.starts_with(b"ACK ") && self.leg.is_none() {
                    self.ack = Some(String::from_utf8_lossy(&datagram.bytes).into_owned());
                }
                cx.transmit(datagram, false);
            }
            let Some(event) = self.ua.poll_event() else {
                break;
            };
            self.handle(cx, event);
        }
        if self.ua.stats().malformed > 0 {
            let what = "the caller could not read a message".to_owned();
            cx.violate(Rule::Malformed, self.number, what);
        }
    }

    fn handle(&mut self, cx: &mut Cx, event: Event) {
        let now = cx.clock.now();
        match event {
            Event::Answered { body, .. } => self.answered(cx, body.as_deref()),
            Event::ReofferAnswered { result, .. } => {
                let offered = self.offered.take();
                if let (Ok(Some(answer)), Some(offered)) = (result, offered) {
                    self.agree(cx, offered, &answer);
                }
            }
            Event::Reoffer { call, .. } => {
                let body = self.description.to_string().into_bytes();
                self.ua.answer_reoffer(now, call, Ok(Some(body)));
            }
            Event::Rejected { status, .. } => {
                cx.note(self.number, || format!("caller: refused with {status}"));
                self.end();
            }
            Event::Ended { cause, .. } => {
                cx.note(self.number, || format!("caller: over, {cause:?}"));
                self.end();
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        self.over = true;
        self.leg = None;
    }

    fn answered(&mut self, cx: &mut Cx, answer: Option<&[u8]>) {
        let now = cx.clock.now();
        let answer = answer.and_then(|answer| SessionDescription::parse(answer).ok());
        let agreed = answer.map(|answer| Negotiated::from_answer(&self.description, &answer));
        let Some(Ok(negotiated)) = agreed else {
            let what = "the answer cannot be used".to_owned();
            return cx.violate(Rule::Malformed, self.number, what);
        };
        let ssrc = cx.draw(u64::from(u32::MAX)) as u32;
        let config = SessionConfig::new(negotiated, ssrc, self.switch.ip());
        self.leg = Some(Leg::new(MediaSession::new(now, config), self.local.address));
    }

    fn agree(&mut self, cx: &mut Cx, offered: SessionDescription, answer: &[u8]) {
        let Ok(answer) = SessionDescription::parse(answer) else {
            return;
        };
        if let (Ok(negotiated), Some(leg)) =
            (Negotiated::from_answer(&offered, &answer), &mut self.leg)
        {
            leg.session.renegotiate(cx.clock.now(), negotiated);
            self.description = offered;
        }
    }

    fn drain_leg(&mut self, cx: &mut Cx) {
        let Some(output) = self.leg.as_mut().map(Leg::drain) else {
            return;
        };
        let mute = self.plan.silent_holds && self.holds();
        for packet in output.packets {
            if packet.kind == Kind::Rtp {
                let wire = cx.watch.wire(self.number);
                let broken = wire.and_then(|wire| wire.sent_by_caller(&packet.bytes));
                if let Some((rule, what)) = broken {
                    cx.violate(rule, self.number, format!("caller: {what}"));
                }
            }
            if !mute {
                cx.transmit(packet, false);
            }
        }
        for event in output.events {
            match event {
                MediaEvent::Heard(frame) if !frame.concealed => {
                    let code = voice::majority(frame.samples());
                    if let Some(action) = self.mind.hear(cx.clock.now(), code) {
                        let (after, action) = action;
                        let at = cx.clock.now() + after;
                        cx.clock.at(at, Moment::Act(self.number, action));
                    }
                }
                MediaEvent::MediaTimeout { .. } => self.act(cx, Action::HangUp),
                _ => {}
            }
        }
    }
}
