//! The caller's keys: as the media tells them, and as the signalling does in INFO requests
//! (RFC 6086).

use std::time::{Duration, Instant};

use offhook_media::Digit;
use offhook_media::dtmf::{OncePerPress, Way};

/// The most of an INFO's body that is read.
const MAX_BODY_BYTES: usize = 256;

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

    /// Tells whether a digit of an INFO is a new press.
    pub(crate) fn inform(&mut self, now: Instant, digit: char) -> bool {
        self.is_new(now, digit, Way::Info, Duration::ZERO)
    }

    fn is_new(&mut self, now: Instant, digit: char, way: Way, held: Duration) -> bool {
        Digit::from_char(digit).is_some_and(|digit| self.presses.is_new(now, digit, way, held))
    }
}

/// Reads the digit of an INFO: `application/dtmf-relay` says `Signal=5`, `application/dtmf` the
/// bare digit; `*` and `#` also come as their event codes, 10 and 11 (RFC 4733 table 3).
pub(crate) fn info_digit(content_type: Option<&str>, body: &[u8]) -> Option<char> {
    let kind = content_type?.split(';').next()?.trim();
    let text = std::str::from_utf8(body.get(..body.len().min(MAX_BODY_BYTES))?).ok()?;
    let signal = text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        name.trim().eq_ignore_ascii_case("signal").then_some(value)
    });
    let value = if kind.eq_ignore_ascii_case("application/dtmf-relay") {
        signal?
    } else if kind.eq_ignore_ascii_case("application/dtmf") {
        signal.unwrap_or(text)
    } else {
        return None;
    };
    digit(value.trim())
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

    #[test]
    fn a_digit_in_an_info_request_is_read_in_both_usual_forms() {
        let read = |body: &[u8]| info_digit(RELAY, body);
        assert_eq!(read(b"Signal= 5\r\nDuration=160\r\n"), Some('5'));
        assert_eq!(read(b"signal=d\nDuration=160"), Some('D'));
        assert_eq!(read(b"Duration=160\r\n"), None);
        assert_eq!(read(b"Signal=\r\n"), None);
        assert_eq!(read(b"\xff\xfe"), None);
        let bare = Some("Application/DTMF; charset=utf-8");
        assert_eq!(info_digit(bare, b"#"), Some('#'));
        assert_eq!(info_digit(bare, b"Signal=7\r\n"), Some('7'));
        assert_eq!(info_digit(Some("text/plain"), b"5"), None);
        assert_eq!(info_digit(None, b"5"), None);
    }

    #[test]
    fn star_and_hash_may_come_as_event_codes_and_a_flash_is_no_digit() {
        assert_eq!(info_digit(RELAY, b"Signal=10\r\nDuration=250"), Some('*'));
        assert_eq!(info_digit(RELAY, b"Signal=11\r\nDuration=250"), Some('#'));
        assert_eq!(info_digit(RELAY, b"Signal=16\r\nDuration=250"), None);
    }

    #[test]
    fn a_press_that_comes_by_media_and_by_info_counts_once() {
        let (mut digits, start) = (Digits::default(), clock::now());
        let (at, held) = (
            |ms| start + Duration::from_millis(ms),
            Duration::from_millis,
        );
        assert!(digits.hear(at(0), '4', held(100)));
        assert!(!digits.inform(at(90), '4'));
        // The same key again, told of in the other order.
        assert!(digits.inform(at(400), '4'));
        assert!(!digits.hear(at(420), '4', held(100)));
        assert!(digits.hear(at(600), '#', held(100)));
        // An INFO as the key goes down, the event when it comes up.
        assert!(digits.inform(at(5_000), '0'));
        assert!(!digits.hear(at(8_000), '0', held(3_000)));
    }

    #[test]
    fn presses_that_come_by_one_way_all_count() {
        let (mut digits, start) = (Digits::default(), clock::now());
        let at = |n: u64| start + Duration::from_millis(120 * n);
        assert!((0..20).all(|n| digits.inform(at(n), '7')));
        let mut digits = Digits::default();
        let held = Duration::from_millis(60);
        assert!((0..20).all(|n| digits.hear(at(n), '7', held)));
    }
}
