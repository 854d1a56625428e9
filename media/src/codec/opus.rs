//! Opus, 16 kHz and mono on our side whatever the peer sends (RFC 6716, RFC 7587).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use opus_pure::{Application, Bandwidth, OpusMode, RateControl, Signal, packet};

const RATE_HZ: i32 = 16_000;
const SAMPLES_PER_MS: usize = 16;
/// The longest packet: 120 ms.
const MAX_SAMPLES: usize = 120 * SAMPLES_PER_MS;
/// The longest frame: 60 ms.
const MAX_FRAME_SAMPLES: usize = 60 * SAMPLES_PER_MS;
/// Frames that the encoder makes, in samples: 10, 20, 40 and 60 ms.
const FRAMES: [usize; 4] = [160, 320, 640, MAX_FRAME_SAMPLES];
/// What is made up at once.
const CONCEALED_AT_ONCE: [usize; 2] = [320, 160];
/// After so much made-up sound there is silence: a sender that saves silence speaks every 400 ms.
const MAX_CONCEALED: usize = 1_000 * SAMPLES_PER_MS;
/// How hard the encoder tries, from 0 to 10. Bits cost a telephone call less than time on the media
/// thread: it tries least, and has 32 kbit/s where 24 would do.
const COMPLEXITY: i32 = 0;
const BITRATE_BPS: u32 = 32_000;
/// Loss from which packets carry the one before them again, which takes bits of their own; from
/// which there are no more bits for that; and from which the network must be thought full.
const SOME_LOSS: f32 = 0.01;
const MUCH_LOSS: f32 = 0.10;
const FULL_NETWORK: f32 = 0.20;
const PROTECTED_BPS: u32 = 40_000;
const CAREFUL_BPS: u32 = 24_000;
/// No encoder works below that (RFC 7587 §3.1.1).
const LEAST_BPS: u32 = 6_000;

/// Lets another's code work, on what anybody may have sent. Should it panic, it is given up: that
/// costs one party its sound, and everyone else nothing.
pub(crate) fn guarded<C, T>(codec: &mut Option<C>, work: impl FnOnce(&mut C) -> T) -> Option<T> {
    let working = codec.as_mut()?;
    let done = catch_unwind(AssertUnwindSafe(|| work(working)));
    if done.is_err() {
        *codec = None;
    }
    done.ok()
}

/// Says what a peer wishes of the Opus that it is sent: its `a=fmtp` (RFC 7587 §6.1). Stereo is
/// left out, for what we send is mono.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusWishes {
    /// The rate beyond which it plays nothing, in hertz.
    pub max_playback_rate_hz: u32,
    /// The most that it wants to receive, in bits per second.
    pub max_average_bitrate_bps: u32,
    /// Whether each packet is to have the same size.
    pub cbr: bool,
    /// Whether it makes use of packets that carry the one before them again.
    pub in_band_fec: bool,
    /// Whether silence may be left out.
    pub dtx: bool,
}

impl Default for OpusWishes {
    /// What holds of a peer that says nothing.
    fn default() -> Self {
        Self {
            max_playback_rate_hz: 48_000,
            max_average_bitrate_bps: 510_000,
            cbr: false,
            in_band_fec: false,
            dtx: false,
        }
    }
}

/// Encodes one stream.
pub(super) struct OpusEncoder {
    inner: Option<opus_pure::OpusEncoder>,
    wishes: OpusWishes,
    loss: f32,
}

impl OpusEncoder {
    /// Memory of one, in bytes, as measured (`tests/allocation.rs`).
    pub(super) const BYTES: usize = 160 * 1024;

    /// Makes an encoder that heeds `wishes`.
    pub(super) fn new(wishes: OpusWishes) -> Option<Self> {
        let mut inner = opus_pure::OpusEncoder::new(RATE_HZ, 1, Application::Voip).ok()?;
        inner.complexity = COMPLEXITY;
        inner.signal_type = Some(Signal::Voice);
        inner.max_bandwidth = match wishes.max_playback_rate_hz {
            0..12_000 => Bandwidth::Narrowband,
            12_000..16_000 => Bandwidth::Mediumband,
            16_000.. => Bandwidth::Wideband,
        };
        inner.use_dtx = wishes.dtx;
        if wishes.cbr {
            inner.rate_control = RateControl::Cbr;
        }
        let mut encoder = Self {
            inner: Some(inner),
            wishes,
            loss: 0.0,
        };
        encoder.heed_loss(0.0);
        Some(encoder)
    }

