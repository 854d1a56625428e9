//! The network between the callers and the switch: seeded loss, delay, jitter (and with it
//! reordering), duplication, bursts of loss, and times in which one way is cut.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How bad the network is; probabilities from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Weather {
    /// Delay of every datagram, in milliseconds.
    pub delay_ms: u64,
    /// Further delay of up to this, drawn for each datagram, in milliseconds.
    pub jitter_ms: u64,
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that a datagram comes twice.
    pub copies: f64,
    /// Probability, at each datagram, that a burst begins in which most are lost.
    pub bursts: f64,
    /// Times without any datagram one way.
    pub cuts: Vec<Cut>,
}

/// A time in which one way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// When it begins, in milliseconds.
    pub from_ms: u64,
    /// How long it lasts, in milliseconds.
    pub for_ms: u64,
    /// Whether what the switch sends is lost, or else what reaches it.
    pub from_switch: bool,
}

impl Weather {
    /// A network without faults.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            delay_ms: 15,
            jitter_ms: 0,
            loss: 0.0,
            copies: 0.0,
            bursts: 0.0,
            cuts: Vec::new(),
        }
    }

    /// Whether every datagram arrives, once and in order.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        *self
            == Self {
                delay_ms: self.delay_ms,
                ..Self::calm()
            }
    }

    fn is_cut(&self, at: Duration, from_switch: bool) -> bool {
        self.cuts.iter().any(|cut| {
            let from = Duration::from_millis(cut.from_ms);
            let until = from + Duration::from_millis(cut.for_ms);
            cut.from_switch == from_switch && (from..until).contains(&at)
        })
    }
}

/// Probability that a datagram within a burst is lost.
const LOSS_IN_BURST: f64 = 0.8;
/// Probability, at each datagram, that a burst ends: ten datagrams long, usually.
const BURST_ENDS: f64 = 0.1;

/// Carries datagrams, or not.
pub(super) struct Network {
    rng: StdRng,
    weather: Weather,
    in_burst: [bool; 2],
}

impl Network {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed ^ 0x6E65_7477_6F72_6B00),
            weather,
            in_burst: [false; 2],
        }
    }

    /// Says after what delays a datagram arrives that is sent at `at`: not at all, once or twice.
    pub(super) fn carry(&mut self, at: Duration, from_switch: bool) -> Vec<Duration> {
        let copies = 1 + usize::from(self.rng.random_bool(self.weather.copies));
        let mut arrivals = Vec::with_capacity(copies);
        for _ in 0..copies {
            if !self.loses(from_switch) && !self.weather.is_cut(at, from_switch) {
                let jitter = self.rng.random_range(0..=self.weather.jitter_ms * 1000);
                let delay = Duration::from_millis(self.weather.delay_ms);
                arrivals.push(delay + Duration::from_micros(jitter));
            }
        }
        arrivals
    }

    fn loses(&mut self, from_switch: bool) -> bool {
        let Some(in_burst) = self.in_burst.get_mut(usize::from(from_switch)) else {
            return false;
        };
        let turns = if *in_burst {
            BURST_ENDS
        } else {
            self.weather.bursts
        };
        if self.rng.random_bool(turns) {
            *in_burst = !*in_burst;
        }
        let loss = if *in_burst {
            LOSS_IN_BURST
        } else {
            self.weather.loss
        };
        self.rng.random_bool(loss)
    }
}
