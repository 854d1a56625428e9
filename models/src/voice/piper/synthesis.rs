//! One clause on its way from phonemes to sound, in steps.

use std::collections::VecDeque;

use ort::value::{Tensor, TensorRef};

use super::{Graphs, Inner, Phonemes, Voice, VoiceError};
use crate::voice::shape::Shaper;

/// How many frames on either side the flow needs to see: four layers of two frames, four times.
const FLOW_CONTEXT: usize = 32;
/// How many frames on either side the decoder needs to see (measured: exact to five decimals).
const DECODER_CONTEXT: usize = 10;
/// Frames of the first chunk (232 ms of sound), and of those that follow. The first is small for an
/// early start; the last is what one step can do in less than 60 ms.
const CHUNKS: [usize; 3] = [20, 30, 45];
/// A rest shorter than this is joined to the chunk before it.
const LEAST_CHUNK: usize = 12;
/// The most phonemes that one step encodes; longer clauses are encoded in pieces.
const PIECE_PHONEMES: usize = 100;
/// The pause that stays behind a sentence and behind any other clause, in seconds.
const SENTENCE_PAUSE_S: f32 = 0.18;
const CLAUSE_PAUSE_S: f32 = 0.09;

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no sound yet, but there will be.
    More,
    /// The next samples, at the voice's output rate.
    Sound(Vec<i16>),
    /// The clause has been said.
    Done,
}

/// A clause that is being spoken.
///
/// Each [`step`](Self::step) is a piece of work of less than 60 ms on a free core, so that more
/// urgent work can go first in between; none waits for anything but the core. Dropping it is all
/// that cancelling takes.
pub struct Synthesis {
    voice: Voice,
    stage: Stage,
}

enum Stage {
    Phonemes(Phonemes),
    Speech(Box<Speech>),
    Done,
}

struct Speech {
    /// Phonemes not encoded yet.
    pieces: VecDeque<String>,
    frames: Option<Frames>,
    shaper: Shaper,
    chunk: usize,
}

impl std::fmt::Debug for Synthesis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Synthesis")
            .field("voice", &self.voice)
            .finish_non_exhaustive()
    }
}

impl Synthesis {
    pub(super) fn new(voice: Voice, clause: Phonemes) -> Self {
        Self {
            voice,
            stage: Stage::Phonemes(clause),
        }
    }

    /// Does the next piece of work: the encoder first, then a chunk of sound at a time.
    ///
    /// # Errors
    /// ONNX Runtime fails; the clause is over then.
    pub fn step(&mut self) -> Result<Step, VoiceError> {
        // An error ends the clause, whatever is asked of it afterwards.
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Phonemes(clause) => self.begin(&clause.0),
            Stage::Speech(speech) => self.go_on(speech),
            Stage::Done => Ok(Step::Done),
        }
    }

    fn begin(&mut self, phonemes: &str) -> Result<Step, VoiceError> {
        let inner = &self.voice.inner;
        let pause_s = match phonemes.ends_with(['.', '!', '?']) {
            true => SENTENCE_PAUSE_S,
            false => CLAUSE_PAUSE_S,
        };
        let rate_hz = inner.config.sample_rate_hz();
        let mut speech = Box::new(Speech {
            pieces: pieces(phonemes),
            frames: None,
            shaper: Shaper::new(rate_hz, self.voice.rate_hz, inner.gain, pause_s),
            chunk: 0,
        });
        speech.encode_next(inner)?;
        self.stage = Stage::Speech(speech);
        Ok(Step::More)
    }

    fn go_on(&mut self, mut speech: Box<Speech>) -> Result<Step, VoiceError> {
        let inner = &self.voice.inner;
        let Some(frames) = &mut speech.frames else {
            if speech.encode_next(inner)? {
                self.stage = Stage::Speech(speech);
                return Ok(Step::More);
            }
            let rest = speech.shaper.finish();
            return Ok(if rest.is_empty() {
                Step::Done
            } else {
                Step::Sound(rest)
            });
        };
        let wanted = CHUNKS
            .get(speech.chunk)
            .or(CHUNKS.last())
            .copied()
            .unwrap_or(LEAST_CHUNK);
        let samples = frames.decode_next(&inner.graphs, wanted)?;
        if frames.is_spent() {
            speech.frames = None;
        }
        speech.chunk += 1;
        let mut sound = speech.shaper.push(&samples);
        if speech.frames.is_none() && speech.pieces.is_empty() {
            sound.extend(speech.shaper.finish());
            return Ok(if sound.is_empty() {
                Step::Done
            } else {
                Step::Sound(sound)
            });
        }
        self.stage = Stage::Speech(speech);
        Ok(if sound.is_empty() {
            Step::More
        } else {
            Step::Sound(sound)
        })
    }
}

