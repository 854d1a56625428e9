//! WAV files of the command line: read for playing, written while hearing.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Context;
use offhook_media::Frame;

use crate::net::media::FrameSink;

/// Frames that may wait for the disk: twenty seconds.
const QUEUE: usize = 1000;
/// The longest file that is played: ten minutes at 48 kHz in two channels.
const SAMPLES_MAX: usize = 48_000 * 2 * 600;

/// Sound that is to be played: mono, full scale ±1.
pub(crate) struct Sound {
    rate_hz: u32,
    samples: Vec<f32>,
}

impl Sound {
    /// The sound at another rate.
    pub(crate) fn at_rate(&self, rate_hz: u32) -> Vec<i16> {
        let samples = offhook_models::voice::convert_rate(&self.samples, self.rate_hz, rate_hz);
        let samples = samples.iter();
        samples
            .map(|s| (s * 32_767.0).clamp(-32_768.0, 32_767.0) as i16)
            .collect()
    }
}

/// Reads a WAV file as mono.
///
/// # Errors
/// When it is no WAV file of integers or floats, or is too long.
pub(crate) fn read(path: &Path) -> anyhow::Result<Sound> {
    let reading = || format!("cannot play {}", path.display());
    decode(hound::WavReader::open(path).with_context(reading)?).with_context(reading)
}

/// Reads a WAV file that is in memory as mono at 8 kHz.
///
/// # Errors
/// When it is no WAV file of integers or floats, or is too long.
pub(crate) fn parse_8k(file: &[u8]) -> anyhow::Result<Vec<i16>> {
    Ok(decode(hound::WavReader::new(file)?)?.at_rate(8_000))
}

fn decode<R: std::io::Read>(reader: hound::WavReader<R>) -> anyhow::Result<Sound> {
    let spec = reader.spec();
    anyhow::ensure!((reader.len() as usize) < SAMPLES_MAX, "it is too long");
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.into_samples::<f32>().collect::<Result<_, _>>(),
        hound::SampleFormat::Int => {
            let full = 2_f32.powi(i32::from(spec.bits_per_sample) - 1);
            reader
                .into_samples::<i32>()
                .map(|s| s.map(|s| s as f32 / full))
                .collect()
        }
    }?;
    let channels = usize::from(spec.channels.max(1));
    let samples = samples
        .chunks_exact(channels)
        .map(|all| all.iter().sum::<f32>() / channels as f32)
        .collect();
    Ok(Sound {
        rate_hz: spec.sample_rate,
        samples,
    })
}

/// A recording that is being written.
pub(crate) struct Recording {
    writer: JoinHandle<anyhow::Result<()>>,
}

impl Recording {
    /// Waits until everything heard is in the file. The leg must be closed.
    ///
    /// # Errors
    /// When the file could not be written.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.writer
            .join()
            .map_err(|_| anyhow::anyhow!("the recording's thread panicked"))?
    }
}

struct Tap(SyncSender<Frame>);

impl FrameSink for Tap {
    fn frame(&mut self, frame: &Frame) {
        // A disk that is twenty seconds behind loses sound, not the call.
        let _ = self.0.try_send(frame.clone());
    }
}

/// Records what a leg hears into `path`, at the leg's rate; the sink goes to the leg.
///
/// # Errors
/// When the file cannot be made.
pub(crate) fn record(path: &Path) -> anyhow::Result<(Box<dyn FrameSink>, Recording)> {
    let file =
        File::create(path).with_context(|| format!("cannot record into {}", path.display()))?;
    let (sender, frames) = sync_channel(QUEUE);
    let writer = std::thread::Builder::new()
        .name("record".to_owned())
        .spawn(move || write(file, &frames))?;
    Ok((Box::new(Tap(sender)), Recording { writer }))
}

fn write(file: File, frames: &Receiver<Frame>) -> anyhow::Result<()> {
    let first = frames.recv().ok();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: first.as_ref().map_or(8_000, |frame| frame.rate_hz),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::new(BufWriter::new(file), spec)?;
    for frame in first.into_iter().chain(frames) {
        for sample in frame.samples() {
            file.write_sample(*sample)?;
        }
    }
    Ok(file.finalize()?)
}
