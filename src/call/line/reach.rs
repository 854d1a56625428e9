//! What a line has learnt of the addresses that it calls.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use offhook_sip::Transport;

use crate::clock;
use crate::switch::{Hop, Reach, Reached, Standing};

/// Which addresses can be reached, for all calls of a line.
#[derive(Debug, Default)]
pub struct Reachable(Mutex<Reach>);

impl Reachable {
    /// Takes note of what came of a call.
    pub fn note_call(&self, hop: Hop, outcome: Reached) {
        let now = clock::now();
        let mut reach = self.reach();
        let before = reach.standing(now, hop);
        let after = reach.note_call(now, hop, outcome);
        drop(reach);
        if before != after && after == Standing::Down {
            let (transport, address) = hop;
            tracing::warn!(%transport, %address, ?outcome, "calls try other addresses first for a while");
        }
    }

    /// Takes note of what came of an OPTIONS, and tells how the address stood and stands.
    pub fn note_ping(&self, hop: Hop, outcome: Reached) -> (Standing, Standing) {
        let now = clock::now();
        let mut reach = self.reach();
        let before = reach.standing(now, hop);
        (before, reach.note_ping(now, hop, outcome))
    }

    /// How an address stands.
    #[must_use]
    pub fn standing(&self, hop: Hop) -> Standing {
        self.reach().standing(clock::now(), hop)
    }

    /// Puts the addresses that cannot be reached behind the others.
    pub fn order(&self, transport: Transport, targets: &mut [SocketAddr]) {
        self.reach().order(clock::now(), transport, targets);
    }

    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
