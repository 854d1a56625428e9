//! A network made up by its seed and its faults.

use serde::Deserialize;

use super::trace::{PER_MS, Passage, Trace};

/// A network by its seed and its faults; times in milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    seed: u64,
    #[serde(default = "two_minutes")]
    seconds: u64,
    #[serde(default = "twenty")]
    ptime_ms: u64,
    delay_ms: f64,
    /// Mean of each packet's own delay, spread exponentially.
    shake_ms: f64,
    /// How much the sender's clock is fast, in millionths.
    #[serde(default)]
    clock_ppm: f64,
    loss: Option<Loss>,
    stall: Option<Stall>,
    queue: Option<Queue>,
    detour: Option<Detour>,
    talk: Option<Talk>,
}

/// Loss by Gilbert and Elliott: none in the good state, all in the bad one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Loss {
    share: f64,
    /// Mean length of a run of lost packets.
    burst: f64,
}

/// Now and then the link stands still, and what waited comes at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stall {
    every_ms: f64,
    least_ms: f64,
    most_ms: f64,
    /// Packets that each of them costs.
    #[serde(default)]
    lost: u32,
}

/// A queue that fills, stays full and drains, over and over.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Queue {
    every_ms: f64,
    rise_ms: f64,
    full_ms: f64,
    drain_ms: f64,
    peak_ms: f64,
    /// Share of packets that a full queue drops.
    loss: f64,
}

/// Some packets take a longer path, and are overtaken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detour {
    share: f64,
    least_ms: f64,
    most_ms: f64,
}

/// The sender sends nothing between its talk-spurts; mean lengths.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Talk {
    spurt_ms: f64,
    pause_ms: f64,
}

fn two_minutes() -> u64 {
    120
}

fn twenty() -> u64 {
    20
}

impl Recipe {
    /// Sends packets over the network for as long as the recipe says.
    pub(super) fn make(&self, name: &str) -> Trace {
        let mut link = Link::new(self);
        let slots = self.seconds * 1_000 / self.ptime_ms.max(1);
        let mut packets = Vec::new();
        for slot in 0..slots {
            if !link.speaks(self, slot * self.ptime_ms) {
                continue;
            }
            // Ticks of the sender's clock, and what they last.
            let sender_ms = ((slot + 1) * self.ptime_ms) as f64;
            let sent_ms = sender_ms * (1.0 - self.clock_ppm / 1e6);
            let arrived_ms = link.carry(self, sent_ms);
            packets.push((slot, arrived_ms));
        }
        let packets = (0..)
            .zip(packets)
            .map(|(sequence, (slot, arrived_ms))| Passage {
                sequence,
                timestamp: slot * self.ptime_ms * PER_MS,
                arrived_us: arrived_ms.map(|ms| (ms * 1_000.0) as u64),
            });
        Trace {
            name: name.to_owned(),
            ptime_ms: self.ptime_ms,
            packets: packets.collect(),
        }
    }
}

/// The link while a trace is made.
struct Link {
    dice: Dice,
    /// When the last packet that kept its place came.
    last_ms: f64,
    bad: bool,
    stall: (f64, f64),
    to_lose: u32,
    speaking: bool,
    turn_ms: f64,
}

impl Link {
    fn new(recipe: &Recipe) -> Self {
        let mut link = Self {
            dice: Dice::new(recipe.seed),
            last_ms: 0.0,
            bad: false,
            stall: (f64::MAX, f64::MAX),
            to_lose: 0,
            speaking: false,
            turn_ms: 0.0,
        };
        link.next_stall(recipe, 0.0);
        link
    }

    fn speaks(&mut self, recipe: &Recipe, now_ms: u64) -> bool {
        let Some(talk) = &recipe.talk else {
            return true;
        };
        while now_ms as f64 >= self.turn_ms {
            self.speaking = !self.speaking;
            let mean = [talk.pause_ms, talk.spurt_ms][usize::from(self.speaking)];
            self.turn_ms += 100.0 + self.dice.exponential(mean - 100.0);
        }
        self.speaking
    }

    /// When a packet arrives that is sent now; none when it is lost.
    fn carry(&mut self, recipe: &Recipe, sent_ms: f64) -> Option<f64> {
        let own = recipe.delay_ms + self.dice.exponential(recipe.shake_ms);
        let (queued, full) = recipe.queue.as_ref().map_or((0.0, 0.0), |q| q.at(sent_ms));
        let mut arrival = sent_ms + own + queued;
        let lost = self.loses(recipe) || self.dice.happens(full);
        if sent_ms > self.stall.1 {
            self.next_stall(recipe, sent_ms);
        }
        if (self.stall.0..self.stall.1).contains(&sent_ms) {
            arrival = arrival.max(self.stall.1 + own);
            if self.to_lose > 0 {
                self.to_lose -= 1;
                return None;
            }
        }
        if let Some(detour) = &recipe.detour
            && self.dice.happens(detour.share)
        {
            let longer = self.dice.between(detour.least_ms, detour.most_ms);
            return (!lost).then_some(arrival + longer);
        }
        // Packets on one path do not overtake each other.
        self.last_ms = arrival.max(self.last_ms + 0.2);
        (!lost).then_some(self.last_ms)
    }

    fn loses(&mut self, recipe: &Recipe) -> bool {
        let Some(loss) = &recipe.loss else {
            return false;
        };
        let leave = 1.0 / loss.burst.max(1.0);
        let enter = leave * loss.share / (1.0 - loss.share);
        self.bad = if self.bad {
            !self.dice.happens(leave)
        } else {
            self.dice.happens(enter)
        };
        self.bad
    }

    fn next_stall(&mut self, recipe: &Recipe, now_ms: f64) {
        if let Some(stall) = &recipe.stall {
            let from = now_ms + self.dice.exponential(stall.every_ms);
            // Short ones are more frequent than long ones.
            let length = self.dice.unit().powi(2) * (stall.most_ms - stall.least_ms);
            self.stall = (from, from + stall.least_ms + length);
            self.to_lose = stall.lost;
        }
    }
}

impl Queue {
    /// Delay in the queue, and the share of packets that it drops.
    fn at(&self, now_ms: f64) -> (f64, f64) {
        let at = now_ms % self.every_ms;
        let (full, drained) = (self.rise_ms + self.full_ms, self.drain_ms);
        if at < self.rise_ms {
            (self.peak_ms * at / self.rise_ms, 0.0)
        } else if at < full {
            (self.peak_ms, self.loss)
        } else {
            let left = (1.0 - (at - full) / drained).max(0.0);
            (self.peak_ms * left, 0.0)
        }
    }
}

/// Random numbers that are the same everywhere and for ever (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn happens(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + self.unit() * (most - least)
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean.max(0.0)
    }
}
