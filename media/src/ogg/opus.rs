//! Two parties as Opus in Ogg (RFC 7845).

use std::fmt;
use std::io::{self, Write};

use opus_pure::{Application, OpusEncoder};

use super::page::{PageWriter, Place};
use crate::codec::guarded;

/// The rate of granule positions (RFC 7845 §4).
const GRANULE_HZ: u32 = 48_000;
/// A packet's 20 ms at that rate, how many there are in a second, and its samples at 16 kHz.
const PACKET_GRANULES: u64 = 960;
const PACKETS_A_SECOND: u32 = 50;
const MAX_PACKET_SAMPLES: usize = 320;
/// The longest frame of Opus, in bytes (RFC 6716 §3.4).
const MAX_FRAME_BYTES: usize = 1_275;
/// Bits of one party at 8 kHz and at 16, per second; its silence takes 2,000.
const TELEPHONE_BPS: i32 = 24_000;
const WIDEBAND_BPS: i32 = 32_000;
/// The rate of a recording that never had any sound.
const TELEPHONE_HZ: u32 = 8_000;

/// Writes two parties as the channels of an Ogg Opus file.
///
/// Each is a stream of its own (channel mapping family 1, RFC 7845 §5.1.1.2, both streams mono):
/// what one said never sounds on the other's channel, as it does where Opus codes two channels as
/// one pair.
///
/// Sound goes to `out` by pages, each by one call, once a second of it was written and with each
/// [`StereoOpusWriter::flush`]: a file whose writer died plays up to there.
pub struct StereoOpusWriter<W: Write> {
    pages: PageWriter<W>,
    /// None until the first sound tells the rate.
    parties: Option<Parties>,
    /// Samples that were written, of each party.
    samples: u64,
    /// Packets that were encoded, in all and onto the page that is being gathered.
    packets: u64,
    on_page: u32,
}

/// Both parties' encoders, and sound that is not a packet yet.
struct Parties {
    rate_hz: u32,
    voices: [Voice; 2],
    filled: usize,
    packet: Vec<u8>,
}

/// One party.
struct Voice {
    encoder: Option<OpusEncoder>,
    gathered: [i16; MAX_PACKET_SAMPLES],
    frame: [u8; MAX_FRAME_BYTES],
    frame_bytes: usize,
    silence: Silence,
}

/// How far an encoder has come to rest: in silence it ends by making the same packet again and
/// again, which then need not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    Sound,
    Begun,
    Settled,
}

impl<W: Write> StereoOpusWriter<W> {
    /// Makes a writer; `serial` names the stream. Nothing is written before the first sound.
    pub fn new(out: W, serial: u32) -> Self {
        Self {
            pages: PageWriter::new(out, serial),
            parties: None,
            samples: 0,
            packets: 0,
            on_page: 0,
        }
    }

    /// Appends what both said in the same time, at `rate_hz`, which is 8,000 or 16,000; the shorter
    /// one ends in silence. The first sound sets the recording's rate.
    ///
    /// # Errors
    /// Returns [`io::ErrorKind::InvalidInput`] for sound of another rate. Returns what `out`
    /// returns.
    pub fn write(&mut self, rate_hz: u32, left: &[i16], right: &[i16]) -> io::Result<()> {
        self.begin(rate_hz)?;
        let length = left.len().max(right.len());
        let mut at = 0;
        while at < length {
            let Some(parties) = &mut self.parties else {
                break;
            };
            let room = parties.packet_samples() - parties.filled;
            let some = room.min(length - at);
            parties.gather([left, right], at, some);
            at += some;
            self.samples += some as u64;
            if some == room {
                self.encode()?;
            }
        }
        Ok(())
    }

    /// Appends so many samples of silence of both, at `rate_hz`: what is missing of the
    /// conversation.
    ///
    /// # Errors
    /// As [`StereoOpusWriter::write`].
    pub fn silence(&mut self, rate_hz: u32, samples: u64) -> io::Result<()> {
        let quiet = [0; MAX_PACKET_SAMPLES];
        let mut left = samples;
        while left > 0 {
            let some = left.min(quiet.len() as u64);
            let piece = quiet.get(..some as usize).unwrap_or_default();
            self.write(rate_hz, piece, piece)?;
            left -= some;
        }
        Ok(())
    }

