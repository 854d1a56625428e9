//! Sound into payloads.

use super::opus::OpusEncoder;
use super::{Codec, G722Encoder, OpusWishes, g711, l16};
use crate::rate::HalfBand;

/// Bytes of the longest payload that is sent: 20 ms of L16, 60 ms of G.711.
pub const MAX_PAYLOAD_BYTES: usize = 640;
/// Samples of the longest packet that is sent: 60 ms at 16 kHz.
const MAX_SAMPLES: usize = 960;

/// Turns sound of one rate into payloads of one codec.
///
/// All memory is there once it is made; encoding allocates nothing for the codecs but Opus, which
/// takes and gives back some 3 KB for each packet.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    state: State,
    conversion: Option<Box<HalfBand>>,
}

#[derive(Debug)]
enum State {
    None,
    G722(Box<G722Encoder>),
    Opus(Box<OpusEncoder>),
}

impl Encoder {
    /// Makes an encoder of `codec` for sound of `rate_hz` (8,000 or 16,000) samples per second.
    /// `wishes` are those of a peer that decodes Opus; other codecs know none.
    #[must_use]
    pub fn new(codec: Codec, rate_hz: u32, wishes: OpusWishes) -> Self {
        let state = match codec {
            Codec::Pcmu | Codec::Pcma | Codec::L16 => State::None,
            Codec::G722 => State::G722(Box::default()),
            Codec::Opus => {
                OpusEncoder::new(wishes).map_or(State::None, |opus| State::Opus(Box::new(opus)))
            }
        };
        let conversion = (codec.sample_rate_hz() != rate_hz)
            .then(|| Box::new(HalfBand::to(codec.sample_rate_hz())));
        Self {
            codec,
            state,
            conversion,
        }
    }

    /// The codec.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Encodes 10, 20, 30, 40 or 60 ms of sound as one payload and returns its length: 0 when
    /// nothing has to be sent, because the peer makes up the silence itself (RFC 7587 §3.1.3).
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let Some(conversion) = self.conversion.as_mut() else {
            return self.encode_plain(samples, out);
        };
        let mut sound = [0; MAX_SAMPLES];
        let len = conversion.convert(samples, &mut sound);
        self.encode_plain(sound.get(..len).unwrap_or_default(), out)
    }

    /// Takes which share of our packets the peer reports as lost, from 0 to 1: Opus then carries
    /// what was said before a second time, and adapts its bit rate.
    pub fn heed_loss(&mut self, loss: f32) {
        if let State::Opus(opus) = &mut self.state {
            opus.heed_loss(loss);
        }
    }

    /// Heap memory in bytes; it does not change.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let conversion = self.conversion.as_ref();
        conversion.map_or(0, |_| size_of::<HalfBand>())
            + match &self.state {
                State::None => 0,
                State::G722(_) => size_of::<G722Encoder>(),
                State::Opus(_) => OpusEncoder::BYTES,
            }
    }

    fn encode_plain(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        match (self.codec, &mut self.state) {
            (Codec::Pcmu, _) => g711::encode_ulaw(samples, out),
            (Codec::Pcma, _) => g711::encode_alaw(samples, out),
            (Codec::L16, _) => l16::encode(samples, out),
            (Codec::G722, State::G722(g722)) => g722.encode(samples, out),
            (Codec::Opus, State::Opus(opus)) => opus.encode(samples, out),
            (Codec::G722 | Codec::Opus, _) => 0,
        }
    }
}
