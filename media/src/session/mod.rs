//! One party's media: what it sends is heard, what it is to hear is sent.

mod config;
mod control;
mod event;
mod forward;
mod grid;
mod outbox;
mod quality;
mod receive;
mod relay;
mod report;
mod security;
mod send;
mod stream;
mod surroundings;
mod tape;
mod watch;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use config::{AgentSound, SessionConfig};
use event::Notice;
pub use event::{Cancelled, Event, Transmit};
use grid::Grid;
use outbox::Outbox;
pub use receive::MAX_DATAGRAM_BYTES;
use receive::Peer;
use relay::Relay;
pub use relay::Relayed;
use security::Security;
pub use send::StepSound;
use stream::{Packing, Start, Stream};
use surroundings::Surroundings;
pub use tape::RecordFrame;
use tape::Tape;
pub use watch::OneWay;
use watch::Watch;

use crate::codec::comfort_noise::ComfortNoise;
use crate::dtmf::{DtmfReceiver, DtmfSender, InbandDtmf, InbandReceiver, OncePerPress};
use crate::echo::EchoGate;
use crate::gain::GainControl;
use crate::jitter::JitterBuffer;
use crate::level::LevelMeter;
use crate::mixer::limiter::Limiter;
use crate::playout::Playout;
use crate::rtcp::Schedule;
use crate::sdp::Negotiated;
use crate::source::SourceGuard;
use crate::stats::Stats;

/// Notices that may wait for their owner, and those that have room from the start: more than come in
/// one step.
const MAX_NOTICES: usize = 32;
const NOTICES: usize = 8;

/// Runs one party's media without sockets, clock or threads of its own.
///
/// The owner hands in each datagram ([`MediaSession::handle_rtp`], [`MediaSession::handle_rtcp`])
/// and calls [`MediaSession::tick`] at [`MediaSession::next_tick`]. After each of these, and after
/// each call that changes something, it takes all packets ([`MediaSession::poll_transmit`]) and all
/// events ([`MediaSession::poll_event`]) until there are none. What is not taken in time is
/// dropped and counted ([`Stats::overrun`]), never queued without bound. No packet and no tick
/// allocates memory (but for the Opus codec, a little a packet); what says that sound will be sent
/// may ([`MediaSession::play`], [`MediaSession::hold`], [`MediaSession::send_dtmf`],
/// [`MediaSession::expect_sound`]).
///
/// ```
/// # use std::time::{Duration, Instant};
/// use offhook_media::sdp::{self, LocalMedia, Negotiated};
/// use offhook_media::{Event, MediaSession, SessionConfig, UtteranceId};
///
/// let ours = sdp::offer(&LocalMedia::new("192.0.2.1:4000".parse()?, 1));
/// let (theirs, _) = sdp::answer(&ours, &LocalMedia::new("192.0.2.2:5000".parse()?, 2))?;
/// let negotiated = Negotiated::from_answer(&ours, &theirs)?;
/// let start = Instant::now();
/// let mut session =
///     MediaSession::new(start, SessionConfig::new(negotiated, 0x5EED, "192.0.2.2".parse()?));
///
/// session.play(start, UtteranceId(1), &[1_000; 320]);
/// session.finish(start, UtteranceId(1));
/// let mut packets = 0;
/// while session.next_tick() < start + Duration::from_millis(100) {
///     let now = session.next_tick(); // a real owner waits until then
///     session.tick(now);
///     while let Some(packet) = session.poll_transmit() {
///         assert_eq!(packet.to, "192.0.2.2:5000".parse()?);
///         packets += 1;
///     }
///     while let Some(event) = session.poll_event() {
///         if let Event::PlayoutFinished { played_samples, .. } = event {
///             assert_eq!(played_samples, 320);
///         }
///     }
/// }
/// assert_eq!(packets, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MediaSession {
    negotiated: Negotiated,
    /// The rate of all sound within the session, set at its start by the codec agreed on then.
    rate_hz: u32,
    continuous: bool,
    media_timeout: Duration,
    cname: Vec<u8>,
    start: Instant,
    guard: SourceGuard,
    /// Without it media goes in the clear.
    security: Option<Box<Security>>,
    /// What came under the peer's key before media went in the clear.
    unsecured: Option<Box<Security>>,
    peer: Peer,
    jitter: JitterBuffer,
    dtmf_receiver: DtmfReceiver,
    inband_dtmf: InbandDtmf,
    presses_keys: bool,
    inband: Option<Box<InbandReceiver>>,
    presses: OncePerPress,
    grid: Grid,
    stream: Stream,
    playout: Playout,
    surroundings: Surroundings,
    /// Of what is played together with what others of a conversation say.
    limiter: Limiter,
    dtmf_sender: DtmfSender,
    /// The last packet of sound that was sent belongs to an utterance.
    sounding: bool,
    /// The comfort noise that stands for our silence now, and where in RTP time it was sent.
    quiet: Option<(ComfortNoise, u64)>,
    schedule: Schedule,
    /// The peer asked for VoIP metrics, or sends them itself (RFC 3611 §5).
    voip_metrics_wanted: bool,
    outbox: Outbox,
    /// Packets pass to another session as they are.
    relay: Option<Relay>,
    /// Steps of the jitter buffer's sound that another session has sent on already.
    passed_on_steps: usize,
    notices: VecDeque<Notice>,
    tape: Option<Box<Tape>>,
    echo: Option<Box<EchoGate>>,
    level: LevelMeter,
    watch: Watch,
    gain: Option<GainControl>,
    stats: Stats,
    lost_events: u64,
}

