//! Media for Offhook: SDP, RTP, codecs, jitter buffer, DTMF, playout.
#![forbid(unsafe_code)]

mod frame;

pub use frame::Frame;
