//! Whisper's graphs, written at load for the sizes that the weights have.
//!
//! The encoder is a chain of small graphs (convolutions, one per layer, the last norm with every
//! decoder layer's cross-attention keys and values), so that no single run is long. Positions
//! are sliced to the frames that are there instead of Whisper's fixed 30 s. The decoder is one
//! graph: embedded tokens and past keys and values in, logits and present ones out.

use super::model_bin::ModelBin;
use super::weights::{Layers, Precision};
use crate::onnx::Attribute::{Float, Int, Ints};
use crate::onnx::DataType::{F32, I64};
use crate::runtime::{ModelError, Weights};

/// A graph's bytes with the constants it shares.
pub(super) type Written = (Vec<u8>, Weights);

/// Sizes of a model, read from its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Width of a position.
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) encoder_layers: usize,
    pub(super) decoder_layers: usize,
    pub(super) vocabulary: usize,
    /// Longest sequence of tokens.
    pub(super) context: usize,
    /// Most positions of the encoder, 50 per second.
    pub(super) positions: usize,
}

impl Shape {
    pub(super) fn of(model: &ModelBin) -> Result<Self, ModelError> {
        let (vocabulary, width) = model.view("decoder/embeddings/weight")?.matrix()?;
        let (context, _) = model
            .view("decoder/position_encodings/encodings")?
            .matrix()?;
        let (positions, _) = model
            .view("encoder/position_encodings/encodings")?
            .matrix()?;
        let heads = model.view("encoder/num_heads")?.integer()?;
        let heads = usize::try_from(heads).unwrap_or(0);
        if heads == 0 || !width.is_multiple_of(heads) {
            let reason = format!("{heads} heads for a width of {width}");
            return Err(ModelError::malformed("model.bin", reason));
        }
        let (encoder_layers, decoder_layers) = (model.layers("encoder"), model.layers("decoder"));
        Ok(Self {
            width,
            heads,
            encoder_layers,
            decoder_layers,
            vocabulary,
            context,
            positions,
        })
    }

    /// Width of a head.
    pub(super) fn head(&self) -> usize {
        self.width / self.heads
    }
}

/// Writes the convolutions: mel (1, 80, frames) to positions (1, frames / 2, width).
pub(super) fn convolutions(model: &ModelBin, shape: Shape) -> Result<Written, ModelError> {
    let mut layers = Layers::new(model, Precision::F32, "whisper-convolutions");
    let mel = layers.graph.input("mel", F32, &["1", "80", "frames"]);
    let mut sound = mel;
    for (conv, stride) in [("encoder/conv1", 1), ("encoder/conv2", 2)] {
        let weight = layers.floats(&format!("{conv}/weight"))?;
        let bias = layers.floats(&format!("{conv}/bias"))?;
        let attributes = [("pads", Ints(vec![1, 1])), ("strides", Ints(vec![stride]))];
        sound = layers
            .graph
            .node("Conv", &[&sound, &weight, &bias], &attributes);
        sound = layers.graph.node("Gelu", &[&sound], &[]);
    }
    let graph = &mut layers.graph;
    let sound = graph.node("Transpose", &[&sound], &[("perm", Ints(vec![0, 2, 1]))]);
    let dims = graph.node("Shape", &[&sound], &[("start", Int(1)), ("end", Int(2))]);
    let (zero, axis) = (graph.ints(&[0]), graph.ints(&[0]));
    let encodings = layers.floats("encoder/position_encodings/encodings")?;
    let graph = &mut layers.graph;
    let encodings = graph.node("Slice", &[&encodings, &zero, &dims, &axis], &[]);
    let sum = graph.node("Add", &[&sound, &encodings], &[]);
    graph.output(
        "hidden",
        &sum,
        F32,
        &["1", "positions", &shape.width.to_string()],
    );
    Ok((layers.graph.finish().to_bytes(), layers.weights))
}

/// Writes one encoder layer: positions in, positions out.
pub(super) fn encoder_layer(
    model: &ModelBin,
    shape: Shape,
    precision: Precision,
    layer: usize,
) -> Result<Written, ModelError> {
    let mut layers = Layers::new(model, precision, "whisper-encoder-layer");
    let width = shape.width.to_string();
    let hidden = layers
        .graph
        .input("hidden_in", F32, &["1", "positions", &width]);
    let name = |part: &str| format!("encoder/layer_{layer}/{part}");
    let normed = layers.norm(&hidden, &name("self_attention/layer_norm"))?;
    let [query, key, value] = layers.query_key_value(&normed, &name("self_attention/linear_0"))?;
    let heads = [("num_heads", Int(shape.heads as i64))];
    let attended = layers
        .graph
        .contrib("MultiHeadAttention", &[&query, &key, &value], &heads);
    let attended = layers.linear(&attended, &name("self_attention/linear_1/weight"), None)?;
    let bias = name("self_attention/linear_1/bias");
    let (normed, hidden) =
        layers.add_and_norm(&attended, &hidden, &bias, &name("ffn/layer_norm"))?;
    let fed = layers.feed_forward(&normed, &name("ffn"))?;
    let bias = layers.floats(&name("ffn/linear_1/bias"))?;
    let fed = layers.graph.node("Add", &[&fed, &bias], &[]);
    let hidden = layers.graph.node("Add", &[&hidden, &fed], &[]);
    layers
        .graph
        .output("hidden", &hidden, F32, &["1", "positions", &width]);
    Ok((layers.graph.finish().to_bytes(), layers.weights))
}

