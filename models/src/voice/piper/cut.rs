//! Cuts a Piper voice into parts that can be streamed.
//!
//! A voice is one VITS graph (Kim et al. 2021). Three parts are taken out of it: the *encoder*
//! makes the prior of all frames from the phonemes; the *flow* turns the prior into the latent, and the
//! *decoder* (HiFi-GAN) the latent into sound. Flow and decoder are made of convolutions only, so a
//! window with enough frames on both sides gives exactly what the whole would; they run chunk by
//! chunk, and the first sound needs the encoder and one small chunk.

use std::collections::HashSet;

use crate::onnx::proto::{DataType, Graph, Model, Node};
use crate::onnx::{CutError, extract};

/// The first node of the decoder.
const DECODER_START: &str = "/dec/conv_pre/Conv";
/// What the names of the flow's nodes begin with.
const FLOW_PREFIX: &str = "/flow/";
/// Dimensions of values with frames, all open.
const OPEN: &[&str] = &["a", "b", "frames"];

/// Where a voice's graph is cut: the names of the values that pass between the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The prior (1, channels, frames).
    pub(super) prior: String,
    /// The mask (1, 1, frames), all ones for a single utterance.
    pub(super) mask: String,
    /// The latent (1, channels, frames).
    pub(super) latent: String,
    /// The sound, 256 samples a frame in voices of medium quality.
    pub(super) sound: String,
    sound_rank: usize,
}

impl Cut {
    /// Finds where a graph is cut.
    pub(super) fn find(model: &Model) -> Result<Self, CutError> {
        let graph = model.graph.as_ref().ok_or(CutError::NoGraph)?;
        let missing = |what: &str| CutError::Missing(what.to_owned());
        let dynamic = downstream(graph, graph.input.iter().map(|input| input.name.as_str()));
        let latent = first_dynamic_input(graph, &dynamic, |node| node.name == DECODER_START)
            .ok_or_else(|| missing(DECODER_START))?;
        let prior = first_dynamic_input(graph, &dynamic, |node| node.name.starts_with(FLOW_PREFIX))
            .ok_or_else(|| missing(FLOW_PREFIX))?;
        let mut sides = side_inputs(graph, &dynamic, prior, latent);
        let (Some(mask), None) = (sides.pop(), sides.pop()) else {
            return Err(missing("one mask beside the prior"));
        };
        let sound = graph.output.first().ok_or_else(|| missing("an output"))?;
        let rank = sound
            .r#type
            .as_ref()
            .and_then(|kind| kind.tensor_type.as_ref());
        let rank = rank
            .and_then(|kind| kind.shape.as_ref())
            .map(|shape| shape.dim.len());
        Ok(Self {
            prior: prior.to_owned(),
            mask: mask.to_owned(),
            latent: latent.to_owned(),
            sound: sound.name.clone(),
            sound_rank: rank.unwrap_or(4),
        })
    }

    /// Takes out the part from phoneme ids to prior and mask.
    pub(super) fn encoder(&self, model: &Model) -> Result<Model, CutError> {
        let inputs: [(&str, DataType, &[&str]); 3] = [
            ("input", DataType::I64, &["batch", "phonemes"]),
            ("input_lengths", DataType::I64, &["batch"]),
            ("scales", DataType::F32, &["3"]),
        ];
        extract(model, &inputs, &self.frames())
    }

    /// Takes out the part from prior and mask to the latent, for any window of frames.
    pub(super) fn flow(&self, model: &Model) -> Result<Model, CutError> {
        extract(
            model,
            &self.frames(),
            &[(&self.latent, DataType::F32, OPEN)],
        )
    }

    /// Takes out the part from the latent to sound, for any window of frames.
    pub(super) fn decoder(&self, model: &Model) -> Result<Model, CutError> {
        let dims = ["a", "b", "c", "d"];
        let dims = dims.get(..self.sound_rank).unwrap_or(&dims);
        let latent = [(self.latent.as_str(), DataType::F32, OPEN)];
        extract(model, &latent, &[(&self.sound, DataType::F32, dims)])
    }

    fn frames(&self) -> [(&str, DataType, &[&str]); 2] {
        [
            (&self.prior, DataType::F32, OPEN),
            (&self.mask, DataType::F32, OPEN),
        ]
    }
}

/// Finds all values that hang on the given ones; the others are constants.
fn downstream<'a>(graph: &'a Graph, from: impl Iterator<Item = &'a str>) -> HashSet<&'a str> {
    let mut values: HashSet<&str> = from.collect();
    // Nodes are in topological order.
    for node in &graph.node {
        if node
            .input
            .iter()
            .any(|input| values.contains(input.as_str()))
        {
            values.extend(node.output.iter().map(String::as_str));
        }
    }
    values
}

fn first_dynamic_input<'a>(
    graph: &'a Graph,
    dynamic: &HashSet<&str>,
    wanted: impl Fn(&Node) -> bool,
) -> Option<&'a str> {
    let node = graph.node.iter().find(|node| {
        wanted(node)
            && node
                .input
                .iter()
                .any(|input| dynamic.contains(input.as_str()))
    })?;
    node.input
        .iter()
        .map(String::as_str)
        .find(|input| dynamic.contains(input))
}

/// Finds what the nodes between `prior` and `latent` read besides the prior and constants.
fn side_inputs<'a>(
    graph: &'a Graph,
    dynamic: &HashSet<&str>,
    prior: &'a str,
    latent: &'a str,
) -> Vec<&'a str> {
    let mut inside = downstream(graph, std::iter::once(prior));
    inside.remove(prior);
    let mut open = vec![latent];
    let mut seen: HashSet<&str> = HashSet::new();
    let mut sides = Vec::new();
    while let Some(value) = open.pop() {
        if value == prior || !dynamic.contains(value) || !seen.insert(value) {
            continue;
        }
        if !inside.contains(value) {
            sides.push(value);
            continue;
        }
        let maker = graph
            .node
            .iter()
            .find(|node| node.output.iter().any(|out| out == value));
        open.extend(
            maker
                .into_iter()
                .flat_map(|node| &node.input)
                .map(String::as_str),
        );
    }
    sides
}