impl MediaSession {
    /// Starts a session; its first tick is due at once.
    #[must_use]
    pub fn new(now: Instant, config: SessionConfig) -> Self {
        let negotiated = config.negotiated;
        let rate_hz = negotiated.rate_hz();
        let mut jitter = JitterBuffer::new(now, rate_hz)
            .with_delay_between(config.jitter_min_ms, config.jitter_max_ms);
        jitter.prepare(negotiated.receivable());
        let guard = SourceGuard::new(
            config.source_rule,
            negotiated.remote,
            config.signalling_remote,
        );
        // A receiver that misses the first packets guesses the rollover counter right only if none
        // is near (RFC 3711 §3.3.1).
        let first_sequence = match &negotiated.srtp {
            Some(_) => config.first_sequence & 0x7FFF,
            None => config.first_sequence,
        };
        let start = Start {
            ssrc: config.ssrc,
            sequence: first_sequence,
            timestamp: config.first_timestamp,
        };
        let mut session = Self {
            continuous: config.continuous,
            media_timeout: config.media_timeout.max(Duration::from_millis(100)),
            cname: config.cname.into_bytes(),
            start: now,
            guard,
            security: None,
            unsecured: None,
            peer: Peer::new(now),
            jitter,
            dtmf_receiver: DtmfReceiver::default(),
            inband_dtmf: config.inband_dtmf,
            presses_keys: config.presses_keys,
            inband: inband_receiver(config.inband_dtmf, &negotiated, rate_hz),
            presses: OncePerPress::default(),
            grid: Grid::new(now, rate_hz),
            stream: Stream::new(start, rate_hz, negotiated.codec, negotiated.opus),
            playout: Playout::new(rate_hz, config.playout_capacity_ms),
            surroundings: Surroundings::new(config.ambience.as_ref(), rate_hz),
            limiter: Limiter::new(),
            dtmf_sender: DtmfSender::new(),
            sounding: false,
            quiet: None,
            schedule: Schedule::new(now, config.unix_time, config.seed),
            voip_metrics_wanted: negotiated.voip_metrics,
            outbox: Outbox::new(negotiated.remote),
            relay: None,
            passed_on_steps: 0,
            notices: VecDeque::with_capacity(NOTICES),
            tape: config.recording.then(|| Box::new(Tape::new(rate_hz))),
            echo: config.echo_gate.then(|| Box::new(EchoGate::new(rate_hz))),
            level: LevelMeter::default(),
            watch: Watch::new(now),
            gain: config.gain_control.then(GainControl::new),
            stats: Stats::default(),
            lost_events: 0,
            rate_hz,
            negotiated,
        };
        session.secure(now, None);
        session
    }

