//! The switch's media ports: pairs that are open, and to whom.

use std::collections::BTreeMap;

/// The first port of the range.
const FIRST: u16 = 20_000;

/// Hands out pairs of ports.
#[derive(Debug, Default)]
pub(super) struct Ports {
    open: BTreeMap<u16, usize>,
    last: u16,
}

impl Ports {
    /// Opens a pair for a call; its numbers come round only after all others.
    pub(super) fn open(&mut self, call: usize) -> u16 {
        self.last = (self.last + 2) % 10_000;
        let port = FIRST + self.last;
        self.open.insert(port, call);
        port
    }

    pub(super) fn close(&mut self, port: u16) {
        self.open.remove(&port);
    }

    /// Whose datagram it is that reaches `port`, RTP's or RTCP's.
    pub(super) fn owner(&self, port: u16) -> Option<usize> {
        self.open.get(&(port & !1)).copied()
    }

    /// The call that a port is open for.
    pub(super) fn first_open(&self) -> Option<usize> {
        self.open.values().next().copied()
    }

    pub(super) fn count(&self) -> usize {
        self.open.len()
    }
}
