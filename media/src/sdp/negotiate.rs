//! What an offer and its answer agree on, seen from our side.

use std::net::{IpAddr, SocketAddr};

use super::crypto;
use super::payload::TelephoneEvent;
use super::{Connection, Direction, LocalMedia, MediaDescription, Refusal, SessionDescription};
use crate::codec::{Codec, OpusWishes};
use crate::srtp::SrtpKeys;

/// Attribute that asks for extended reports (RFC 3611 §5.1), …
pub(super) const RTCP_XR: &str = "rtcp-xr";
/// … and the one that we send and understand.
pub(super) const VOIP_METRICS: &str = "voip-metrics";

/// Holds what an offer and its answer agree on, seen from our side (RFC 3264 §7).
///
/// Payload types are per direction: each side is sent the numbers that its own description
/// gives (RFC 3264 §6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Codec in which we send.
    pub codec: Codec,
    /// Payload type with which we send it.
    pub send_payload_type: u8,
    /// Payload types that may reach us and what each carries; the peer may change among them
    /// without notice.
    pub receive_payload_types: Vec<(u8, Codec)>,
    /// Payload type with which we send telephone-events, when the peer takes them (RFC 4733).
    pub dtmf: Option<u8>,
    /// Payload type with which telephone-events reach us.
    pub dtmf_receive: Option<u8>,
    /// Rate at which telephone-events count their durations, both ways: the codec's clock rate,
    /// unless the peer knows but that of another.
    pub dtmf_clock_rate_hz: u32,
    /// What the peer wishes of the Opus that it is sent.
    pub opus: OpusWishes,
    /// Whether either side may send its silence as comfort noise (RFC 3389).
    pub comfort_noise: bool,
    /// Where the peer receives RTP; unspecified when it is on hold in the old way.
    pub remote: SocketAddr,
    /// Where the peer receives RTCP (RFC 3605, 5761).
    pub remote_rtcp: SocketAddr,
    /// How much sound each packet that we send carries, in milliseconds.
    pub ptime_ms: u32,
    /// Which way sound flows, seen from us.
    pub direction: Direction,
    /// Whether RTCP shares RTP's port both ways (RFC 5761 §5.1.1).
    pub rtcp_mux: bool,
    /// Whether the peer asks to be told how well it is heard (RFC 3611 §5).
    pub voip_metrics: bool,
    /// The keys of both sides; without them media goes in the clear.
    pub srtp: Option<SrtpKeys>,
}

impl Negotiated {
    /// Reads what `answer` made of `our_offer` (RFC 3264 §7).
    ///
    /// # Errors
    /// Returns [`Refusal`] when the answer takes nothing that we offered, or what we cannot do.
    pub fn from_answer(
        our_offer: &SessionDescription,
        answer: &SessionDescription,
    ) -> Result<Self, Refusal> {
        let index = our_offer
            .media
            .iter()
            .position(MediaDescription::is_live_audio);
        let index = index.ok_or(Refusal::NoAudio)?;
        let ours = our_offer.media.get(index).ok_or(Refusal::NoAudio)?;
        // Some peers leave out the m= lines that they decline, so that places no longer match.
        let theirs = answer
            .media
            .get(index)
            .filter(|media| media.is_live_audio());
        let theirs = theirs.or_else(|| answer.audio()).ok_or(Refusal::NoAudio)?;
        let srtp = crypto::answered(ours, theirs)?;
        let offered = |codec| ours.codecs().any(|(_, ours)| ours == codec);
        let (send_payload_type, codec) = theirs
            .codecs()
            .find(|(_, codec)| offered(*codec))
            .ok_or(Refusal::NoCommonCodec)?;
        let dtmf = theirs.telephone_event(codec);
        let dtmf_receive = dtmf.and_then(|event| ours.telephone_event_at(event.clock_rate_hz));
        let dtmf = dtmf.filter(|_| dtmf_receive.is_some());
        let dtmf_receive = dtmf_receive.map(|event| event.payload_type);
        let peer = Peer::read(answer, theirs)?;
        Ok(Self {
            codec,
            send_payload_type,
            receive_payload_types: receivable(ours, theirs, dtmf_receive),
            dtmf: dtmf.map(|event| event.payload_type),
            dtmf_receive,
            dtmf_clock_rate_hz: clock_rate_hz(dtmf, codec),
            opus: theirs.opus_wishes(send_payload_type),
            comfort_noise: !codec.is_wideband() && ours.comfort_noise() && theirs.comfort_noise(),
            remote: peer.remote,
            remote_rtcp: peer.remote_rtcp,
            ptime_ms: theirs.packet_time_ms(ours.packet_time_ms(20)),
            direction: ours.direction(our_offer).and(peer.direction.reversed()),
            rtcp_mux: peer.rtcp_mux && ours.attribute("rtcp-mux").is_some(),
            voip_metrics: peer.voip_metrics,
            srtp,
        }
        .with_shared_port())
    }

