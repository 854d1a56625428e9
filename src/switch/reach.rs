//! Which addresses can be reached: learnt from the calls that go there and from being asked by
//! OPTIONS, so that the next call goes first where the last one was answered (RFC 3263 §4.3).
//!
//! Nothing is ever ruled out: what cannot be reached is tried last.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_sip::Transport;

/// Addresses that are remembered at most; of those beyond, the one that was heard of least
/// recently is forgotten.
const KNOWN_MAX: usize = 1_024;
/// How often in a row an address fails to answer OPTIONS until it is down …
const SILENCES: u32 = 3;
/// … and how often in a row it answers until it is up again.
const ANSWERS: u32 = 2;
/// How long calls keep off an address that one of them found silent.
const AVOIDED: Duration = Duration::from_secs(60);
/// How long at most an overloaded server's Retry-After keeps calls off it.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Where requests go: an address, and how.
pub type Hop = (Transport, SocketAddr);

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody answered, whatever it was.
    Answered,
    /// Nobody did, or the transport failed.
    Silent,
    /// It asked to be left alone (503), for so long if it said.
    Overloaded(Option<Duration>),
}

/// How an address stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It answers.
    Up,
    /// It answered once, and does not any more, or a call has just found nobody there.
    Down,
    /// It has answered nothing yet.
    Unknown,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known of addresses.
#[derive(Debug, Default)]
pub struct Reach {
    known: HashMap<Hop, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    heard_of: Instant,
    /// Whether it has answered a call …
    takes_calls: bool,
    /// … and whether it has answered OPTIONS: of one that never did, silence says nothing.
    answers_pings: bool,
    /// Answers to OPTIONS in a row, and silences.
    answers: u32,
    silences: u32,
    is_down: bool,
    avoid: Option<Avoid>,
}

/// Why calls go elsewhere first for a while.
#[derive(Debug, Clone, Copy)]
struct Avoid {
    until: Instant,
    /// It has asked for that: no answer to anything else ends it sooner.
    as_asked: bool,
}

impl Known {
    fn new(now: Instant) -> Self {
        Self {
            heard_of: now,
            takes_calls: false,
            answers_pings: false,
            answers: 0,
            silences: 0,
            is_down: false,
            avoid: None,
        }
    }

    fn avoid_for(&mut self, now: Instant, wait: Duration, as_asked: bool) {
        let until = now + wait;
        self.avoid = Some(Avoid { until, as_asked });
        // It takes fresh answers to come back sooner.
        self.answers = 0;
    }

    fn standing(&self, now: Instant) -> Standing {
        if self.is_down || self.avoid.is_some_and(|avoid| now < avoid.until) {
            Standing::Down
        } else if self.takes_calls || self.answers_pings {
            Standing::Up
        } else {
            Standing::Unknown
        }
    }
}

impl Reach {
    /// Takes note of what came of a call: one failure is enough to try elsewhere first for a
    /// while, one answer to come back.
    pub fn note_call(&mut self, now: Instant, hop: Hop, outcome: Outcome) -> Standing {
        let known = self.known(now, hop);
        match outcome {
            Outcome::Answered => {
                known.takes_calls = true;
                known.is_down = false;
                known.silences = 0;
                known.avoid = None;
            }
            Outcome::Silent => known.avoid_for(now, AVOIDED, false),
            Outcome::Overloaded(retry_after) => {
                let wait = retry_after.unwrap_or(AVOIDED).min(RETRY_AFTER_MAX);
                known.avoid_for(now, wait, true);
            }
        }
        known.standing(now)
    }

    /// Takes note of what came of an OPTIONS. It takes several in a row to change a standing, so
    /// that one lost packet moves no calls.
    pub fn note_ping(&mut self, now: Instant, hop: Hop, outcome: Outcome) -> Standing {
        let known = self.known(now, hop);
        match outcome {
            Outcome::Answered => {
                known.answers_pings = true;
                known.silences = 0;
                known.answers = known.answers.saturating_add(1);
                if known.answers >= ANSWERS {
                    known.is_down = false;
                    known.avoid.take_if(|avoid| !avoid.as_asked);
                }
            }
            Outcome::Silent | Outcome::Overloaded(_) => {
                known.answers = 0;
                known.silences = known.silences.saturating_add(1);
                known.is_down |= known.answers_pings && known.silences >= SILENCES;
            }
        }
        known.standing(now)
    }

    /// How an address stands.
    #[must_use]
    pub fn standing(&self, now: Instant, hop: Hop) -> Standing {
        let known = self.known.get(&hop);
        known.map_or(Standing::Unknown, |known| known.standing(now))
    }

    /// Puts those that cannot be reached behind the others, and leaves the order else as it is.
    pub fn order(&self, now: Instant, transport: Transport, targets: &mut [SocketAddr]) {
        targets.sort_by_key(|target| self.standing(now, (transport, *target)) == Standing::Down);
    }

