//! Media for Offhook: SDP, RTP, SRTP, codecs, jitter buffer, DTMF, playout.
//!
//! Nothing here reads a clock, opens a socket or starts a thread: time and datagrams are handed
//! in, packets and events are taken out. [`MediaSession`] tells how it is driven; [`sdp`] makes
//! and reads what two parties agree on; [`wav`] and [`ogg`] write what they said.
#![forbid(unsafe_code)]

mod bursts;
pub mod codec;
pub mod conceal;
pub mod dtmf;
mod echo;
mod emodel;
mod frame;
mod gain;
pub mod jitter;
mod level;
mod lpc;
pub mod mixer;
pub mod music;
mod noise;
pub mod ogg;
mod playout;
pub mod rate;
mod reception;
mod ring;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
mod session;
mod source;
pub mod srtp;
mod stats;
#[cfg(test)]
mod testing;
pub mod wav;

pub use bursts::Losses;
pub use codec::Codec;
pub use dtmf::{Digit, InbandDtmf, InvalidDigit};
pub use emodel::{Impairments, mean_opinion_score};
pub use frame::{Frame, STEP_SAMPLES};
pub use playout::UtteranceId;
pub use sdp::{Direction, LocalMedia, Negotiated, Refusal, SessionDescription, SrtpPolicy};
pub use session::{
    AgentSound, Cancelled, Event, MAX_DATAGRAM_BYTES, MediaSession, OneWay, RecordFrame, Relayed,
    SessionConfig, StepSound, Transmit,
};
pub use source::SourceRule;
pub use stats::Stats;
