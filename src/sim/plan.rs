//! What a seed decides: the network, the callers and what they do, the models and their faults.

mod breadth;
mod extent;

use offhook_media::{Codec, SrtpPolicy};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::network::{Cut, Weather};

/// Everything that a run is decided by.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seeds every draw within the run.
    pub seed: u64,
    /// The network.
    pub weather: Weather,
    /// The longest lag between two tasks of the switch, in milliseconds.
    pub lag_ms: u64,
    /// Times in which the switch stands still (a suspended machine): from, and for how long, in
    /// milliseconds.
    pub standstills: Vec<(u64, u64)>,
    /// The models and their faults.
    pub models: Models,
    /// Whether the switch encrypts media.
    pub srtp: SrtpPolicy,
    /// Who calls, or is called.
    pub callers: Vec<CallerPlan>,
}

/// How the models behave; probabilities from 0 to 1.
#[derive(Clone, Debug)]
pub struct Models {
    /// Whether there is a turn model.
    pub turn_model: bool,
    /// That a recognition fails.
    pub deaf: f64,
    /// That a recognition hears nothing, or something that was not said.
    pub slips: f64,
    /// That a model never answers.
    pub stalls: f64,
    /// That the voice fails, at once or on the way.
    pub mute: f64,
    /// That a web, booking or LLM request fails.
    pub refused: f64,
    /// Whether the flow talks with an LLM.
    pub llm: bool,
}

/// How a caller answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Says what is asked for.
    Cooperative,
    /// Says something.
    Erratic,
    /// Says nothing.
    Silent,
    /// Never comes to an end: asks to wait, again and again.
    Endless,
}

/// How a key is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWay {
    /// As telephone-events (RFC 4733).
    Rtp,
    /// As an INFO request.
    Info,
    /// By both at once: it is one press all the same.
    Both,
}

/// Packets of somebody else, or of the caller's once more: none of them may be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intrusion {
    /// Sound in the clear from another address.
    Stranger,
    /// Sound in the clear from the caller's own address and source, where media is encrypted.
    Forged,
    /// A packet that came before, sent again, where media is encrypted.
    Replayed,
    /// A packet that came before with one bit of it changed, where media is encrypted.
    Tampered,
}

/// What a caller makes of an offer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOffer {
    /// Answers it.
    Accepts,
    /// Refuses it with this status.
    Refuses(u16),
    /// Says that it works on it, and no more.
    Ignores,
}

/// How a phone that the switch calls behaves; times count from the INVITE, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// The status that asks for credentials first, 401 or 407.
    pub challenge: Option<u16>,
    /// Whether the switch has the right ones.
    pub trusted: bool,
    /// When it says 180.
    pub rings_ms: Option<u64>,
    /// When it says 183 with a description, and sends sound that answers nothing.
    pub early_ms: Option<u64>,
    /// What becomes of it.
    pub end: Ringing,
    /// Another phone that rings for the same INVITE, and is asked for no credentials.
    pub fork: Option<Fork>,
}

/// A phone that rings beside another one, both behind a proxy that forks (RFC 3261 §16.7); times
/// count from the INVITE, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// When it says 180.
    pub rings_ms: Option<u64>,
    /// When it says 183 with a description, and sends sound that answers nothing.
    pub early_ms: Option<u64>,
    /// What becomes of it.
    pub end: Ringing,
    /// After what time of the one's answer the proxy cancels the other; it never does without.
    pub cancels_ms: Option<u64>,
}

/// How the ringing ends; times count from the INVITE, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ringing {
    /// It is answered.
    Answered(u64),
    /// It is refused with this status.
    Refused(u64, u16),
    /// Nobody comes.
    Unanswered,
}

