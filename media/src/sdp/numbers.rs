//! Which payload type stands for what in our own descriptions.

use super::MediaDescription;
use crate::codec::Codec;

/// Dynamic payload types (RFC 3551 §6).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// Gives each codec its number, none twice.
pub(super) struct Numbers<'a> {
    before: Option<&'a MediaDescription>,
    taken: Vec<u8>,
}

impl<'a> Numbers<'a> {
    /// Begins; what `before` numbered keeps its number, since within a session no number may
    /// change its meaning (RFC 3264 §8.3.2).
    pub(super) fn new(before: Option<&'a MediaDescription>) -> Self {
        let formats = before.map(|media| media.formats.as_slice());
        let formats = formats.unwrap_or_default().iter();
        Self {
            before,
            taken: formats.filter_map(|number| number.parse().ok()).collect(),
        }
    }

    pub(super) fn of_codec(&mut self, codec: Codec) -> u8 {
        let mut known = self.before.into_iter().flat_map(MediaDescription::codecs);
        if let Some((number, _)) = known.find(|(_, known)| *known == codec) {
            return number;
        }
        if let Some(number) = codec.static_payload_type() {
            return number;
        }
        // As browsers number Opus, and so most of the field.
        self.free(if codec == Codec::Opus { 111 } else { 112 })
    }

    pub(super) fn of_telephone_event(&mut self, clock_rate_hz: u32) -> u8 {
        let known = self.before;
        if let Some(event) = known.and_then(|media| media.telephone_event_at(clock_rate_hz)) {
            return event.payload_type;
        }
        // As most of the field numbers the first.
        self.free(if clock_rate_hz == 8_000 { 101 } else { 102 })
    }

    fn free(&mut self, wished: u8) -> u8 {
        let mut numbers = std::iter::once(wished).chain(DYNAMIC);
        let free = numbers.find(|number| !self.taken.contains(number));
        let free = free.unwrap_or(wished);
        self.taken.push(free);
        free
    }
}

/// What we wish of a codec, as its `a=fmtp` says it: of Opus (RFC 7587 §6.1) no more than we play,
/// one channel, and packets that carry the one before them again when the network loses some.
pub(super) const fn parameters(codec: Codec) -> Option<&'static str> {
    match codec {
        Codec::Opus => Some(
            "maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=64000;stereo=0;\
             useinbandfec=1",
        ),
        _ => None,
    }
}