    /// Encodes one frame and returns its bytes; 0 for silence that is left out. A length that no
    /// frame has is filled up with silence.
    pub(super) fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let Some(frame) = FRAMES.into_iter().find(|frame| *frame >= samples.len()) else {
            return 0;
        };
        let mut padded = [0; MAX_FRAME_SAMPLES];
        let samples = if frame == samples.len() {
            samples
        } else {
            padded
                .iter_mut()
                .zip(samples)
                .for_each(|(to, from)| *to = *from);
            padded.get(..frame).unwrap_or_default()
        };
        let encoded = guarded(&mut self.inner, |inner| {
            inner.encode_s16(samples, frame, out)
        });
        let bytes = encoded.and_then(Result::ok).unwrap_or(0);
        // A packet of two bytes or less says that there is silence, and may be left out.
        if self.wishes.dtx && bytes <= 2 {
            0
        } else {
            bytes
        }
    }

    /// Adapts to the share of packets that the peer reports as lost. A rise counts at once, a fall
    /// by half with each report.
    pub(super) fn heed_loss(&mut self, loss: f32) {
        self.loss = loss.clamp(0.0, 1.0).max(self.loss / 2.0);
        let lossy = self.loss >= SOME_LOSS && self.wishes.in_band_fec;
        let wanted = match self.loss {
            loss if loss >= FULL_NETWORK => CAREFUL_BPS,
            loss if lossy && loss < MUCH_LOSS => PROTECTED_BPS,
            _ => BITRATE_BPS,
        };
        let most = self.wishes.max_average_bitrate_bps.max(LEAST_BPS);
        let Some(inner) = &mut self.inner else { return };
        inner.bitrate_bps = wanted.min(most) as i32;
        inner.use_inband_fec = lossy;
        inner.packet_loss_perc = if lossy {
            (self.loss * 100.0).ceil() as i32
        } else {
            0
        };
    }
}

impl fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpusEncoder")
            .field("wishes", &self.wishes)
            .field("loss", &self.loss)
            .finish_non_exhaustive()
    }
}

/// Decodes one stream.
pub(super) struct OpusDecoder {
    inner: Option<opus_pure::OpusDecoder>,
    /// Made-up sound that was not asked for yet.
    spare: [i16; CONCEALED_AT_ONCE[1]],
    spare_len: usize,
    /// Samples made up since the last packet.
    concealed: usize,
}

impl OpusDecoder {
    /// Memory of one, in bytes, as measured (`tests/allocation.rs`).
    pub(super) const BYTES: usize = 192 * 1024;

    pub(super) fn new() -> Option<Self> {
        Some(Self {
            inner: Some(opus_pure::OpusDecoder::new(RATE_HZ, 1).ok()?),
            spare: [0; CONCEALED_AT_ONCE[1]],
            spare_len: 0,
            concealed: 0,
        })
    }

