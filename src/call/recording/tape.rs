//! One recording's file, in the format that it was begun in.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use offhook_media::RecordFrame;
use offhook_media::ogg::StereoOpusWriter;
use offhook_media::wav::StereoWriter;
use rand::Rng;

use crate::config::RecordingFormat;

/// The rate that a recording has until its first sound tells another.
const TELEPHONE_HZ: u32 = 8_000;
/// What waits in memory to be written at once: a second of a telephone call as WAV, half of that of
/// a wideband one.
const BUFFER: usize = 32 * 1024;

/// A recording that is being written.
pub(super) enum Tape {
    Wav(StereoWriter<BufWriter<File>>),
    Opus(Box<StereoOpusWriter<File>>),
}

impl Tape {
    /// Begins a file that was not there.
    pub(super) fn create(path: &Path, format: RecordingFormat) -> io::Result<Self> {
        Self::open(File::create_new(path)?, format)
    }

    /// Begins an empty file.
    pub(super) fn open(file: File, format: RecordingFormat) -> io::Result<Self> {
        Ok(match format {
            RecordingFormat::Wav => {
                let buffered = BufWriter::with_capacity(BUFFER, file);
                Self::Wav(StereoWriter::new(buffered, TELEPHONE_HZ)?)
            }
            RecordingFormat::Opus => {
                let serial = rand::rng().random();
                Self::Opus(Box::new(StereoOpusWriter::new(file, serial)))
            }
        })
    }

    pub(super) fn write(&mut self, frame: &RecordFrame) -> io::Result<()> {
        match self {
            Self::Wav(tape) => tape.write(frame.rate_hz, &frame.remote, &frame.local),
            Self::Opus(tape) => tape.write(frame.rate_hz, &frame.remote, &frame.local),
        }
    }

    pub(super) fn silence(&mut self, rate_hz: u32, samples: u64) -> io::Result<()> {
        match self {
            Self::Wav(tape) => tape.silence(rate_hz, samples),
            Self::Opus(tape) => tape.silence(rate_hz, samples),
        }
    }

    /// Hands what was written to the kernel, in a form that plays.
    ///
    /// That is enough for a process that dies. For the loss of power it would have to be on the
    /// disk, which the kernel sees to within half a minute: `fdatasync` takes from milliseconds to,
    /// on a busy disk, seconds, and two hundred a second would cost more frames than a power cut
    /// does.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Wav(tape) => tape.flush(),
            Self::Opus(tape) => tape.flush(),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Wav(tape) => tape.finish().map(drop),
            Self::Opus(tape) => tape.finish().map(drop),
        }
    }
}
