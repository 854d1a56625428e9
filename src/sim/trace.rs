//! What happened in a simulation: a hash of all of it, and the last lines in words.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

/// Lines that are kept for who reads a failure.
const KEPT: usize = 400;
const PRIME: u64 = 0x0000_0100_0000_01B3;

/// The trace of one run: equal seeds give equal hashes.
pub(super) struct Trace {
    hash: u64,
    lines: VecDeque<String>,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self {
            hash: 0xCBF2_9CE4_8422_2325,
            lines: VecDeque::with_capacity(KEPT),
        }
    }

    /// Takes bytes into the hash (FNV-1a) alone.
    pub(super) fn bytes(&mut self, at: Duration, bytes: &[u8]) {
        for byte in at.as_micros().to_le_bytes().iter().chain(bytes) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    /// Takes a line in words, too.
    pub(super) fn line(&mut self, at: Duration, line: &str) {
        self.bytes(at, line.as_bytes());
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        let mut kept = String::with_capacity(line.len() + 12);
        let _ = write!(kept, "{:>9.3} {line}", at.as_secs_f64());
        self.lines.push_back(kept);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
