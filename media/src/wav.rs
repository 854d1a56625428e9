//! Writes a conversation as a stereo WAV file that is whole at any time.

use std::io::{self, Seek, SeekFrom, Write};

/// Bytes of a canonical header with 16-bit PCM.
const HEADER_BYTES: u32 = 44;
/// Each party is a channel of 16 bits.
const FRAME_BYTES: u32 = 4;
/// Sample pairs that are gathered before they are written: 20 ms at 16 kHz.
const BLOCK_PAIRS: usize = 320;

/// Writes two parties as the channels of a WAV file.
///
/// The sizes in the header are brought up to date with each second of sound and with each
/// [`StereoWriter::flush`], sound before sizes, so that a file whose writer died plays up to there.
/// Writing goes straight to `out`, which should be buffered where its calls are dear.
#[derive(Debug)]
pub struct StereoWriter<W: Write + Seek> {
    out: W,
    rate_hz: u32,
    written_bytes: u32,
    dated_bytes: u32,
}

impl<W: Write + Seek> StereoWriter<W> {
    /// Writes the header of an empty recording at the start of `out`; `rate_hz` holds until sound
    /// of another rate comes first.
    ///
    /// # Errors
    /// Returns what `out` returns.
    pub fn new(mut out: W, rate_hz: u32) -> io::Result<Self> {
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&header(rate_hz, 0))?;
        out.flush()?;
        Ok(Self {
            out,
            rate_hz,
            written_bytes: 0,
            dated_bytes: 0,
        })
    }

    /// Appends what both said in the same time, at `rate_hz`; the shorter one ends in silence. The
    /// first sound sets the recording's rate.
    ///
    /// # Errors
    /// Returns [`io::ErrorKind::InvalidInput`] for sound of another rate than the first one's.
    /// Returns what `out` returns, and [`io::ErrorKind::FileTooLarge`] at 4 GiB, where the format
    /// ends (37 hours at 8 kHz).
    pub fn write(&mut self, rate_hz: u32, left: &[i16], right: &[i16]) -> io::Result<()> {
        if rate_hz != self.rate_hz {
            if self.written_bytes > 0 {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.rate_hz = rate_hz;
            self.date()?;
        }
        let pairs = left.len().max(right.len());
        for start in (0..pairs).step_by(BLOCK_PAIRS) {
            self.block(left, right, start, pairs.min(start + BLOCK_PAIRS))?;
        }
        if self.written_bytes - self.dated_bytes >= self.rate_hz * FRAME_BYTES {
            self.date()?;
        }
        Ok(())
    }

    /// Appends so many samples of silence of both, at `rate_hz`: what is missing of the
    /// conversation.
    ///
    /// # Errors
    /// As [`StereoWriter::write`].
    pub fn silence(&mut self, rate_hz: u32, samples: u64) -> io::Result<()> {
        let mut left = samples;
        while left > 0 {
            let some = left.min(BLOCK_PAIRS as u64);
            let quiet = [0; BLOCK_PAIRS];
            let quiet = quiet.get(..some as usize).unwrap_or_default();
            self.write(rate_hz, quiet, quiet)?;
            left -= some;
        }
        Ok(())
    }

    /// Hands over what was written and brings the header up to date with it.
    ///
    /// # Errors
    /// Returns what `out` returns.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.dated_bytes == self.written_bytes {
            return Ok(());
        }
        self.date()
    }

    /// Brings the header up to date and hands `out` back.
    ///
    /// # Errors
    /// Returns what `out` returns.
    pub fn finish(mut self) -> io::Result<W> {
        self.date()?;
        Ok(self.out)
    }

    /// How long the recording is, in milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        u64::from(self.written_bytes / FRAME_BYTES) * 1_000 / u64::from(self.rate_hz.max(1))
    }

    fn block(&mut self, left: &[i16], right: &[i16], from: usize, to: usize) -> io::Result<()> {
        let mut bytes = [0; BLOCK_PAIRS * FRAME_BYTES as usize];
        let at = |party: &[i16], n: usize| party.get(n).copied().unwrap_or_default().to_le_bytes();
        for (n, pair) in (from..to).zip(bytes.chunks_exact_mut(FRAME_BYTES as usize)) {
            let ([l0, l1], [r0, r1]) = (at(left, n), at(right, n));
            pair.copy_from_slice(&[l0, l1, r0, r1]);
        }
        let len = (to - from) * FRAME_BYTES as usize;
        let written = self.written_bytes.checked_add(len as u32);
        let written = written.filter(|bytes| *bytes <= u32::MAX - HEADER_BYTES);
        let written = written.ok_or(io::ErrorKind::FileTooLarge)?;
        self.out.write_all(bytes.get(..len).unwrap_or_default())?;
        self.written_bytes = written;
        Ok(())
    }

    fn date(&mut self) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(0))?;
        self.out
            .write_all(&header(self.rate_hz, self.written_bytes))?;
        self.out.seek(SeekFrom::Start(u64::from(
            HEADER_BYTES + self.written_bytes,
        )))?;
        self.out.flush()?;
        self.dated_bytes = self.written_bytes;
        Ok(())
    }
}