impl Speech {
    /// Encodes the next piece; false when there is none.
    fn encode_next(&mut self, inner: &Inner) -> Result<bool, VoiceError> {
        let Some(piece) = self.pieces.pop_front() else {
            return Ok(false);
        };
        let ids = inner.config.phoneme_ids(&piece);
        self.frames = Some(inner.graphs.encode(&ids, inner.scales)?);
        Ok(true)
    }
}

/// Cuts phonemes into pieces that one step can encode, behind a mark or else a word.
fn pieces(phonemes: &str) -> VecDeque<String> {
    let mut pieces = VecDeque::new();
    let mut rest = phonemes.trim();
    while !rest.is_empty() {
        let limit = rest.char_indices().nth(PIECE_PHONEMES).map(|(at, _)| at);
        let end = match limit {
            None => rest.len(),
            Some(limit) => {
                let head = rest.get(..limit).unwrap_or(rest);
                let mark = head
                    .rfind(['.', '!', '?', ';', ':', ','])
                    .filter(|at| at * 3 > limit);
                mark.map(|at| at + 1)
                    .or_else(|| head.rfind(' '))
                    .filter(|at| *at > 0)
                    .unwrap_or(limit)
            }
        };
        let (piece, further) = rest.split_at(end);
        pieces.push_back(piece.trim().to_owned());
        rest = further.trim_start();
    }
    pieces
}

/// The frames of an encoded piece and how far they have become sound.
pub(super) struct Frames {
    /// (channels, count), row by row.
    prior: Vec<f32>,
    /// As `prior`; only the first `latent_ready` frames are filled.
    latent: Vec<f32>,
    channels: usize,
    count: usize,
    latent_ready: usize,
    decoded: usize,
}

impl Graphs {
    /// Runs the encoder over phoneme ids.
    pub(super) fn encode(&self, ids: &[i64], scales: [f32; 3]) -> Result<Frames, VoiceError> {
        let count = ids.len();
        let mut session = self.encoder.session();
        let outputs = session.run(ort::inputs![
            "input" => TensorRef::from_array_view(([1, count], ids))?,
            "input_lengths" => Tensor::from_array(([1], vec![count as i64]))?,
            "scales" => Tensor::from_array(([3], scales.to_vec()))?,
        ])?;
        let prior = outputs
            .get(&self.cut.prior)
            .ok_or_else(|| no_output(&self.cut.prior))?;
        let (shape, prior) = prior.try_extract_tensor::<f32>()?;
        let dimension = |index: usize| {
            shape
                .get(index)
                .and_then(|size| usize::try_from(*size).ok())
        };
        let (Some(channels), Some(count)) = (dimension(1), dimension(2)) else {
            return Err(no_output(&self.cut.prior));
        };
        Ok(Frames {
            prior: prior.to_vec(),
            latent: vec![0.0; prior.len()],
            channels,
            count,
            latent_ready: 0,
            decoded: 0,
        })
    }
}

fn no_output(name: &str) -> VoiceError {
    crate::ModelError::malformed("the voice", format!("no frames come out of {name}")).into()
}

impl Frames {
    pub(super) fn is_spent(&self) -> bool {
        self.decoded >= self.count
    }