    fn known(&mut self, now: Instant, hop: Hop) -> &mut Known {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&hop) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.heard_of);
            if let Some(oldest) = oldest.map(|(hop, _)| *hop) {
                self.known.remove(&oldest);
            }
        }
        let known = self.known.entry(hop).or_insert_with(|| Known::new(now));
        known.heard_of = now;
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5060))
    }

    fn hop(last: u8) -> Hop {
        (Transport::Udp, at(last))
    }

    fn ordered(reach: &Reach, now: Instant) -> Vec<SocketAddr> {
        let mut targets = vec![at(1), at(2), at(3)];
        reach.order(now, Transport::Udp, &mut targets);
        targets
    }

    #[test]
    fn calls_go_elsewhere_first_for_a_while_after_one_found_nobody() {
        let (mut reach, now) = (Reach::default(), crate::clock::now());
        reach.note_call(now, hop(1), Outcome::Silent);
        assert_eq!(ordered(&reach, now), [at(2), at(3), at(1)]);
        assert_eq!(ordered(&reach, now + AVOIDED), [at(1), at(2), at(3)]);
        reach.note_call(now, hop(1), Outcome::Answered);
        assert_eq!(ordered(&reach, now), [at(1), at(2), at(3)]);
    }

    #[test]
    fn an_overloaded_server_is_left_alone_for_as_long_as_it_asks_within_reason() {
        let (mut reach, now) = (Reach::default(), crate::clock::now());
        let asked = Some(Duration::from_secs(7));
        reach.note_call(now, hop(1), Outcome::Overloaded(asked));
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(reach.standing(later(6), hop(1)), Standing::Down);
        assert_eq!(reach.standing(later(7), hop(1)), Standing::Unknown);
        let day = Some(Duration::from_secs(86_400));
        reach.note_call(now, hop(1), Outcome::Overloaded(day));
        assert_eq!(reach.standing(later(300), hop(1)), Standing::Unknown);
    }

    #[test]
    fn it_takes_three_silences_to_be_down_and_two_answers_to_be_up_again() {
        let (mut reach, now) = (Reach::default(), crate::clock::now());
        let mut ping = |outcome| reach.note_ping(now, hop(1), outcome);
        assert_eq!(ping(Outcome::Answered), Standing::Up);
        assert_eq!(ping(Outcome::Silent), Standing::Up);
        assert_eq!(ping(Outcome::Silent), Standing::Up);
        assert_eq!(ping(Outcome::Answered), Standing::Up, "the row is broken");
        for expected in [Standing::Up, Standing::Up, Standing::Down] {
            assert_eq!(ping(Outcome::Silent), expected);
        }
        assert_eq!(ping(Outcome::Answered), Standing::Down);
        assert_eq!(ping(Outcome::Silent), Standing::Down);
        assert_eq!(ping(Outcome::Answered), Standing::Down);
        assert_eq!(ping(Outcome::Answered), Standing::Up);
    }

    #[test]
    fn one_that_never_answers_options_is_not_taken_for_dead() {
        let (mut reach, now) = (Reach::default(), crate::clock::now());
        for _ in 0..10 {
            assert_eq!(
                reach.note_ping(now, hop(1), Outcome::Silent),
                Standing::Unknown
            );
        }
        assert_eq!(ordered(&reach, now), [at(1), at(2), at(3)]);
    }

    #[test]
    fn a_carrier_that_takes_calls_and_drops_options_stays_up() {
        let (mut reach, now) = (Reach::default(), crate::clock::now());
        for _ in 0..10 {
            reach.note_ping(now, hop(1), Outcome::Silent);
        }
        reach.note_call(now, hop(1), Outcome::Answered);
        for _ in 0..10 {
            let standing = reach.note_ping(now, hop(1), Outcome::Silent);
            assert_eq!(standing, Standing::Up);
        }
    }

    #[test]
    fn an_answer_to_options_ends_no_wait_that_the_server_asked_for() {
        let (mut reach, now) = (Reach::default(), crate::clock::now());
        for _ in 0..5 {
            reach.note_ping(now, hop(1), Outcome::Answered);
        }
        reach.note_call(now, hop(1), Outcome::Overloaded(None));
        reach.note_call(now, hop(2), Outcome::Silent);
        for expected in [Standing::Down, Standing::Up] {
            reach.note_ping(now, hop(1), Outcome::Answered);
            assert_eq!(reach.standing(now, hop(1)), Standing::Down);
            let silent = reach.note_ping(now, hop(2), Outcome::Answered);
            assert_eq!(silent, expected);
        }
    }

    #[test]
    fn a_transport_that_fails_says_nothing_of_another() {
        let (mut reach, now) = (Reach::default(), crate::clock::now());
        reach.note_call(now, (Transport::Tcp, at(1)), Outcome::Silent);
        assert_eq!(ordered(&reach, now), [at(1), at(2), at(3)]);
    }

    #[test]
    fn however_many_addresses_there_are_a_bounded_number_is_remembered() {
        let (mut reach, begun) = (Reach::default(), crate::clock::now());
        for n in 0..2_000_u16 {
            let address = SocketAddr::from(([192, 0, 2, 1], n));
            let now = begun + Duration::from_millis(u64::from(n));
            reach.note_call(now, (Transport::Udp, address), Outcome::Silent);
        }
        assert_eq!(reach.known.len(), KNOWN_MAX);
        let last = SocketAddr::from(([192, 0, 2, 1], 1_999));
        let standing = reach.standing(begun + Duration::from_secs(3), (Transport::Udp, last));
        assert_eq!(standing, Standing::Down);
    }
}
