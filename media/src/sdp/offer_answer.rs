//! Makes offers and answers (RFC 3264).

use std::net::SocketAddr;

use thiserror::Error;

use super::{Attribute, Connection, Direction, MediaDescription, Negotiated};
use super::{Origin, SessionDescription};
use crate::codec::{Codec, comfort_noise};

/// The number at which our offers place telephone-events, as most of the field does.
const TELEPHONE_EVENT_PAYLOAD_TYPE: u8 = 101;
/// Dynamic payload types start here (RFC 3551 §6).
const FIRST_DYNAMIC_PAYLOAD_TYPE: u8 = 96;

/// Describes what our side of a session can do, and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where we receive RTP, as the peer must address it.
    pub address: SocketAddr,
    /// Codecs that we take, the preferred one first; an answer follows the offer's order.
    pub codecs: Vec<Codec>,
    /// How much sound a packet carries unless the peer wishes otherwise, in milliseconds.
    pub ptime_ms: u32,
    /// Session identifier of our `o=` line.
    pub session_id: u64,
    /// Version of our first description; [`SessionDescription::succeeding`] counts from there.
    pub version: u64,
    /// Which way we let sound flow: anything but [`Direction::SendRecv`] puts the peer on hold.
    pub direction: Direction,
    /// Whether telephone-events are taken and offered (RFC 4733).
    pub dtmf: bool,
    /// Whether silence may be told as comfort noise, at 8 kHz (RFC 3389).
    pub comfort_noise: bool,
    /// Whether RTCP may share RTP's port (RFC 5761).
    pub rtcp_mux: bool,
}

impl LocalMedia {
    /// Describes a plain telephone: PCMU and PCMA, 20 ms, DTMF, both ways, RTCP on RTP's port
    /// when the peer can.
    #[must_use]
    pub fn new(address: SocketAddr, session_id: u64) -> Self {
        Self {
            address,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            ptime_ms: 20,
            session_id,
            version: session_id,
            direction: Direction::SendRecv,
            dtmf: true,
            comfort_noise: false,
            rtcp_mux: true,
        }
    }

    fn session(&self) -> SessionDescription {
        SessionDescription {
            origin: Origin {
                username: "-".to_owned(),
                session_id: self.session_id.to_string(),
                version: self.version.to_string(),
                address: self.address.ip().to_string(),
            },
            name: "Offhook".to_owned(),
            connection: Some(Connection::Address(self.address.ip())),
            timing: "0 0".to_owned(),
            attributes: Vec::new(),
            media: Vec::new(),
        }
    }
}

/// Says why no session comes of a description; a SIP element answers an offer with 488.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No audio is offered, or it is declined.
    #[error("no audio is offered")]
    NoAudio,
    /// Audio is offered under SRTP alone.
    #[error("audio is offered as {0} alone, which is not supported")]
    SecureOnly(String),
    /// Audio is offered under a transport that is not RTP/AVP.
    #[error("audio is offered as {0}, which is not supported")]
    Protocol(String),
    /// The two sides have no codec in common.
    #[error("no codec in common")]
    NoCommonCodec,
    /// The description says nowhere where sound is to go.
    #[error("the session description has no c= line")]
    NoAddress,
    /// The address is a host name or a multicast group.
    #[error("the address {0} of the session description is not a unicast address")]
    Address(String),
}

/// Makes an offer of all that `local` can do (RFC 3264 §5).
#[must_use]
pub fn offer(local: &LocalMedia) -> SessionDescription {
    let media = offered(local, TELEPHONE_EVENT_PAYLOAD_TYPE);
    SessionDescription {
        media: vec![media],
        ..local.session()
    }
}

/// Makes an offer within a session in which `previous` is our last description (RFC 3264 §8): the
/// media keep their places, what was declined stays so, numbers keep their meaning, and the
/// version rises where something changes.
#[must_use]
pub fn reoffer(previous: &SessionDescription, local: &LocalMedia) -> SessionDescription {
    let codec = local.codecs.first().copied().unwrap_or(Codec::Pcmu);
    let live = previous
        .media
        .iter()
        .position(MediaDescription::is_live_audio);
    let before = live.and_then(|index| previous.media.get(index));
    let number = before.and_then(|media| media.telephone_event(codec));
    let mut ours = offered(local, number.unwrap_or(TELEPHONE_EVENT_PAYLOAD_TYPE));
    if let Some(before) = before {
        ours.protocol.clone_from(&before.protocol);
    }
    let mut session = local.session();
    session.timing.clone_from(&previous.timing);
    session.media = previous.media.iter().map(decline).collect();
    match live.and_then(|index| session.media.get_mut(index)) {
        Some(place) => *place = ours,
        None => session.media.push(ours),
    }
    session.succeeding(previous)
}

