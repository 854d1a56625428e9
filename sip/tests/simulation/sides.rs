//! The sides: user agents on machines of their own, and what they decide to do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use offhook_sip::{
    Access, CallHandle, Credentials, Event, Invite, Refer, Register, RegistrationHandle, Reliable,
    SessionTimer, Settings, Transport, TrunkPeer, UserAgent, UserSecret,
};
use rand::Rng;
use rand::rngs::StdRng;

use crate::clocks::Clock;
use crate::registrar::{DOMAIN, GROUP, LOOP, USERS, password};
use crate::support::{ANSWER, OFFER, ms};
use crate::world::{Ending, Moment, World};

/// What one side decides to do.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Register(&'static str),
    Leave,
    Invite,
    Ring(CallHandle, u16),
    Answer(CallHandle),
    Reject(CallHandle),
    HangUp(CallHandle),
    Reinvite(CallHandle),
    Info(CallHandle),
    AnswerReoffer(CallHandle),
    Refer(CallHandle),
    AnswerRefer(CallHandle),
    Report(CallHandle, u16),
}

/// A user agent on a machine of its own.
pub(crate) struct Side {
    pub(crate) ua: UserAgent,
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    /// What waits for the machine to wake up.
    pub(crate) held: VecDeque<Moment>,
    /// Whether datagrams that come while it is asleep wait for it, or are lost.
    pub(crate) queues: bool,
    registrations: Vec<RegistrationHandle>,
}

/// How many datagrams wait for a machine that is asleep.
const MOST_HELD: usize = 64;

impl Side {
    fn new(address: SocketAddr, settings: Settings) -> Self {
        Self {
            ua: UserAgent::new(settings),
            address,
            clock: Clock::default(),
            held: VecDeque::new(),
            queues: false,
            registrations: Vec::new(),
        }
    }

    /// Makes one of two sides that reach each other.
    pub(crate) fn direct(n: usize, guarded: bool, reliable: Reliable, rng: &mut StdRng) -> Self {
        let user = UserSecret {
            name: "caller".into(),
            password: "secret".into(),
        };
        let access = Access {
            open_loopback: !guarded,
            users: if guarded { vec![user] } else { Vec::new() },
            ..Access::default()
        };
        let port = 5060 + u16::try_from(n).unwrap();
        let settings = settings(n, (access, reliable), rng);
        Self::new(([127, 0, 0, 1], port).into(), settings)
    }

    /// Makes a subscriber, who knows the carrier by its network.
    pub(crate) fn subscriber(n: usize, reliable: Reliable, rng: &mut StdRng) -> Self {
        let carrier = TrunkPeer {
            name: "carrier".into(),
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            ..TrunkPeer::default()
        };
        let access = Access {
            trunks: vec![carrier],
            ..Access::default()
        };
        let host = 1 + u8::try_from(n).unwrap();
        let settings = settings(n, (access, reliable), rng);
        Self::new(([198, 51, 100, host], 5060).into(), settings)
    }

    /// When it wants to be woken, by the world's time.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.ua
            .poll_timeout()
            .and_then(|(at, _)| self.clock.when(at))
    }

    pub(crate) fn handle_timeout(&mut self, world: Instant) {
        if self.clock.is_awake() {
            self.ua.handle_timeout(self.clock.at(world));
        }
    }

    /// Keeps what happens while the machine is asleep: what its owner decides, and what its sockets
    /// take.
    pub(crate) fn hold(&mut self, moment: Moment, transport: Transport) {
        let is_datagram = transport == Transport::Udp && matches!(moment, Moment::Arrive { .. });
        if !is_datagram || self.queues && self.held.len() < MOST_HELD {
            self.held.push_back(moment);
        }
    }

    /// Checks that nothing is left.
    pub(crate) fn check(&self, seed: u64) {
        let ua = &self.ua;
        assert_eq!(ua.call_count(), 0, "seed {seed}: calls are left");
        assert_eq!(
            ua.transaction_count(),
            0,
            "seed {seed}: transactions are left"
        );
        assert!(ua.is_idle(), "seed {seed}: something is left");
        assert_eq!(
            ua.stats().malformed,
            0,
            "seed {seed}: we do not read what we write"
        );
        assert!(self.held.is_empty(), "seed {seed}: it never wakes up");
    }
}

