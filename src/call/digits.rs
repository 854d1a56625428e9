//! The caller's keys: as the media tells them, and as the signalling does in INFO requests
//! (RFC 6086).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use offhook_media::Digit;
use offhook_media::dtmf::{APART, OncePerPress, Way};

/// The most of an INFO's body that is read.
const MAX_BODY_BYTES: usize = 256;
/// Keys of INFO requests that may wait for coming with the sound too: more are not pressed meanwhile.
const MAX_WAITING: usize = 10;

/// The longest that a key is believed to be held: what says that it is longer counts as so long.
const LONGEST: Duration = Duration::from_secs(20);
/// What an INFO says of how long a key was held: by whom nothing else is known, and within these
/// bounds, which gateways keep.
const INFO_MS: u128 = 160;
const INFO_MS_MIN: u128 = 100;
const INFO_MS_MAX: u128 = 5_000;

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub(crate) digit: char,
    /// How long it was held; zero when that is not known.
    pub(crate) held: Duration,
}

/// Joins the digits of a call's media and signalling: many a peer tells of a press by both.
#[derive(Debug, Default)]
pub(crate) struct Digits {
    presses: OncePerPress,
}

impl Digits {
    /// Tells whether a digit of the media, which was `held` so long, is a new press. Tones and
    /// telephone-events are joined before, by the session.
    pub(crate) fn hear(&mut self, now: Instant, digit: char, held: Duration) -> bool {
        self.is_new(now, digit, Way::Event, held)
    }

    /// Tells whether a key of an INFO is a new press.
    pub(crate) fn inform(&mut self, now: Instant, key: Key) -> bool {
        self.is_new(now, key.digit, Way::Info, key.held)
    }

    fn is_new(&mut self, now: Instant, digit: char, way: Way, held: Duration) -> bool {
        Digit::from_char(digit).is_some_and(|digit| self.presses.is_new(now, digit, way, held))
    }
}

/// A party's keys on their way to another one. What comes with the sound passes with it, so a key that
/// an INFO tells of is pressed again only if it does not come so too: many a phone tells of a press in
/// both ways, and by INFO first, as the key goes down or when it comes up. One that has told of a key
/// by INFO alone is not waited for again.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// Until when each may still come with the sound, the oldest first.
    waiting: VecDeque<(Instant, Key)>,
    /// The last key came by INFO alone.
    informs_only: bool,
    /// The key that is held down, as the sound tells, and since when.
    down: Option<(Instant, char)>,
}

impl Passing {
    /// Takes a key that an INFO told of; gives the keys to be pressed now. `with_sound` says whether it
    /// may come with the sound too.
    pub(crate) fn informed(&mut self, now: Instant, key: Key, with_sound: bool) -> Vec<Key> {
        let is_down = |(since, down): (Instant, char)| {
            down == key.digit && now.saturating_duration_since(since) < LONGEST
        };
        if self.down.is_some_and(is_down) {
            return Vec::new();
        }
        if self.waiting.is_empty() && (self.informs_only || !with_sound) {
            return vec![key];
        }
        self.waiting.push_back((now + APART, key));
        let spare = self.waiting.len().saturating_sub(MAX_WAITING);
        self.waiting.drain(..spare).map(|(_, key)| key).collect()
    }

    /// Takes note that a key is held down, which [`Passing::heard`] tells the release of.
    pub(crate) fn goes_down(&mut self, now: Instant, digit: char) {
        self.comes_with_sound(digit);
        self.down = Some((now, digit));
    }

    /// Takes note that a key came with the sound.
    pub(crate) fn heard(&mut self, digit: char) {
        let was_down = self.down.take().is_some_and(|(_, down)| down == digit);
        if !was_down {
            self.comes_with_sound(digit);
        }
    }

    fn comes_with_sound(&mut self, digit: char) {
        self.informs_only = false;
        let same = |(_, waiting): &(Instant, Key)| waiting.digit == digit;
        if let Some(place) = self.waiting.iter().position(same) {
            self.waiting.remove(place);
        }
    }

    /// When [`Passing::due`] has something to give.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(until, _)| *until)
    }

    /// Gives the keys to be pressed now: once one has not come with the sound, none is waited for.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Key> {
        if self.deadline().is_none_or(|until| until > now) {
            return Vec::new();
        }
        self.informs_only = true;
        self.waiting.drain(..).map(|(_, key)| key).collect()
    }
}