    /// Hands over what was written, but for less than 20 ms, which are no packet yet.
    ///
    /// # Errors
    /// Returns what `out` returns.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.pages.is_empty() {
            return Ok(());
        }
        self.on_page = 0;
        self.pages
            .end_page(self.packets * PACKET_GRANULES, Place::Middle)
    }

    /// Writes the rest, so that the file lasts to the sample as long as what was written (end
    /// trimming, RFC 7845 §4.4), and hands `out` back.
    ///
    /// # Errors
    /// Returns what `out` returns.
    pub fn finish(mut self) -> io::Result<W> {
        self.begin(self.parties.as_ref().map_or(TELEPHONE_HZ, |p| p.rate_hz))?;
        let Some(parties) = &self.parties else {
            return Ok(self.pages.into_inner());
        };
        let granules = self.samples * u64::from(GRANULE_HZ / parties.rate_hz);
        let end = granules + u64::from(parties.pre_skip());
        // The encoder is behind by the pre-skip: its last sound comes out with silence.
        while self.packets * PACKET_GRANULES < end {
            if let Some(parties) = &mut self.parties {
                let room = parties.packet_samples() - parties.filled;
                parties.gather([&[], &[]], 0, room);
            }
            self.encode()?;
        }
        self.pages.end_page(end, Place::Last)?;
        Ok(self.pages.into_inner())
    }

    /// Makes the encoders and writes the two headers, each on a page of its own (RFC 7845 §3).
    fn begin(&mut self, rate_hz: u32) -> io::Result<()> {
        if let Some(parties) = &self.parties {
            let same = parties.rate_hz == rate_hz;
            return same.then_some(()).ok_or(io::ErrorKind::InvalidInput.into());
        }
        let parties = Parties::new(rate_hz).ok_or(io::ErrorKind::InvalidInput)?;
        let mut head = b"OpusHead\x01\x02".to_vec();
        head.extend(parties.pre_skip().to_le_bytes());
        head.extend(rate_hz.to_le_bytes());
        // No gain; mapping family 1, two streams, none of them coupled, in order.
        head.extend([0, 0, 1, 2, 0, 0, 1]);
        self.pages.packet(&head)?;
        self.pages.end_page(0, Place::First)?;
        let vendor = b"Offhook";
        let mut tags = b"OpusTags".to_vec();
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor);
        tags.extend(0_u32.to_le_bytes());
        self.pages.packet(&tags)?;
        self.pages.end_page(0, Place::Middle)?;
        self.parties = Some(parties);
        Ok(())
    }

    /// Makes a packet of what was gathered.
    fn encode(&mut self) -> io::Result<()> {
        let Some(parties) = &mut self.parties else {
            return Ok(());
        };
        parties.encode()?;
        let room = self.pages.has_room(parties.packet.len());
        if !room || self.on_page == PACKETS_A_SECOND {
            self.flush()?;
        }
        if let Some(parties) = &self.parties {
            self.pages.packet(&parties.packet)?;
        }
        self.packets += 1;
        self.on_page += 1;
        Ok(())
    }
}

impl<W: Write> fmt::Debug for StereoOpusWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StereoOpusWriter")
            .field("samples", &self.samples)
            .field("packets", &self.packets)
            .finish_non_exhaustive()
    }
}

impl Parties {
    fn new(rate_hz: u32) -> Option<Self> {
        Some(Self {
            rate_hz,
            voices: [Voice::new(rate_hz)?, Voice::new(rate_hz)?],
            filled: 0,
            packet: Vec::new(),
        })
    }

    fn packet_samples(&self) -> usize {
        (self.rate_hz / PACKETS_A_SECOND) as usize
    }

    /// What a decoder makes before the first sound, at 48 kHz (RFC 7845 §4.2).
    fn pre_skip(&self) -> u16 {
        let [voice, _] = &self.voices;
        let lookahead = voice.encoder.as_ref().map_or(0, OpusEncoder::lookahead);
        let granules = lookahead * (GRANULE_HZ / self.rate_hz) as usize;
        u16::try_from(granules).unwrap_or(u16::MAX)
    }

    /// Takes samples from `at` on; where there are none, silence.
    fn gather(&mut self, parties: [&[i16]; 2], at: usize, samples: usize) {
        for (voice, sound) in self.voices.iter_mut().zip(parties) {
            let to = voice.gathered.iter_mut().skip(self.filled).take(samples);
            let from = sound.iter().skip(at).copied();
            to.zip(from.chain(std::iter::repeat(0)))
                .for_each(|(to, from)| *to = from);
        }
        self.filled += samples;
    }

