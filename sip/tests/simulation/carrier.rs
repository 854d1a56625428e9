//! A carrier in the simulated world: its proxy and registrar, its clock, and what befalls both.

use std::net::SocketAddr;
use std::time::Duration;

use offhook_sip::{Flow, Transport};
use rand::Rng;
use rand::rngs::StdRng;

use crate::clocks::Wall;
use crate::proxy::{Manner, Proxy};
use crate::registrar::{GROUP, Policy, Registrar, USERS};
use crate::sides::Action;
use crate::support::ms;
use crate::support::weather::Weather;
use crate::world::{Moment, World};

pub(crate) struct Carrier {
    pub(crate) proxy: Proxy,
    pub(crate) wall: Wall,
    /// Whether its bindings survive a restart.
    keeps_bindings: bool,
}

/// Where the proxy is.
const ADDRESS: ([u8; 4], u16) = ([192, 0, 2, 10], 5060);
/// The longest that a binding is granted for, in seconds.
const MOST_S: u32 = 120;

impl Carrier {
    pub(crate) fn new(weather: &Weather, rng: &mut StdRng) -> Self {
        let is_calm = weather.loss == 0.0 && weather.transport == Transport::Udp;
        let impatient = !is_calm && rng.random_bool(0.3);
        let transport = weather.transport;
        let manner = Manner {
            transport,
            challenges_calls: rng.random_bool(0.8),
            challenges_all: rng.random_bool(0.3),
            forwards_strays: rng.random_bool(0.4),
            timer_c: Duration::from_secs(if impatient { 12 } else { 181 }),
        };
        let policy = Policy {
            md5_only: rng.random_bool(0.5),
            expires_s: (60, MOST_S),
            nonce_lifetime: Duration::from_secs(if rng.random_bool(0.5) { 20 } else { 300 }),
        };
        let address = SocketAddr::from(ADDRESS);
        let parameter = match transport {
            Transport::Udp => "",
            _ => ";transport=tcp",
        };
        let routes = rng.random_bool(0.5);
        let route = routes.then(|| format!("<sip:{address}{parameter};lr>"));
        let registrar = Registrar::new(policy, rng.random(), route);
        Self {
            proxy: Proxy::new(address, manner, rng.random(), registrar),
            wall: Wall::new(),
            keeps_bindings: rng.random_bool(0.5),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ADDRESS.into()
    }

    pub(crate) fn receive(
        &mut self,
        now: std::time::Instant,
        elapsed: Duration,
        flow: Flow,
        bytes: &[u8],
    ) {
        let wall = self.wall.at(elapsed);
        self.proxy.receive(now, wall, flow, bytes);
    }

    pub(crate) fn restart(&mut self, rng: &mut StdRng) {
        self.proxy.restart();
        let keeps = self.keeps_bindings;
        self.proxy.registrar.restart(rng.random(), keeps);
    }
}

/// What befalls a world.
#[derive(Clone, Copy, Default)]
pub(crate) struct Trouble {
    /// The carrier's process dies now and then.
    pub(crate) restarts: bool,
    /// Machines are suspended, clocks jump.
    pub(crate) jumps: bool,
}

impl World {
    /// Plans a world with a carrier from its beginning to its end: everyone registers, so many calls
    /// are placed, and everyone leaves.
    pub(crate) fn plan(&mut self, calls: usize, trouble: Trouble) {
        for (side, user) in USERS.into_iter().enumerate() {
            self.later(side, 1_000, Action::Register(user));
            if side > 0 {
                self.later(side, 1_000, Action::Register(GROUP));
            }
        }
        for _ in 0..calls {
            let side = self.rng.random_range(0..self.sides.len());
            let at = self.began + ms(self.rng.random_range(5_000..65_000));
            let action = Action::Invite;
            self.at(at, Moment::Act { side, action });
        }
        if trouble.restarts {
            for _ in 0..self.rng.random_range(1..4) {
                let at = self.began + ms(self.rng.random_range(0..150_000));
                self.at(at, Moment::Restart);
            }
        }
        let quiet = match trouble.jumps {
            true => self.plan_jumps(),
            false => ms(300_000),
        };
        // Longer than any binding, and than the wait for one that failed.
        let census = self.began + quiet + ms(300_000);
        if self.weather.loss == 0.0 {
            self.at(census, Moment::Census);
        }
        for side in 0..self.sides.len() {
            let at = census + ms(self.rng.random_range(1..30_000));
            let action = Action::Leave;
            self.at(at, Moment::Act { side, action });
        }
    }

    /// Plans suspended machines and jumping clocks; returns when all of that is over.
    fn plan_jumps(&mut self) -> Duration {
        let mut quiet = ms(300_000);
        for side in 0..self.sides.len() {
            if self.rng.random_bool(0.6) {
                let asleep = ms(self.rng.random_range(1_000..150_000));
                let longest_s = if self.rng.random_bool(0.2) {
                    10_000
                } else {
                    600
                };
                let for_s = self.rng.random_range(1..=longest_s);
                let awake = asleep + ms(for_s * 1_000);
                self.sides[side].queues = self.rng.random_bool(0.5);
                let stood_still = self.rng.random_bool(0.5);
                self.at(self.began + asleep, Moment::Sleep { side });
                self.at(self.began + awake, Moment::Wake { side, stood_still });
                quiet = quiet.max(awake);
            }
            if self.rng.random_bool(0.4) {
                let at = self.began + ms(self.rng.random_range(1_000..150_000));
                let by = ms(self.rng.random_range(1..10_000_000));
                self.at(at, Moment::Leap { side, by });
            }
        }
        for _ in 0..self.rng.random_range(0..4) {
            let at = self.began + ms(self.rng.random_range(1_000..200_000));
            let by_s = self.rng.random_range(-10_000..10_000);
            self.at(at, Moment::SetWall { by_s });
        }
        quiet
    }

    /// Checks that everyone is registered.
    pub(crate) fn census(&mut self) {
        let (seed, elapsed) = (self.seed, self.now - self.began);
        let carrier = self.carrier.as_mut().expect("a carrier");
        let wall = carrier.wall.at(elapsed);
        let mut bound = |user| carrier.proxy.registrar.count(wall, user);
        for user in USERS {
            assert_eq!(bound(user), 1, "seed {seed}: bindings of {user}");
        }
        assert_eq!(bound(GROUP), 2, "seed {seed}: bindings of {GROUP}");
    }

    /// Counts the bindings that stand.
    pub(crate) fn bindings(&mut self) -> usize {
        let elapsed = self.now - self.began;
        let carrier = self.carrier.as_mut().expect("a carrier");
        let wall = carrier.wall.at(elapsed);
        let users = USERS.into_iter().chain([GROUP]);
        users
            .map(|user| carrier.proxy.registrar.count(wall, user))
            .sum()
    }
}
