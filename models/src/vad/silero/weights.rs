//! What the network learned, read from the model's own file, every shape checked.

use crate::onnx::proto::{DataType, Graph, Model, Tensor};
use crate::runtime::ModelError;

use super::network::{GATES, NARROW, WIDTH};
use super::spectrum::{BINS, SPAN, basis};

/// Moments that a convolution sees.
const TAPS: usize = 3;
/// How far the file's transform may be from ours: rounding.
const ROUNDING: f32 = 1e-6;

/// The network's parameters in the file's own order.
pub(super) struct Parameters {
    /// By what each sample is multiplied before the Fourier transform.
    pub(super) window: [f32; SPAN],
    pub(super) first: Taps<WIDTH, BINS>,
    pub(super) second: Taps<NARROW, WIDTH>,
    pub(super) third: Taps<NARROW, NARROW>,
    pub(super) fourth: Taps<WIDTH, NARROW>,
    /// The cell's weights, by gate and unit, then by feature.
    pub(super) features: Vec<f32>,
    /// Those of what it put out last.
    pub(super) recurrent: Vec<f32>,
    pub(super) gates_bias: [f32; GATES],
    pub(super) head: [f32; WIDTH],
    pub(super) head_bias: f32,
}

/// A convolution over three moments.
pub(super) struct Taps<const OUTPUTS: usize, const INPUTS: usize> {
    weights: Vec<f32>,
    pub(super) bias: [f32; OUTPUTS],
}

impl<const OUTPUTS: usize, const INPUTS: usize> Taps<OUTPUTS, INPUTS> {
    fn read(graph: &Graph, number: usize) -> Result<Self, ModelError> {
        let name = format!("model.encoder.{number}.reparam_conv");
        Ok(Self {
            weights: floats(graph, &format!("{name}.weight"), &[OUTPUTS, INPUTS, TAPS])?,
            bias: array(graph, &format!("{name}.bias"), &[OUTPUTS])?,
        })
    }

    /// Gives what an input weighs in an output, `tap` moments behind the one before it.
    pub(super) fn weight(&self, output: usize, input: usize, tap: usize) -> f32 {
        let place = (output * INPUTS + input) * TAPS + tap;
        self.weights.get(place).copied().unwrap_or_default()
    }
}

impl Parameters {
    /// Reads them from the bytes of `silero_vad_16k_op15.onnx`.
    ///
    /// # Errors
    /// The file is no model, or one of other parameters.
    pub(super) fn read(file: &[u8]) -> Result<Self, ModelError> {
        let model = Model::parse(file).map_err(malformed)?;
        let graph = model.graph.ok_or_else(|| malformed("it holds no graph"))?;
        let graph = &graph;
        let rnn = |part: &str| format!("model.decoder.rnn.{part}");
        let mut gates_bias: [f32; GATES] = array(graph, &rnn("bias_ih"), &[GATES])?;
        let recurrent_bias: [f32; GATES] = array(graph, &rnn("bias_hh"), &[GATES])?;
        for (sum, bias) in gates_bias.iter_mut().zip(recurrent_bias) {
            *sum += bias;
        }
        let [head_bias] = array(graph, "model.decoder.decoder.2.bias", &[1])?;
        Ok(Self {
            window: window(graph)?,
            first: Taps::read(graph, 0)?,
            second: Taps::read(graph, 1)?,
            third: Taps::read(graph, 2)?,
            fourth: Taps::read(graph, 3)?,
            features: floats(graph, &rnn("weight_ih"), &[GATES, WIDTH])?,
            recurrent: floats(graph, &rnn("weight_hh"), &[GATES, WIDTH])?,
            gates_bias,
            head: array(graph, "model.decoder.decoder.2.weight", &[1, WIDTH, 1])?,
            head_bias,
        })
    }
}

fn malformed(reason: impl std::fmt::Display) -> ModelError {
    ModelError::malformed("silero", reason)
}

/// Takes the window out of the file's transform, a matrix of (real and imaginary parts, 1, samples),
/// and makes sure that it is the Fourier transform of what was multiplied by that window.
fn window(graph: &Graph) -> Result<[f32; SPAN], ModelError> {
    let matrix = floats(
        graph,
        "model.stft.forward_basis_buffer",
        &[2 * BINS, 1, SPAN],
    )?;
    let (rows, _) = matrix.as_chunks::<SPAN>();
    let (real, imaginary) = rows.split_at(rows.len().min(BINS));
    // Frequency 0 weighs each sample by 1.
    let window = *real
        .first()
        .ok_or_else(|| malformed("it has no transform"))?;
    for (bin, (real, imaginary)) in real.iter().zip(imaginary).enumerate() {
        for (n, weight) in window.iter().enumerate() {
            let (cos, sin) = basis(bin, n);
            let off = (real[n] - cos * weight).abs() + (imaginary[n] - sin * weight).abs();
            // Whatever cannot be compared is not it either.
            if off.is_nan() || off > ROUNDING {
                return Err(malformed("its transform is not Fourier's"));
            }
        }
    }
    Ok(window)
}

fn array<const LEN: usize>(
    graph: &Graph,
    name: &str,
    dims: &[usize],
) -> Result<[f32; LEN], ModelError> {
    let wrong = |_| malformed(format_args!("{name} is of another size"));
    floats(graph, name, dims)?.try_into().map_err(wrong)
}

/// Reads a constant of floats of a shape.
fn floats(graph: &Graph, name: &str, dims: &[usize]) -> Result<Vec<f32>, ModelError> {
    let tensor = graph.initializer.iter().find(|tensor| tensor.name == name);
    let tensor = tensor.ok_or_else(|| malformed(format_args!("{name} is missing")))?;
    let values = values(tensor);
    let as_many: usize = dims.iter().product();
    let shaped = tensor.dims.iter().map(|dim| usize::try_from(*dim).ok());
    if !shaped.eq(dims.iter().map(|dim| Some(*dim))) || values.len() != as_many {
        let reason = format_args!("{name} is {:?}, not {dims:?} of floats", tensor.dims);
        return Err(malformed(reason));
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(malformed(format_args!("{name} holds what is no number")));
    }
    Ok(values)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    if tensor.data_type != DataType::F32 as i32 {
        return Vec::new();
    }
    if !tensor.float_data.is_empty() {
        return tensor.float_data.clone();
    }
    let (words, _) = tensor.raw_data.as_chunks::<4>();
    words.iter().map(|word| f32::from_le_bytes(*word)).collect()
}