    /// Makes one packet of both: all but the last say how long they are (RFC 7845 §3, RFC 6716
    /// appendix B).
    fn encode(&mut self) -> io::Result<()> {
        let samples = std::mem::take(&mut self.filled);
        let [left, right] = &mut self.voices;
        self.packet.clear();
        delimit(left.encode(samples)?, &mut self.packet)?;
        self.packet.extend_from_slice(right.encode(samples)?);
        Ok(())
    }
}

impl Voice {
    fn new(rate_hz: u32) -> Option<Self> {
        let bitrate_bps = match rate_hz {
            8_000 => TELEPHONE_BPS,
            16_000 => WIDEBAND_BPS,
            _ => return None,
        };
        // Without SILK: a third of the time, and silence that is the same packet each time.
        let application = Application::RestrictedLowDelay;
        let mut encoder = OpusEncoder::new(rate_hz as i32, 1, application).ok()?;
        encoder.bitrate_bps = bitrate_bps;
        encoder.complexity = 0;
        Some(Self {
            encoder: Some(encoder),
            gathered: [0; MAX_PACKET_SAMPLES],
            frame: [0; MAX_FRAME_BYTES],
            frame_bytes: 0,
            silence: Silence::Sound,
        })
    }

    /// Encodes what was gathered, as a packet of one frame.
    fn encode(&mut self, samples: usize) -> io::Result<&[u8]> {
        let sound = self.gathered.get(..samples).unwrap_or_default();
        let quiet = sound.iter().all(|sample| *sample == 0);
        if !(quiet && self.silence == Silence::Settled) {
            let mut frame = [0; MAX_FRAME_BYTES];
            let encoded = guarded(&mut self.encoder, |encoder| {
                encoder.encode_s16(sound, samples, &mut frame)
            });
            let Some(Ok(bytes)) = encoded else {
                return Err(io::Error::other("Opus did not encode a recording"));
            };
            let again = bytes == self.frame_bytes && frame == self.frame;
            self.silence = match (quiet, self.silence) {
                (false, _) => Silence::Sound,
                (true, Silence::Begun) if again => Silence::Settled,
                (true, _) => Silence::Begun,
            };
            (self.frame, self.frame_bytes) = (frame, bytes);
        }
        Ok(self.frame.get(..self.frame_bytes).unwrap_or_default())
    }
}

/// Appends a packet of one frame with its length, so that another can follow.
fn delimit(packet: &[u8], to: &mut Vec<u8>) -> io::Result<()> {
    let Some((toc, frame)) = packet.split_first() else {
        return Err(io::Error::other("Opus made an empty packet"));
    };
    if toc & 3 != 0 {
        return Err(io::Error::other("Opus made a packet of several frames"));
    }
    to.push(*toc);
    match frame.len() {
        short @ 0..252 => to.push(short as u8),
        // 252 to 255, and fours beyond (RFC 6716 §3.2.1).
        long => {
            let first = 252 + long % 4;
            to.extend([first as u8, ((long - first) / 4) as u8]);
        }
    }
    to.extend_from_slice(frame);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_rfc_6716_reads_them() {
        for length in [0, 1, 251, 252, 253, 255, 256, 700, 1_275] {
            let packet = vec![8; length + 1];
            let mut delimited = Vec::new();
            delimit(&packet, &mut delimited).unwrap();
            let (read, at) = match delimited[1] {
                short @ 0..252 => (usize::from(short), 2),
                first => (usize::from(first) + 4 * usize::from(delimited[2]), 3),
            };
            assert_eq!((read, delimited.len()), (length, at + length));
        }
        assert!(delimit(&[], &mut Vec::new()).is_err());
        assert!(delimit(&[3, 1], &mut Vec::new()).is_err());
    }

    #[test]
    fn long_silence_is_not_encoded() {
        for rate_hz in [8_000, 16_000] {
            let mut voice = Voice::new(rate_hz).unwrap();
            let samples = rate_hz as usize / 50;
            voice.gathered[..samples].fill(900);
            voice.encode(samples).unwrap();
            voice.gathered.fill(0);
            let packets = (0..50).map(|_| voice.encode(samples).unwrap().to_vec());
            let packets: Vec<_> = packets.collect();
            assert_eq!(voice.silence, Silence::Settled);
            assert!(packets[10..].iter().all(|packet| *packet == packets[10]));
        }
    }
}
