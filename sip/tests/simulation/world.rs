//! The two sides, what they decide, and the network between them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{DefaultHasher, Hash};
use std::time::Instant;

use offhook_sip::{
    Access, CallHandle, Credentials, EndCause, Event, Flow, Invite, Refer, Reliable, SessionTimer,
    Settings, UserAgent, UserSecret,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::weather::Weather;
use crate::support::{ANSWER, OFFER, ms, origin};

/// What one side decides to do.
#[derive(Clone, Debug)]
pub(crate) enum Action {
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

/// What happens at a moment; the number keeps the order of equal moments.
enum Moment {
    Arrive { side: usize, bytes: Vec<u8> },
    Act { side: usize, action: Action },
}

pub(crate) struct World {
    pub(crate) seed: u64,
    began: Instant,
    pub(crate) now: Instant,
    pub(crate) rng: StdRng,
    weather: Weather,
    pub(crate) sides: [UserAgent; 2],
    agenda: BinaryHeap<Reverse<(Instant, u64)>>,
    moments: HashMap<u64, Moment>,
    last: u64,
    /// Every call that a side has heard of, and how it ended there.
    pub(crate) calls: HashMap<(usize, CallHandle), Option<Ending>>,
    pub(crate) answered: usize,
    pub(crate) confirmed: usize,
    /// Whether the network hides that both sides take UPDATE.
    hides_update: bool,
    /// How many requests had nothing to say but that the session goes on.
    pub(crate) refreshes: usize,
    /// How many transfers were accepted, and of how many the outcome was told.
    pub(crate) transfers: (usize, usize),
    /// Whether both sides know reliable provisional responses.
    reliable: bool,
    /// The answers that came by provisional responses, of each call that was placed.
    early: HashMap<(usize, CallHandle), usize>,
    /// How many PRACKs were sent, those that were sent again included.
    pub(crate) pracks: usize,
    /// Everything that was sent, and when.
    pub(crate) trace: DefaultHasher,
}

/// Draws how the sides stand to reliable provisional responses; who does not know them is not asked
/// to.
fn policies(rng: &mut StdRng) -> [Reliable; 2] {
    match rng.random_range(0..6) {
        0 => [Reliable::Off, Reliable::Supported],
        1 => [Reliable::Supported, Reliable::Off],
        2 => [Reliable::Required, Reliable::Supported],
        3 => [Reliable::Required; 2],
        _ => [Reliable::Supported; 2],
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Ending {
    Rejected(u16),
    Ended(EndCause),
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let guarded = rng.random_bool(0.5);
        let mut session = SessionTimer::default();
        session.expires_s = session.min_se_s;
        let reliable = policies(&mut rng);
        let side = |n: u8, rng: &mut StdRng| {
            let mut secret: [u8; 32] = rng.random();
            secret[0] = n;
            let user = UserSecret {
                name: "caller".into(),
                password: "secret".into(),
            };
            UserAgent::new(Settings {
                seed: secret,
                access: Access {
                    open_loopback: !guarded,
                    users: if guarded { vec![user] } else { Vec::new() },
                    ..Access::default()
                },
                session,
                transfers: true,
                reliable: reliable[usize::from(n)],
                ..Settings::default()
            })
        };
        let sides = [side(0, &mut rng), side(1, &mut rng)];
        let hides_update = rng.random_bool(0.5);
        let began = origin();
        Self {
            seed,
            began,
            now: began,
            rng,
            weather,
            sides,
            agenda: BinaryHeap::new(),
            moments: HashMap::new(),
            last: 0,
            calls: HashMap::new(),
            answered: 0,
            confirmed: 0,
            hides_update,
            refreshes: 0,
            transfers: (0, 0),
            reliable: !reliable.contains(&Reliable::Off),
            early: HashMap::new(),
            pracks: 0,
            trace: DefaultHasher::new(),
        }
    }

    fn address(side: usize) -> std::net::SocketAddr {
        ([127, 0, 0, 1], 5060 + u16::try_from(side).unwrap()).into()
    }

    fn flow(&self, side: usize) -> Flow {
        Flow {
            transport: self.weather.transport,
            local: Self::address(side),
            remote: Self::address(1 - side),
        }
    }

    fn at(&mut self, at: Instant, moment: Moment) {
        self.last += 1;
        self.agenda.push(Reverse((at, self.last)));
        self.moments.insert(self.last, moment);
    }

    pub(crate) fn later(&mut self, side: usize, longest: u64, action: Action) {
        let at = self.now + ms(self.rng.random_range(0..=longest));
        self.at(at, Moment::Act { side, action });
    }

    /// Runs until nothing is left to happen.
    pub(crate) fn run(&mut self) {
        for steps in 0.. {
            assert!(steps < 2_000_000, "seed {}: it never ends", self.seed);
            self.drain();
            let planned = self.agenda.peek().map(|Reverse((at, _))| *at);
            let wake = (0..2)
                .filter_map(|side| self.sides[side].poll_timeout())
                .map(|w| w.0)
                .min();
            let Some(next) = planned.into_iter().chain(wake).min() else {
                return;
            };
            assert!(next >= self.now, "seed {}: time runs back", self.seed);
            self.now = next;
            if planned == Some(next) {
                let Some(Reverse((_, number))) = self.agenda.pop() else {
                    return;
                };
                match self.moments.remove(&number).unwrap() {
                    Moment::Arrive { side, bytes } => {
                        let flow = self.flow(side);
                        self.sides[side].receive(self.now, flow, &bytes);
                    }
                    Moment::Act { side, action } => self.act(side, action),
                }
            } else {
                self.sides
                    .iter_mut()
                    .for_each(|side| side.handle_timeout(next));
            }
        }
    }

    /// Lets the network carry what was sent, and both sides react to what happened.
    fn drain(&mut self) {
        for side in 0..2 {
            while let Some(transmit) = self.sides[side].poll_transmit() {
                assert_eq!(
                    transmit.flow.remote,
                    Self::address(1 - side),
                    "seed {}",
                    self.seed
                );
                let at = self.now - self.began;
                (at, side, &transmit.bytes).hash(&mut self.trace);
                let copies = 1 + usize::from(self.rng.random_bool(self.weather.duplication));
                for _ in 0..copies {
                    if self.rng.random_bool(self.weather.loss) {
                        continue;
                    }
                    let (least, most) = self.weather.delay_ms;
                    let at = self.now + ms(self.rng.random_range(least..=most));
                    let bytes = self.carried(&transmit.bytes);
                    self.at(
                        at,
                        Moment::Arrive {
                            side: 1 - side,
                            bytes,
                        },
                    );
                }
            }
            while let Some(event) = self.sides[side].poll_event() {
                self.react(side, event);
            }
        }
    }

    /// Returns what the network makes of a message.
    fn carried(&mut self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        // A callee's own offer is another than its answer, which a refresh repeats.
        let by_invite = text.starts_with("INVITE ") && text.ends_with(ANSWER);
        self.refreshes += usize::from(by_invite || text.starts_with("UPDATE "));
        self.pracks += usize::from(text.starts_with("PRACK "));
        let hidden = if self.hides_update { "UPDATE, " } else { "\0" };
        text.replace(hidden, "").into_bytes()
    }

    fn act(&mut self, side: usize, action: Action) {
        let (now, flow) = (self.now, self.flow(side));
        let ua = &mut self.sides[side];
        match action {
            Action::Invite => {
                let invite = Invite {
                    request_uri: "sip:agent@127.0.0.1".into(),
                    to: "sip:agent@127.0.0.1".into(),
                    from: "sip:caller@127.0.0.1".into(),
                    route: Vec::new(),
                    flow,
                    stream: None,
                    credentials: Some(Credentials {
                        username: "caller".into(),
                        password: "secret".into(),
                    }),
                    body: OFFER.into(),
                    content_type: "application/sdp".into(),
                    headers: Vec::new(),
                };
                let call = ua.invite(now, invite).unwrap();
                self.calls.insert((side, call), None);
                self.later(side, 90_000, Action::HangUp(call));
            }
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

    fn react(&mut self, side: usize, event: Event) {
        let (call, ending) = match &event {
            Event::Incoming { call, .. } => {
                let before = self.calls.insert((side, *call), None);
                assert!(before.is_none(), "seed {}: a call comes twice", self.seed);
                (*call, None)
            }
            Event::Rejected { call, status, .. } => (*call, Some(Ending::Rejected(*status))),
            Event::Ended { call, cause } => (*call, Some(Ending::Ended(cause.clone()))),
            Event::Progress { call, .. }
            | Event::Answered { call, .. }
            | Event::Confirmed { call, .. }
            | Event::Reoffer { call, .. }
            | Event::ReofferAnswered { call, .. }
            | Event::ReofferOvertaken { call }
            | Event::Refer { call, .. }
            | Event::ReferAnswered { call, .. }
            | Event::ReferProgress { call, .. }
            | Event::Info { call, .. } => (*call, None),
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

    pub(crate) fn check(&self) {
        let seed = self.seed;
        for ((side, call), ending) in &self.calls {
            assert!(
                ending.is_some(),
                "seed {seed}: {call:?} never ended on side {side}"
            );
        }
        let twice = self.early.values().any(|&times| times > 1);
        assert!(
            !(self.reliable && twice),
            "seed {seed}: an early answer is told twice"
        );
        for side in &self.sides {
            assert_eq!(side.call_count(), 0, "seed {seed}: calls are left");
            assert_eq!(
                side.transaction_count(),
                0,
                "seed {seed}: transactions are left"
            );
            assert!(side.is_idle(), "seed {seed}: something is left");
            assert_eq!(
                side.stats().malformed,
                0,
                "seed {seed}: we do not read what we write"
            );
        }
    }
}