fn settings(n: usize, (access, reliable): (Access, Reliable), rng: &mut StdRng) -> Settings {
    let mut seed: [u8; 32] = rng.random();
    seed[0] = u8::try_from(n).unwrap();
    let mut session = SessionTimer::default();
    session.expires_s = session.min_se_s;
    Settings {
        seed,
        access,
        session,
        transfers: true,
        reliable,
        ..Settings::default()
    }
}

impl World {
    pub(crate) fn act(&mut self, side: usize, action: Action) {
        let now = self.sides[side].clock.at(self.now);
        let ua = &mut self.sides[side].ua;
        match action {
            Action::Register(user) => self.register(side, user),
            Action::Leave => {
                for registration in std::mem::take(&mut self.sides[side].registrations) {
                    self.sides[side].ua.unregister(now, registration);
                }
            }
            Action::Invite => self.invite(side),
            Action::Ring(call, 183) => ua.ring(now, call, 183, Some(ANSWER.into())),
            Action::Ring(call, status) => ua.ring(now, call, status, None),
            Action::Answer(call) => {
                ua.answer(now, call, ANSWER.into());
            }
            Action::Reject(call) => ua.reject(now, call, 486, &[]),
            Action::HangUp(call) => ua.hang_up(now, call, None),
            Action::Reinvite(call) => ua.reinvite(now, call, OFFER.into()),
            Action::Info(call) => ua.info(now, call, "application/dtmf-relay", b"Signal=1".into()),
            Action::AnswerReoffer(call) => {
                let answer = match self.rng.random_bool(0.8) {
                    true => Ok(Some(ANSWER.into())),
                    false => Err(488),
                };
                ua.answer_reoffer(now, call, answer);
            }
            Action::Refer(call) => {
                let refer_to = "sip:bob@127.0.0.1".to_owned();
                let refer = Refer {
                    refer_to,
                    ..Refer::default()
                };
                ua.refer(now, call, refer);
            }
            Action::AnswerRefer(call) => {
                ua.answer_refer(now, call, Ok(()));
                self.later(side, 5_000, Action::Report(call, 180));
                self.later(side, 60_000, Action::Report(call, 200));
            }
            Action::Report(call, status) => ua.notify_refer(now, call, status, ""),
        }
    }

    fn register(&mut self, side: usize, user: &str) {
        let register = Register {
            registrar_uri: format!("sip:{DOMAIN}"),
            aor: format!("sip:{user}@{DOMAIN}"),
            contact_user: user.to_owned(),
            flow: self.flow(side),
            stream: None,
            route: Vec::new(),
            credentials: Some(credentials(USERS[side])),
            expires_s: self.rng.random_range(30..300),
        };
        let kept = &mut self.sides[side];
        let now = kept.clock.at(self.now);
        let registration = kept.ua.register(now, register).unwrap();
        kept.registrations.push(registration);
    }

    /// Draws whom a side calls.
    fn callee(&mut self, side: usize) -> String {
        if self.carrier.is_none() {
            return "agent@127.0.0.1".to_owned();
        }
        let user = match self.rng.random_range(0..20) {
            0 => "nobody",
            1 => USERS[side],
            2 | 3 => LOOP,
            4..10 => GROUP,
            _ => USERS[(side + self.rng.random_range(1..USERS.len())) % USERS.len()],
        };
        format!("{user}@{DOMAIN}")
    }

    fn invite(&mut self, side: usize) {
        let callee = self.callee(side);
        let (caller, credentials) = match self.carrier {
            Some(_) => (
                format!("{}@{DOMAIN}", USERS[side]),
                credentials(USERS[side]),
            ),
            None => {
                let credentials = Credentials {
                    username: "caller".into(),
                    password: "secret".into(),
                };
                ("caller@127.0.0.1".to_owned(), credentials)
            }
        };
        let flow = self.flow(side);
        let kept = &mut self.sides[side];
        let own = kept.registrations.first();
        let route = own
            .map_or(&[][..], |&own| kept.ua.service_route(own))
            .to_vec();
        let invite = Invite {
            request_uri: format!("sip:{callee}"),
            to: format!("sip:{callee}"),
            from: format!("sip:{caller}"),
            route,
            flow,
            stream: None,
            credentials: Some(credentials),
            body: OFFER.into(),
            content_type: "application/sdp".into(),
            headers: Vec::new(),
        };
        let call = kept.ua.invite(kept.clock.at(self.now), invite).unwrap();
        self.placed += 1;
        self.calls.insert((side, call), None);
        self.later(side, 90_000, Action::HangUp(call));
    }

