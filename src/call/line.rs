//! A line: what places and takes calls. It joins SIP, which carries bodies as bytes, with media,
//! which knows what is in them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use offhook_media::sdp::LocalSrtp;
use offhook_media::srtp::{SrtpKeys, Suite};
use offhook_media::{
    Codec, InbandDtmf, LocalMedia, MediaSession, Negotiated, SessionConfig, SrtpPolicy, Stats,
};
use offhook_sip::{Advertise, Flow};
use rand::Rng;
use tokio::sync::mpsc;

use super::codecs::Codecs;
use super::session::{Change, Session, SessionError};
use crate::clock;
use crate::config::Keys;
use crate::net::media::{
    Command, LegEvent, LegId, MediaError, MediaThread, MediaThreads, OpenLeg, PortError, PortPair,
    PortPool,
};
use crate::net::sip::Sip;

mod answered;
mod attached;
mod life;
mod reach;

pub use self::attached::Attached;
pub use self::reach::Reachable;

/// Events that may wait for one call's task.
const LEG_EVENTS: usize = 256;
/// Sound that a session's own playout holds, in ms: the leg refills it at each tick from what waits
/// beside it.
pub(crate) const PLAYOUT_MS: u32 = 100;

/// What places and takes calls: the SIP task, the media threads, the ports.
pub struct Line {
    sip: Sip,
    media: MediaThreads,
    ports: Arc<PortPool>,
    advertise: Advertise,
    terms: LegTerms,
    reach: Arc<Reachable>,
}

/// What holds of every leg's media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegTerms {
    /// The least delay of the jitter buffer, in ms.
    pub jitter_min_ms: u32,
    /// The greatest, in ms.
    pub jitter_max_ms: u32,
    /// How long a leg lives without a packet from its peer, unless the call is on hold; `None` is
    /// for ever.
    pub silence_hangup: Option<Duration>,
    /// Whether our own sound that comes back is kept from whoever hears the leg. Who records what
    /// comes wants it as it is.
    pub echo_gate: bool,
}

impl Default for LegTerms {
    fn default() -> Self {
        Self {
            jitter_min_ms: 0,
            jitter_max_ms: 200,
            silence_hangup: Some(Duration::from_secs(60)),
            echo_gate: true,
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

/// When keys are heard in the sound of a party that is told of keys like this.
fn inband_dtmf(keys: Keys) -> InbandDtmf {
    match keys {
        Keys::Auto | Keys::Tones => InbandDtmf::Auto,
        Keys::Events | Keys::Info => InbandDtmf::Off,
    }
}

/// Explains why a leg has no media.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The other side's SDP is of no use: 400 or 488.
    #[error(transparent)]
    Session(#[from] SessionError),
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
            Self::Session(error) => error.status(),
            Self::Ports(_) | Self::Media(_) => 503,
        }
    }
}

/// A port that rests for a while once it is given back.
struct PortLease {
    pool: Arc<PortPool>,
    port: u16,
}

impl Drop for PortLease {
    fn drop(&mut self) {
        self.pool.closed(self.port, clock::now());
    }
}

/// Our half of a session that is being agreed upon. Dropped, it gives its ports back.
pub struct Half {
    // The sockets close before their port begins to rest.
    ports: PortPair,
    lease: PortLease,
    session: Session,
    keys: Keys,
}

impl Half {
    /// The SDP to send.
    #[must_use]
    pub fn sdp(&self) -> Vec<u8> {
        self.session.sdp()
    }