/// Reads the key of an INFO: `application/dtmf-relay` says `Signal=5` and for how many milliseconds
/// it was held, `Duration=160`; `application/dtmf` the bare digit. `*` and `#` also come as their
/// event codes, 10 and 11 (RFC 4733 table 3).
pub(crate) fn info_key(content_type: Option<&str>, body: &[u8]) -> Option<Key> {
    let kind = content_type?.split(';').next()?.trim();
    let text = std::str::from_utf8(body.get(..body.len().min(MAX_BODY_BYTES))?).ok()?;
    let value_of = |wanted| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case(wanted);
            is_it.then_some(value.trim())
        })
    };
    let signal = value_of("signal");
    let held_ms = value_of("duration").and_then(|ms| ms.parse::<u32>().ok());
    let held = Duration::from_millis(held_ms.unwrap_or(0).into()).min(LONGEST);
    let value = if kind.eq_ignore_ascii_case("application/dtmf-relay") {
        signal?
    } else if kind.eq_ignore_ascii_case("application/dtmf") {
        signal.unwrap_or(text)
    } else {
        return None;
    };
    let digit = digit(value.trim())?;
    Some(Key { digit, held })
}

/// The media type of an INFO that tells of a key.
pub(crate) const INFO_DIGIT: &str = "application/dtmf-relay";

/// Writes the INFO that tells of a key.
pub(crate) fn key_info(Key { digit, held }: Key) -> Vec<u8> {
    let ms = match held.as_millis() {
        0 => INFO_MS,
        ms => ms.clamp(INFO_MS_MIN, INFO_MS_MAX),
    };
    format!("Signal={digit}\r\nDuration={ms}\r\n").into_bytes()
}

