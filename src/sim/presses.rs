//! The keys that a caller presses, and what the flow is told of them: each once, and in order.

use std::time::{Duration, Instant};

use offhook_media::dtmf::Way;

use super::invariants::Rule;
use super::plan::KeyWay;
use super::wire::Broken;

/// How much later an INFO may be another press (`media::dtmf::OncePerPress`).
const APART: Duration = Duration::from_secs(1);
/// By when a press is told of: a few keys wait for one another, and the network takes its time.
const TOLD: Duration = Duration::from_secs(4);

#[derive(Debug)]
struct Press {
    at: Instant,
    key: char,
    way: KeyWay,
    /// Nothing keeps it from being heard.
    certain: bool,
    heard: bool,
}

/// The presses of one call.
#[derive(Debug, Default)]
pub(super) struct Presses {
    all: Vec<Press>,
}

impl Presses {
    pub(super) fn pressed(&mut self, at: Instant, key: char, way: KeyWay, certain: bool) {
        self.all.push(Press {
            at,
            key,
            way,
            certain,
            heard: false,
        });
    }

    /// Takes a digit that the flow is told of.
    pub(super) fn heard(&mut self, now: Instant, digit: char, way: Way) -> Option<Broken> {
        let tells = |press: &Press| match press.way {
            KeyWay::Both => true,
            KeyWay::Rtp => way == Way::Event,
            KeyWay::Info => way == Way::Info,
        };
        // What comes after a later press of the same way came out of order.
        let last = self.all.iter().rposition(|p| p.heard && tells(p));
        let from = last.map_or(0, |at| at + 1);
        let rest = self.all.get_mut(from..).unwrap_or_default();
        let press = rest.iter_mut().find(|p| p.key == digit && tells(p));
        if let Some(press) = press {
            press.heard = true;
            return None;
        }
        let late = |press: &&Press| {
            let told = now.saturating_duration_since(press.at);
            press.key == digit && press.way == KeyWay::Both && told > APART
        };
        if self.all.iter().any(|press| late(&press)) {
            return None;
        }
        let what = format!("{digit} by {way:?}: pressed was {}", self.in_words(now));
        Some((Rule::DigitOnce, what))
    }

    /// Holds what was pressed against what was heard, once the call is over.
    pub(super) fn check(&self, ended: Instant) -> Option<Broken> {
        let lost = |press: &&Press| press.certain && !press.heard && press.at + TOLD < ended;
        let press = self
            .all
            .iter()
            .filter(lost)
            .find(|p| !self.is_doubtful(p))?;
        let what = format!("{} was not heard of {}", press.key, self.in_words(ended));
        Some((Rule::DigitOnce, what))
    }

    /// Whether the same key was pressed nearby in another way, so that nothing tells whether that is
    /// one press or two.
    fn is_doubtful(&self, press: &Press) -> bool {
        let near = |other: &&Press| {
            let (first, second) = (press.at.min(other.at), press.at.max(other.at));
            second - first < 2 * APART
        };
        let others = self.all.iter().filter(|p| p.key == press.key);
        others.filter(near).any(|other| other.way != press.way)
    }

    fn in_words(&self, now: Instant) -> String {
        let words = self.all.iter().map(|press| {
            let ago = now.saturating_duration_since(press.at).as_millis();
            let heard = if press.heard { "heard" } else { "not heard" };
            format!("{} by {:?} {ago} ms ago ({heard})", press.key, press.way)
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_counts_twice_or_comes_out_of_order_or_is_lost_is_seen() {
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut presses = Presses::default();
        presses.pressed(at(0), '1', KeyWay::Rtp, true);
        presses.pressed(at(300), '2', KeyWay::Rtp, true);
        assert_eq!(presses.heard(at(500), '2', Way::Event), None);
        let late = presses.heard(at(600), '1', Way::Event);
        assert_eq!(late.unwrap().0, Rule::DigitOnce);
        assert!(presses.heard(at(650), '2', Way::Event).is_some(), "twice");
        assert_eq!(presses.check(at(1_000)), None, "it may still come");
        assert!(presses.check(at(9_000)).is_some(), "the first was lost");
    }

    #[test]
    fn one_key_in_two_ways_at_once_may_be_one_press_or_two() {
        // Seed 529 pressed 5 by RTP and, 172 ms later, by INFO.
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut presses = Presses::default();
        presses.pressed(at(0), '5', KeyWay::Rtp, true);
        presses.pressed(at(172), '5', KeyWay::Info, true);
        assert_eq!(presses.heard(at(220), '5', Way::Event), None);
        assert_eq!(presses.check(at(9_000)), None);
    }
}
