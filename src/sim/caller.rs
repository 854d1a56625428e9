//! A scripted caller: a user agent and a media session of its own, and a mind that acts on what it
//! hears over RTP.

mod called;
mod late;
mod offers;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_media::sdp::{self, LocalSrtp};
use offhook_media::{
    Direction, Event as MediaEvent, LocalMedia, MediaSession, Negotiated, SessionConfig,
    SessionDescription, UtteranceId,
};
use offhook_sip::{CallHandle, Event, Flow, Invite, Settings, Transport, UserAgent};

use self::late::Late;
use super::clock::{Action, Datagram, Kind, Moment};
use super::invariants::Rule;
use super::leg::{Command, Leg};
use super::mind::Mind;
use super::models::NOISE;
use super::plan::{CallerPlan, KeyWay};
use super::voice;
use super::world::Cx;

/// What nobody agreed upon: G.729.
const STRAY_PAYLOAD_TYPE: u8 = 18;
/// Both sides hear each other so long after the answer.
const SETTLED: Duration = Duration::from_secs(1);
/// Whatever happens, a caller does not stay on the line for longer.
const PATIENCE_MS: u64 = 36 * 60_000;

pub(super) struct Caller {
    /// Of the call.
    number: usize,
    /// What it is named among the phones.
    phone: usize,
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
    /// Something was to be offered meanwhile.
    outdated: bool,
    /// An offer of the switch was asked for, and has not come.
    asks: bool,
    mind: Mind,
    last_utterance: u64,
    /// The ACK of our call, of which an UPDATE is made.
    ack: Option<String>,
    updates: u32,
    /// When the call was answered.
    answered: Option<Instant>,
    /// What we agreed to of an offer to call us.
    agreed: Option<Negotiated>,
    /// What was not agreed upon is sent.
    strays: bool,
    late: Late,
}