    /// Agrees on `codec`, which `theirs` in `offer` has at `payload_type`, and on `srtp`, as an
    /// answerer.
    pub(super) fn as_answerer(
        offer: &SessionDescription,
        theirs: &MediaDescription,
        (payload_type, codec): (u8, Codec),
        srtp: Option<SrtpKeys>,
        local: &LocalMedia,
    ) -> Result<Self, Refusal> {
        let peer = Peer::read(offer, theirs)?;
        let event = theirs.telephone_event(codec).filter(|_| local.dtmf);
        let dtmf = event.map(|event| event.payload_type);
        Ok(Self {
            codec,
            send_payload_type: payload_type,
            receive_payload_types: vec![(payload_type, codec)],
            dtmf,
            dtmf_receive: dtmf,
            dtmf_clock_rate_hz: clock_rate_hz(event, codec),
            opus: theirs.opus_wishes(payload_type),
            comfort_noise: !codec.is_wideband() && local.comfort_noise && theirs.comfort_noise(),
            remote: peer.remote,
            remote_rtcp: peer.remote_rtcp,
            ptime_ms: theirs.packet_time_ms(local.ptime_ms),
            direction: local.direction.and(peer.direction.reversed()),
            rtcp_mux: peer.rtcp_mux && local.rtcp_mux,
            voip_metrics: peer.voip_metrics,
            srtp,
        }
        .with_shared_port())
    }

    /// Samples per second of a session that begins with this.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.codec.sample_rate_hz()
    }

    /// The codecs in which sound may reach us.
    pub fn receivable(&self) -> impl Iterator<Item = Codec> + '_ {
        self.receive_payload_types.iter().map(|(_, codec)| *codec)
    }

    fn with_shared_port(mut self) -> Self {
        if self.rtcp_mux {
            self.remote_rtcp = self.remote;
        }
        self
    }
}

fn clock_rate_hz(event: Option<TelephoneEvent>, codec: Codec) -> u32 {
    event.map_or(codec.clock_rate_hz(), |event| event.clock_rate_hz)
}

/// We gave our numbers, but a peer that keeps its own for both ways is understood as well.
fn receivable(
    ours: &MediaDescription,
    theirs: &MediaDescription,
    dtmf: Option<u8>,
) -> Vec<(u8, Codec)> {
    let mut receivable: Vec<(u8, Codec)> = Vec::new();
    let both = ours
        .codecs()
        .filter(|(_, codec)| theirs.codecs().any(|(_, their)| their == *codec));
    let echoed = theirs
        .codecs()
        .filter(|(_, codec)| ours.codecs().any(|(_, our)| our == *codec));
    for (number, codec) in both.chain(echoed) {
        if Some(number) != dtmf && !receivable.iter().any(|(taken, _)| *taken == number) {
            receivable.push((number, codec));
        }
    }
    receivable
}

/// What a description says about the side that wrote it.
struct Peer {
    remote: SocketAddr,
    remote_rtcp: SocketAddr,
    direction: Direction,
    rtcp_mux: bool,
    voip_metrics: bool,
}

impl Peer {
    fn read(session: &SessionDescription, media: &MediaDescription) -> Result<Self, Refusal> {
        let address = match media.connection(session) {
            Some(Connection::Address(address)) if address.is_multicast() => {
                return Err(Refusal::Address(address.to_string()));
            }
            Some(Connection::Address(address)) => *address,
            Some(Connection::Host(host)) => return Err(Refusal::Address(host.clone())),
            None => return Err(Refusal::NoAddress),
        };
        let remote = SocketAddr::new(address, media.port);
        let mut direction = media.direction(session);
        if address.is_unspecified() {
            // Hold as RFC 2543 had it (RFC 3264 §8.4): such a peer must not be sent anything.
            direction = Direction::new(direction.sends(), false);
        }
        Ok(Self {
            remote,
            remote_rtcp: rtcp_address(remote, media),
            direction,
            rtcp_mux: media.attribute("rtcp-mux").is_some(),
            voip_metrics: asks_for_voip_metrics(session, media),
        })
    }
}

/// `a=rtcp-xr:<format> …`, of the medium or of the session (RFC 3611 §5.1).
fn asks_for_voip_metrics(session: &SessionDescription, media: &MediaDescription) -> bool {
    let formats = media
        .attribute(RTCP_XR)
        .or_else(|| session.attribute(RTCP_XR));
    let mut formats = formats.unwrap_or_default().split_whitespace();
    formats.any(|format| format == VOIP_METRICS)
}

/// `a=rtcp:<port> [<nettype> <addrtype> <address>]` (RFC 3605 §2.1), else the next port.
fn rtcp_address(remote: SocketAddr, media: &MediaDescription) -> SocketAddr {
    let next = SocketAddr::new(remote.ip(), remote.port().saturating_add(1));
    let Some(value) = media.attribute("rtcp") else {
        return next;
    };
    let mut fields = value.split_whitespace();
    let Some(port) = fields.next().and_then(|port| port.parse::<u16>().ok()) else {
        return next;
    };
    let address = fields
        .nth(2)
        .and_then(|address| address.parse::<IpAddr>().ok());
    SocketAddr::new(address.unwrap_or(remote.ip()), port)
}