    pub(crate) fn react(&mut self, side: usize, event: Event) {
        let (call, ending) = match &event {
            Event::Incoming { call, .. } => {
                let before = self.calls.insert((side, *call), None);
                assert!(before.is_none(), "seed {}: a call comes twice", self.seed);
                (*call, None)
            }
            Event::Rejected { call, status, .. } => (*call, Some(Ending::Rejected(*status))),
            Event::Ended { call, cause } => (*call, Some(Ending::Ended(cause.clone()))),
            Event::Trying { call }
            | Event::Progress { call, .. }
            | Event::Answered { call, .. }
            | Event::Confirmed { call, .. }
            | Event::Reoffer { call, .. }
            | Event::ReofferAnswered { call, .. }
            | Event::ReofferOvertaken { call }
            | Event::Refer { call, .. }
            | Event::ReferAnswered { call, .. }
            | Event::ReferProgress { call, .. }
            | Event::Info { call, .. } => (*call, None),
            Event::Registered { .. } => {
                self.granted += 1;
                return;
            }
            Event::RegistrationFailed { .. }
            | Event::Unregistered { .. }
            | Event::Unanswered { .. } => return,
            other => panic!("seed {}: {other:?}", self.seed),
        };
        let known = self
            .calls
            .get_mut(&(side, call))
            .expect("an event of an unknown call");
        assert!(
            known.is_none(),
            "seed {}: {event:?} after {known:?}",
            self.seed
        );
        *known = ending;
        match event {
            Event::Incoming { call, .. } => self.pick(side, call),
            Event::Progress {
                call,
                body: Some(_),
                ..
            } => *self.early.entry((side, call)).or_default() += 1,
            Event::Answered { call, body } => {
                assert_eq!(
                    body.as_deref(),
                    Some(ANSWER.as_bytes()),
                    "seed {}",
                    self.seed
                );
                self.answered += 1;
                self.chat(side, call);
            }
            Event::Confirmed { call, .. } => {
                self.confirmed += 1;
                self.chat(side, call);
            }
            Event::Reoffer { call, .. } => self.later(side, 2_000, Action::AnswerReoffer(call)),
            // Within T1, so that it is not asked again.
            Event::Refer { call, .. } => self.later(side, 400, Action::AnswerRefer(call)),
            Event::ReferAnswered { result, .. } => self.transfers.0 += usize::from(result.is_ok()),
            Event::ReferProgress { is_final, .. } => self.transfers.1 += usize::from(is_final),
            _ => {}
        }
    }

    fn pick(&mut self, side: usize, call: CallHandle) {
        if self.hasty {
            return self.later(side, 12, Action::Answer(call));
        }
        if self.rng.random_bool(0.8) {
            self.later(side, 3_000, Action::Ring(call, 180));
            self.later(side, 3_000, Action::Ring(call, 183));
            self.later(side, 3_000, Action::Ring(call, 180));
        }
        let decision = match self.rng.random_range(0..10) {
            0 => Action::Reject(call),
            1 => Action::HangUp(call),
            _ => Action::Answer(call),
        };
        self.later(side, 20_000, decision);
        // Whatever was decided, the callee does not wait for ever.
        self.at(
            self.now + ms(120_000),
            Moment::Act {
                side,
                action: Action::HangUp(call),
            },
        );
    }

    fn chat(&mut self, side: usize, call: CallHandle) {
        if self.rng.random_bool(0.4) {
            self.later(side, 20_000, Action::Reinvite(call));
        }
        if self.rng.random_bool(0.3) {
            self.later(side, 20_000, Action::Info(call));
        }
        if self.rng.random_bool(0.3) {
            self.later(side, 20_000, Action::Refer(call));
        }
        if self.rng.random_bool(0.4) {
            self.later(side, 60_000, Action::HangUp(call));
        }
    }
}

fn credentials(user: &str) -> Credentials {
    Credentials {
        username: user.to_owned(),
        password: password(user),
    }
}
