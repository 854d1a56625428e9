//! Turns Whisper's linear layers into the constants of the graphs: int8 with a scale per output
//! channel, or floats.

use ort::value::Tensor;

use super::model_bin::ModelBin;
use crate::onnx::{DataType, GraphBuilder};
use crate::runtime::{ModelError, Weights};

/// How the linear layers compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 8-bit integers, activations quantised as the graph runs: 3 to 4 times faster.
    #[default]
    Int8,
    /// 32-bit floats, as a reference.
    F32,
}

/// Below this many elements a constant is written into the graph itself.
const INLINE: usize = 65_536;

/// Writes layers of one model into one graph and collects the constants kept outside it.
pub(super) struct Layers<'a> {
    pub(super) model: &'a ModelBin,
    pub(super) precision: Precision,
    pub(super) graph: GraphBuilder,
    pub(super) weights: Weights,
}

impl<'a> Layers<'a> {
    pub(super) fn new(model: &'a ModelBin, precision: Precision, name: &str) -> Self {
        let graph = GraphBuilder::new(name);
        Self {
            model,
            precision,
            graph,
            weights: Weights::default(),
        }
    }

    /// Adds a tensor of the model as a constant of floats, in its own shape.
    pub(super) fn floats(&mut self, name: &str) -> Result<String, ModelError> {
        let view = self.model.view(name)?;
        let dims: Vec<i64> = view.dims.iter().map(|&dim| dim as i64).collect();
        Ok(self.graph.floats(name, &dims, &view.floats()?))
    }

    /// Adds `input · weightᵀ (+ bias)`, the weight stored (out, in).
    pub(super) fn linear(
        &mut self,
        input: &str,
        weight: &str,
        bias: Option<&str>,
    ) -> Result<String, ModelError> {
        let bias = bias.map(|bias| self.floats(bias)).transpose()?;
        match self.precision {
            Precision::Int8 => self.linear_int8(input, weight, bias.as_deref()),
            Precision::F32 => self.linear_f32(input, weight, bias.as_deref()),
        }
    }

    fn linear_int8(
        &mut self,
        input: &str,
        weight: &str,
        bias: Option<&str>,
    ) -> Result<String, ModelError> {
        let view = self.model.view(weight)?;
        let (rows, columns) = view.matrix()?;
        let (values, scales) = quantize(&view.floats()?, rows, columns);
        let dims = [columns as i64, rows as i64];
        let values = if values.len() < INLINE {
            let raw = values.iter().map(|value| value.cast_unsigned()).collect();
            self.graph.constant(weight, DataType::I8, &dims, raw)
        } else {
            self.weights
                .insert(weight, Tensor::from_array((dims, values))?.into_dyn());
            self.graph.shared(weight, DataType::I8, &dims)
        };
        let scale = self
            .graph
            .floats(&format!("{weight}/scale"), &[rows as i64], &scales);
        let inputs = [input, &values, &scale, "", bias.unwrap_or_default()];
        let used = if bias.is_some() { 5 } else { 3 };
        let inputs = inputs.get(..used).unwrap_or(&inputs);
        Ok(self.graph.contrib("DynamicQuantizeMatMul", inputs, &[]))
    }

    fn linear_f32(
        &mut self,
        input: &str,
        weight: &str,
        bias: Option<&str>,
    ) -> Result<String, ModelError> {
        let view = self.model.view(weight)?;
        let (rows, columns) = view.matrix()?;
        let values = transpose(&view.floats()?, rows, columns);
        let dims = [columns as i64, rows as i64];
        self.weights
            .insert(weight, Tensor::from_array((dims, values))?.into_dyn());
        let values = self.graph.shared(weight, DataType::F32, &dims);
        let product = self.graph.node("MatMul", &[input, &values], &[]);
        Ok(match bias {
            Some(bias) => self.graph.node("Add", &[&product, bias], &[]),
            None => product,
        })
    }
}

/// Quantises a (rows, columns) matrix to int8 with a scale per row; the result is transposed.
fn quantize(matrix: &[f32], rows: usize, columns: usize) -> (Vec<i8>, Vec<f32>) {
    let loudest = |row: &[f32]| row.iter().fold(0.0_f32, |loudest, v| loudest.max(v.abs()));
    let scales: Vec<f32> = matrix
        .chunks_exact(columns)
        .map(|row| loudest(row).max(1e-12) / 127.0)
        .collect();
    let mut quantized = Vec::with_capacity(matrix.len());
    for (row, scale) in matrix.chunks_exact(columns).zip(&scales) {
        let inverse = 1.0 / scale;
        quantized.extend(
            row.iter()
                .map(|value| (value * inverse).round_ties_even() as i8),
        );
    }
    (transpose(&quantized, rows, columns), scales)
}

/// Transposes a (rows, columns) matrix, block by block to stay within the cache.
fn transpose<T: Copy + Default>(matrix: &[T], rows: usize, columns: usize) -> Vec<T> {
    const BLOCK: usize = 64;
    let mut transposed = vec![T::default(); matrix.len()];
    for (block, rows_of_block) in matrix.chunks(BLOCK * columns).enumerate() {
        for (column, out) in transposed.chunks_exact_mut(rows).enumerate() {
            let out = out.iter_mut().skip(block * BLOCK);
            let column = rows_of_block.iter().skip(column).step_by(columns);
            out.zip(column).for_each(|(out, value)| *out = *value);
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_swaps_rows_and_columns() {
        let matrix: Vec<i32> = (0..130 * 3).collect();
        let transposed = transpose(&matrix, 130, 3);
        for row in 0..130 {
            for column in 0..3 {
                assert_eq!(transposed[column * 130 + row], matrix[row * 3 + column]);
            }
        }
    }

    #[test]
    fn quantised_rows_keep_their_own_scale() {
        let (values, scales) = quantize(&[1.0, -0.5, 0.01, 0.02], 2, 2);
        assert_eq!(values, [127, 64, -64, 127]);
        assert!((scales[0] * 127.0 - 1.0).abs() < 1e-6);
        assert!((scales[1] * 127.0 - 0.02).abs() < 1e-6);
    }
}
