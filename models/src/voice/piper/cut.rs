//! Cuts a Piper voice into parts that can be streamed.
//!
//! A voice is one VITS graph (Kim et al. 2021). Three parts are taken out of it: the *encoder* makes
//! the prior of all frames from the phonemes; the *flow* turns the prior into the latent, and the
//! *decoder* (HiFi-GAN) the latent into sound. Flow and decoder are made of convolutions only, so a
//! window with enough frames on both sides gives exactly what the whole would; they run chunk by
//! chunk, and the first sound needs the encoder and one small chunk.

use std::collections::HashSet;

use crate::onnx::proto::{DataType, Graph, Model, Node, StringEntry, Tensor};
use crate::onnx::{CutError, extract};

/// The first node of the decoder.
const DECODER_START: &str = "/dec/conv_pre/Conv";
/// What the names of the flow's nodes begin with.
const FLOW_PREFIX: &str = "/flow/";
/// Constants of at least this many bytes are held outside the graph.
const SHARED_BYTES: usize = 4096;

const OPEN: &[&str] = &["a", "b", "frames"];

/// The three parts of a voice and the values that pass between them.
#[derive(Debug)]
pub(super) struct Parts {
    /// Phoneme ids → prior and mask.
    pub(super) encoder: Model,
    /// Prior and mask → latent, for any window of frames.
    pub(super) flow: Model,
    /// Latent → sound, for any window of frames.
    pub(super) decoder: Model,
    /// Names of the values on the cuts.
    pub(super) names: Names,
}

/// Names of the values that pass between the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The prior (1, channels, frames).
    pub(super) prior: String,
    /// The mask (1, 1, frames), all ones for a single utterance.
    pub(super) mask: String,
    /// The latent (1, channels, frames).
    pub(super) latent: String,
    /// The sound, 256 samples a frame in voices of medium quality.
    pub(super) sound: String,
}

/// Cuts a voice's graph.
pub(super) fn cut(model: &Model) -> Result<Parts, CutError> {
    let graph = model.graph.as_ref().ok_or(CutError::NoGraph)?;
    let missing = |what: &str| CutError::Missing(what.to_owned());
    let dynamic = downstream(graph, graph.input.iter().map(|input| input.name.as_str()));
    let latent = first_dynamic_input(graph, &dynamic, |node| node.name == DECODER_START)
        .ok_or_else(|| missing(DECODER_START))?;
    let prior = first_dynamic_input(graph, &dynamic, |node| node.name.starts_with(FLOW_PREFIX))
        .ok_or_else(|| missing(FLOW_PREFIX))?;
    let mut sides = side_inputs(graph, &dynamic, prior, latent);
    let (Some(mask), None) = (sides.pop(), sides.pop()) else {
        return Err(missing("a mask beside the prior"));
    };
    let sound = graph.output.first().ok_or_else(|| missing("an output"))?;
    let names = Names {
        prior: prior.to_owned(),
        mask: mask.to_owned(),
        latent: latent.to_owned(),
        sound: sound.name.clone(),
    };
    let rank = sound
        .r#type
        .as_ref()
        .and_then(|kind| kind.tensor_type.as_ref());
    let rank = rank
        .and_then(|kind| kind.shape.as_ref())
        .map_or(4, |shape| shape.dim.len());
    let sound_dims: &[&str] = ["a", "b", "c", "d"]
        .get(..rank)
        .unwrap_or(&["a", "b", "c", "d"]);

    let frames = [(prior, DataType::F32, OPEN), (mask, DataType::F32, OPEN)];
    let inputs: [(&str, DataType, &[&str]); 3] = [
        ("input", DataType::I64, &["batch", "phonemes"]),
        ("input_lengths", DataType::I64, &["batch"]),
        ("scales", DataType::F32, &["3"]),
    ];
    Ok(Parts {
        encoder: extract(model, &inputs, &frames)?,
        flow: extract(model, &frames, &[(latent, DataType::F32, OPEN)])?,
        decoder: extract(
            model,
            &[(latent, DataType::F32, OPEN)],
            &[(&names.sound, DataType::F32, sound_dims)],
        )?,
        names,
    })
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

/// Moves a part's large constants out of it, so that all its sessions share one copy of them.
pub(super) fn take_weights(part: &mut Model) -> Vec<Tensor> {
    let Some(graph) = part.graph.as_mut() else {
        return Vec::new();
    };
    let mut weights = Vec::new();
    for tensor in &mut graph.initializer {
        if tensor.data_type != DataType::F32 as i32 || tensor.raw_data.len() < SHARED_BYTES {
            continue;
        }
        let stub = Tensor {
            name: tensor.name.clone(),
            dims: tensor.dims.clone(),
            data_type: tensor.data_type,
            data_location: 1,
            external_data: vec![StringEntry {
                key: "location".to_owned(),
                value: "given-by-the-session".to_owned(),
            }],
            ..Tensor::default()
        };
        weights.push(std::mem::replace(tensor, stub));
    }
    weights
}