impl Caller {
    pub(super) fn new(
        cx: &mut Cx,
        (number, phone): (usize, usize),
        (address, switch): (SocketAddr, SocketAddr),
        plan: CallerPlan,
        seed: [u8; 32],
    ) -> Self {
        let settings = Settings {
            product: "Caller/simulated".to_owned(),
            seed,
            access: called::access(&plan, switch),
            ..Settings::default()
        };
        let mut local = LocalMedia::new(SocketAddr::new(address.ip(), 4000), 1 + number as u64);
        local.codecs.clone_from(&plan.codecs);
        local.ptime_ms = plan.ptime_ms;
        local.srtp = LocalSrtp::new(plan.srtp, &mut cx.secrets);
        let seed = u64::from_le_bytes([
            seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], seed[6], seed[7],
        ]);
        let caller = Self {
            number,
            phone,
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
            outdated: false,
            asks: false,
            last_utterance: 0,
            ack: None,
            updates: 0,
            answered: None,
            agreed: None,
            strays: plan.strays,
            late: Late::default(),
            plan,
        };
        caller.put_on_the_agenda(cx);
        caller
    }

    fn put_on_the_agenda(&self, cx: &mut Cx) {
        let plan = &self.plan;
        let mut acts = vec![(PATIENCE_MS, Action::HangUp)];
        if plan.called.is_none() {
            acts.push((0, Action::Dial));
        }
        acts.extend(plan.hang_up_at_ms.map(|at| (at, Action::HangUp)));
        for (at, for_ms) in &plan.holds {
            acts.push((*at, Action::Offer(Direction::SendOnly)));
            acts.push((at + for_ms, Action::Offer(Direction::SendRecv)));
            let music = (*for_ms).min(60_000);
            if plan.music_on_hold && !plan.silent_holds {
                acts.push((at + 100, Action::Say(NOISE, music.saturating_sub(200))));
            }
        }
        for (at, by_update) in &plan.refreshes {
            let refresh = match by_update {
                true => Action::Update,
                false => Action::Refresh,
            };
            acts.push((*at, refresh));
        }
        let bare = plan.bare_refreshes.iter();
        acts.extend(bare.map(|at| (*at, Action::AskForOffer)));
        let keys = plan.keys.iter();
        acts.extend(keys.map(|(at, key, way)| (*at, Action::Key(*key, *way))));
        let noises = plan.noises.iter();
        acts.extend(noises.map(|(at, ms)| (*at, Action::Say(NOISE, *ms))));
        for (at, act) in acts {
            let at = cx.clock.at_ms(plan.dial_at_ms + at);
            cx.clock.at(at, Moment::Act(self.phone, act));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        (self.over || self.call.is_none()) && self.ua.is_idle()
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
            return self.hear_sip(cx, &datagram.bytes);
        }
        if let Some(leg) = &mut self.leg {
            leg.receive(now, datagram);
            self.drain_leg(cx);
        }
    }

    /// Takes a SIP message.
    pub(super) fn hear_sip(&mut self, cx: &mut Cx, bytes: &[u8]) {
        let flow = self.flow();
        self.read_late_offer(bytes);
        self.ua
            .receive(cx.clock.now(), flow, &self.behind_proxy(bytes));
        self.drain_sip(cx);
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
                self.offer(cx, call);
            }
            (Action::Refresh, Some(call)) => self.offer(cx, call),
            (Action::AskForOffer, Some(call)) => self.ask_for_an_offer(cx, call),
            (Action::Key(key, way), Some(call)) => self.press(cx, call, key, way),
            (Action::Update, Some(_)) => self.update(cx),
            (Action::Ring(status), Some(call)) => self.ring(cx, call, status),
            (Action::Answer, Some(call)) => self.answer(cx, call),
            (Action::Refuse(status), Some(call)) => self.ua.reject(now, call, status, &[]),
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
            stream: None,
            credentials: None,
            body: match self.plan.late_offer {
                true => Vec::new(),
                false => self.description.to_string().into_bytes(),
            },
            content_type: "application/sdp".to_owned(),
            headers: Vec::new(),
        };
        match self.ua.invite(cx.clock.now(), invite) {
            Ok(call) => self.call = Some(call),
            Err(error) => cx.violate(Rule::Malformed, self.number, error.to_string()),
        }
    }

    fn press(&mut self, cx: &mut Cx, call: CallHandle, key: char, way: KeyWay) {
        let now = cx.clock.now();
        let Some(leg) = self.leg.as_mut().filter(|_| self.answered.is_some()) else {
            return;
        };
        // Which of two phones is heard is known only by what comes of it.
        let certain = cx.is_faultless(self.number) && !cx.is_forked(self.number);
        if let Some(wire) = cx.watch.wire(self.number) {
            wire.presses.pressed(now, key, way, certain);
        }
        if way != KeyWay::Info {
            let _ = leg.session.send_dtmf(&key.to_string());
        }
        if way != KeyWay::Rtp {
            let body = format!("Signal={key}\r\nDuration=160\r\n").into_bytes();
            self.ua.info(now, call, "application/dtmf-relay", body);
        }
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
                let datagram = self.as_proxy(datagram);
                if datagram.bytes.starts_with(b"ACK ") && self.leg.is_none() {
                    self.ack = Some(String::from_utf8_lossy(&datagram.bytes).into_owned());
                }
                let datagram = self.with_late_answer(datagram);
                if cx.proxy_passes(self.number, self.phone, &datagram.bytes) {
                    cx.transmit(datagram, false);
                }
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
        match event {
            Event::Answered { body, .. } => self.answered(cx, body.as_deref()),
            Event::ReofferAnswered {
                call,
                offer,
                result,
            } => {
                let answer = result.ok().flatten();
                match offer.is_empty() {
                    true => self.late_offer_settled(cx, call),
                    false => self.settled(cx, call, answer.as_deref()),
                }
            }
            Event::ReofferOvertaken { call } => self.overtaken(cx, call),
            Event::Reoffer { call, offer } => self.reoffered(cx, call, offer.as_deref()),
            Event::Incoming { call, invite } => self.rings(cx, call, &invite),
            Event::Rejected { status, .. } => {
                cx.note(self.number, || format!("caller: refused with {status}"));
                self.end();
            }
            Event::Ended { cause, .. } => {
                cx.phone_over(self.number, (self.phone, self.address.ip()), &cause);
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
        if self.late.is_asked() {
            return self.offered_in_the_answer(cx);
        }
        let answer = answer.and_then(|answer| SessionDescription::parse(answer).ok());
        let agreed = answer.map(|answer| Negotiated::from_answer(&self.description, &answer));
        let Some(Ok(negotiated)) = agreed else {
            let what = "the answer cannot be used".to_owned();
            return cx.violate(Rule::Malformed, self.number, what);
        };
        self.answered = Some(cx.clock.now());
        self.open(cx, negotiated);
    }

    /// The 200 was an offer, which the ACK has answered, or could not.
    fn offered_in_the_answer(&mut self, cx: &mut Cx) {
        let now = cx.clock.now();
        self.answered = Some(now);
        match (self.late.take(), self.call) {
            (Some(negotiated), _) => self.open(cx, negotiated),
            (None, Some(call)) => self.ua.hang_up(now, call, None),
            (None, None) => {}
        }
    }

    /// Starts our media.
    fn open(&mut self, cx: &mut Cx, negotiated: Negotiated) {
        let now = cx.clock.now();
        self.uses(cx, &negotiated);
        let ssrc = cx.draw(u64::from(u32::MAX)) as u32;
        let config = SessionConfig::new(negotiated, ssrc, self.switch.ip());
        self.leg = Some(Leg::new(MediaSession::new(now, config), self.local.address));
    }

    /// Tells the wire under what we send from now on.
    fn uses(&self, cx: &mut Cx, negotiated: &Negotiated) {
        if let Some(wire) = cx.watch.wire(self.number) {
            wire.keys.caller_uses(negotiated.srtp.as_ref());
        }
    }

    fn drain_leg(&mut self, cx: &mut Cx) {
        let Some(output) = self.leg.as_mut().map(Leg::drain) else {
            return;
        };
        let mute = self.plan.silent_holds && self.holds();
        for mut packet in output.packets {
            if packet.kind == Kind::Rtp {
                let wire = cx.watch.wire(self.number);
                let broken = wire.and_then(|wire| wire.sent_by_caller(&packet.bytes));
                if let Some((rule, what)) = broken {
                    cx.violate(rule, self.number, format!("caller: {what}"));
                }
                if let Some(second) = packet.bytes.get_mut(1).filter(|_| self.strays) {
                    *second = *second & 0x80 | STRAY_PAYLOAD_TYPE;
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
                        cx.clock.at(at, Moment::Act(self.phone, action));
                    }
                }
                MediaEvent::MediaTimeout { .. } => self.act(cx, Action::HangUp),
                MediaEvent::OneWay { why, silent_for } => {
                    let settled = self
                        .answered
                        .is_some_and(|at| at + SETTLED < cx.clock.now());
                    if settled && !self.over && cx.is_faultless(self.number) {
                        let what = format!("the caller, after {silent_for:?}: {why:?}");
                        cx.violate(Rule::OneWaySound, self.number, what);
                    }
                }
                _ => {}
            }
        }
    }
}
