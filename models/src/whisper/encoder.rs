//! The encoder's run over one window, stage by stage.

use ort::value::{DynValue, TensorRef};

use super::Model;
use super::decoder::Decoding;
use crate::mel::{BANDS, HOP};
use crate::runtime::ModelError;

/// Multiply-accumulates that one step may cost: some 10 ms at the 370 G/s measured for int8 on
/// a current x86 core, and within the limit of a step on one five times slower.
const STEP_COST: usize = 3_500_000_000;
/// What a multiply-accumulate of the attention, which stays in floats, costs in those of int8.
const FLOAT_COST: usize = 4;

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
        let mel = model.mel.compute(samples, 2 * positions);
        let mel = TensorRef::from_array_view(([1, BANDS, 2 * positions], mel.as_slice()))?;
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
        let cross = model
            .names
            .cross
            .iter()
            .map(|name| take(&mut outputs, name));
        Decoding::new(model, cross.collect::<Result<_, _>>()?)
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