fn offered(local: &LocalMedia, telephone_event: u8) -> MediaDescription {
    let mut next_dynamic = FIRST_DYNAMIC_PAYLOAD_TYPE;
    let mut payloads = Vec::new();
    for codec in &local.codecs {
        let number = codec.static_payload_type().unwrap_or_else(|| {
            next_dynamic += u8::from(next_dynamic == telephone_event);
            next_dynamic += 1;
            next_dynamic - 1
        });
        payloads.push((number, *codec));
    }
    let clock_rate_hz = local
        .codecs
        .first()
        .map_or(8_000, |codec| codec.clock_rate_hz());
    let dtmf = local.dtmf.then_some((telephone_event, clock_rate_hz));
    let mut media = describe(local, "RTP/AVP", &payloads, dtmf);
    if local.comfort_noise {
        add_comfort_noise(&mut media);
    }
    finish(&mut media, local.ptime_ms, local.direction, local.rtcp_mux);
    media
}

/// Answers an offer, or says why not (RFC 3264 §6). All media but the first usable audio are
/// declined with port 0.
///
/// A later offer in the same session is answered the same way; pass the answer through
/// [`SessionDescription::succeeding`] with the one before it.
///
/// # Errors
/// Returns [`Refusal`] when nothing in the offer can be used: the offer gets 488.
pub fn answer(
    offer: &SessionDescription,
    local: &LocalMedia,
) -> Result<(SessionDescription, Negotiated), Refusal> {
    let (index, chosen) = choose(offer, local)?;
    let theirs = offer.media.get(index).ok_or(Refusal::NoAudio)?;
    let negotiated = Negotiated::as_answerer(offer, theirs, chosen, local)?;
    let dtmf = negotiated
        .dtmf
        .map(|number| (number, negotiated.codec.clock_rate_hz()));
    let mut ours = describe(local, &theirs.protocol, &[chosen], dtmf);
    if negotiated.comfort_noise {
        add_comfort_noise(&mut ours);
    }
    finish(
        &mut ours,
        negotiated.ptime_ms,
        negotiated.direction,
        negotiated.rtcp_mux,
    );
    let media = offer.media.iter().enumerate();
    let media = media.map(|(at, media)| {
        if at == index {
            ours.clone()
        } else {
            decline(media)
        }
    });
    let mut session = local.session();
    session.media = media.collect();
    // RFC 3264 §6: the answer's t= line is the offer's.
    session.timing.clone_from(&offer.timing);
    Ok((session, negotiated))
}

/// Finds the first medium with a codec of ours, and that codec: the first that the offer lists,
/// since the offerer then need not transcode.
fn choose(offer: &SessionDescription, local: &LocalMedia) -> Result<(usize, (u8, Codec)), Refusal> {
    let mut refusal = Refusal::NoAudio;
    for (index, media) in offer.media.iter().enumerate() {
        if !media.is_live_audio() {
            continue;
        }
        let protocol = media.protocol.to_ascii_uppercase();
        if protocol.contains("SAVP") {
            refusal = Refusal::SecureOnly(media.protocol.clone());
        } else if protocol != "RTP/AVP" && protocol != "RTP/AVPF" {
            refusal = Refusal::Protocol(media.protocol.clone());
        } else {
            match media
                .codecs()
                .find(|(_, codec)| local.codecs.contains(codec))
            {
                Some(chosen) => return Ok((index, chosen)),
                None => refusal = Refusal::NoCommonCodec,
            }
        }
    }
    Err(refusal)
}

fn describe(
    local: &LocalMedia,
    protocol: &str,
    payloads: &[(u8, Codec)],
    dtmf: Option<(u8, u32)>,
) -> MediaDescription {
    let mut formats = Vec::new();
    let mut attributes = Vec::new();
    for (number, codec) in payloads {
        formats.push(number.to_string());
        let map = format!("{number} {}/{}", codec.name(), codec.clock_rate_hz());
        attributes.push(Attribute::new("rtpmap", map));
    }
    if let Some((number, clock_rate_hz)) = dtmf {
        formats.push(number.to_string());
        let map = format!("{number} telephone-event/{clock_rate_hz}");
        attributes.push(Attribute::new("rtpmap", map));
        attributes.push(Attribute::new("fmtp", format!("{number} 0-15")));
    }
    MediaDescription {
        kind: "audio".to_owned(),
        port: local.address.port(),
        port_count: None,
        protocol: protocol.to_owned(),
        formats,
        connection: None,
        attributes,
    }
}

fn add_comfort_noise(media: &mut MediaDescription) {
    let number = comfort_noise::PAYLOAD_TYPE;
    media.formats.push(number.to_string());
    let map = Attribute::new("rtpmap", format!("{number} CN/8000"));
    media.attributes.push(map);
}

fn finish(media: &mut MediaDescription, ptime_ms: u32, direction: Direction, rtcp_mux: bool) {
    media
        .attributes
        .push(Attribute::new("ptime", ptime_ms.to_string()));
    if rtcp_mux {
        media.attributes.push(Attribute::flag("rtcp-mux"));
    }
    media.attributes.push(Attribute::flag(direction.name()));
}

/// RFC 3264 §6: a declined medium stays in its place, with port 0 and the formats it came with.
fn decline(media: &MediaDescription) -> MediaDescription {
    MediaDescription {
        port: 0,
        port_count: None,
        connection: None,
        attributes: Vec::new(),
        ..media.clone()
    }
}
