//! SRTP of a session: what comes in is proven authentic and new before anything else looks at it;
//! what goes out is protected as it enters the outbox.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::MediaSession;
use crate::srtp::{Inbound, Outbound, SrtpError, SrtpKeys};

/// Datagrams that are longer carry nothing that would be taken.
const MAX_DATAGRAM_BYTES: usize = 2_048;
/// The key before is understood until its last packets have come through, once the next is in
/// use …
const OLD_KEY_AFTER_FIRST: Duration = Duration::from_secs(1);
/// … and no longer than the peer may take to learn of an answer (64·T1, RFC 3261 §17.2.1).
const OLD_KEY_AT_MOST: Duration = Duration::from_secs(32);

/// What takes the protection off the peer's packets.
#[derive(Debug)]
pub(super) struct Security {
    current: Inbound,
    /// Packets under the key before are on their way while a new one is agreed on.
    before: Option<(Box<Inbound>, Instant)>,
}

impl Security {
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.before.as_ref().map_or(0, |_| size_of::<Inbound>())
    }

    fn unprotect(
        &mut self,
        now: Instant,
        packet: &mut [u8],
        open: impl Fn(&mut Inbound, &mut [u8]) -> Result<usize, SrtpError>,
    ) -> Result<usize, SrtpError> {
        let opened = open(&mut self.current, packet);
        let Some((before, until)) = &mut self.before else {
            return opened;
        };
        if opened.is_ok() {
            *until = (*until).min(now + OLD_KEY_AFTER_FIRST);
        }
        if *until <= now {
            self.before = None;
            return opened;
        }
        match opened {
            Err(SrtpError::Unauthenticated) => open(before, packet),
            opened => opened,
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
        let theirs = |keys: &SrtpKeys| (keys.theirs.clone(), keys.their_mki);
        let next = keys.map(theirs);
        if next == before.map(theirs) {
            return;
        }
        let old = self.security.take();
        self.security = next.map(|(key, mki)| {
            let (current, before) = match old {
                Some(old) => {
                    let current = old.current.after(&key, mki);
                    let before = Box::new(old.current);
                    (current, Some((before, now + OLD_KEY_AT_MOST)))
                }
                None => (Inbound::new(&key, mki), None),
            };
            Box::new(Security { current, before })
        });
    }

    pub(super) fn handle_srtp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let mut room = [0; MAX_DATAGRAM_BYTES];
        if let Some(packet) = self.unprotected(now, bytes, &mut room, Inbound::unprotect_rtp) {
            self.handle_clear_rtp(now, from, packet);
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
            None => Err(SrtpError::Truncated),
        };
        match opened {
            Ok(len) => return room.get(..len),
            Err(SrtpError::Unauthenticated) => self.stats.unauthenticated += 1,
            Err(SrtpError::Replayed) => self.stats.replayed += 1,
            Err(_) => self.stats.malformed += 1,
        }
        None
    }
}
