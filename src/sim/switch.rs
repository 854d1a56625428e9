//! The switch's side: its user agent, its ports and its calls, joined as the shell joins them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_sip::{
    Access, CallHandle, EndCause, Event, Flow, Incoming, Invite, Settings, Transport, TrunkPeer,
    UserAgent,
};

use super::call::SwitchCall;
use super::clock::{Datagram, Input, Kind, Moment, SipCommand};
use super::intruder::{self, Overheard};
use super::invariants::Rule;
use super::ledger::Ledger;
use super::leg::Command;
use super::plan::{CallerPlan, Intrusion};
use super::ports::Ports;
use super::world::{Cx, caller_of};
use crate::net::media::LegEvent;
use crate::net::sip::Signal;

/// When a call is over, what was sent of the last turn is reported at once, or given up after
/// 500 ms; then its media ends.
const MUTE_AFTER: Duration = Duration::from_millis(700);

/// Half a second of packets.
const INTRUDING_PACKETS: u64 = 25;

/// What happens to a call on the switch's side.
pub(super) fn put_on_the_agenda(cx: &mut Cx, number: usize, plan: &CallerPlan) {
    let mut moments = Vec::new();
    if plan.called.is_some() {
        moments.push((0, Moment::Place(number)));
    }
    for at in &plan.offers {
        moments.push((*at, Moment::Task(number, Input::OfferAgain)));
    }
    for (at, for_ms) in &plan.asides {
        for (at, aside) in [(*at, true), (at + for_ms, false)] {
            moments.push((at, Moment::Task(number, Input::StandAside(aside))));
        }
    }
    for (at, for_ms) in &plan.recording_pauses {
        for (at, pause) in [(*at, true), (at + for_ms, false)] {
            moments.push((at, Moment::Task(number, Input::PauseRecording(pause))));
        }
    }
    for (at, intrusion) in &plan.intrusions {
        let each =
            (0..INTRUDING_PACKETS).map(|n| (at + 20 * n, Moment::Intrude(number, *intrusion)));
        moments.extend(each);
    }
    for (at, moment) in moments {
        let at = cx.clock.at_ms(plan.dial_at_ms + at);
        cx.clock.at(at, moment);
    }
}

pub(super) struct Switch {
    pub(super) ua: UserAgent,
    pub(super) ports: Ports,
    pub(super) ledger: Ledger,
    pub(super) calls: BTreeMap<usize, SwitchCall>,
    by_handle: BTreeMap<CallHandle, usize>,
    /// The packet of each caller that came last.
    overheard: BTreeMap<usize, Overheard>,
    address: SocketAddr,
}

impl Switch {
    pub(super) fn new(seed: [u8; 32], address: SocketAddr, ledger: Ledger) -> Self {
        let networks = ["192.0.2.0/24".parse()].into_iter().flatten().collect();
        let trunk = TrunkPeer {
            name: "carrier".to_owned(),
            networks,
            ..TrunkPeer::default()
        };
        let settings = Settings {
            product: "Offhook/simulated".to_owned(),
            seed,
            access: Access {
                trunks: vec![trunk],
                ..Access::default()
            },
            ..Settings::default()
        };
        Self {
            ua: UserAgent::new(settings),
            ports: Ports::default(),
            ledger,
            calls: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            overheard: BTreeMap::new(),
            address,
        }
    }

