//! SRTP of a session: what comes in is proven authentic and new before anything else looks at it;
//! what goes out is protected as it enters the outbox.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::MediaSession;
use super::receive::MAX_DATAGRAM_BYTES;
use super::relay::Relayed;
use crate::srtp::{Inbound, MasterKey, Mki, Outbound, SrtpError, SrtpKeys};

/// Keys of a peer's that are known again when they are taken up once more.
const MAX_OLD_KEYS: usize = 4;
/// The key before is understood until its last packets have come through, once the next is in
/// use …
const OLD_KEY_AFTER_FIRST: Duration = Duration::from_secs(1);
/// … and no longer than the peer may take to learn of an answer (64·T1, RFC 3261 §17.2.1).
const OLD_KEY_AT_MOST: Duration = Duration::from_secs(32);

/// What takes the protection off the peer's packets.
#[derive(Debug)]
pub(super) struct Security {
    current: Keyed,
    /// Those before, the last one last. They are kept in case that a peer takes up a key again, as
    /// one does that comes back from music on hold: nothing that came under it is taken twice.
    before: Vec<Keyed>,
    /// Packets under the last one are on their way while a new one is agreed on: until then they
    /// are taken.
    before_until: Instant,
}

/// A key of the peer's, and all that came under it.
#[derive(Debug)]
struct Keyed {
    key: MasterKey,
    mki: Option<Mki>,
    inbound: Inbound,
}

impl Keyed {
    fn new(key: &MasterKey, mki: Option<Mki>, inbound: Inbound) -> Self {
        let key = key.clone();
        Self { key, mki, inbound }
    }

    fn is(&self, key: &MasterKey, mki: Option<Mki>) -> bool {
        self.key == *key && self.mki == mki
    }
}

impl Security {
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.before.capacity() * size_of::<Keyed>()
    }

    fn new(now: Instant, key: &MasterKey, mki: Option<Mki>) -> Self {
        Self {
            current: Keyed::new(key, mki, Inbound::new(key, mki)),
            before: Vec::new(),
            before_until: now,
        }
    }

    /// Goes on under a key; one that was in use before goes on with its counters.
    fn follow(&mut self, now: Instant, key: &MasterKey, mki: Option<Mki>) {
        if self.current.is(key, mki) {
            return;
        }
        let known = self.before.iter().position(|before| before.is(key, mki));
        let next = match known {
            Some(at) => self.before.remove(at),
            None => Keyed::new(key, mki, self.current.inbound.after(key, mki)),
        };
        if self.before.len() >= MAX_OLD_KEYS {
            self.before.remove(0);
        }
        self.before.push(std::mem::replace(&mut self.current, next));
        self.before_until = now + OLD_KEY_AT_MOST;
    }

    fn unprotect(
        &mut self,
        now: Instant,
        packet: &mut [u8],
        open: impl Fn(&mut Inbound, &mut [u8]) -> Result<usize, SrtpError>,
    ) -> Result<usize, SrtpError> {
        let opened = open(&mut self.current.inbound, packet);
        if opened.is_ok() {
            self.before_until = self.before_until.min(now + OLD_KEY_AFTER_FIRST);
        }
        match (opened, self.before.last_mut()) {
            (Err(SrtpError::Unauthenticated), Some(before)) if now < self.before_until => {
                open(&mut before.inbound, packet)
            }
            (opened, _) => opened,
        }
    }
}

impl MediaSession {
    /// Takes the keys that were agreed on; a key that stays keeps its counters.
    pub(super) fn secure(&mut self, now: Instant, before: Option<&SrtpKeys>) {
        let keys = self.negotiated.srtp.as_ref();
        if keys.map(|keys| &keys.ours) != before.map(|keys| &keys.ours) {
            self.outbox
                .protect(keys.map(|keys| Outbound::new(&keys.ours)));
        }
        let old = self.security.take().or_else(|| self.unsecured.take());
        let Some(keys) = keys else {
            self.unsecured = old;
            return;
        };
        let (key, mki) = (&keys.theirs, keys.their_mki);
        let mut security = old.unwrap_or_else(|| Box::new(Security::new(now, key, mki)));
        security.follow(now, key, mki);
        self.security = Some(security);
    }

    pub(super) fn handle_srtp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        pass_on: impl FnOnce(&Relayed<'_>),
    ) {
        let mut room = [0; MAX_DATAGRAM_BYTES];
        if let Some(packet) = self.unprotected(now, bytes, &mut room, Inbound::unprotect_rtp) {
            self.handle_clear_rtp(now, from, packet, pass_on);
        }
    }

    pub(super) fn handle_srtcp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let mut room = [0; MAX_DATAGRAM_BYTES];
        if let Some(packet) = self.unprotected(now, bytes, &mut room, Inbound::unprotect_rtcp) {
            self.handle_clear_rtcp(now, from, packet);
        }
    }

    /// Copies a packet into `room` and takes its protection off there, or counts why not.
    fn unprotected<'a>(
        &mut self,
        now: Instant,
        bytes: &[u8],
        room: &'a mut [u8; MAX_DATAGRAM_BYTES],
        open: impl Fn(&mut Inbound, &mut [u8]) -> Result<usize, SrtpError>,
    ) -> Option<&'a [u8]> {
        let security = self.security.as_mut()?;
        let opened = match room.get_mut(..bytes.len()) {
            Some(packet) => {
                packet.copy_from_slice(bytes);
                security.unprotect(now, packet, open)
            }
            None => {
                self.stats.oversized += 1;
                return None;
            }
        };
        match opened {
            Ok(len) => return room.get(..len),
            Err(SrtpError::Unauthenticated) => self.stats.unauthenticated += 1,
            Err(SrtpError::Replayed) => self.stats.replayed += 1,
            Err(SrtpError::Truncated) => self.stats.truncated += 1,
            Err(_) => self.stats.malformed += 1,
        }
        None
    }
}
