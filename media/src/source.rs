//! Who may send us sound: the address rules before and after the source is known.
//!
//! A packet passes the address rule before anything else looks at it ([`SourceGuard::admits`]);
//! with SRTP, authentication and replay protection stand next; a source is learned only from a
//! packet that passed all checks ([`SourceGuard::accept`]).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The learned source must have been silent for so long before another synchronisation source at
/// its address is heard.
const SSRC_SILENCE: Duration = Duration::from_millis(200);
/// … and for so long before the same source is heard from another port.
const PORT_SILENCE: Duration = Duration::from_millis(500);
/// A packet that is older by so many is a copy or late, and no sign that its source still talks;
/// one that is older by more has started over (MAX_MISORDER, RFC 3550 A.1).
const MAX_MISORDER: u16 = 100;
/// Sources that may prove themselves side by side, so that packets from one port of an address do
/// not keep another from it.
const CANDIDATES: usize = 4;
/// So many packets in a row from where the peer signals are its stream.
const STRAY_PACKETS: u32 = 5;
/// Sequence numbers that a moved source may have skipped.
const MAX_SKIPPED: u16 = 500;

/// Tells from where media may come before its source is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceRule {
    /// From the address in the session description, from the first packet on.
    Negotiated,
    /// The peer sits behind NAT, its own description is of no use: from the address that the
    /// signalling comes from, whichever port is first.
    Signalling,
}

impl SourceRule {
    /// Chooses the rule for a peer that describes itself at `described` and signals from
    /// `signalling`: NAT is assumed only where the description is private and the signalling is
    /// not from there.
    ///
    /// Where a private network is reached by routing, choose [`SourceRule::Negotiated`].
    #[must_use]
    pub fn for_peer(described: IpAddr, signalling: IpAddr) -> Self {
        let hidden = is_private(described) && !is_private(signalling);
        if hidden {
            Self::Signalling
        } else {
            Self::Negotiated
        }
    }
}

/// What becomes of a packet that passed all other checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// From the known source.
    Known,
    /// From a source that is known from now on.
    Learned,
    /// The known source moved to another port.
    Moved,
    /// Perhaps a new source: the next packet tells.
    Probation,
    /// From somebody else.
    Foreign,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    from: SocketAddr,
    ssrc: u32,
    sequence: u16,
    last_heard: Instant,
}

impl Source {
    /// RFC 3550 A.1 wants two packets in sequence (MIN_SEQUENTIAL).
    fn is_followed_by(&self, from: SocketAddr, ssrc: u32, sequence: u16) -> bool {
        self.from == from && self.ssrc == ssrc && sequence == self.sequence.wrapping_add(1)
    }
}

/// Guards a session against sound from elsewhere.
#[derive(Debug)]
pub(crate) struct SourceGuard {
    rule: SourceRule,
    negotiated: SocketAddr,
    signalling: IpAddr,
    known: Option<Source>,
    /// A stream from where the peer signals, though it described itself elsewhere: its newest packet
    /// and how many came in a row.
    stray: Option<(Source, u32)>,
    /// That stream is taken as well: nothing came from the described address.
    fell_back: bool,
    /// The source that was known before the last change.
    before: Option<(SocketAddr, u32)>,
    /// The newest first.
    candidates: [Option<Source>; CANDIDATES],
}

impl SourceGuard {
    pub(crate) fn new(rule: SourceRule, negotiated: SocketAddr, signalling: IpAddr) -> Self {
        let (negotiated, signalling) = (canonical(negotiated), signalling.to_canonical());
        Self {
            rule,
            negotiated,
            signalling,
            known: None,
            stray: None,
            fell_back: false,
            before: None,
            candidates: [None; CANDIDATES],
        }
    }

    /// Starts over with what was negotiated anew; the source must be learned again.
    pub(crate) fn renegotiate(&mut self, rule: SourceRule, negotiated: SocketAddr) {
        let before = self.known.map(|known| (known.from, known.ssrc));
        *self = Self {
            before,
            ..Self::new(rule, negotiated, self.signalling)
        };
    }

