//! Hears keys from telephone-event packets, each key once however many packets tell of it.

use std::time::{Duration, Instant};

use super::Digit;

/// A key is taken for released when nothing more is heard of it for so long; updates come every
/// 20 to 50 ms.
const LOST_END: Duration = Duration::from_millis(150);

/// A key that was pressed and released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Press {
    pub(crate) digit: Digit,
    /// Ticks of the codec's clock.
    pub(crate) duration: u32,
}

/// Follows the telephone-events of one source (RFC 4733 §2.5.2).
#[derive(Debug, Default)]
pub(crate) struct DtmfReceiver {
    held: Option<Held>,
    /// The newest key that was reported: what is not later tells of it again.
    reported: Option<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    digit: Digit,
    /// Extended RTP timestamp of the packet heard last, which names the event.
    timestamp: u64,
    /// Ticks held in earlier segments of a long event (RFC 4733 §2.5.1.3).
    before: u32,
    duration: u32,
    last_heard: Instant,
    /// That it is held was told.
    is_told: bool,
}

impl Held {
    fn press(self) -> Press {
        Press {
            digit: self.digit,
            duration: self.before.saturating_add(self.duration),
        }
    }

    /// Tells whether a packet with another timestamp still tells of this key: a segment that
    /// follows on the one before (§2.5.1.3), or a sender that wrongly moves the timestamp along
    /// with the duration.
    fn goes_on(self, digit: Digit, timestamp: u64, duration: u32) -> bool {
        let moved = timestamp.saturating_sub(self.timestamp);
        let segment = moved == u64::from(self.duration) && self.duration >= 0x8000;
        let moving = moved > 0 && u64::from(duration.saturating_sub(self.duration)) == moved;
        digit == self.digit && (segment || moving)
    }
}

impl DtmfReceiver {
    /// Takes one telephone-event payload and hands each key that it ends to `report`.
    ///
    /// No marker is needed, and a key is heard though its start or all of its ends are lost.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        timestamp: u64,
        payload: &[u8],
        mut report: impl FnMut(Press),
    ) {
        let Some((&[event, flags, high, low], _)) = payload.split_first_chunk::<4>() else {
            return;
        };
        let Some(digit) = Digit::from_event(event) else {
            return;
        };
        let ended = flags & 0x80 != 0;
        let duration = u32::from(u16::from_be_bytes([high, low]));
        if self.reported.is_some_and(|reported| {
            timestamp <= reported.timestamp || ended && reported.goes_on(digit, timestamp, duration)
        }) {
            return;
        }
        let held = match self.held {
            Some(held) if timestamp < held.timestamp => return,
            Some(held) if timestamp == held.timestamp => Held {
                duration: held.duration.max(duration),
                last_heard: now,
                ..held
            },
            Some(held) if held.goes_on(digit, timestamp, duration) => {
                let before = if duration > held.duration {
                    0
                } else {
                    held.press().duration
                };
                Held {
                    timestamp,
                    before,
                    duration,
                    last_heard: now,
                    ..held
                }
            }
            lost_end => {
                if let Some(held) = lost_end {
                    report(self.release(held));
                }
                Held {
                    digit,
                    timestamp,
                    before: 0,
                    duration,
                    last_heard: now,
                    is_told: false,
                }
            }
        };
        self.held = Some(held);
        if ended {
            report(self.release(held));
        }
    }

    /// The key that is held now, and has not been asked for as such before.
    pub(crate) fn take_begun(&mut self) -> Option<Digit> {
        let held = self.held.as_mut()?;
        (!std::mem::replace(&mut held.is_told, true)).then_some(held.digit)
    }

    /// Reports a key whose end was lost.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Press> {
        let held = self.held?;
        let silent = now.saturating_duration_since(held.last_heard);
        (silent >= LOST_END).then(|| self.release(held))
    }

    /// Forgets everything: another source speaks from now on.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    fn release(&mut self, held: Held) -> Press {
        self.held = None;
        self.reported = Some(held);
        held.press()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    fn packet(digit: char, ended: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        let event = Digit::from_char(digit).unwrap().event();
        [event, if ended { 0x8a } else { 0x0a }, high, low]
    }

    fn hear(receiver: &mut DtmfReceiver, packets: &[(u64, [u8; 4])]) -> String {
        let mut heard = String::new();
        for (timestamp, payload) in packets {
            receiver.handle(epoch(), *timestamp, payload, |press| {
                heard.push(press.digit.as_char())
            });
        }
        heard
    }

    #[test]
    fn a_key_is_reported_once_though_its_end_comes_three_times() {
        let packets: Vec<_> = (1..=4)
            .map(|n| (1000, packet('5', false, n * 160)))
            .chain([(1000, packet('5', true, 800)); 3])
            .collect();
        assert_eq!(hear(&mut DtmfReceiver::default(), &packets), "5");
    }

    #[test]
    fn two_presses_of_one_key_are_two_though_the_end_of_the_first_is_lost() {
        let packets = [
            (1000, packet('5', false, 160)),
            (1000, packet('5', false, 320)),
            (2600, packet('5', false, 160)),
            (2600, packet('5', true, 800)),
        ];
        assert_eq!(hear(&mut DtmfReceiver::default(), &packets), "55");
    }

    #[test]
    fn a_key_whose_end_is_lost_is_reported_after_a_while() {
        let mut receiver = DtmfReceiver::default();
        assert_eq!(hear(&mut receiver, &[(7, packet('#', false, 480))]), "");
        assert_eq!(receiver.tick(epoch() + LOST_END / 2), None);
        let press = receiver.tick(epoch() + LOST_END).unwrap();
        assert_eq!((press.digit.as_char(), press.duration), ('#', 480));
        assert_eq!(hear(&mut receiver, &[(7, packet('#', true, 800))]), "");
    }

    #[test]
    fn that_a_key_is_held_is_told_once_and_not_of_one_that_is_released() {
        let mut receiver = DtmfReceiver::default();
        hear(&mut receiver, &[(1000, packet('5', false, 160))]);
        assert_eq!(receiver.take_begun().map(Digit::as_char), Some('5'));
        hear(&mut receiver, &[(1000, packet('5', false, 320))]);
        assert_eq!(receiver.take_begun(), None);
        // The next one, while the end of the first is lost; then one of which only the end came.
        hear(&mut receiver, &[(2600, packet('6', false, 160))]);
        assert_eq!(receiver.take_begun().map(Digit::as_char), Some('6'));
        hear(&mut receiver, &[(4000, packet('7', true, 800))]);
        assert_eq!(receiver.take_begun(), None);
    }

    #[test]
    fn a_segmented_long_press_is_one_press() {
        let packets = [
            (100, packet('1', false, 0xFFFF)),
            (100 + 0xFFFF, packet('1', false, 160)),
            (100 + 0xFFFF, packet('1', true, 320)),
        ];
        let mut receiver = DtmfReceiver::default();
        let mut durations = Vec::new();
        for (timestamp, payload) in packets {
            receiver.handle(epoch(), timestamp, &payload, |press| {
                durations.push(press.duration)
            });
        }
        assert_eq!(durations, [0xFFFF + 320]);
    }

    #[test]
    fn a_sender_that_moves_the_timestamp_with_the_duration_presses_once() {
        let packets: Vec<_> = (1..=5u16)
            .map(|n| (1000 + u64::from(n) * 160, packet('9', n == 5, n * 160)))
            .collect();
        assert_eq!(hear(&mut DtmfReceiver::default(), &packets), "9");
    }
}