/// Returns how many bytes of a file are a whole recording, by the header that [`StereoWriter`]
/// wrote at its beginning; sound that lies behind them is not named yet. None for any other
/// beginning.
#[must_use]
pub fn named_bytes(beginning: &[u8]) -> Option<u64> {
    let header = beginning.first_chunk::<{ HEADER_BYTES as usize }>()?;
    let (riff, rest) = header.split_first_chunk::<4>()?;
    let (data, size) = rest.split_last_chunk::<4>()?;
    let named = riff == b"RIFF" && data.ends_with(b"data");
    named.then(|| u64::from(HEADER_BYTES) + u64::from(u32::from_le_bytes(*size)))
}

/// RIFF, `fmt ` and `data` of 16-bit PCM in two channels.
fn header(rate_hz: u32, data_bytes: u32) -> [u8; HEADER_BYTES as usize] {
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(HEADER_BYTES - 8 + data_bytes).to_le_bytes(),
        b"WAVEfmt ",
        &16u32.to_le_bytes(),
        &1u16.to_le_bytes(),
        &2u16.to_le_bytes(),
        &rate_hz.to_le_bytes(),
        &(rate_hz * FRAME_BYTES).to_le_bytes(),
        &(FRAME_BYTES as u16).to_le_bytes(),
        &16u16.to_le_bytes(),
        b"data",
        &data_bytes.to_le_bytes(),
        &[],
    ];
    let mut header = [0; HEADER_BYTES as usize];
    for (to, from) in header.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
    header
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn data_bytes(file: &[u8]) -> u32 {
        u32::from_le_bytes(file[40..44].try_into().unwrap())
    }

    #[test]
    fn a_file_is_whole_to_the_last_second_at_any_time() {
        let mut file = Cursor::new(Vec::new());
        let mut writer = StereoWriter::new(&mut file, 8_000).unwrap();
        for _ in 0..120 {
            writer.write(8_000, &[1; 160], &[2; 160]).unwrap();
        }
        assert_eq!(writer.duration_ms(), 2_400);
        // Nothing is finished, as after a crash.
        let file = file.into_inner();
        assert_eq!(data_bytes(&file), 2 * 8_000 * 4);
        assert_eq!(file.len(), 44 + 120 * 160 * 4);
    }

    #[test]
    fn what_is_flushed_is_named_and_silence_keeps_time() {
        let mut file = Cursor::new(Vec::new());
        let mut writer = StereoWriter::new(&mut file, 8_000).unwrap();
        writer.write(16_000, &[7; 160], &[8; 160]).unwrap();
        writer.silence(16_000, 800).unwrap();
        assert_eq!(writer.duration_ms(), 60);
        writer.flush().unwrap();
        writer.write(16_000, &[7; 160], &[8; 160]).unwrap();
        // Nothing is finished, as after a crash.
        let file = file.into_inner();
        let named = named_bytes(&file).unwrap() as usize;
        assert_eq!((named, file.len()), (44 + 960 * 4, 44 + 1_120 * 4));
        assert!(file[44..684].chunks(4).all(|pair| pair == [7, 0, 8, 0]));
        assert!(file[684..named].iter().all(|byte| *byte == 0));
        assert_eq!(named_bytes(&file[..43]), None);
        assert_eq!(named_bytes(&[b'x'; 100]), None);
    }

    #[test]
    fn each_party_has_its_channel() {
        let writer = StereoWriter::new(Cursor::new(Vec::new()), 8_000).unwrap();
        let mut writer = writer;
        writer.write(16_000, &[1, 2, 3], &[-1]).unwrap();
        let narrow = writer.write(8_000, &[1], &[1]).unwrap_err();
        assert_eq!(narrow.kind(), io::ErrorKind::InvalidInput);
        let file = writer.finish().unwrap().into_inner();
        assert_eq!(file[24..28], 16_000u32.to_le_bytes());
        assert_eq!(data_bytes(&file), 12);
        let samples: Vec<i16> = file[44..]
            .chunks(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert_eq!(samples, [1, -1, 2, 0, 3, 0]);
    }
}
