//! Keys that the caller presses: an entry, until it is full, ended by `#` or by a pause.

use std::time::Instant;

use super::core::{Agent, Phase};
use super::dialogue::Event;

const MAX_DIGITS: usize = 32;

impl Agent {
    /// Takes a pressed key (RFC 4733 events 0–15: `0`–`9`, `*`, `#`, `A`–`D`).
    pub fn handle_digit(&mut self, now: Instant, digit: char) {
        let known = digit.is_ascii_digit() || matches!(digit, '*' | '#' | 'A'..='D');
        if self.phase != Phase::Live || self.ending.is_some() || !known {
            return;
        }
        self.forget_listening();
        self.barge = None;
        if self.air.as_ref().is_some_and(|a| a.interruptible) {
            self.cut_off(now);
        }
        if digit != '#' && self.digits.text.len() < MAX_DIGITS {
            self.digits.text.push(digit);
        }
        self.digits.last = Some(now);
        self.idle_since = now;
        let full = self.digits.text.len() >= self.dialogue.digits().max.max(1);
        if full || digit == '#' {
            self.deliver_digits(now);
        }
        self.settle(now);
    }

    /// Takes what was pressed as one answer: the entry is full, ended or timed out.
    pub(super) fn deliver_digits(&mut self, now: Instant) {
        self.finish_cut(now, None);
        self.close_retraction();
        self.silences = 0;
        self.exchange = None;
        let text = std::mem::take(&mut self.digits.text);
        self.digits.last = None;
        if !text.is_empty() {
            self.record_digits(now, &text);
            self.deliver(now, Event::Digits(&text));
        }
    }
}