/// A key's label, or its event code where that has two places.
fn digit(value: &str) -> Option<char> {
    let mut characters = value.chars();
    let digit = match (characters.next(), characters.next()) {
        (Some(label), None) => Digit::from_char(label),
        _ => value.parse().ok().and_then(Digit::from_event),
    };
    digit.map(Digit::as_char)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const RELAY: Option<&str> = Some("application/dtmf-relay");

    fn key(digit: char) -> Key {
        let held = Duration::ZERO;
        Key { digit, held }
    }

    fn digits(keys: &[Key]) -> String {
        keys.iter().map(|key| key.digit).collect()
    }

    #[test]
    fn a_key_in_an_info_request_is_read_in_both_usual_forms() {
        let read = |body: &[u8]| info_key(RELAY, body).map(|key| (key.digit, key.held.as_millis()));
        assert_eq!(read(b"Signal= 5\r\nDuration=160\r\n"), Some(('5', 160)));
        assert_eq!(read(b"duration = 3000\nsignal=d"), Some(('D', 3_000)));
        assert_eq!(read(b"Signal=5\r\nDuration=long"), Some(('5', 0)));
        assert_eq!(
            read(b"Signal=5\r\nDuration=4294967295"),
            Some(('5', 20_000))
        );
        assert_eq!(read(b"Duration=160\r\n"), None);
        assert_eq!(read(b"Signal=\r\n"), None);
        assert_eq!(read(b"\xff\xfe"), None);
        let bare = Some("Application/DTMF; charset=utf-8");
        assert_eq!(info_key(bare, b"#"), Some(key('#')));
        assert_eq!(info_key(bare, b"Signal=7\r\n"), Some(key('7')));
        assert_eq!(info_key(Some("text/plain"), b"5"), None);
        assert_eq!(info_key(None, b"5"), None);
    }

    #[test]
    fn an_info_of_ours_says_how_long_a_key_was_held_where_that_is_known() {
        for (held_ms, told) in [(0, 160), (40, 100), (2_500, 2_500), (90_000, 5_000)] {
            let held = Duration::from_millis(held_ms);
            let info = key_info(Key { digit: '#', held });
            let held = Duration::from_millis(told);
            assert_eq!(
                info_key(Some(INFO_DIGIT), &info),
                Some(Key { digit: '#', held })
            );
        }
    }

    #[test]
    fn star_and_hash_may_come_as_event_codes_and_a_flash_is_no_digit() {
        let read = |body: &[u8]| info_key(RELAY, body).map(|key| key.digit);
        assert_eq!(read(b"Signal=10\r\nDuration=250"), Some('*'));
        assert_eq!(read(b"Signal=11\r\nDuration=250"), Some('#'));
        assert_eq!(read(b"Signal=16\r\nDuration=250"), None);
    }

    #[test]
    fn a_press_that_comes_by_media_and_by_info_counts_once() {
        let (mut digits, start) = (Digits::default(), clock::now());
        let (at, held) = (
            |ms| start + Duration::from_millis(ms),
            Duration::from_millis,
        );
        assert!(digits.hear(at(0), '4', held(100)));
        assert!(!digits.inform(at(90), key('4')));
        // The same key again, told of in the other order.
        assert!(digits.inform(at(400), key('4')));
        assert!(!digits.hear(at(420), '4', held(100)));
        assert!(digits.hear(at(600), '#', held(100)));
        // An INFO as the key goes down, the event when it comes up.
        assert!(digits.inform(at(5_000), key('0')));
        assert!(!digits.hear(at(8_000), '0', held(3_000)));
    }

    #[test]
    fn a_key_that_comes_by_info_and_with_the_sound_is_not_pressed_again() {
        let (mut passing, start) = (Passing::default(), clock::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(digits(&passing.informed(at(0), key('4'), true)), "");
        assert_eq!(digits(&passing.informed(at(200), key('5'), true)), "");
        passing.heard('4');
        passing.heard('5');
        assert_eq!(
            (passing.deadline(), passing.due(at(9_000))),
            (None, Vec::new())
        );
        // Who does not tell of keys with the sound is not waited for.
        assert_eq!(digits(&passing.informed(at(9_000), key('6'), false)), "6");
    }

    #[test]
    fn a_key_that_is_held_for_long_and_told_of_by_info_as_it_goes_down_is_pressed_once() {
        let (mut passing, start) = (Passing::default(), clock::now());
        let at = |ms| start + Duration::from_millis(ms);
        // The INFO is first, …
        assert_eq!(passing.informed(at(0), key('4'), true), []);
        passing.goes_down(at(60), '4');
        assert_eq!(passing.deadline(), None);
        passing.heard('4');
        // … the telephone-event is, …
        passing.goes_down(at(5_000), '5');
        assert_eq!(passing.informed(at(5_100), key('5'), true), []);
        assert_eq!(passing.deadline(), None);
        // … and another key's, which comes by INFO alone, waits for its own.
        assert_eq!(passing.informed(at(5_200), key('6'), true), []);
        passing.heard('5');
        assert_eq!(digits(&passing.due(at(6_200))), "6");
        // A release that never comes holds back no later key for good.
        passing.goes_down(at(10_000), '7');
        assert_eq!(digits(&passing.informed(at(40_000), key('7'), false)), "7");
    }

    #[test]
    fn who_tells_of_keys_by_info_alone_is_waited_for_once_and_the_order_stays() {
        let (mut passing, start) = (Passing::default(), clock::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(digits(&passing.informed(at(0), key('1'), true)), "");
        assert_eq!(digits(&passing.informed(at(300), key('2'), true)), "");
        let due = passing.deadline().unwrap();
        assert_eq!(passing.due(due - Duration::from_millis(1)), []);
        assert_eq!(digits(&passing.due(due)), "12");
        assert_eq!(digits(&passing.informed(at(1_500), key('3'), true)), "3");
        // It tells of one with the sound as well: the next may come so again.
        passing.heard('7');
        assert_eq!(digits(&passing.informed(at(2_000), key('8'), true)), "");
    }

    #[test]
    fn a_flood_of_keys_is_passed_on_in_order_and_not_kept() {
        let (mut passing, start) = (Passing::default(), clock::now());
        let mut pressed = String::new();
        for _ in 0..100 {
            for digit in ['1', '2', '3'] {
                pressed += &digits(&passing.informed(start, key(digit), true));
            }
        }
        assert!(passing.waiting.len() <= MAX_WAITING);
        pressed += &digits(&passing.due(start + APART));
        assert_eq!(pressed, "123".repeat(100));
    }

    #[test]
    fn presses_that_come_by_one_way_all_count() {
        let (mut digits, start) = (Digits::default(), clock::now());
        let at = |n: u64| start + Duration::from_millis(120 * n);
        assert!((0..20).all(|n| digits.inform(at(n), key('7'))));
        let mut digits = Digits::default();
        let held = Duration::from_millis(60);
        assert!((0..20).all(|n| digits.hear(at(n), '7', held)));
    }
}
