//! The timers of RFC 3261 table 4 and RFC 6026 §7, derived from T1, T2 and T4.

use std::fmt;
use std::time::Duration;

/// The timer values that every transaction derives its own from (RFC 3261 table 4).
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Timers {
    /// T1, the estimate of a round trip: 500 ms.
    pub t1: Duration,
    /// T2, the longest interval between retransmissions: 4 s.
    pub t2: Duration,
    /// T4, the longest that a message stays in the network: 5 s.
    pub t4: Duration,
    /// Timer D, how long an unreliable INVITE client absorbs final responses: at least 32 s.
    pub d: Duration,
    /// Timer C, how long a call may go on without any new response before it is cancelled: it is
    /// a proxy's timer (RFC 3261 §16.6 step 11), needed by whoever must not wait for ever.
    pub c: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            d: Duration::from_secs(32),
            c: Duration::from_secs(180),
        }
    }
}

impl Timers {
    /// Returns 64×T1, the length of Timers B, F, H, J, L and M.
    pub fn give_up(&self) -> Duration {
        self.t1 * 64
    }

    /// Returns the interval that follows `interval` for Timers E and G: doubled, at most T2.
    pub fn backed_off(&self, interval: Duration) -> Duration {
        (interval * 2).min(self.t2)
    }
}

/// The name of a transaction's timer, as the RFCs letter it.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Timer {
    /// INVITE request retransmission, unreliable transports only.
    A,
    /// INVITE client timeout, of a call that nobody answers or that was given up.
    B,
    /// Wait for response retransmissions in the INVITE client's Completed state.
    D,
    /// Non-INVITE request retransmission, unreliable transports only.
    E,
    /// Non-INVITE client timeout.
    F,
    /// INVITE final response retransmission.
    G,
    /// Wait for the ACK.
    H,
    /// Wait for ACK retransmissions.
    I,
    /// Wait for non-INVITE request retransmissions.
    J,
    /// Wait for response retransmissions in the non-INVITE client's Completed state.
    K,
    /// Wait for INVITE retransmissions after a 2xx (RFC 6026 §7.1).
    L,
    /// Wait for 2xx retransmissions and forks (RFC 6026 §7.2).
    M,
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timer {self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_rfc_3261_table_4() {
        let timers = Timers::default();
        assert_eq!(timers.give_up(), Duration::from_secs(32));
        assert_eq!(timers.backed_off(timers.t1), Duration::from_secs(1));
        assert_eq!(timers.backed_off(Duration::from_secs(3)), timers.t2);
    }
}
