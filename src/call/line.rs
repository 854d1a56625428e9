//! A line: what places and takes calls. It joins SIP, which carries bodies as bytes, with media,
//! which knows what is in them.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use offhook_media::sdp;
use offhook_media::{
    Codec, LocalMedia, MediaSession, Negotiated, Refusal, SessionConfig, SessionDescription,
};
use offhook_sip::{Advertise, Flow};
use rand::Rng;
use tokio::sync::mpsc;

use super::codecs::Codecs;
use crate::clock;
use crate::net::media::{
    Command, LegEvent, LegId, MediaError, MediaThread, OpenLeg, PortError, PortPair, PortPool,
    RecordSink, SinkBuilder,
};
use crate::net::sip::Sip;

/// Events that may wait for one call's task.
const LEG_EVENTS: usize = 256;

/// What places and takes calls: the SIP task, the media threads, the ports.
pub struct Line {
    sip: Sip,
    first: MediaThread,
    others: Vec<MediaThread>,
    ports: PortPool,
    advertise: Advertise,
    terms: LegTerms,
}

/// What holds of every leg's media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegTerms {
    /// The least delay of the jitter buffer, in ms.
    pub jitter_min_ms: u32,
    /// The greatest, in ms.
    pub jitter_max_ms: u32,
    /// How long a leg lives without any media from its peer; `None` is for ever.
    pub silence_hangup: Option<Duration>,
}

impl Default for LegTerms {
    fn default() -> Self {
        Self {
            jitter_min_ms: 0,
            jitter_max_ms: 200,
            silence_hangup: Some(Duration::from_secs(60)),
        }
    }
}

/// Legs of every line of the process have names of their own, since one pair of ears hears all.
static NEXT_LEG: AtomicU64 = AtomicU64::new(1);

/// Reserves a name for a leg, so that its ears may be made before its media.
#[must_use]
pub fn next_leg() -> LegId {
    NEXT_LEG.fetch_add(1, Ordering::Relaxed)
}

/// Explains why a leg has no media.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The other side's SDP cannot be read: 400 or 488.
    #[error("the session description cannot be read: {0}")]
    Unreadable(#[from] sdp::SdpError),
    /// It offers nothing that we can do: 488 (RFC 3261 §21.4.26).
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// No port is free: 503.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// The media thread did not take the leg: 503.
    #[error(transparent)]
    Media(#[from] MediaError),
}

impl LineError {
    /// The status that tells the other side.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Unreadable(_) => 400,
            Self::Refused(_) => 488,
            Self::Ports(_) | Self::Media(_) => 503,
        }
    }
}

/// Our half of a session that is being agreed upon.
pub struct Half {
    ports: PortPair,
    local: LocalMedia,
    /// Our latest description.
    description: SessionDescription,
}

impl Half {
    /// The SDP to send.
    #[must_use]
    pub fn sdp(&self) -> Vec<u8> {
        self.description.to_string().into_bytes()
    }

    /// Reads the other side's answer to our offer.
    ///
    /// # Errors
    /// When it cannot be read, or takes nothing that we offered.
    pub fn read_answer(&self, answer: &[u8]) -> Result<Negotiated, LineError> {
        let answer = SessionDescription::parse(answer)?;
        Ok(Negotiated::from_answer(&self.description, &answer)?)
    }
}

/// A leg whose media runs.
pub struct Leg {
    /// Its name.
    pub id: LegId,
    /// The thread that it lives on.
    pub media: MediaThread,
    /// What happens on it.
    pub events: mpsc::Receiver<LegEvent>,
    /// The codec that was agreed upon.
    pub codec: Codec,
    /// Samples per second of its sound, however the codec changes.
    pub rate_hz: u32,
    port: u16,
    local: LocalMedia,
    description: SessionDescription,
    negotiated: Negotiated,
}

impl Line {
    /// Joins a SIP task with media threads and ports.
    #[must_use]
    pub fn new(
        sip: Sip,
        first: MediaThread,
        others: Vec<MediaThread>,
        ports: PortPool,
        advertise: Advertise,
    ) -> Self {
        Self {
            sip,
            first,
            others,
            ports,
            advertise,
            terms: LegTerms::default(),
        }
    }

    /// Sets what holds of every leg from now on.
    #[must_use]
    pub fn with_terms(mut self, terms: LegTerms) -> Self {
        self.terms = terms;
        self
    }

    /// The SIP task.
    #[must_use]
    pub fn sip(&self) -> &Sip {
        &self.sip
    }

    /// The media threads.
    pub fn media(&self) -> impl Iterator<Item = &MediaThread> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Opens ports and makes an offer for a call over `flow`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn offer(&self, flow: &Flow, codecs: &Codecs) -> Result<Half, LineError> {
        let (ports, local) = self.local_media(flow, codecs)?;
        let description = sdp::offer(&LocalMedia {
            codecs: codecs.offered().to_vec(),
            ..local.clone()
        });
        Ok(Half {
            ports,
            local,
            description,
        })
    }