    /// Tells whether anything at all may come from this address; looks at nothing else.
    #[inline]
    pub(crate) fn admits(&self, from: SocketAddr) -> bool {
        let address = from.ip().to_canonical();
        match &self.known {
            Some(known) if address == known.from.ip() => true,
            // Who described itself is heard there after all.
            Some(_) => self.fell_back && address == self.negotiated.ip(),
            None if self.fell_back && address == self.signalling => true,
            None => address == self.trusted_address(),
        }
    }

    /// Where our media goes, as far as it is known; `None` when it would go nowhere.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        let to = match (self.rule, &self.known) {
            (SourceRule::Negotiated, Some(known)) if self.is_fallen_back_on(known.from) => {
                known.from
            }
            (SourceRule::Negotiated, _) => self.negotiated,
            (SourceRule::Signalling, Some(known)) => known.from,
            // The port is a guess that many NATs honour; the address is trusted either way.
            (SourceRule::Signalling, None) => {
                SocketAddr::new(self.signalling, self.negotiated.port())
            }
        };
        (!to.ip().is_unspecified() && to.port() != 0).then_some(to)
    }

    /// Whether what is refused from there may be the peer's, who then described a wrong address.
    pub(crate) fn may_be_peer(&self, from: SocketAddr) -> bool {
        let unheard = self.rule == SourceRule::Negotiated && self.known.is_none();
        unheard && from.ip().to_canonical() == self.signalling
    }

    /// Takes note of an RTP packet that is refused and [may be the peer's](Self::may_be_peer).
    pub(crate) fn refused(&mut self, now: Instant, from: SocketAddr, ssrc: u32, sequence: u16) {
        let from = canonical(from);
        if self.before == Some((from, ssrc)) {
            return;
        }
        let run = match self.stray {
            Some((last, run)) if last.is_followed_by(from, ssrc, sequence) => run + 1,
            _ => 1,
        };
        let newest = Source {
            from,
            ssrc,
            sequence,
            last_heard: now,
        };
        self.stray = Some((newest, run));
    }

    /// Hears the peer from where its signalling comes from, the one other address that is trusted,
    /// when a stream comes from there and nothing did from where it described itself. That address
    /// is still heard, and goes first.
    pub(crate) fn fall_back(&mut self) {
        let streams = |(_, run): (Source, u32)| run >= STRAY_PACKETS;
        self.fell_back |= self.known.is_none() && self.stray.is_some_and(streams);
    }

    /// Whether this is where the peer is heard though it described itself elsewhere.
    fn is_fallen_back_on(&self, from: SocketAddr) -> bool {
        self.fell_back && from.ip() == self.signalling && from.ip() != self.negotiated.ip()
    }

    pub(crate) fn rule(&self) -> SourceRule {
        self.rule
    }

    pub(crate) fn signalling(&self) -> IpAddr {
        self.signalling
    }

    /// Whether this is the address that was negotiated last.
    pub(crate) fn is_negotiated(&self, remote: SocketAddr) -> bool {
        canonical(remote) == self.negotiated
    }

    /// Whether the known source is at this address and port.
    pub(crate) fn is_source(&self, from: SocketAddr) -> bool {
        self.known() == Some(canonical(from))
    }

    /// The known source's synchronisation source.
    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.known.as_ref().map(|known| known.ssrc)
    }

    /// The address of the known source.
    pub(crate) fn known(&self) -> Option<SocketAddr> {
        self.known.as_ref().map(|known| known.from)
    }

    /// Judges a packet that passed every other check.
    #[inline]
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ssrc: u32,
        sequence: u16,
    ) -> Verdict {
        let from = canonical(from);
        match &mut self.known {
            Some(known) if known.from == from && known.ssrc == ssrc => {
                let behind = known.sequence.wrapping_sub(sequence);
                if behind > MAX_MISORDER {
                    known.last_heard = now;
                    known.sequence = sequence;
                }
                Verdict::Known
            }
            Some(_) => self.challenge(now, from, ssrc, sequence),
            None => self.learn_first(now, from, ssrc, sequence),
        }
    }

    /// The very address that was negotiated is believed at once; another port at it, and any port
    /// of a peer behind NAT, must prove itself with a second packet.
    fn learn_first(&mut self, now: Instant, from: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
        if !self.admits(from) {
            return Verdict::Foreign;
        }
        let exact = self.rule == SourceRule::Negotiated && from == self.negotiated;
        if exact || self.proves(from, ssrc, sequence) {
            return self.learn(now, from, ssrc, sequence, Verdict::Learned);
        }
        self.probation(now, from, ssrc, sequence)
    }

    /// Another source wants the place of the known one, which must have fallen silent; but the very
    /// address that was negotiated goes before any other port, whoever was first.
    fn challenge(&mut self, now: Instant, from: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
        let Some(known) = self.known else {
            return Verdict::Foreign;
        };
        let silent = now.saturating_duration_since(known.last_heard);
        let negotiated = self.rule == SourceRule::Negotiated && from == self.negotiated;
        let (allowed, verdict) = if from == known.from {
            // The same address sends another stream: music on hold, another gateway behind it.
            (silent >= SSRC_SILENCE, Verdict::Learned)
        } else if negotiated && ssrc != known.ssrc {
            (true, Verdict::Learned)
        } else if from.ip() == known.from.ip() && ssrc == known.ssrc {
            // A NAT gave the same stream another port.
            let skipped = sequence.wrapping_sub(known.sequence);
            let follows = (1..=MAX_SKIPPED).contains(&skipped);
            let free = negotiated || silent >= PORT_SILENCE;
            (follows && free, Verdict::Moved)
        } else {
            (false, Verdict::Foreign)
        };
        if !allowed {
            return Verdict::Foreign;
        }
        if self.proves(from, ssrc, sequence) {
            return self.learn(now, from, ssrc, sequence, verdict);
        }
        self.probation(now, from, ssrc, sequence)
    }

    fn proves(&self, from: SocketAddr, ssrc: u32, sequence: u16) -> bool {
        let mut candidates = self.candidates.iter().flatten();
        candidates.any(|candidate| candidate.is_followed_by(from, ssrc, sequence))
    }

    fn probation(&mut self, now: Instant, from: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
        let newest = Source {
            from,
            ssrc,
            sequence,
            last_heard: now,
        };
        let same = |place: &Option<Source>| place.is_some_and(|known| known.from == from);
        let place = self.candidates.iter().position(same);
        let place = place.unwrap_or(CANDIDATES - 1);
        if let Some(candidates) = self.candidates.get_mut(..=place) {
            candidates.rotate_right(1);
            candidates
                .iter_mut()
                .take(1)
                .for_each(|first| *first = Some(newest));
        }
        Verdict::Probation
    }

    fn learn(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ssrc: u32,
        sequence: u16,
        verdict: Verdict,
    ) -> Verdict {
        self.known = Some(Source {
            from,
            ssrc,
            sequence,
            last_heard: now,
        });
        self.candidates = [None; CANDIDATES];
        verdict
    }

    fn trusted_address(&self) -> IpAddr {
        match self.rule {
            SourceRule::Negotiated => self.negotiated.ip(),
            SourceRule::Signalling => self.signalling,
        }
    }
}

/// An IPv4 address comes as itself whichever socket it came by.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Addresses that mean nothing beyond their own network (RFC 1918, 6598, 3927, 4193, 4291).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            let shared = a == 100 && (64..128).contains(&b);
            address.is_private() || address.is_loopback() || address.is_link_local() || shared
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nat_is_assumed_only_for_a_private_description_with_public_signalling() {
        let rule = |described: &str, signalling: &str| {
            SourceRule::for_peer(described.parse().unwrap(), signalling.parse().unwrap())
        };
        assert_eq!(rule("192.168.1.5", "198.51.100.7"), SourceRule::Signalling);
        assert_eq!(rule("100.64.3.4", "198.51.100.7"), SourceRule::Signalling);
        assert_eq!(rule("fd00::1", "2001:db8::1"), SourceRule::Signalling);
        assert_eq!(rule("203.0.113.5", "198.51.100.7"), SourceRule::Negotiated);
        assert_eq!(rule("192.168.1.5", "192.168.1.9"), SourceRule::Negotiated);
        assert_eq!(rule("127.0.0.1", "127.0.0.1"), SourceRule::Negotiated);
    }
}
