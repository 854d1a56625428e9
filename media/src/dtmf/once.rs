//! One press, one digit, though it is told in two ways.

use std::time::{Duration, Instant};

use super::Digit;

/// Presses that may wait for being told again: more are not made in a second.
const MAX_WAITING: usize = 10;
/// How much later the same press may come by another way: an INFO that is sent again after 500 ms
/// (RFC 3261 §17.1.2.2) is within it.
pub const APART: Duration = Duration::from_secs(1);

/// How a digit reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As telephone-events (RFC 4733).
    Event,
    /// As tones in the sound.
    Tone,
    /// In the signalling, by SIP INFO.
    Info,
}

/// Lets each press of a key through once, though the peer tells of it by several ways.
///
/// A digit that came by one way takes away the same digit that comes by another, unless that was
/// pressed more than a second later; the same digit by the same way is another press.
///
/// ```
/// # use std::time::{Duration, Instant};
/// use offhook_media::dtmf::{Digit, OncePerPress, Way};
///
/// let (mut once, now) = (OncePerPress::default(), Instant::now());
/// let (five, held) = (Digit::from_char('5').unwrap(), Duration::from_millis(100));
/// assert!(once.is_new(now, five, Way::Event, held));
/// assert!(!once.is_new(now + Duration::from_millis(80), five, Way::Tone, held));
/// assert!(once.is_new(now + Duration::from_millis(300), five, Way::Event, held));
/// ```
#[derive(Clone, Debug, Default)]
pub struct OncePerPress {
    /// What was let through and may come again.
    waiting: [Option<Waiting>; MAX_WAITING],
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    digit: Digit,
    way: Way,
    /// Other ways by which it came since.
    told: [bool; 3],
    at: Instant,
}

impl OncePerPress {
    /// Tells whether a digit, which was released now and `held` as long as its way tells, is a press
    /// that no other way told of before.
    pub fn is_new(&mut self, now: Instant, digit: Digit, way: Way, held: Duration) -> bool {
        // A long press may be told of by one way when it begins and by another when it ends.
        let fresh = |waiting: &Waiting| {
            now.saturating_duration_since(waiting.at) < APART.saturating_add(held)
        };
        let told_before = |waiting: &&mut Waiting| {
            let once = waiting.way != way && !waiting.told[way as usize];
            waiting.digit == digit && once && fresh(waiting)
        };
        let waiting = self.waiting.iter_mut().flatten();
        if let Some(waiting) = waiting.filter(told_before).min_by_key(|press| press.at) {
            waiting.told[way as usize] = true;
            return false;
        }
        // A free place is first in this order, then the oldest press.
        let place = self.waiting.iter_mut();
        if let Some(place) = place.min_by_key(|slot| slot.map(|press| press.at)) {
            *place = Some(Waiting {
                digit,
                way,
                told: [false; 3],
                at: now,
            });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn heard(presses: &[(u64, char, Way)]) -> String {
        let mut once = OncePerPress::default();
        let mut heard = String::new();
        for &(ms, key, way) in presses {
            let digit = Digit::from_char(key).unwrap();
            let (now, held) = (
                epoch() + Duration::from_millis(ms),
                Duration::from_millis(40),
            );
            if once.is_new(now, digit, way, held) {
                heard.push(key);
            }
        }
        heard
    }

    #[test]
    fn a_press_that_comes_by_three_ways_counts_once() {
        let presses = [
            (0, '7', Way::Event),
            (40, '7', Way::Tone),
            (300, '7', Way::Info),
        ];
        assert_eq!(heard(&presses), "7");
    }

    #[test]
    fn a_key_pressed_twice_counts_twice_in_whatever_order_the_ways_tell_of_it() {
        let (event, info) = (Way::Event, Way::Info);
        let one_by_one = [
            (0, '5', event),
            (50, '5', info),
            (200, '5', event),
            (250, '5', info),
        ];
        assert_eq!(heard(&one_by_one), "55");
        let late = [
            (0, '5', event),
            (200, '5', event),
            (600, '5', info),
            (700, '5', info),
        ];
        assert_eq!(heard(&late), "55");
        let in_turn = [
            (0, '5', event),
            (50, '5', info),
            (200, '5', info),
            (250, '5', event),
        ];
        assert_eq!(heard(&in_turn), "55");
    }

    #[test]
    fn one_way_alone_is_never_held_back() {
        let presses: Vec<_> = (0..40).map(|n| (n * 50, '1', Way::Tone)).collect();
        assert_eq!(heard(&presses).len(), 40);
    }

    #[test]
    fn a_press_much_later_is_another_though_it_comes_by_another_way() {
        assert_eq!(
            heard(&[(0, '3', Way::Event), (1_500, '3', Way::Info)]),
            "33"
        );
    }

    #[test]
    fn different_keys_do_not_take_each_other_away() {
        let presses = [
            (0, '1', Way::Event),
            (10, '2', Way::Info),
            (20, '1', Way::Info),
        ];
        assert_eq!(heard(&presses), "12");
    }

    #[test]
    fn a_key_that_is_held_long_and_heard_at_its_beginning_too_counts_once() {
        let (mut once, nine) = (OncePerPress::default(), Digit::from_char('9').unwrap());
        let at = |ms| epoch() + Duration::from_millis(ms);
        let held = Duration::from_millis;
        // The tone is cut off after 50 ms by a gateway that goes on with an event.
        assert!(once.is_new(at(50), nine, Way::Tone, held(50)));
        assert!(!once.is_new(at(4_000), nine, Way::Event, held(4_000)));
        assert!(once.is_new(at(6_000), nine, Way::Event, held(100)));
    }
}
