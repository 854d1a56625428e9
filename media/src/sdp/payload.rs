//! Reads what an `m=` line says about its payload types.

use super::MediaDescription;
use crate::codec::{Codec, OpusWishes, comfort_noise};

/// The number of a telephone-event and the rate of its durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TelephoneEvent {
    pub(super) payload_type: u8,
    pub(super) clock_rate_hz: u32,
}

/// What one payload type number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Audio(Codec),
    TelephoneEvent {
        clock_rate_hz: u32,
    },
    /// Comfort noise at 8 kHz (RFC 3389 §4).
    ComfortNoise,
}

impl MediaDescription {
    /// Lists the payload types that Offhook understands, in the order of the `m=` line. An
    /// `a=rtpmap` goes before the static assignment (RFC 8866 §6.6).
    pub(super) fn payloads(&self) -> impl Iterator<Item = (u8, Payload)> + '_ {
        let maps = self.rtpmaps();
        self.formats.iter().filter_map(move |format| {
            let number = format.parse::<u8>().ok()?;
            let payload = match maps.get(usize::from(number))? {
                Some(encoding) => payload(encoding),
                None if number == comfort_noise::PAYLOAD_TYPE => Some(Payload::ComfortNoise),
                None => Codec::from_static_payload_type(number).map(Payload::Audio),
            };
            Some((number, payload?))
        })
    }

    /// Lists the audio codecs, in the order of the `m=` line.
    pub(super) fn codecs(&self) -> impl Iterator<Item = (u8, Codec)> + '_ {
        self.payloads()
            .filter_map(|(number, payload)| match payload {
                Payload::Audio(codec) => Some((number, codec)),
                Payload::TelephoneEvent { .. } | Payload::ComfortNoise => None,
            })
    }

    /// Finds the telephone-event that runs at the codec's clock; Telnyx and others offer several
    /// (RFC 4733 §2.1: one timestamp space, so one clock). Many phones have Opus and know but the
    /// one of 8,000: they are taken at that, rather than being sent tones.
    pub(super) fn telephone_event(&self, codec: Codec) -> Option<TelephoneEvent> {
        let fitting = self.telephone_event_at(codec.clock_rate_hz());
        fitting.or_else(|| self.telephone_event_at(8_000))
    }

    /// Finds the telephone-event of a clock.
    pub(super) fn telephone_event_at(&self, clock_rate_hz: u32) -> Option<TelephoneEvent> {
        self.payloads().find_map(|(number, payload)| {
            let event = Payload::TelephoneEvent { clock_rate_hz };
            (payload == event).then_some(TelephoneEvent {
                payload_type: number,
                clock_rate_hz,
            })
        })
    }

    /// What the description wishes of the Opus that it is sent under this number.
    pub(super) fn opus_wishes(&self, payload_type: u8) -> OpusWishes {
        let named = self.attributes.iter().filter(|line| line.name == "fmtp");
        let values = named.filter_map(|line| line.value.as_deref()?.split_once(' '));
        let mut lines = values.filter(|(number, _)| number.trim().parse() == Ok(payload_type));
        lines
            .next()
            .map_or_else(OpusWishes::default, |(_, fields)| wishes(fields))
    }

    /// Whether silence may be told as comfort noise, which has a number of its own at 8 kHz.
    pub(super) fn comfort_noise(&self) -> bool {
        let number = comfort_noise::PAYLOAD_TYPE;
        self.payloads()
            .any(|payload| payload == (number, Payload::ComfortNoise))
    }

    /// The packet time that the description wishes to receive, in milliseconds: a multiple of 10
    /// from 10 to 60, within `a=maxptime` (RFC 8866 §6.4).
    pub(super) fn packet_time_ms(&self, default_ms: u32) -> u32 {
        let number = |name| {
            self.attribute(name)?
                .split('.')
                .next()?
                .trim()
                .parse::<u32>()
                .ok()
        };
        let wished = number("ptime").filter(|ms| *ms > 0).unwrap_or(default_ms);
        let most = number("maxptime").filter(|ms| *ms > 0).unwrap_or(u32::MAX);
        (wished.min(most).clamp(10, 60) / 10) * 10
    }

    /// What each number is mapped to, in one pass: a peer may send many of both.
    fn rtpmaps(&self) -> [Option<&str>; 128] {
        let mut maps = [None; 128];
        for attribute in self
            .attributes
            .iter()
            .filter(|attribute| attribute.name == "rtpmap")
        {
            let Some((number, encoding)) = attribute
                .value
                .as_deref()
                .and_then(|value| value.split_once(' '))
            else {
                continue;
            };
            if let Some(map) = number
                .trim()
                .parse()
                .ok()
                .and_then(|number: usize| maps.get_mut(number))
            {
                map.get_or_insert(encoding.trim());
            }
        }
        maps
    }
}

/// `<encoding name>/<clock rate>[/<channels>]`.
fn payload(encoding: &str) -> Option<Payload> {
    let mut fields = encoding.split('/').map(str::trim);
    let name = fields.next()?;
    let clock_rate_hz = fields.next()?.parse().ok()?;
    let channels = fields.next().map_or(Ok(1), str::parse).ok()?;
    if name.eq_ignore_ascii_case("telephone-event") {
        return Some(Payload::TelephoneEvent { clock_rate_hz });
    }
    if name.eq_ignore_ascii_case("CN") {
        return (clock_rate_hz == 8_000).then_some(Payload::ComfortNoise);
    }
    Codec::from_rtpmap(name, clock_rate_hz, channels).map(Payload::Audio)
}

/// The fields of Opus's `a=fmtp` (RFC 7587 §6.1); what is not understood stays at its default.
fn wishes(fields: &str) -> OpusWishes {
    let mut wishes = OpusWishes::default();
    for field in fields.split(';') {
        let Some((name, value)) = field.split_once('=') else {
            continue;
        };
        let Ok(value) = value.trim().parse::<u32>() else {
            continue;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "maxplaybackrate" => wishes.max_playback_rate_hz = value,
            "maxaveragebitrate" => wishes.max_average_bitrate_bps = value,
            "cbr" => wishes.cbr = value == 1,
            "useinbandfec" => wishes.in_band_fec = value == 1,
            "usedtx" => wishes.dtx = value == 1,
            _ => {}
        }
    }
    wishes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wishes_of_opus_is_read_and_nonsense_is_passed_over() {
        let read = wishes("minptime=10; useinbandfec=1;maxaveragebitrate=20000 ; stereo=1;cbr=1");
        let expected = OpusWishes {
            max_average_bitrate_bps: 20_000,
            in_band_fec: true,
            cbr: true,
            ..OpusWishes::default()
        };
        assert_eq!(read, expected);
        assert_eq!(
            wishes("usedtx=yes;;=;maxplaybackrate=-1"),
            OpusWishes::default()
        );
    }
}
