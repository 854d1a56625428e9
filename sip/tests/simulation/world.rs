//! The world: who there is, what happens when, and the network between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::{DefaultHasher, Hash};
use std::time::{Duration, Instant};

use offhook_sip::message::Message;
use offhook_sip::{CallHandle, EndCause, Flow, Reliable, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::books::Books;
use crate::carrier::Carrier;
use crate::sides::{Action, Side};
use crate::support::weather::Weather;
use crate::support::{ANSWER, ms, origin};

/// What happens at a moment; a number keeps the order of equal moments.
pub(crate) enum Moment {
    Arrive {
        to: Node,
        flow: Flow,
        bytes: Vec<u8>,
    },
    Act {
        side: usize,
        action: Action,
    },
    /// A connection of a side is gone.
    Closed {
        side: usize,
    },
    Sleep {
        side: usize,
    },
    Wake {
        side: usize,
        stood_still: bool,
    },
    Leap {
        side: usize,
        by: Duration,
    },
    SetWall {
        by_s: i64,
    },
    Restart,
    /// Everyone is to be registered now.
    Census,
}

#[derive(Clone, Copy, Eq, PartialEq, Hash, Debug)]
pub(crate) enum Node {
    Side(usize),
    Proxy,
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) began: Instant,
    pub(crate) now: Instant,
    pub(crate) rng: StdRng,
    pub(crate) weather: Weather,
    pub(crate) sides: Vec<Side>,
    /// What stands between the sides, if anything does.
    pub(crate) carrier: Option<Carrier>,
    agenda: BinaryHeap<Reverse<(Instant, u64)>>,
    moments: HashMap<u64, Moment>,
    last: u64,
    /// Every call that a side has heard of, and how it ended there.
    pub(crate) calls: BTreeMap<(usize, CallHandle), Option<Ending>>,
    pub(crate) placed: usize,
    pub(crate) answered: usize,
    pub(crate) confirmed: usize,
    /// Whether the network hides that all sides take UPDATE.
    hides_update: bool,
    /// How many requests had nothing to say but that the session goes on.
    pub(crate) refreshes: usize,
    /// How many transfers were accepted, and of how many the outcome was told.
    pub(crate) transfers: (usize, usize),
    /// Whether all sides know reliable provisional responses.
    pub(crate) reliable: bool,
    /// The answers that came by provisional responses, of each call that was placed.
    pub(crate) early: BTreeMap<(usize, CallHandle), usize>,
    /// How many PRACKs were sent, those that were sent again included.
    pub(crate) pracks: usize,
    /// How often a binding was granted.
    pub(crate) granted: usize,
    pub(crate) books: Books,
    /// Whether all who are called answer at once, so that several do.
    pub(crate) hasty: bool,
    /// Everything that was sent, and when.
    pub(crate) trace: DefaultHasher,
    /// Whether it is printed as well.
    prints: bool,
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
    /// Makes a world of two sides that reach each other.
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let guarded = rng.random_bool(0.5);
        let reliable = policies(&mut rng);
        let sides = (0..2).map(|n| Side::direct(n, guarded, reliable[n], &mut rng));
        let sides = sides.collect();
        let knows_reliable = !reliable.contains(&Reliable::Off);
        Self::with(seed, weather, rng, (sides, knows_reliable))
    }

    /// Makes a world of three sides that are subscribers of one carrier.
    pub(crate) fn carried(seed: u64, weather: Weather) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let [first, others] = policies(&mut rng);
        let reliable = [first, others, others];
        let sides = (0..3).map(|n| Side::subscriber(n, reliable[n], &mut rng));
        let sides = sides.collect();
        let carrier = Carrier::new(&weather, &mut rng);
        let knows_reliable = !reliable.contains(&Reliable::Off);
        let world = Self::with(seed, weather, rng, (sides, knows_reliable));
        Self {
            carrier: Some(carrier),
            ..world
        }
    }

    fn with(
        seed: u64,
        weather: Weather,
        mut rng: StdRng,
        (sides, reliable): (Vec<Side>, bool),
    ) -> Self {
        let hides_update = rng.random_bool(0.5);
        let began = origin();
        Self {
            seed,
            began,
            now: began,
            rng,
            weather,
            sides,
            carrier: None,
            agenda: BinaryHeap::new(),
            moments: HashMap::new(),
            last: 0,
            calls: BTreeMap::new(),
            placed: 0,
            answered: 0,
            confirmed: 0,
            hides_update,
            refreshes: 0,
            transfers: (0, 0),
            reliable,
            early: BTreeMap::new(),
            pracks: 0,
            granted: 0,
            books: Books::default(),
            hasty: false,
            trace: DefaultHasher::new(),
            prints: std::env::var("OFFHOOK_TRACE").is_ok(),
        }
    }

    /// Returns the way from a side to whoever it sends to.
    pub(crate) fn flow(&self, side: usize) -> Flow {
        let remote = match &self.carrier {
            Some(carrier) => carrier.address(),
            None => self.sides[1 - side].address,
        };
        Flow {
            transport: self.weather.transport,
            local: self.sides[side].address,
            remote,
        }
    }

    pub(crate) fn at(&mut self, at: Instant, moment: Moment) {
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
            let proxy = self.carrier.as_ref().and_then(|c| c.proxy.poll_timeout());
            let wakes = self.sides.iter().filter_map(Side::wake).chain(proxy);
            // What a clock has jumped over is due at once.
            let wake = wakes.min().map(|at| at.max(self.now));
            let Some(next) = planned.into_iter().chain(wake).min() else {
                return;
            };
            assert!(next >= self.now, "seed {}: time runs back", self.seed);
            self.now = next;
            if planned == Some(next) {
                let Some(Reverse((_, number))) = self.agenda.pop() else {
                    return;
                };
                let moment = self.moments.remove(&number).unwrap();
                self.happen(moment);
            } else {
                for side in &mut self.sides {
                    side.handle_timeout(next);
                }
                if let Some(carrier) = &mut self.carrier {
                    carrier.proxy.handle_timeout(next);
                }
            }
        }
    }

    fn happen(&mut self, moment: Moment) {
        let now = self.now;
        let moment = match self.asleep(moment) {
            Some(moment) => moment,
            None => return,
        };
        match moment {
            Moment::Arrive {
                to: Node::Side(side),
                flow,
                bytes,
            } => {
                if bytes.starts_with(b"SIP/2.0 ") {
                    self.books.heard(&Message::parse(&bytes).unwrap());
                }
                let side = &mut self.sides[side];
                side.ua.receive(side.clock.at(now), flow, &bytes);
            }
            Moment::Arrive {
                to: Node::Proxy,
                flow,
                bytes,
            } => {
                let elapsed = now - self.began;
                if let Some(carrier) = &mut self.carrier {
                    carrier.receive(now, elapsed, flow, &bytes);
                }
            }
            Moment::Act { side, action } => self.act(side, action),
            Moment::Closed { side } => {
                let flow = self.flow(side);
                let side = &mut self.sides[side];
                side.ua.flow_closed(side.clock.at(now), flow);
            }
            Moment::Sleep { side } => self.sides[side].clock.sleep(now),
            Moment::Wake { side, stood_still } => self.wake(side, stood_still),
            Moment::Leap { side, by } => self.sides[side].clock.leap(by),
            Moment::SetWall { by_s } => {
                if let Some(carrier) = &mut self.carrier {
                    carrier.wall.leap(by_s);
                }
            }
            Moment::Restart => self.restart(),
            Moment::Census => self.census(),
        }
    }

    /// Keeps what happens to a side for when it wakes, if it is asleep.
    fn asleep(&mut self, moment: Moment) -> Option<Moment> {
        let side = match &moment {
            Moment::Arrive {
                to: Node::Side(side),
                ..
            }
            | Moment::Act { side, .. }
            | Moment::Closed { side } => *side,
            _ => return Some(moment),
        };
        let side = &mut self.sides[side];
        if side.clock.is_awake() {
            return Some(moment);
        }
        side.hold(moment, self.weather.transport);
        None
    }

    fn wake(&mut self, side: usize, stood_still: bool) {
        let timers_first = self.rng.random_bool(0.5);
        let woken = &mut self.sides[side];
        woken.clock.wake(self.now, stood_still);
        let held = std::mem::take(&mut woken.held);
        if timers_first {
            woken.handle_timeout(self.now);
        }
        for moment in held {
            self.at(self.now, moment);
        }
    }

    /// The carrier's process dies and begins anew.
    fn restart(&mut self) {
        let Some(carrier) = &mut self.carrier else {
            return;
        };
        carrier.restart(&mut self.rng);
        if self.weather.transport != Transport::Udp {
            let (_, most) = self.weather.delay_ms;
            for side in 0..self.sides.len() {
                self.at(self.now + ms(most), Moment::Closed { side });
            }
        }
    }

    fn node_at(&self, address: std::net::SocketAddr) -> Option<Node> {
        let side = self.sides.iter().position(|side| side.address == address);
        let proxy = || self.carrier.as_ref().filter(|c| c.address() == address);
        side.map(Node::Side)
            .or_else(|| proxy().map(|_| Node::Proxy))
    }

    /// Lets the network carry what was sent, and all sides react to what happened.
    fn drain(&mut self) {
        for side in 0..self.sides.len() {
            while let Some(transmit) = self.sides[side].ua.poll_transmit() {
                assert_eq!(
                    transmit.flow.remote,
                    self.flow(side).remote,
                    "seed {}",
                    self.seed
                );
                self.carry(Node::Side(side), transmit.flow, &transmit.bytes);
            }
            while let Some(event) = self.sides[side].ua.poll_event() {
                self.react(side, event);
            }
        }
        while let Some(transmit) = self.carrier.as_mut().and_then(|c| c.proxy.poll_transmit()) {
            self.carry(Node::Proxy, transmit.flow, &transmit.bytes);
        }
    }

    /// Carries a message, as the weather lets it.
    fn carry(&mut self, from: Node, flow: Flow, bytes: &[u8]) {
        let at = self.now - self.began;
        (at, from, flow.remote, bytes).hash(&mut self.trace);
        if self.prints {
            let text = String::from_utf8_lossy(bytes);
            eprintln!("{at:?} {flow}\n{text}");
        }
        if let Ok(message) = Message::parse(bytes) {
            self.books.sent(self.seed, &message);
        }
        let to = self.node_at(flow.remote);
        let to = to.unwrap_or_else(|| panic!("seed {}: sent to {}", self.seed, flow.remote));
        let bytes = self.as_carried(bytes);
        let flow = Flow {
            local: flow.remote,
            remote: flow.local,
            ..flow
        };
        let copies = 1 + usize::from(self.rng.random_bool(self.weather.duplication));
        for _ in 0..copies {
            if self.rng.random_bool(self.weather.loss) {
                continue;
            }
            let (least, most) = self.weather.delay_ms;
            let at = self.now + ms(self.rng.random_range(least..=most));
            let bytes = bytes.clone();
            self.at(at, Moment::Arrive { to, flow, bytes });
        }
    }

    /// Returns what the network makes of a message.
    fn as_carried(&mut self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        // A callee's own offer is another than its answer, which a refresh repeats.
        let by_invite = text.starts_with("INVITE ") && text.ends_with(ANSWER);
        self.refreshes += usize::from(by_invite || text.starts_with("UPDATE "));
        self.pracks += usize::from(text.starts_with("PRACK "));
        let hidden = if self.hides_update { "UPDATE, " } else { "\0" };
        text.replace(hidden, "").into_bytes()
    }

    pub(crate) fn check(&mut self) {
        let seed = self.seed;
        for ((side, call), ending) in &self.calls {
            assert!(
                ending.is_some(),
                "seed {seed}: {call:?} never ended on side {side}"
            );
        }
        let twice = self.early.values().any(|&times| times > 1);
        assert!(
            !(self.reliable && twice && self.carrier.is_none()),
            "seed {seed}: an early answer is told twice"
        );
        for side in &self.sides {
            side.check(seed);
        }
        if let Some(carrier) = &mut self.carrier {
            assert!(
                carrier.proxy.is_idle(),
                "seed {seed}: the proxy keeps something"
            );
        }
    }
}