/// What one caller does.
#[derive(Clone, Debug)]
pub struct CallerPlan {
    /// When it dials, or is dialled, in milliseconds from the beginning; all that follows is from
    /// there.
    pub dial_at_ms: u64,
    /// Its codecs, the preferred one first.
    pub codecs: Vec<Codec>,
    /// Sound of one packet, in milliseconds.
    pub ptime_ms: u32,
    /// How it answers.
    pub manner: Manner,
    /// When it hangs up, whatever is going on.
    pub hang_up_at_ms: Option<u64>,
    /// When the switch is asked over its API to hang up.
    pub api_hang_up_at_ms: Option<u64>,
    /// Whether it hangs up at the moment that the switch does.
    pub crosses_bye: bool,
    /// Whether its ACKs are lost.
    pub loses_acks: bool,
    /// When it holds, and for how long.
    pub holds: Vec<(u64, u64)>,
    /// Whether nothing at all comes from it while it holds.
    pub silent_holds: bool,
    /// When it refreshes the session, and whether by UPDATE, not by re-INVITE.
    pub refreshes: Vec<(u64, bool)>,
    /// When it presses which key, and how it tells of that.
    pub keys: Vec<(u64, char, KeyWay)>,
    /// Sounds without words: when, and for how long.
    pub noises: Vec<(u64, u64)>,
    /// Probability that it talks into each of the agent's clauses.
    pub interrupts: f64,
    /// The longest that it thinks before it answers, in milliseconds.
    pub thinks_ms: u64,
    /// What it does when the switch calls it; without that it calls the switch.
    pub called: Option<Called>,
    /// Whether it encrypts media.
    pub srtp: SrtpPolicy,
    /// Whether it draws a new key for each offer within the call.
    pub rekeys: bool,
    /// When who intrudes upon its media, with half a second of packets.
    pub intrusions: Vec<(u64, Intrusion)>,
    /// When the switch offers the session anew, as it does to heal sound that goes one way.
    pub offers: Vec<u64>,
    /// What it makes of such an offer.
    pub on_offer: OnOffer,
    /// Whether it sends what was not agreed upon until the switch offers the session anew.
    pub strays: bool,
    /// Whether it plays music while it holds.
    pub music_on_hold: bool,
    /// When a supervisor talks in the agent's place, and for how long.
    pub asides: Vec<(u64, u64)>,
    /// Whether its INVITE has no offer: ours comes with the 200, and its answer with the ACK.
    pub late_offer: bool,
    /// When it sends a re-INVITE without an offer.
    pub bare_refreshes: Vec<u64>,
    /// Whether the call is recorded.
    pub recorded: bool,
    /// When the recording is paused over the API, and for how long.
    pub recording_pauses: Vec<(u64, u64)>,
    /// Frames of each second that the disk is too slow for.
    pub recording_drops: u64,
}

impl CallerPlan {
    /// A caller who lets the agent lead.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            dial_at_ms: 0,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            ptime_ms: 20,
            manner: Manner::Cooperative,
            hang_up_at_ms: None,
            api_hang_up_at_ms: None,
            crosses_bye: false,
            loses_acks: false,
            holds: Vec::new(),
            silent_holds: false,
            refreshes: Vec::new(),
            keys: Vec::new(),
            noises: Vec::new(),
            interrupts: 0.0,
            thinks_ms: 1_200,
            called: None,
            srtp: SrtpPolicy::Off,
            rekeys: false,
            intrusions: Vec::new(),
            offers: Vec::new(),
            on_offer: OnOffer::Accepts,
            strays: false,
            music_on_hold: false,
            asides: Vec::new(),
            late_offer: false,
            bare_refreshes: Vec::new(),
            recorded: false,
            recording_pauses: Vec::new(),
            recording_drops: 0,
        }
    }

    fn draw(rng: &mut StdRng, index: u64) -> Self {
        let within = |rng: &mut StdRng, chance: f64, most: u64| {
            rng.random_bool(chance).then(|| rng.random_range(0..most))
        };
        let mut codecs = vec![Codec::Pcmu, Codec::Pcma];
        if rng.random() {
            codecs.reverse();
        }
        codecs.truncate(rng.random_range(1..=2));
        let manners = [
            (Manner::Cooperative, 50),
            (Manner::Erratic, 35),
            (Manner::Silent, 10),
            (Manner::Endless, 1),
        ];
        let manner = manners
            .choose_weighted(rng, |(_, weight)| *weight)
            .map_or(Manner::Cooperative, |(manner, _)| *manner);
        Self {
            dial_at_ms: index * rng.random_range(0..20_000),
            codecs,
            ptime_ms: *[20, 20, 20, 30, 40, 60].choose(rng).unwrap_or(&20),
            manner,
            hang_up_at_ms: Self::hang_up(rng),
            api_hang_up_at_ms: within(rng, 0.1, 60_000),
            crosses_bye: rng.random_bool(0.2),
            loses_acks: rng.random_bool(0.05),
            holds: several(rng, 0.2, |rng| {
                (rng.random_range(0..60_000), rng.random_range(0..25_000))
            }),
            silent_holds: index % 2 == 1,
            refreshes: Self::refreshes(rng, manner),
            keys: several(rng, 0.15, |rng| {
                let key = *['1', '5', '9', '0', '#', '*'].choose(rng).unwrap_or(&'1');
                let at_ms = rng.random_range(0..60_000);
                let way = [KeyWay::Rtp, KeyWay::Info][usize::from(rng.random::<bool>())];
                (at_ms, key, way)
            }),
            noises: several(rng, 0.3, |rng| {
                (rng.random_range(0..60_000), rng.random_range(20..900))
            }),
            interrupts: *[0.0, 0.0, 0.1, 0.5].choose(rng).unwrap_or(&0.0),
            thinks_ms: *[50, 400, 1_200, 6_000].choose(rng).unwrap_or(&400),
            ..Self::plain()
        }
    }

    /// Any moment: most of them early, where a call is put together.
    fn hang_up(rng: &mut StdRng) -> Option<u64> {
        let most = *[None, None, Some(1_500), Some(8_000), Some(90_000)]
            .choose(rng)
            .unwrap_or(&None);
        most.map(|most: u64| rng.random_range(0..most))
    }

    /// Somewhere in the call, and, of a call that lasts, past its fifteenth minute.
    fn refreshes(rng: &mut StdRng, manner: Manner) -> Vec<(u64, bool)> {
        let mut refreshes = several(rng, 0.2, |rng| (rng.random_range(0..80_000), rng.random()));
        if manner == Manner::Endless {
            refreshes.push((rng.random_range(895_000..905_000), rng.random()));
            refreshes.push((rng.random_range(1_000_000..1_700_000), rng.random()));
        }
        refreshes.sort_unstable();
        refreshes
    }
}