    /// Reads the other side's answer to our offer.
    ///
    /// # Errors
    /// When it cannot be read, or takes nothing that we offered.
    pub fn read_answer(&self, answer: &[u8]) -> Result<Negotiated, LineError> {
        Ok(self.session.read_answer(answer)?)
    }
}

/// A leg whose media runs. Dropped, it ends: no leg outlives its call's task, however that ends.
pub struct Leg {
    /// Its name.
    pub id: LegId,
    /// The thread that it lives on.
    pub media: MediaThread,
    /// The codec that was agreed upon.
    pub codec: Codec,
    /// Samples per second of its sound, however the codec changes.
    pub rate_hz: u32,
    events: mpsc::Receiver<LegEvent>,
    session: Session,
    keys: Keys,
    /// None once it is closed.
    lease: Option<PortLease>,
    stats: Option<Box<Stats>>,
    /// Its name and its thread of before, while it is on its way to another one.
    moved_from: Option<(LegId, MediaThread)>,
}

impl Line {
    /// Joins a SIP task with media threads and ports.
    #[must_use]
    pub fn new(
        sip: Sip,
        media: impl Into<MediaThreads>,
        ports: PortPool,
        advertise: Advertise,
    ) -> Self {
        Self {
            sip,
            media: media.into(),
            ports: Arc::new(ports),
            advertise,
            terms: LegTerms::default(),
            reach: Arc::default(),
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

    /// Which addresses can be reached.
    #[must_use]
    pub fn reach(&self) -> &Arc<Reachable> {
        &self.reach
    }

    /// The media threads.
    pub fn media(&self) -> impl Iterator<Item = &MediaThread> {
        self.media.iter()
    }

    /// Opens ports and makes an offer for a call over `flow`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn offer(&self, flow: &Flow, codecs: &Codecs, srtp: SrtpPolicy) -> Result<Half, LineError> {
        let (ports, lease, local) = self.local_media(flow, codecs, srtp)?;
        Ok(Half {
            ports,
            lease,
            session: Session::offering(local, codecs.offered()),
            keys: codecs.keys(),
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
        srtp: SrtpPolicy,
        offer: &[u8],
    ) -> Result<(Half, Negotiated), LineError> {
        let (ports, lease, local) = self.local_media(flow, codecs, srtp)?;
        let (session, negotiated) = Session::answering(local, offer)?;
        let half = Half {
            ports,
            lease,
            session,
            keys: codecs.keys(),
        };
        Ok((half, negotiated))
    }

    fn local_media(
        &self,
        flow: &Flow,
        codecs: &Codecs,
        srtp: SrtpPolicy,
    ) -> Result<(PortPair, PortLease, LocalMedia), LineError> {
        let ports = self.ports.open(flow.local.ip(), clock::now())?;
        let lease = PortLease {
            pool: Arc::clone(&self.ports),
            port: ports.local.port(),
        };
        let shown = self.advertise.address(flow).ip();
        let address = SocketAddr::new(shown, lease.port);
        let session_id = rand::rng().random_range(1..=u64::from(u32::MAX));
        let mut local = LocalMedia::new(address, session_id);
        local.codecs = codecs.accepted().to_vec();
        local.prefers_own_order = codecs.count_in_order();
        local.comfort_noise = codecs.tell_silence();
        local.dtmf = matches!(codecs.keys(), Keys::Auto | Keys::Events);
        local.srtp = LocalSrtp::new(srtp, &mut rand::rng());
        Ok((ports, lease, local))
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
        attached: Attached,
    ) -> Result<Leg, LineError> {
        let Attached {
            sink,
            recorder,
            records_later,
            leaves_tones,
            ambience,
            gain_control,
        } = attached;
        let now = clock::beat(clock::now());
        let mut config =
            SessionConfig::new(negotiated.clone(), rand::rng().random(), signalling_remote);
        config.first_sequence = rand::rng().random();
        config.first_timestamp = rand::rng().random();
        config.seed = rand::rng().random();
        config.unix_time = unix_time();
        config.recording = recorder.is_some() || records_later;
        config.inband_dtmf = match leaves_tones {
            true => InbandDtmf::Off,
            false => inband_dtmf(half.keys),
        };
        config.presses_keys = half.keys != Keys::Info;
        config.ambience = ambience;
        config.gain_control = gain_control && sink.is_some();
        config.echo_gate = self.terms.echo_gate && sink.is_some();
        config.playout_capacity_ms = PLAYOUT_MS;
        config.jitter_min_ms = self.terms.jitter_min_ms;
        config.jitter_max_ms = self.terms.jitter_max_ms;
        config.media_timeout = self.terms.silence_hangup.unwrap_or(Duration::MAX);
        let media_session = Box::new(MediaSession::new(now, config));
        let (tell, events) = mpsc::channel(LEG_EVENTS);
        let media = self.thread_of(id).clone();
        let (codec, rate_hz) = (negotiated.codec, negotiated.rate_hz());
        let Half {
            ports,
            lease,
            mut session,
            keys,
        } = half;
        session.agree(negotiated);
        let open = OpenLeg {
            leg: id,
            session: media_session,
            ports,
            sink,
            recorder,
            events: tell,
        };
        media.send(Command::Open(Box::new(open)))?;
        Ok(Leg {
            id,
            media,
            codec,
            rate_hz,
            events,
            session,
            keys,
            lease: Some(lease),
            stats: None,
            moved_from: None,
        })
    }

    /// Reserves a name for a leg that lives on the same thread as another one, so that the two may
    /// be of one room.
    #[must_use]
    pub fn next_leg_beside(&self, leg: LegId) -> LegId {
        loop {
            let next = next_leg();
            if self.media.are_together(next, leg) {
                return next;
            }
        }
    }

    /// Whether two legs may be of one room.
    pub(super) fn are_together(&self, leg: LegId, other: LegId) -> bool {
        self.media.are_together(leg, other)
    }

    /// The thread that a leg lives on.
    #[must_use]
    pub fn thread_of(&self, leg: LegId) -> &MediaThread {
        self.media.of(leg)
    }
}

impl Leg {
    /// Whether the other side holds the call: it wants to hear nothing.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.session.is_held()
    }

    /// How the leg's media is encrypted; `None` when it goes in the clear.
    #[must_use]
    pub fn srtp(&self) -> Option<Suite> {
        self.session
            .negotiated()?
            .srtp
            .as_ref()
            .map(SrtpKeys::suite)
    }

    /// Our latest description, to be sent.
    #[must_use]
    pub fn sdp(&self) -> Vec<u8> {
        self.session.sdp()
    }

    /// Answers a re-INVITE or UPDATE, as [`Session::answer_reoffer`] says.
    ///
    /// # Errors
    /// When the offer cannot be used; the session goes on as it was (RFC 3261 §14.2).
    pub fn answer_reoffer(&mut self, offer: Option<&[u8]>) -> Result<Vec<u8>, LineError> {
        let change = self.session.answer_reoffer(offer)?;
        let sdp = change.sdp();
        self.adopt(change)?;
        Ok(sdp)
    }

    /// Makes an offer of our own for a re-INVITE, as [`Session::offer`] says.
    #[must_use]
    pub fn offer(&mut self) -> Option<Vec<u8>> {
        self.session.offer()
    }

    /// Takes note that our offer was not sent, and is to be made anew.
    pub fn offer_overtaken(&mut self) {
        self.session.offer_overtaken();
    }

    /// Whether an offer that could not be made may be made now.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.session.is_outdated()
    }

    /// Lets the other side wait, or no longer, in what is offered and answered from now on.
    pub fn hold(&mut self, hold: bool) {
        self.session.hold(hold);
    }

    /// Takes the answer to our re-INVITE; without one it was refused.
    ///
    /// # Errors
    /// When it cannot be used; the session goes on as it was.
    pub fn offer_answered(&mut self, offer: &[u8], answer: Option<&[u8]>) -> Result<(), LineError> {
        match self.session.offer_answered(offer, answer)? {
            Some(change) => self.adopt(change),
            None => Ok(()),
        }
    }

    /// Takes the answer that an ACK brought to the offer of our own answer.
    ///
    /// # Errors
    /// When it cannot be used; the session goes on as it was.
    pub fn take_answer(&mut self, answer: &[u8]) -> Result<(), LineError> {
        let change = self.session.take_answer(answer)?;
        self.adopt(change)
    }

    fn adopt(&mut self, change: Change) -> Result<(), LineError> {
        if let Some(negotiated) = change.media() {
            let taken = Box::new(negotiated.clone());
            self.media.send(Command::Renegotiate(self.id, taken))?;
            self.codec = negotiated.codec;
            self.session.adopt(change);
            self.session.renew_unused_keys(&mut rand::rng());
        } else {
            self.session.adopt(change);
        }
        Ok(())
    }
}

/// Time since 1970, for RTCP's NTP timestamps (RFC 3550 §4).
fn unix_time() -> Duration {
    SystemTime::from(jiff::Timestamp::now())
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
