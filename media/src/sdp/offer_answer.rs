//! Makes offers and answers (RFC 3264).

use std::net::SocketAddr;

use thiserror::Error;

use super::crypto::{Accepted, CRYPTO};
use super::negotiate::{RTCP_XR, VOIP_METRICS};
use super::numbers::{Numbers, parameters};
use super::{Attribute, Connection, Direction, LocalSrtp, MediaDescription, Negotiated};
use super::{Origin, SessionDescription, SrtpPolicy};
use crate::codec::{Codec, comfort_noise};

/// The longest packets that we care to receive, in milliseconds.
const MAX_PTIME_MS: u32 = 60;

/// Describes what our side of a session can do, and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where we receive RTP, as the peer must address it.
    pub address: SocketAddr,
    /// Codecs that we take, the preferred one first.
    pub codecs: Vec<Codec>,
    /// Whether an answer takes the first of these that is offered, rather than the first offered
    /// that is among these (RFC 3264 §6.1 recommends the latter).
    pub prefers_own_order: bool,
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
    /// Whether the peer is asked to tell how well it hears us (RFC 3611).
    pub voip_metrics: bool,
    /// Whether media is encrypted, and with which keys.
    pub srtp: LocalSrtp,
}

impl LocalMedia {
    /// Describes a plain telephone: PCMU and PCMA, 20 ms, DTMF, both ways, RTCP on RTP's port
    /// when the peer can, no SRTP.
    #[must_use]
    pub fn new(address: SocketAddr, session_id: u64) -> Self {
        Self {
            address,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            prefers_own_order: false,
            ptime_ms: 20,
            session_id,
            version: session_id,
            direction: Direction::SendRecv,
            dtmf: true,
            comfort_noise: false,
            rtcp_mux: true,
            voip_metrics: true,
            srtp: LocalSrtp::off(),
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
    /// Audio is offered under SRTP alone, which is off here.
    #[error("audio is offered as {0} alone, and SRTP is off")]
    SecureOnly(String),
    /// Audio is offered or answered under SRTP without a key that can be used.
    #[error("audio comes as {0} without a crypto suite in common")]
    NoCommonSuite(String),
    /// Audio is offered in the clear, and SRTP is required here.
    #[error("audio is offered as {0} without keys, and SRTP is required")]
    InTheClear(String),
    /// Audio is offered under a transport that is neither RTP/AVP nor RTP/SAVP.
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
    let media = offered(local, None);
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
    let live = previous
        .media
        .iter()
        .position(MediaDescription::is_live_audio);
    let before = live.and_then(|index| previous.media.get(index));
    let mut ours = offered(local, before);
    if let Some(before) = before {
        ours.protocol.clone_from(&before.protocol);
        keep_crypto(&mut ours, before);
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

/// A key that may be in use is offered again under its number; no other is taken up beside it.
fn keep_crypto(ours: &mut MediaDescription, before: &MediaDescription) {
    ours.attributes.retain(|attribute| attribute.name != CRYPTO);
    let cryptos = before.attributes.iter();
    let cryptos = cryptos.filter(|attribute| attribute.name == CRYPTO);
    ours.attributes.extend(cryptos.cloned());
}

/// Describes all that we can do; numbers that stood for something `before` stand for it again.
fn offered(local: &LocalMedia, before: Option<&MediaDescription>) -> MediaDescription {
    let mut numbers = Numbers::new(before);
    let codecs = local.codecs.iter();
    let payloads: Vec<(u8, Codec)> = codecs
        .map(|codec| (numbers.of_codec(*codec), *codec))
        .collect();
    let mut events: Vec<(u8, u32)> = Vec::new();
    for codec in local.codecs.iter().filter(|_| local.dtmf) {
        let clock_rate_hz = codec.clock_rate_hz();
        if !events.iter().any(|(_, known)| *known == clock_rate_hz) {
            events.push((numbers.of_telephone_event(clock_rate_hz), clock_rate_hz));
        }
    }
    let protocol = match local.srtp.policy() {
        SrtpPolicy::Required => "RTP/SAVP",
        SrtpPolicy::Optional | SrtpPolicy::Off => "RTP/AVP",
    };
    let mut media = describe(local, protocol, &payloads, &events);
    if local.comfort_noise {
        add_comfort_noise(&mut media);
    }
    ask_for_voip_metrics(&mut media, local);
    finish(&mut media, local.ptime_ms, local.direction, local.rtcp_mux);
    media.attributes.extend(local.srtp.offered());
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
    let chosen = choose(offer, local)?;
    let index = chosen.index;
    let theirs = offer.media.get(index).ok_or(Refusal::NoAudio)?;
    let keys = chosen.accepted.as_ref().map(Accepted::keys);
    let negotiated = Negotiated::as_answerer(offer, theirs, chosen.codec, keys, local)?;
    let event = negotiated
        .dtmf
        .map(|number| (number, negotiated.dtmf_clock_rate_hz));
    let mut ours = describe(local, &theirs.protocol, &[chosen.codec], event.as_slice());
    if negotiated.comfort_noise {
        add_comfort_noise(&mut ours);
    }
    // Who asks understands the question.
    if negotiated.voip_metrics {
        ask_for_voip_metrics(&mut ours, local);
    }
    finish(
        &mut ours,
        negotiated.ptime_ms,
        negotiated.direction,
        negotiated.rtcp_mux,
    );
    ours.attributes
        .extend(chosen.accepted.iter().map(Accepted::attribute));
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

/// Which of the offered media is taken, and how.
struct Chosen {
    index: usize,
    codec: (u8, Codec),
    /// Without it media goes in the clear.
    accepted: Option<Accepted>,
}

/// Finds the first medium with a codec of ours, and that codec. One that is encrypted goes before
/// all others.
fn choose(offer: &SessionDescription, local: &LocalMedia) -> Result<Chosen, Refusal> {
    let mut in_the_clear = None;
    let mut refusal = Refusal::NoAudio;
    for (index, media) in offer.media.iter().enumerate() {
        if !media.is_live_audio() {
            continue;
        }
        match (local.srtp.take(media), preferred(media, local)) {
            (Err(refused), _) => refusal = refused,
            (Ok(_), None) => refusal = Refusal::NoCommonCodec,
            (Ok(accepted), Some(codec)) => {
                let encrypted = accepted.is_some();
                let chosen = Chosen {
                    index,
                    codec,
                    accepted,
                };
                if encrypted {
                    return Ok(chosen);
                }
                in_the_clear.get_or_insert(chosen);
            }
        }
    }
    in_the_clear.ok_or(refusal)
}

/// The codec to take: the first that the offer lists, since the offerer then need not transcode,
/// unless our own order goes first.
fn preferred(media: &MediaDescription, local: &LocalMedia) -> Option<(u8, Codec)> {
    let usable = media
        .codecs()
        .filter(|(_, codec)| local.codecs.contains(codec));
    let rank = |codec| local.codecs.iter().position(|ours| *ours == codec);
    if local.prefers_own_order {
        usable.min_by_key(|(_, codec)| rank(*codec))
    } else {
        let mut usable = usable;
        usable.next()
    }
}

fn describe(
    local: &LocalMedia,
    protocol: &str,
    payloads: &[(u8, Codec)],
    events: &[(u8, u32)],
) -> MediaDescription {
    let mut formats = Vec::new();
    let mut attributes = Vec::new();
    for (number, codec) in payloads {
        formats.push(number.to_string());
        let map = format!("{number} {}", codec.rtpmap());
        attributes.push(Attribute::new("rtpmap", map));
        if let Some(parameters) = parameters(*codec) {
            attributes.push(Attribute::new("fmtp", format!("{number} {parameters}")));
        }
    }
    for (number, clock_rate_hz) in events {
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

fn ask_for_voip_metrics(media: &mut MediaDescription, local: &LocalMedia) {
    if local.voip_metrics {
        media.attributes.push(Attribute::new(RTCP_XR, VOIP_METRICS));
    }
}

fn finish(media: &mut MediaDescription, ptime_ms: u32, direction: Direction, rtcp_mux: bool) {
    media
        .attributes
        .push(Attribute::new("ptime", ptime_ms.to_string()));
    media
        .attributes
        .push(Attribute::new("maxptime", MAX_PTIME_MS.to_string()));
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