    /// Decodes a packet as a whole; what was made up beyond the gap fades into it.
    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let samples = payload_samples(payload);
        if samples == 0 || samples > out.len() {
            return 0;
        }
        let decoded = guarded(&mut self.inner, |inner| {
            inner.decode_s16(payload, samples, out)
        });
        let decoded = decoded.and_then(Result::ok).unwrap_or(0);
        self.join(out.get_mut(..decoded).unwrap_or_default());
        decoded
    }

    /// Recovers the packet before this one, when this one carries it again and `out` has room.
    pub(super) fn decode_fec(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let samples = fec_samples(payload);
        let Some(out) = out.get_mut(..samples).filter(|out| !out.is_empty()) else {
            return 0;
        };
        let decoded = guarded(&mut self.inner, |inner| {
            inner.decode_fec_s16(payload, samples, out)
        });
        let decoded = decoded.and_then(Result::ok).unwrap_or(0);
        self.join(out.get_mut(..decoded).unwrap_or_default());
        decoded
    }

    /// Fills `out` with what might have come next.
    pub(super) fn conceal(&mut self, out: &mut [i16]) {
        let (waiting, mut rest) = out.split_at_mut(self.spare_len.min(out.len()));
        let spare = self.spare.get(..waiting.len()).unwrap_or_default();
        waiting.copy_from_slice(spare);
        self.spare.copy_within(waiting.len()..self.spare_len, 0);
        self.spare_len -= waiting.len();
        while !rest.is_empty() {
            let fitting = CONCEALED_AT_ONCE
                .into_iter()
                .find(|piece| *piece <= rest.len());
            if let Some(piece) = fitting {
                let (now, later) = rest.split_at_mut(piece);
                self.make_up(now);
                rest = later;
            } else {
                let mut piece = [0; CONCEALED_AT_ONCE[1]];
                self.make_up(&mut piece);
                let (now, later) = piece.split_at(rest.len());
                rest.copy_from_slice(now);
                self.spare_len = later.len();
                self.spare
                    .iter_mut()
                    .zip(later)
                    .for_each(|(to, from)| *to = *from);
                return;
            }
        }
    }

    fn make_up(&mut self, piece: &mut [i16]) {
        self.concealed = self.concealed.saturating_add(piece.len());
        let made = if self.concealed > MAX_CONCEALED {
            0
        } else {
            let made = guarded(&mut self.inner, |inner| {
                inner.decode_s16(&[], piece.len(), piece)
            });
            made.and_then(Result::ok).unwrap_or(0)
        };
        piece.iter_mut().skip(made).for_each(|sample| *sample = 0);
    }

    /// Fades what was made up beyond the gap into what came.
    fn join(&mut self, sound: &mut [i16]) {
        self.concealed = 0;
        let len = std::mem::take(&mut self.spare_len) as i32;
        let spare = self.spare.iter().take(len as usize);
        for (n, (sample, made_up)) in (0..).zip(sound.iter_mut().zip(spare)) {
            *sample = ((i32::from(*made_up) * (len - n) + i32::from(*sample) * n) / len) as i16;
        }
    }
}

impl fmt::Debug for OpusDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpusDecoder")
            .field("concealed", &self.concealed)
            .finish_non_exhaustive()
    }
}

/// Samples that a packet decodes to, or 0 for one that is broken or longer than Opus allows.
pub(super) fn payload_samples(payload: &[u8]) -> usize {
    let samples = packet::samples(payload, RATE_HZ).unwrap_or(0);
    if samples <= MAX_SAMPLES { samples } else { 0 }
}

/// Samples of the packet before that a packet of one frame carries again: SILK's first bits are a
/// voice flag for each 20 ms of each channel's frame, then the flag that says so (RFC 6716 §4.2.3).
pub(super) fn fec_samples(payload: &[u8]) -> usize {
    let (Some(&toc), Some(&first)) = (payload.first(), payload.get(1)) else {
        return 0;
    };
    if toc & 3 != 0 || matches!(packet::mode(payload), Ok(OpusMode::CeltOnly) | Err(_)) {
        return 0;
    }
    let samples = payload_samples(payload);
    let frames = samples.div_ceil(20 * SAMPLES_PER_MS);
    let flag = |at: usize| at < 8 && first & (0x80 >> at) != 0;
    let stereo = toc & 4 != 0;
    let carries = flag(frames) || stereo && flag(2 * frames + 1);
    if carries { samples } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_panics_is_given_up_and_harms_nobody_else() {
        let mut codec = Some(7);
        assert_eq!(guarded(&mut codec, |codec| *codec + 1), Some(8));
        assert_eq!(guarded(&mut codec, |_| panic!("on purpose")), None::<i32>);
        assert_eq!(codec, None);
        assert_eq!(guarded(&mut codec, |codec| *codec + 1), None);
    }

    #[test]
    fn a_decoder_that_was_given_up_is_silent() {
        let mut decoder = OpusDecoder::new().unwrap();
        decoder.inner = None;
        let mut sound = [1; 320];
        assert_eq!(decoder.decode(&[0x48, 1, 2, 3], &mut sound), 0);
        decoder.conceal(&mut sound);
        assert_eq!(sound, [0; 320]);
        let mut encoder = OpusEncoder::new(OpusWishes::default()).unwrap();
        encoder.inner = None;
        assert_eq!(encoder.encode(&[1; 320], &mut [0; 640]), 0);
    }
}