    /// When something of the switch is due by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let sip = self.ua.poll_timeout().map(|(at, _)| at);
        let calls = self.calls.values().filter_map(SwitchCall::deadline);
        calls.chain(sip).min()
    }

    /// Acts on everything that is due.
    pub(super) fn handle_timeout(&mut self, cx: &mut Cx) {
        let now = cx.clock.now();
        if self.ua.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.ua.handle_timeout(now);
            self.drain_sip(cx);
        }
        let due: Vec<usize> = self
            .calls
            .iter()
            .filter(|(_, call)| call.deadline().is_some_and(|at| at <= now))
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            if let Some(call) = self.calls.get_mut(&number) {
                call.handle_timeout(cx, &mut self.ports, &mut self.ledger);
            }
            self.drain_leg(cx, number);
        }
    }

    /// Takes a datagram that reached one of the switch's sockets.
    pub(super) fn receive(&mut self, cx: &mut Cx, datagram: &Datagram) {
        let now = cx.clock.now();
        if datagram.kind == Kind::Sip {
            let flow = Flow {
                transport: Transport::Udp,
                local: self.address,
                remote: datagram.from,
            };
            let number = caller_of(datagram.from);
            cx.note_answer(number, datagram.from.ip(), &datagram.bytes);
            self.ua.receive(now, flow, &datagram.bytes);
            return self.drain_sip(cx);
        }
        let Some(number) = self.ports.owner(datagram.to.port()) else {
            return;
        };
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let Some(leg) = call.leg.as_mut() else {
            return;
        };
        let encrypted = leg.session.negotiated().srtp.is_some();
        let marked = call.recording.mark(datagram, encrypted);
        let before = leg.session.stats().received;
        leg.receive(now, marked.as_ref().unwrap_or(datagram));
        let heard = leg.session.stats().received != before;
        if heard && cx.has_lost(number, datagram.from.ip()) {
            let what = "a phone that was too late is heard".to_owned();
            cx.violate(Rule::ForkLetGo, number, what);
        }
        if datagram.kind == Kind::Rtp {
            if let Some(wire) = cx.watch.wire(number) {
                wire.received(now, &datagram.bytes);
            }
            if cx.is_intruded_upon(number) {
                self.overheard.entry(number).or_default().note(datagram);
            }
        }
        self.drain_leg(cx, number);
    }

    /// Somebody sends a packet that is none of the caller's, or one of theirs again.
    pub(super) fn intrude(&mut self, cx: &mut Cx, number: usize, intrusion: Intrusion) {
        let now = cx.clock.now();
        let leg = self.calls.get_mut(&number).and_then(|c| c.leg.as_mut());
        let (Some(leg), Some(overheard)) = (leg, self.overheard.get_mut(&number)) else {
            return;
        };
        let encrypted = leg.session.negotiated().srtp.is_some();
        let Some(datagram) = overheard.intrude(intrusion, encrypted) else {
            return;
        };
        let before = leg.session.stats().received;
        leg.receive(now, &datagram);
        if leg.session.stats().received != before {
            let what = format!("{intrusion:?} was taken for the caller's");
            cx.violate(Rule::Intruder, number, what);
        }
        self.drain_leg(cx, number);
    }

    /// Takes something that reaches a call's task.
    pub(super) fn task(&mut self, cx: &mut Cx, number: usize, input: Input) {
        if let Some(call) = self.calls.get_mut(&number) {
            call.handle(cx, &mut self.ports, &mut self.ledger, input);
        }
    }

    /// The look-up before the answer is done.
    pub(super) fn prepared(&mut self, cx: &mut Cx, number: usize) {
        if let Some(call) = self.calls.get_mut(&number) {
            call.prepared(cx, &mut self.ports, &mut self.ledger);
        }
    }

    /// Takes a command that reaches a leg's thread.
    pub(super) fn media(&mut self, cx: &mut Cx, number: usize, command: Command) {
        let now = cx.clock.now();
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let Some(leg) = call.leg.as_mut() else {
            return;
        };
        let closes = matches!(command, Command::Close);
        let event = leg.obey(now, command.clone());
        self.drain_leg(cx, number);
        let wire = cx.watch.wire(number);
        if let Some((rule, what)) = wire.and_then(|wire| wire.commanded(&command)) {
            cx.violate(rule, number, what);
        }
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        if let Some(event) = event {
            call.report(cx, event);
        }
        if closes {
            call.leg = None;
            self.ports.close(call.port());
        }
    }

    /// Takes a command that reaches the SIP task.
    pub(super) fn sip(&mut self, cx: &mut Cx, number: usize, command: SipCommand) {
        let now = cx.clock.now();
        cx.note(number, || format!("sip: {}", command.name()));
        if let SipCommand::Invite(invite) = command {
            return self.invite(cx, number, *invite);
        }
        let Some(handle) = self.calls.get(&number).and_then(|call| call.handle) else {
            return;
        };
        match command {
            SipCommand::Invite(_) => {}
            SipCommand::Reoffer(offer) => self.ua.reinvite(now, handle, offer),
            SipCommand::Ring => self.ua.ring(now, handle, 180, None),
            SipCommand::Answer(body) => {
                let sent = self.ua.answer(now, handle, body);
                self.reply(cx, number, sent);
            }
            SipCommand::HangUp => self.ua.hang_up(now, handle, None),
            SipCommand::AnswerReoffer(answer) => self.ua.answer_reoffer(now, handle, answer),
        }
        self.drain_sip(cx);
    }

    fn reply(&mut self, cx: &mut Cx, number: usize, sent: bool) {
        if let Some(call) = self.calls.get_mut(&number) {
            call.hear_back(cx, Input::Answered(sent));
        }
    }

    /// The switch is asked to call somebody.
    pub(super) fn place(&mut self, cx: &mut Cx, number: usize, target: SocketAddr) {
        let local = SocketAddr::new(self.address.ip(), self.ports.open(number));
        let flow = Flow {
            transport: Transport::Udp,
            local: self.address,
            remote: target,
        };
        let call = SwitchCall::outbound(cx, number, flow, local);
        self.ledger.insert(cx, number, &call.record);
        self.calls.insert(number, call);
    }

    fn invite(&mut self, cx: &mut Cx, number: usize, invite: Invite) {
        let placed = self.ua.invite(cx.clock.now(), invite).ok();
        if let Some(handle) = placed {
            self.by_handle.insert(handle, number);
        }
        if let Some(call) = self.calls.get_mut(&number) {
            call.handle = placed;
            call.hear_back(cx, Input::Placed(placed.is_some()));
        }
        self.drain_sip(cx);
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
                cx.transmit(datagram, true);
            }
            let Some(event) = self.ua.poll_event() else {
                break;
            };
            self.tell(cx, event);
        }
        if self.ua.stats().malformed > 0 {
            cx.violate(
                Rule::Malformed,
                0,
                "the switch could not read a message".into(),
            );
        }
    }

    fn tell(&mut self, cx: &mut Cx, event: Event) {
        let (call, signal, over) = match event {
            Event::Incoming { call, invite } => return self.incoming(cx, call, &invite),
            // No call of the simulation has another address to go to.
            Event::Trying { .. } => return,
            Event::Progress { call, status, body } => {
                (call, Signal::Progress { status, body }, false)
            }
            Event::Answered { call, body } => (call, Signal::Answered { body }, false),
            Event::Rejected {
                call,
                status,
                reason,
                retry_after_s,
                headers,
            } => {
                let rejected = Signal::Rejected {
                    status,
                    reason,
                    retry_after_s,
                    headers,
                };
                (call, rejected, true)
            }
            Event::ReofferAnswered {
                call,
                offer,
                result,
            } => (call, Signal::ReofferAnswered { offer, result }, false),
            Event::ReofferOvertaken { call } => (call, Signal::ReofferOvertaken, false),
            Event::Confirmed { call, body } => (call, Signal::Confirmed { body }, false),
            Event::Reoffer { call, offer } => (call, Signal::Reoffer { offer }, false),
            Event::Info {
                call,
                content_type,
                body,
            } => {
                let content_type = Some(content_type);
                (call, Signal::Info { content_type, body }, false)
            }
            Event::Ended { call, cause } => (call, Signal::Ended { cause }, true),
            _ => return,
        };
        let Some(number) = self.by_handle.get(&call).copied() else {
            return;
        };
        if over {
            self.by_handle.remove(&call);
        }
        if let Signal::Ended { cause } = &signal {
            let lost = matches!(cause, EndCause::Protocol);
            cx.note(number, || format!("dialog over: {cause:?}"));
            if lost {
                cx.violate(Rule::Malformed, number, format!("{cause:?}"));
            }
        }
        if let Some(call) = self.calls.get_mut(&number) {
            call.signal(cx, signal);
        }
    }

    /// A call rings, as `call::inbound` takes it.
    fn incoming(&mut self, cx: &mut Cx, handle: CallHandle, invite: &Incoming) {
        let number = invite.from.user.parse::<usize>().unwrap_or_default();
        if self.calls.contains_key(&number) {
            let what = "one INVITE made two calls".to_owned();
            cx.violate(Rule::DialogOutlivesCall, number, what);
            return;
        }
        self.by_handle.insert(handle, number);
        let local = SocketAddr::new(self.address.ip(), self.ports.open(number));
        match SwitchCall::new(cx, number, handle, invite, local) {
            Ok(call) => {
                self.ledger.insert(cx, number, &call.record);
                self.calls.insert(number, call);
            }
            Err(status) => {
                self.ports.close(local.port());
                self.ua.reject(cx.clock.now(), handle, status, &[]);
            }
        }
    }

    /// Sends what a leg has for the network, and hands its events on.
    fn drain_leg(&mut self, cx: &mut Cx, number: usize) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let Some(output) = call.leg.as_mut().map(super::leg::Leg::drain) else {
            return;
        };
        for packet in output.packets {
            if packet.kind == Kind::Rtp {
                cx.watch_sent(number, &packet.bytes);
                let late = call.over_for(cx.clock.now());
                if late > MUTE_AFTER + cx.standstill() {
                    let what = format!("a packet is sent {late:?} later");
                    cx.violate(Rule::MediaOutlivesCall, number, what);
                }
            } else {
                cx.watch_report(number, &packet.bytes);
            }
            cx.transmit(packet, true);
        }
        for event in output.events {
            if let offhook_media::Event::Heard(frame) = &event {
                if cx.is_intruded_upon(number) && intruder::is_heard(frame) {
                    let what = "somebody else is heard".to_owned();
                    cx.violate(Rule::Intruder, number, what);
                }
                if let Some(edge) = call.conversation.ears.hear(frame) {
                    call.edge(cx, edge);
                }
                continue;
            }
            if let offhook_media::Event::Recording(frame) = &event {
                if let Some((rule, what)) = call.recording.record(frame) {
                    cx.violate(rule, number, what);
                }
                continue;
            }
            if let Some(event) = LegEvent::of(&event) {
                call.report(cx, event);
            }
        }
    }

    /// Checks what must hold after every step.
    pub(super) fn check(&self, cx: &mut Cx) {
        let open = self.calls.values().filter(|call| call.holds_port()).count();
        if self.ports.count() != open {
            let call = self.ports.first_open().unwrap_or_default();
            let what = format!("{} ports for {open} calls", self.ports.count());
            cx.violate(Rule::PortLeak, call, what);
        }
        for (number, call) in &self.calls {
            let in_dialog = |handle| self.by_handle.contains_key(&handle);
            call.check(cx, *number, call.handle.is_some_and(in_dialog));
        }
    }
}

impl SipCommand {
    fn name(&self) -> String {
        match self {
            Self::Answer(_) => "answer".to_owned(),
            Self::AnswerReoffer(answer) => {
                let status = answer.as_ref().err().copied().unwrap_or(200);
                format!("answer the offer with {status}")
            }
            Self::Invite(_) => "invite".to_owned(),
            Self::Reoffer(_) => "offer".to_owned(),
            other => format!("{other:?}"),
        }
    }
}
