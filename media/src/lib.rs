//! Media for Offhook: SDP, RTP, codecs, jitter buffer, DTMF, playout.
#![forbid(unsafe_code)]

pub mod codec;
mod frame;
pub mod sdp;

pub use codec::Codec;
pub use frame::Frame;
pub use sdp::{Direction, LocalMedia, Negotiated, Refusal, SessionDescription};
