//! Media for Offhook: SDP, RTP, SRTP, codecs, jitter buffer, DTMF, playout.
//!
//! Nothing here reads a clock, opens a socket or starts a thread: time and datagrams are handed
//! in, packets and events are taken out. [`MediaSession`] tells how it is driven; [`sdp`] makes
//! and reads what two parties agree on; [`wav`] writes what they said.
#![forbid(unsafe_code)]

pub mod codec;
pub mod conceal;
pub mod dtmf;
mod echo;
mod frame;
mod gain;
pub mod jitter;
mod lpc;
mod noise;
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

pub use codec::Codec;
pub use dtmf::{Digit, InbandDtmf, InvalidDigit};
pub use frame::Frame;
pub use playout::UtteranceId;
pub use sdp::{Direction, LocalMedia, Negotiated, Refusal, SessionDescription, SrtpPolicy};
pub use session::{Cancelled, Event, MediaSession, RecordFrame, SessionConfig, Transmit};
pub use source::SourceRule;
pub use stats::{Stats, mean_opinion_score};
