//! A call's recording: nothing of a pause is in it, and it keeps the call's time.
//!
//! What of the caller comes within a pause is marked on its way, in a manner that no listener minds:
//! the wave of each utterance goes twice as fast. So it is known wherever it ends up, however late
//! the jitter buffer plays it.

use offhook_media::RecordFrame;
use offhook_media::rtp::RtpPacket;

use super::clock::{Datagram, Kind};
use super::invariants::Rule;
use super::voice;
use super::wire::Broken;
use crate::call::{FileEnd, PausedBy, RecordingSwitch, Shutter};

/// Half a period of a wave that is marked, in samples.
const MARKED: usize = voice::HALF_PERIOD / 2;
/// So many of them in a row are no seam.
const SURE: usize = 6;
/// So long after a pause the recording runs again, in milliseconds: what came late is over then.
const BACK_MS: u64 = 300;
/// G.711's sign.
const SIGN: u8 = 0x80;

pub(super) struct Recording {
    switch: RecordingSwitch,
    shutter: Shutter,
    end: FileEnd,
    /// Samples of each party in the file.
    written: u64,
    /// Where in the call the recording runs again at the latest.
    back_at: u64,
    /// There was a pause since the last step.
    unseen: bool,
    /// Frames that the disk was too slow for, of each second.
    drops: u64,
}

impl Recording {
    pub(super) fn new(recorded: bool, drops: u64) -> Self {
        let switch = RecordingSwitch::new(recorded);
        Self {
            shutter: Shutter::new(switch.clone()),
            switch,
            end: FileEnd::default(),
            written: 0,
            back_at: 0,
            unseen: false,
            drops,
        }
    }

    pub(super) fn is_made(&self) -> bool {
        self.switch.is_recorded()
    }

    pub(super) fn pause(&mut self, by: PausedBy, pause: bool) {
        self.unseen |= pause;
        match pause {
            true => self.switch.pause(by),
            false => self.switch.resume(by),
        };
    }

    /// Marks what of a caller who does not encrypt comes within a pause.
    pub(super) fn mark(&self, datagram: &Datagram, encrypted: bool) -> Option<Datagram> {
        if datagram.kind != Kind::Rtp || encrypted || !self.is_made() || !self.switch.is_paused() {
            return None;
        }
        let packet = RtpPacket::parse(&datagram.bytes).ok()?;
        if !matches!(packet.header.payload_type, 0 | 8) {
            return None;
        }
        let payload = datagram.bytes.len().checked_sub(packet.payload.len())?;
        let mut marked = datagram.clone();
        let sound = marked.bytes.get_mut(payload..)?;
        // The second half of each half period changes its sign, and so do those that follow.
        for period in sound.chunks_mut(4 * MARKED) {
            let inner = period.iter_mut().skip(MARKED).take(2 * MARKED);
            inner.for_each(|byte| *byte ^= SIGN);
        }
        Some(marked)
    }

    /// Takes what both said in one step, as the recordings' thread does.
    pub(super) fn record(&mut self, frame: &RecordFrame) -> Option<Broken> {
        let end = frame.position + RecordFrame::SAMPLES as u64;
        let paused = self.switch.is_paused();
        if paused || std::mem::take(&mut self.unseen) {
            self.back_at = end + u64::from(frame.rate_hz) * BACK_MS / 1_000;
        }
        let open = self.shutter.is_open_for(frame);
        let number = frame.position / RecordFrame::SAMPLES as u64;
        if number % 50 < self.drops {
            return None;
        }
        self.written += self.end.missing_to(if open { frame.position } else { end });
        if !open {
            let what = "it does not go on after a pause".to_owned();
            let late = frame.position >= self.back_at;
            return late.then_some((Rule::RecordingInStep, what));
        }
        self.end.wrote(frame);
        let at = self.written;
        self.written += RecordFrame::SAMPLES as u64;
        if at != frame.position {
            let what = format!("{} of the call lies at {at}", frame.position);
            return Some((Rule::RecordingInStep, what));
        }
        let what = match (paused, is_marked(&frame.remote)) {
            (true, _) => "a step of a pause is in the file",
            (_, true) => "what came in a pause is in the file",
            (false, false) => return None,
        };
        Some((Rule::RecordedInPause, what.to_owned()))
    }
}

/// Whether sound was marked.
fn is_marked(sound: &[i16]) -> bool {
    let (mut half, mut row, mut before) = (0, 0, 0);
    for sample in sound {
        let sign = match voice::code(*sample) {
            Some(_) => sample.signum(),
            None => 0,
        };
        if sign != before {
            let marked = before != 0 && half == MARKED;
            row = if marked { row + 1 } else { 0 };
            (half, before) = (0, sign);
        }
        half += 1;
        if row >= SURE {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use offhook_media::codec::{Codec, Decoder, Encoder, OpusWishes};

    use super::*;

    fn datagram(payload_type: u8, codec: Codec) -> Datagram {
        let address = "192.0.2.10:4000".parse().unwrap();
        let mut bytes = vec![0x80, payload_type];
        bytes.resize(12 + 160, 0);
        let sound = voice::sound(7, 160);
        Encoder::new(codec, 8_000, OpusWishes::default()).encode(&sound, &mut bytes[12..]);
        Datagram {
            kind: Kind::Rtp,
            from: address,
            to: address,
            bytes,
        }
    }

    fn decoded(codec: Codec, datagram: &Datagram) -> [i16; 160] {
        let mut heard = [0; 160];
        Decoder::new(8_000).decode(codec, &datagram.bytes[12..], &mut heard);
        heard
    }

    fn frame(number: u64, remote: [i16; 160]) -> RecordFrame {
        RecordFrame {
            rate_hz: 8_000,
            position: number * 160,
            local: [0; 160],
            remote,
        }
    }

    #[test]
    fn what_comes_in_a_pause_is_known_in_a_file_and_sounds_the_same() {
        for (payload_type, codec) in [(0, Codec::Pcmu), (8, Codec::Pcma)] {
            let mut recording = Recording::new(true, 0);
            let packet = datagram(payload_type, codec);
            assert!(recording.mark(&packet, false).is_none(), "no pause");
            let clear = decoded(codec, &packet);
            assert_eq!(recording.record(&frame(0, clear)), None);
            recording.pause(PausedBy::Api, true);
            let marked = recording.mark(&packet, false).unwrap();
            let marked = decoded(codec, &marked);
            assert_eq!(voice::runs(&marked), voice::runs(&clear));
            assert_eq!(recording.record(&frame(1, marked)), None);
            recording.pause(PausedBy::Api, false);
            assert_eq!(recording.record(&frame(2, marked)), None, "it is late");
            assert_eq!(recording.record(&frame(30, clear)), None);
            let leaked = recording.record(&frame(31, marked)).unwrap();
            assert_eq!(leaked.0, Rule::RecordedInPause);
        }
    }

    #[test]
    fn a_file_out_of_step_is_seen() {
        let mut recording = Recording::new(true, 0);
        assert_eq!(recording.record(&frame(0, [0; 160])), None);
        assert_eq!(
            recording.record(&frame(7, [0; 160])),
            None,
            "silence before"
        );
        recording.written += 1;
        let broken = recording.record(&frame(8, [0; 160])).unwrap();
        assert_eq!(broken.0, Rule::RecordingInStep);
    }
}
