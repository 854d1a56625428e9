//! The encoder's run over one window, stage by stage.

use ort::value::{DynValue, Tensor, TensorRef};

use super::Model;
use super::decoder::Decoding;
use crate::mel::{BANDS, HOP};
use crate::runtime::ModelError;

/// Multiply-accumulates that one step may cost: some 10 ms at the 370 G/s measured for int8 on
/// a current x86 core, and within the limit of a step on one five times slower.
const STEP_COST: usize = 3_500_000_000;
/// What a multiply-accumulate of the attention, which stays in floats, costs in those of int8.
const FLOAT_COST: usize = 4;

/// The log-mel of a window's loudest point, so that sound and kept silence share one scale.
const LOUDEST: f32 = 1.25;
/// How far silence lies below it: the log-mel's floor.
const FLOOR: f32 = 2.0;

/// An encoder at work: the positions after `stage` layers.
#[derive(Debug)]
pub(super) struct Encoding {
    hidden: DynValue,
    positions: usize,
    stage: usize,
}

impl Encoding {
    /// Computes the spectrogram of `samples` with silence of `padding` samples after it and
    /// runs the convolutions.
    pub(super) fn begin(
        model: &Model,
        samples: &[f32],
        padding: usize,
    ) -> Result<Self, ModelError> {
        let most = model.shape.positions;
        let positions = (samples.len() + padding).div_ceil(2 * HOP).clamp(1, most);
        let mut mel = model.mel.compute(samples, 2 * positions);
        let loudest = mel.iter().copied().fold(f32::MIN, f32::max);
        for value in &mut mel {
            *value += LOUDEST - loudest;
        }
        Self::begin_mel(model, &mel, positions)
    }

    fn begin_mel(model: &Model, mel: &[f32], positions: usize) -> Result<Self, ModelError> {
        let mel = TensorRef::from_array_view(([1, BANDS, 2 * positions], mel))?;
        let mut session = model.convolutions.session();
        let mut outputs = session.run(ort::inputs!["mel" => mel])?;
        let hidden = take(&mut outputs, "hidden")?;
        Ok(Self {
            hidden,
            positions,
            stage: 0,
        })
    }

    /// Runs as many layers as a step has time for; tells whether all have run.
    pub(super) fn advance(&mut self, model: &Model) -> Result<bool, ModelError> {
        let width = model.shape.width;
        let linear = 12 * width * width * self.positions;
        let attention = 2 * self.positions * self.positions * width * FLOAT_COST;
        let layers = (STEP_COST / (linear + attention)).max(1);
        for graph in model.encoder.iter().skip(self.stage).take(layers) {
            let mut session = graph.session();
            let mut outputs = session.run(ort::inputs!["hidden_in" => &self.hidden])?;
            self.hidden = take(&mut outputs, "hidden")?;
            self.stage += 1;
        }
        Ok(self.stage >= model.encoder.len())
    }

    /// Computes the cross-attention's keys and values.
    pub(super) fn finish(self, model: &Model) -> Result<Decoding, ModelError> {
        let mut session = model.cross.session();
        let mut outputs = session.run(ort::inputs!["hidden_in" => &self.hidden])?;
        let mut cross = Vec::with_capacity(model.names.cross.len());
        for (index, name) in model.names.cross.iter().enumerate() {
            let sound = take(&mut outputs, name)?;
            cross.push(
                match model.silence.get().and_then(|silence| silence.get(index)) {
                    Some(silence) => self.with_silence(model, &sound, silence)?,
                    None => sound,
                },
            );
        }
        Decoding::new(model, cross)
    }

    /// Puts the rows of silence up to the end of the window behind those of the sound.
    fn with_silence(
        &self,
        model: &Model,
        sound: &DynValue,
        silence: &[f32],
    ) -> Result<DynValue, ModelError> {
        let (heads, width) = (model.shape.heads, model.shape.head());
        let (rows, most) = (self.positions, model.shape.positions);
        let (_, sound) = sound.try_extract_tensor::<f32>()?;
        let mut joined = Vec::with_capacity(heads * most * width);
        for (sound, silence) in sound
            .chunks_exact(rows * width)
            .zip(silence.chunks_exact(most * width))
        {
            joined.extend_from_slice(sound);
            joined.extend_from_slice(silence.get(rows * width..).unwrap_or_default());
        }
        Ok(Tensor::from_array(([1, heads, most, width], joined))?.into_dyn())
    }

    /// Encodes a window of silence: the keys and values of each layer, (heads, positions, width).
    ///
    /// The decoder was trained on 30 s windows; without the silence that fills them it repeats
    /// itself. The encoder need not see it again for each window.
    pub(super) fn silence(model: &Model) -> Result<Vec<Vec<f32>>, ModelError> {
        let positions = model.shape.positions;
        let mel = vec![LOUDEST - FLOOR; BANDS * 2 * positions];
        let mut encoding = Self::begin_mel(model, &mel, positions)?;
        while !encoding.advance(model)? {}
        let mut session = model.cross.session();
        let mut outputs = session.run(ort::inputs!["hidden_in" => &encoding.hidden])?;
        let names = model.names.cross.iter();
        names
            .map(|name| {
                let value = take(&mut outputs, name)?;
                let (_, values) = value.try_extract_tensor::<f32>()?;
                Ok(values.to_vec())
            })
            .collect()
    }
}

/// Takes an output out of a run.
pub(super) fn take(
    outputs: &mut ort::session::SessionOutputs<'_>,
    name: &str,
) -> Result<DynValue, ModelError> {
    outputs
        .remove(name)
        .ok_or_else(|| ModelError::malformed("graph", format!("no output {name}")))
}