    /// Opens ports and answers an offer that came over `flow`.
    ///
    /// # Errors
    /// When the offer cannot be used, or no port is free.
    pub fn answer(
        &self,
        flow: &Flow,
        codecs: &Codecs,
        offer: &[u8],
    ) -> Result<(Half, Negotiated), LineError> {
        let offer = SessionDescription::parse(offer)?;
        let (ports, local) = self.local_media(flow, codecs)?;
        match sdp::answer(&offer, &local) {
            Ok((description, negotiated)) => Ok((
                Half {
                    ports,
                    local,
                    description,
                },
                negotiated,
            )),
            Err(refusal) => {
                self.ports.closed(ports.local.port(), clock::now());
                Err(refusal.into())
            }
        }
    }

    fn local_media(
        &self,
        flow: &Flow,
        codecs: &Codecs,
    ) -> Result<(PortPair, LocalMedia), LineError> {
        let ports = self.ports.open(flow.local.ip(), clock::now())?;
        let shown = self.advertise.address(flow).ip();
        let address = SocketAddr::new(shown, ports.local.port());
        let session_id = rand::rng().random_range(1..=u64::from(u32::MAX));
        let mut local = LocalMedia::new(address, session_id);
        local.codecs = codecs.accepted().to_vec();
        local.prefers_own_order = codecs.count_in_order();
        Ok((ports, local))
    }

    /// Gives up a half whose call did not come about.
    pub fn release(&self, half: Half) {
        let port = half.ports.local.port();
        drop(half);
        self.ports.closed(port, clock::now());
    }

    /// Starts the leg's media.
    ///
    /// # Errors
    /// When the media thread does not take it.
    pub fn open(
        &self,
        id: LegId,
        half: Half,
        negotiated: Negotiated,
        signalling_remote: IpAddr,
        sink: Option<SinkBuilder>,
        recorder: Option<Box<dyn RecordSink>>,
    ) -> Result<Leg, LineError> {
        let now = clock::now();
        let mut config =
            SessionConfig::new(negotiated.clone(), rand::rng().random(), signalling_remote);
        config.first_sequence = rand::rng().random();
        config.first_timestamp = rand::rng().random();
        config.seed = rand::rng().random();
        config.unix_time = unix_time();
        config.recording = recorder.is_some();
        config.echo_gate = sink.is_some();
        config.jitter_min_ms = self.terms.jitter_min_ms;
        config.jitter_max_ms = self.terms.jitter_max_ms;
        config.media_timeout = self.terms.silence_hangup.unwrap_or(Duration::MAX);
        let session = Box::new(MediaSession::new(now, config));
        let (tell, events) = mpsc::channel(LEG_EVENTS);
        let media = self.thread_of(id);
        let port = half.ports.local.port();
        let (codec, rate_hz) = (negotiated.codec, negotiated.rate_hz());
        let Half {
            ports,
            local,
            description,
        } = half;
        let open = OpenLeg {
            leg: id,
            session,
            ports,
            sink,
            recorder,
            events: tell,
        };
        media.send(Command::Open(Box::new(open)))?;
        Ok(Leg {
            id,
            media,
            events,
            codec,
            rate_hz,
            port,
            local,
            description,
            negotiated,
        })
    }

    /// The thread that a leg lives on: legs are spread by their numbers.
    #[must_use]
    pub fn thread_of(&self, leg: LegId) -> MediaThread {
        let index = usize::try_from(leg).unwrap_or(0) % (self.others.len() + 1);
        index
            .checked_sub(1)
            .and_then(|other| self.others.get(other))
            .unwrap_or(&self.first)
            .clone()
    }

    /// Ends the leg's media; its port rests for a while.
    pub fn close(&self, leg: &Leg) {
        let _ = leg.media.send(Command::Close(leg.id));
        self.ports.closed(leg.port, clock::now());
    }
}

impl Leg {
    /// Answers a re-INVITE or UPDATE: with the session's own SDP when nothing is offered or
    /// nothing changes, so that no session refresh ends a call (RFC 3264 §8, RFC 4028).
    ///
    /// # Errors
    /// When the offer cannot be used; the session goes on as it was (RFC 3261 §14.2).
    pub fn answer_reoffer(&mut self, offer: Option<&[u8]>) -> Result<Vec<u8>, LineError> {
        let Some(offer) = offer else {
            return Ok(self.description.to_string().into_bytes());
        };
        let offer = SessionDescription::parse(offer)?;
        let (answer, negotiated) = sdp::answer(&offer, &self.local)?;
        let answer = answer.succeeding(&self.description);
        if negotiated != self.negotiated {
            self.negotiated = negotiated.clone();
            self.codec = negotiated.codec;
            self.media
                .send(Command::Renegotiate(self.id, Box::new(negotiated)))?;
        }
        let sdp = answer.to_string().into_bytes();
        self.description = answer;
        Ok(sdp)
    }

    /// Takes the answer that an ACK brought to the offer of our own answer.
    pub fn take_answer(&mut self, answer: &[u8]) {
        let Ok(answer) = SessionDescription::parse(answer) else {
            return;
        };
        if let Ok(negotiated) = Negotiated::from_answer(&self.description, &answer)
            && negotiated != self.negotiated
        {
            self.negotiated = negotiated.clone();
            self.codec = negotiated.codec;
            let _ = self
                .media
                .send(Command::Renegotiate(self.id, Box::new(negotiated)));
        }
    }
}

/// Time since 1970, for RTCP's NTP timestamps (RFC 3550 §4).
fn unix_time() -> Duration {
    SystemTime::from(jiff::Timestamp::now())
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