/// Writes the encoder's last norm and each decoder layer's cross-attention keys and values,
/// (1, heads, positions, head) each.
pub(super) fn cross(
    model: &ModelBin,
    shape: Shape,
    precision: Precision,
) -> Result<Written, ModelError> {
    let mut layers = Layers::new(model, precision, "whisper-cross");
    let hidden = layers.graph.input(
        "hidden_in",
        F32,
        &["1", "positions", &shape.width.to_string()],
    );
    let normed = layers.norm(&hidden, "encoder/layer_norm")?;
    let heads = layers
        .graph
        .ints(&[0, 0, 2 * shape.heads as i64, shape.head() as i64]);
    let halves = [("axis", Int(1)), ("num_outputs", Int(2))];
    let (count, head) = (shape.heads.to_string(), shape.head().to_string());
    for layer in 0..shape.decoder_layers {
        let name = |part: &str| format!("decoder/layer_{layer}/attention/linear_1/{part}");
        let both = layers.linear(&normed, &name("weight"), Some(&name("bias")))?;
        let graph = &mut layers.graph;
        let both = graph.node("Reshape", &[&both, &heads], &[]);
        let both = graph.node("Transpose", &[&both], &[("perm", Ints(vec![0, 2, 1, 3]))]);
        let halves = graph.node_n("Split", &[&both], &halves, 2);
        for (half, which) in halves.iter().zip(["key", "value"]) {
            let dims = ["1", &count, "positions", &head];
            graph.output(&format!("cross_{which}_{layer}"), half, F32, &dims);
        }
    }
    Ok((layers.graph.finish().to_bytes(), layers.weights))
}

/// Writes the decoder: `embedded` (1, tokens, width), `rows` (which of the tokens need logits)
/// and the keys and values in; `logits` (1, rows, vocabulary), `log_sum` (the logarithm of the
/// sum of their exponentials) and the present keys and values out.
pub(super) fn decoder(
    model: &ModelBin,
    shape: Shape,
    precision: Precision,
) -> Result<Written, ModelError> {
    let mut layers = Layers::new(model, precision, "whisper-decoder");
    let embedded = layers
        .graph
        .input("embedded", F32, &["1", "tokens", &shape.width.to_string()]);
    let rows = layers.graph.input("rows", I64, &["rows"]);
    let mut hidden = embedded;
    let mut normed = layers.norm(&hidden, "decoder/layer_0/self_attention/layer_norm")?;
    for layer in 0..shape.decoder_layers {
        let next = match layer + 1 {
            last if last == shape.decoder_layers => "decoder/layer_norm".to_owned(),
            next => format!("decoder/layer_{next}/self_attention/layer_norm"),
        };
        (normed, hidden) = layers.decoder_layer(shape, layer, &normed, &hidden, &next)?;
    }
    let normed = layers
        .graph
        .node("Gather", &[&normed, &rows], &[("axis", Int(1))]);
    let logits = layers.linear(&normed, "decoder/projection/weight", None)?;
    let graph = &mut layers.graph;
    let axis = graph.ints(&[2]);
    let log_sum = graph.node(
        "ReduceLogSumExp",
        &[&logits, &axis],
        &[("keepdims", Int(0))],
    );
    graph.output(
        "logits",
        &logits,
        F32,
        &["1", "rows", &shape.vocabulary.to_string()],
    );
    graph.output("log_sum", &log_sum, F32, &["1", "rows"]);
    Ok((layers.graph.finish().to_bytes(), layers.weights))
}

