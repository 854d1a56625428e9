//! Payloads into sound.

use super::opus::{self, OpusDecoder};
use super::{Codec, G722Decoder, g711, l16};
use crate::frame::STEP_SAMPLES;
use crate::rate::HalfBand;

/// Samples of the longest packet that is decoded whole: 120 ms at 16 kHz.
pub const MAX_PACKET_SAMPLES: usize = 1_920;

/// Turns the payloads of one source into sound of one rate, whatever codec each of them has.
///
/// Opus and changes of rate need memory that is there only once [`Decoder::prepare`] was told of
/// them; decoding allocates nothing for the other codecs, and for Opus nothing to speak of.
#[derive(Debug)]
pub struct Decoder {
    rate_hz: u32,
    /// The codec of the last payload.
    last: Option<Codec>,
    g722: G722Decoder,
    opus: Option<Box<OpusDecoder>>,
    conversion: Option<Box<HalfBand>>,
}

impl Decoder {
    /// Makes a decoder whose sound has `rate_hz` (8,000 or 16,000) samples per second.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            last: None,
            g722: G722Decoder::default(),
            opus: None,
            conversion: None,
        }
    }

    /// Makes ready for these codecs: what they need is made now, what others needed is given up.
    pub fn prepare(&mut self, codecs: impl IntoIterator<Item = Codec>) {
        let (mut opus, mut conversion) = (false, false);
        for codec in codecs {
            opus |= codec == Codec::Opus;
            conversion |= codec.sample_rate_hz() != self.rate_hz;
        }
        self.opus = match self.opus.take() {
            Some(decoder) if opus => Some(decoder),
            _ if opus => OpusDecoder::new().map(Box::new),
            _ => None,
        };
        if !conversion {
            self.conversion = None;
        } else if self.conversion.is_none() {
            self.conversion = Some(Box::new(HalfBand::to(self.rate_hz)));
        }
    }

    /// Whether a payload's sound is one step or less.
    #[must_use]
    pub(crate) fn fits(&self, codec: Codec, payload: &[u8]) -> bool {
        let samples = codec.payload_samples(payload) * self.rate_hz as usize;
        samples <= STEP_SAMPLES * codec.sample_rate_hz() as usize
    }

    /// Decodes a payload into `out`, as much as there is room for, and returns the samples
    /// written: none for a codec that was not prepared and for a broken payload.
    pub fn decode(&mut self, codec: Codec, payload: &[u8], out: &mut [i16]) -> usize {
        if self.last.replace(codec) != Some(codec) {
            self.g722 = G722Decoder::default();
            self.conversion.iter_mut().for_each(|to| to.reset());
        }
        if codec.sample_rate_hz() == self.rate_hz {
            return self.decode_plain(codec, payload, out);
        }
        let mut sound = [0; MAX_PACKET_SAMPLES];
        let len = self.decode_plain(codec, payload, &mut sound);
        self.convert(sound.get(..len).unwrap_or_default(), out)
    }

    /// Samples of the packet before `payload` that `payload` carries again (RFC 6716 §2.1.7): none
    /// for most.
    #[must_use]
    pub fn fec_samples(&self, codec: Codec, payload: &[u8]) -> usize {
        if codec != Codec::Opus || self.opus.is_none() {
            return 0;
        }
        let samples = opus::fec_samples(payload);
        samples * self.rate_hz as usize / codec.sample_rate_hz() as usize
    }

    /// Recovers the packet before `payload`, which was lost, from what `payload` carries of it,
    /// and returns the samples written: [`Decoder::fec_samples`], or none when `out` has no room
    /// for them. Then `payload` itself is decoded as ever.
    pub fn decode_fec(&mut self, codec: Codec, payload: &[u8], out: &mut [i16]) -> usize {
        let Some(opus) = self.opus.as_mut().filter(|_| codec == Codec::Opus) else {
            return 0;
        };
        self.last = Some(codec);
        if self.rate_hz == codec.sample_rate_hz() {
            return opus.decode_fec(payload, out);
        }
        let mut sound = [0; MAX_PACKET_SAMPLES];
        let room = (2 * out.len()).min(sound.len());
        let len = opus.decode_fec(payload, sound.get_mut(..room).unwrap_or_default());
        self.convert(sound.get(..len).unwrap_or_default(), out)
    }

    /// Carries on the sound of the last payload in the codec's own way, and fills `out` with it;
    /// false when the codec has none (RFC 6716 §4.4 gives one to Opus).
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        let Some(opus) = self.opus.as_mut() else {
            return false;
        };
        if self.last != Some(Codec::Opus) {
            return false;
        }
        if self.rate_hz == Codec::Opus.sample_rate_hz() {
            opus.conceal(out);
            return true;
        }
        let mut sound = [0; MAX_PACKET_SAMPLES];
        let wide = (2 * out.len()).min(sound.len());
        let sound = sound.get_mut(..wide).unwrap_or_default();
        opus.conceal(sound);
        let made = match self.conversion.as_mut() {
            Some(conversion) => conversion.convert(sound, out),
            None => 0,
        };
        out.iter_mut().skip(made).for_each(|sample| *sample = 0);
        true
    }

    /// Heap memory in bytes; it changes only with [`Decoder::prepare`].
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.opus.as_ref().map_or(0, |_| OpusDecoder::BYTES)
            + self
                .conversion
                .as_ref()
                .map_or(0, |_| size_of::<HalfBand>())
    }

    fn decode_plain(&mut self, codec: Codec, payload: &[u8], out: &mut [i16]) -> usize {
        match codec {
            Codec::Pcmu => g711::decode_ulaw(payload, out),
            Codec::Pcma => g711::decode_alaw(payload, out),
            Codec::G722 => self.g722.decode(payload, out),
            Codec::L16 => l16::decode(payload, out),
            Codec::Opus => match self.opus.as_mut() {
                Some(opus) => opus.decode(payload, out),
                None => 0,
            },
        }
    }

    fn convert(&mut self, sound: &[i16], out: &mut [i16]) -> usize {
        match self.conversion.as_mut() {
            Some(conversion) => conversion.convert(sound, out),
            None => 0,
        }
    }
}