    /// Makes all the sound at once, chunk by chunk.
    pub(super) fn decode_all(mut self, graphs: &Graphs) -> Result<Vec<f32>, VoiceError> {
        let mut samples = Vec::new();
        while !self.is_spent() {
            samples
                .extend(self.decode_next(graphs, CHUNKS.last().copied().unwrap_or(LEAST_CHUNK))?);
        }
        Ok(samples)
    }

    /// Makes the sound of the next `wanted` frames, or of all if few would be left.
    pub(super) fn decode_next(
        &mut self,
        graphs: &Graphs,
        wanted: usize,
    ) -> Result<Vec<f32>, VoiceError> {
        let start = self.decoded;
        let mut end = (start + wanted).min(self.count);
        if self.count - end < LEAST_CHUNK {
            end = self.count;
        }
        let seen_to = (end + DECODER_CONTEXT).min(self.count);
        self.flow_to(graphs, seen_to)?;
        let seen_from = start.saturating_sub(DECODER_CONTEXT);
        let window = self.window(&self.latent, seen_from, seen_to);
        let shape = [1, self.channels, seen_to - seen_from];
        let mut session = graphs.decoder.session();
        let outputs = session.run(ort::inputs![
            graphs.cut.latent.as_str() => Tensor::from_array((shape, window))?
        ])?;
        let sound = outputs
            .get(&graphs.cut.sound)
            .ok_or_else(|| no_output(&graphs.cut.sound))?;
        let (_, sound) = sound.try_extract_tensor::<f32>()?;
        let per_frame = sound.len() / (seen_to - seen_from).max(1);
        let from = (start - seen_from) * per_frame;
        let to = from + (end - start) * per_frame;
        self.decoded = end;
        Ok(sound.get(from..to).unwrap_or_default().to_vec())
    }

    /// Runs the flow until the latent of the first `to` frames is there.
    fn flow_to(&mut self, graphs: &Graphs, to: usize) -> Result<(), VoiceError> {
        let from = self.latent_ready;
        if from >= to {
            return Ok(());
        }
        let seen_from = from.saturating_sub(FLOW_CONTEXT);
        let seen_to = (to + FLOW_CONTEXT).min(self.count);
        let width = seen_to - seen_from;
        let window = self.window(&self.prior, seen_from, seen_to);
        let mut session = graphs.flow.session();
        let outputs = session.run(ort::inputs![
            graphs.cut.prior.as_str() => Tensor::from_array(([1, self.channels, width], window))?,
            graphs.cut.mask.as_str() => Tensor::from_array(([1, 1, width], vec![1.0_f32; width]))?,
        ])?;
        let latent = outputs
            .get(&graphs.cut.latent)
            .ok_or_else(|| no_output(&graphs.cut.latent))?;
        let (_, latent) = latent.try_extract_tensor::<f32>()?;
        let rows = self
            .latent
            .chunks_mut(self.count.max(1))
            .zip(latent.chunks(width));
        for (row, new) in rows {
            let new = new.get(from - seen_from..to - seen_from);
            if let (Some(row), Some(new)) = (row.get_mut(from..to), new) {
                row.copy_from_slice(new);
            }
        }
        self.latent_ready = to;
        Ok(())
    }

    /// Copies a window of frames out of all channels.
    fn window(&self, frames: &[f32], from: usize, to: usize) -> Vec<f32> {
        let rows = frames.chunks(self.count.max(1));
        rows.flat_map(|row| row.get(from..to).unwrap_or_default())
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_phonemes_are_cut_behind_a_mark_or_a_word() {
        let clause = format!("{}, {}", "ab ".repeat(30).trim(), "cd ".repeat(25).trim());
        let pieces = pieces(&clause);
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].ends_with(','), "{pieces:?}");
        let run = "x".repeat(400);
        assert!(
            super::pieces(&run)
                .iter()
                .all(|piece| piece.chars().count() <= PIECE_PHONEMES)
        );
        assert_eq!(
            super::pieces(&run).iter().map(String::len).sum::<usize>(),
            400
        );
        assert!(super::pieces("  ").is_empty());
    }
}