impl Layers<'_> {
    fn norm(&mut self, input: &str, name: &str) -> Result<String, ModelError> {
        let gamma = self.floats(&format!("{name}/gamma"))?;
        let beta = self.floats(&format!("{name}/beta"))?;
        let attributes = [("epsilon", Float(1e-5)), ("axis", Int(-1))];
        Ok(self
            .graph
            .node("LayerNormalization", &[input, &gamma, &beta], &attributes))
    }

    /// Adds a layer's output and bias to the residual stream; returns its norm and itself.
    fn add_and_norm(
        &mut self,
        output: &str,
        residual: &str,
        bias: &str,
        norm: &str,
    ) -> Result<(String, String), ModelError> {
        let gamma = self.floats(&format!("{norm}/gamma"))?;
        let beta = self.floats(&format!("{norm}/beta"))?;
        let bias = self.floats(bias)?;
        let inputs = [output, residual, &gamma, &beta, &bias];
        let attributes = [("epsilon", Float(1e-5))];
        let sum = self.graph.name("residual");
        let outputs = ["".to_owned(), "".to_owned(), sum.clone()];
        let normed = self
            .graph
            .contrib_n("SkipLayerNormalization", &inputs, &attributes, &outputs);
        Ok((normed, sum))
    }

    fn query_key_value(&mut self, input: &str, name: &str) -> Result<[String; 3], ModelError> {
        let (weight, bias) = (format!("{name}/weight"), format!("{name}/bias"));
        let all = self.linear(input, &weight, Some(&bias))?;
        let thirds = [("axis", Int(-1)), ("num_outputs", Int(3))];
        let thirds = self.graph.node_n("Split", &[&all], &thirds, 3);
        thirds
            .try_into()
            .map_err(|_| ModelError::malformed(name, "not three outputs"))
    }

    /// Adds both linear layers of a feed-forward block, without the second's bias.
    fn feed_forward(&mut self, input: &str, name: &str) -> Result<String, ModelError> {
        let wide = self.linear(input, &format!("{name}/linear_0/weight"), None)?;
        let bias = self.floats(&format!("{name}/linear_0/bias"))?;
        let wide = self.graph.contrib("BiasGelu", &[&wide, &bias], &[]);
        self.linear(&wide, &format!("{name}/linear_1/weight"), None)
    }

    /// Adds a decoder layer; returns the next norm's output and the residual stream.
    fn decoder_layer(
        &mut self,
        shape: Shape,
        layer: usize,
        normed: &str,
        hidden: &str,
        next_norm: &str,
    ) -> Result<(String, String), ModelError> {
        let name = |part: &str| format!("decoder/layer_{layer}/{part}");
        let attended = self.self_attention(shape, layer, normed)?;
        let attended = self.linear(&attended, &name("self_attention/linear_1/weight"), None)?;
        let bias = name("self_attention/linear_1/bias");
        let (normed, hidden) =
            self.add_and_norm(&attended, hidden, &bias, &name("attention/layer_norm"))?;
        let attended = self.cross_attention(shape, layer, &normed)?;
        let attended = self.linear(&attended, &name("attention/linear_2/weight"), None)?;
        let bias = name("attention/linear_2/bias");
        let (normed, hidden) =
            self.add_and_norm(&attended, &hidden, &bias, &name("ffn/layer_norm"))?;
        let fed = self.feed_forward(&normed, &name("ffn"))?;
        self.add_and_norm(&fed, &hidden, &name("ffn/linear_1/bias"), next_norm)
    }

    fn self_attention(
        &mut self,
        shape: Shape,
        layer: usize,
        normed: &str,
    ) -> Result<String, ModelError> {
        let (heads, head) = (shape.heads.to_string(), shape.head().to_string());
        let past = ["1", &heads, "past", &head];
        let past_key = self.graph.input(&format!("past_key_{layer}"), F32, &past);
        let past_value = self.graph.input(&format!("past_value_{layer}"), F32, &past);
        let name = format!("decoder/layer_{layer}/self_attention/linear_0");
        let [query, key, value] = self.query_key_value(normed, &name)?;
        let inputs = [&query, &key, &value, "", "", "", &past_key, &past_value];
        let attributes = [
            ("num_heads", Int(shape.heads as i64)),
            ("unidirectional", Int(1)),
        ];
        let present = ["1", &heads, "present", &head];
        let outputs = [
            format!("present_key_{layer}"),
            format!("present_value_{layer}"),
        ];
        for output in &outputs {
            self.graph.declare_output(output, F32, &present);
        }
        Ok(self
            .graph
            .contrib_n("MultiHeadAttention", &inputs, &attributes, &outputs))
    }

    fn cross_attention(
        &mut self,
        shape: Shape,
        layer: usize,
        normed: &str,
    ) -> Result<String, ModelError> {
        let (heads, head) = (shape.heads.to_string(), shape.head().to_string());
        let dims = ["1", &heads, "positions", &head];
        let key = self.graph.input(&format!("cross_key_{layer}"), F32, &dims);
        let value = self
            .graph
            .input(&format!("cross_value_{layer}"), F32, &dims);
        let name = |part: &str| format!("decoder/layer_{layer}/attention/linear_0/{part}");
        let query = self.linear(normed, &name("weight"), Some(&name("bias")))?;
        let attributes = [("num_heads", Int(shape.heads as i64))];
        Ok(self
            .graph
            .contrib("MultiHeadAttention", &[&query, &key, &value], &attributes))
    }
}
