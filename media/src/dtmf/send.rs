//! Presses keys, one 20 ms step at a time.

use std::collections::VecDeque;

use thiserror::Error;

use super::Digit;

/// Steps that may wait: about a minute of dialling.
const MAX_QUEUED: usize = 256;
/// How long a key is held, in steps of 20 ms.
const HELD_STEPS: u16 = 5;
/// Silence after a key, in steps; the repeated ends fall into it.
const GAP_STEPS: u16 = 4;
/// The end of a key is sent so many times (RFC 4733 §2.5.1.4).
const END_PACKETS: u16 = 3;
/// Loudness in -dBm0 (RFC 4733 §2.3.4).
const VOLUME: u8 = 10;

/// Says what cannot be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidDigit {
    /// There is no such key.
    #[error("{0:?} is no telephone key (0-9 * # A-D, w and , wait half a second, W a second)")]
    NoSuchKey(char),
    /// More keys wait than anyone dials.
    #[error("more than {MAX_QUEUED} keys are waiting to be dialled")]
    TooMany,
}

/// What one 20 ms step of dialling puts on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// Nothing is being dialled.
    Idle,
    /// A key is held, or its end is repeated.
    Event {
        digit: Digit,
        /// The RTP payload (RFC 4733 §2.3).
        payload: [u8; 4],
        /// Extended timestamp of the event's start.
        timestamp: u64,
        /// First packet of the event (§2.5.1.1).
        marker: bool,
        /// Whether the key is still held, for who hears tones.
        held: bool,
        /// Steps since it was pressed.
        step: u16,
    },
    /// Silence between two keys.
    Gap,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Key(Digit),
    Wait { steps: u16 },
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Pressed {
        digit: Digit,
        started: u64,
        step: u16,
    },
    Waiting {
        steps: u16,
    },
}

/// Says whether keys can be dialled, by [`MediaSession::send_dtmf`](crate::MediaSession::send_dtmf)
/// for one, before there is a session.
///
/// # Errors
/// Returns [`InvalidDigit`] for what is no key, or when there are too many.
pub fn check_keys(keys: &str) -> Result<(), InvalidDigit> {
    steps(keys, MAX_QUEUED).map(|_| ())
}

fn steps(keys: &str, room: usize) -> Result<Vec<Step>, InvalidDigit> {
    let mut steps = Vec::new();
    for key in keys.chars().filter(|key| !matches!(key, ' ' | '-')) {
        steps.push(match key {
            'w' | ',' => Step::Wait { steps: 25 },
            'W' => Step::Wait { steps: 50 },
            key => Step::Key(Digit::from_char(key).ok_or(InvalidDigit::NoSuchKey(key))?),
        });
        if steps.len() > room {
            return Err(InvalidDigit::TooMany);
        }
    }
    Ok(steps)
}

/// Dials keys as telephone-events (RFC 4733 §2.5.1).
#[derive(Debug)]
pub(crate) struct DtmfSender {
    queue: VecDeque<Step>,
    state: State,
}

impl DtmfSender {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            state: State::Idle,
        }
    }

    /// Queues keys; nothing of it when one of them is none.
    pub(crate) fn dial(&mut self, keys: &str) -> Result<(), InvalidDigit> {
        let room = MAX_QUEUED.saturating_sub(self.queue.len());
        self.queue.extend(steps(keys, room)?);
        Ok(())
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.queue.is_empty()
    }

    /// Takes one step of `samples` ticks that starts at `timestamp`.
    pub(crate) fn step(&mut self, timestamp: u64, samples: u16) -> Outgoing {
        if let State::Idle = self.state {
            self.state = match self.queue.pop_front() {
                None => return Outgoing::Idle,
                Some(Step::Key(digit)) => State::Pressed {
                    digit,
                    started: timestamp,
                    step: 0,
                },
                Some(Step::Wait { steps }) => State::Waiting { steps },
            };
        }
        match self.state {
            State::Idle => Outgoing::Idle,
            State::Waiting { steps } => {
                self.state = match steps.saturating_sub(1) {
                    0 => State::Idle,
                    steps => State::Waiting { steps },
                };
                Outgoing::Gap
            }
            State::Pressed {
                digit,
                started,
                step,
            } => self.pressed(digit, started, step + 1, samples),
        }
    }

    fn pressed(&mut self, digit: Digit, started: u64, step: u16, samples: u16) -> Outgoing {
        let last = step >= HELD_STEPS + END_PACKETS - 1;
        self.state = if last {
            State::Waiting {
                steps: GAP_STEPS - (END_PACKETS - 1),
            }
        } else {
            State::Pressed {
                digit,
                started,
                step,
            }
        };
        let [high, low] = (step.min(HELD_STEPS) * samples).to_be_bytes();
        let end = if step >= HELD_STEPS { 0x80 } else { 0 };
        Outgoing::Event {
            digit,
            payload: [digit.event(), end | VOLUME, high, low],
            timestamp: started,
            marker: step == 1,
            held: step <= HELD_STEPS,
            step: step - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_start_updates_and_three_ends_of_one_duration() {
        let mut sender = DtmfSender::new();
        sender.dial("7").unwrap();
        let mut packets = Vec::new();
        for step in 0..9u64 {
            match sender.step(5000 + step * 160, 160) {
                Outgoing::Event {
                    payload,
                    timestamp,
                    marker,
                    ..
                } => {
                    packets.push((payload, timestamp, marker));
                }
                Outgoing::Gap => assert!(step >= 7),
                Outgoing::Idle => panic!("stopped early"),
            }
        }
        let durations: Vec<u16> = packets
            .iter()
            .map(|(p, ..)| u16::from_be_bytes([p[2], p[3]]))
            .collect();
        assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
        let ends = packets.iter().map(|(p, ..)| p[1] & 0x80 != 0);
        assert_eq!(ends.filter(|end| *end).count(), 3);
        assert!(
            packets
                .iter()
                .all(|(p, timestamp, _)| p[0] == 7 && *timestamp == 5000)
        );
        assert_eq!(packets.iter().filter(|(.., marker)| *marker).count(), 1);
        assert!(packets[0].2);
        assert_eq!(sender.step(9000, 160), Outgoing::Idle);
    }

    #[test]
    fn what_is_no_key_is_refused_whole() {
        let mut sender = DtmfSender::new();
        assert_eq!(sender.dial("12x"), Err(InvalidDigit::NoSuchKey('x')));
        assert!(sender.is_idle());
        assert_eq!(sender.dial(&"1".repeat(257)), Err(InvalidDigit::TooMany));
        assert!(sender.is_idle());
    }
}