    /// When the next tick is due: on an absolute 20 ms grid, or at once when an utterance starts
    /// on a silent session.
    #[must_use]
    pub fn next_tick(&self) -> Instant {
        self.grid.next()
    }

    /// When the next tick is due by RTP time alone: [`MediaSession::next_tick`], but for an utterance
    /// that has its ticks up to 20 ms sooner while it lasts.
    #[must_use]
    pub fn next_tick_by_rtp_time(&self) -> Instant {
        self.grid.by_rtp_time()
    }

    /// Takes the next packet to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.outbox.pop()
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(told) = self.next_notice() {
            return Some(told);
        }
        if let Some(mut frame) = self.jitter.hear() {
            if let Some(echo) = &mut self.echo
                && echo.is_echo(&frame)
            {
                frame.silence_echo();
            }
            self.hear_tones(&frame);
            if !frame.concealed && !frame.echo {
                self.level.hear(frame.samples());
            }
            if let Some(gain) = &mut self.gain {
                gain.apply(&mut frame);
            }
            return Some(Event::Heard(frame));
        }
        self.tape.as_mut()?.take().map(Event::Recording)
    }

    /// Samples per second of what is played, heard and recorded: 8,000, or 16,000 when the session
    /// began with a wideband codec. It never changes; a codec of another rate that is agreed on or
    /// used later is converted.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// What was negotiated last.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Where the peer's media comes from, once it is known.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.guard.known()
    }

    /// Memory that the session holds in bytes, inline and on the heap; it changes only when codecs
    /// do.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.jitter.heap_bytes()
            + self.stream.heap_bytes()
            + self.playout.heap_bytes()
            + self.outbox.heap_bytes()
            + self.notices.capacity() * size_of::<Notice>()
            + self.cname.capacity()
            + self
                .echo
                .as_ref()
                .map_or(0, |echo| size_of::<EchoGate>() + echo.heap_bytes())
            + self.security.as_deref().map_or(0, Security::heap_bytes)
            + self.unsecured.as_deref().map_or(0, Security::heap_bytes)
            + self.tape.as_ref().map_or(0, |_| size_of::<Tape>())
            + self
                .inband
                .as_ref()
                .map_or(0, |_| size_of::<InbandReceiver>())
            + self.negotiated.receive_payload_types.capacity() * 2
    }

    /// The next notice; one about sound that is not on its way yet lets others pass.
    fn next_notice(&mut self) -> Option<Event> {
        let mut all = self.notices.iter().enumerate();
        let (at, event) = all.find_map(|(at, notice)| Some((at, notice.event()?)))?;
        self.notices.remove(at);
        Some(event)
    }

    fn notify(&mut self, notice: Notice) {
        if self.notices.len() >= MAX_NOTICES {
            self.notices.pop_front();
            self.lost_events += 1;
        }
        self.notices.push_back(notice);
    }

    /// How sound is packed, unless there is nowhere to send it or the peer does not want any.
    fn packing(&self) -> Option<Packing> {
        let to = self
            .guard
            .destination()
            .filter(|_| self.negotiated.direction.sends())?;
        Some(Packing {
            to,
            payload_type: self.negotiated.send_payload_type,
            ptime_ms: self.negotiated.ptime_ms,
        })
    }
}

/// What hears keys in the peer's sound, where that is wanted.
fn inband_receiver(
    wish: InbandDtmf,
    negotiated: &Negotiated,
    rate_hz: u32,
) -> Option<Box<InbandReceiver>> {
    let wanted = match wish {
        InbandDtmf::Auto => negotiated.dtmf_receive.is_none(),
        InbandDtmf::On => true,
        InbandDtmf::Off => false,
    };
    wanted.then(|| Box::new(InbandReceiver::new(rate_hz)))
}