fn several<T>(rng: &mut StdRng, chance: f64, draw: impl Fn(&mut StdRng) -> T) -> Vec<T> {
    let count = match rng.random_bool(chance) {
        true => rng.random_range(1..=3),
        false => 0,
    };
    (0..count).map(|_| draw(rng)).collect()
}

impl Plan {
    /// One caller who lets the agent lead, and nothing goes wrong.
    #[must_use]
    pub fn plain(seed: u64) -> Self {
        Self {
            seed,
            weather: Weather::calm(),
            lag_ms: 0,
            standstills: Vec::new(),
            models: Models {
                turn_model: true,
                deaf: 0.0,
                slips: 0.0,
                stalls: 0.0,
                mute: 0.0,
                refused: 0.0,
                llm: false,
            },
            srtp: SrtpPolicy::Off,
            callers: vec![CallerPlan::plain()],
        }
    }

    /// Draws what a seed decides of a plan in which callers call in the clear and the switch makes
    /// no offers of its own.
    #[must_use]
    pub fn draw_basic(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rng = &mut rng;
        let callers = *[1, 1, 1, 2, 3].choose(rng).unwrap_or(&1);
        Self {
            seed,
            weather: Self::weather(rng),
            lag_ms: *[0, 1, 5, 30].choose(rng).unwrap_or(&0),
            standstills: several(rng, 0.15, |rng| {
                let most = *[200, 3_000, 40_000].choose(rng).unwrap_or(&200);
                (rng.random_range(0..60_000), rng.random_range(10..most))
            }),
            models: Self::models(rng),
            srtp: SrtpPolicy::Off,
            callers: (0..callers).map(|n| CallerPlan::draw(rng, n)).collect(),
        }
    }

    fn models(rng: &mut StdRng) -> Models {
        let ill = rng.random_bool(0.4);
        let fault = |rng: &mut StdRng, most: f64| match ill {
            true => rng.random_range(0.0..most),
            false => 0.0,
        };
        Models {
            turn_model: rng.random_bool(0.85),
            deaf: fault(rng, 0.2),
            slips: fault(rng, 0.2),
            stalls: fault(rng, 0.1),
            mute: fault(rng, 0.15),
            refused: fault(rng, 0.5),
            llm: rng.random_bool(0.25),
        }
    }

    fn weather(rng: &mut StdRng) -> Weather {
        if rng.random_bool(0.3) {
            return Weather {
                delay_ms: rng.random_range(1..120),
                ..Weather::calm()
            };
        }
        let cuts = several(rng, 0.2, |rng| Cut {
            from_ms: rng.random_range(0..80_000),
            for_ms: *[1_000, 10_000, 600_000].choose(rng).unwrap_or(&1_000),
            from_switch: rng.random(),
        });
        Weather {
            delay_ms: rng.random_range(1..150),
            jitter_ms: *[0, 10, 40, 200].choose(rng).unwrap_or(&10),
            loss: *[0.0, 0.01, 0.05, 0.25].choose(rng).unwrap_or(&0.01),
            copies: *[0.0, 0.0, 0.05].choose(rng).unwrap_or(&0.0),
            bursts: *[0.0, 0.002, 0.02].choose(rng).unwrap_or(&0.0),
            cuts,
        }
    }
}
