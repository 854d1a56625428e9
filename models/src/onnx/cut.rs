//! Takes the part of a graph that lies between given inputs and outputs.

use std::collections::{HashMap, HashSet};

use thiserror::Error;

use super::build::value_info;
use super::proto::{DataType, Graph, Model, Node};

/// Why a graph cannot be cut.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CutError {
    /// The model holds no graph.
    #[error("the model holds no graph")]
    NoGraph,
    /// An output hangs on a value that is neither computed, given nor constant.
    #[error("value {0:?} is neither computed in the graph nor among the inputs")]
    Missing(String),
}

/// Extracts the sub-graph that computes `outputs` from `inputs`, each given by name, element
/// type and dimensions (text is an open dimension); constants travel along as needed.
///
/// # Errors
/// A needed value is neither computed by the graph nor given.
pub fn extract(
    model: &Model,
    inputs: &[(&str, DataType, &[&str])],
    outputs: &[(&str, DataType, &[&str])],
) -> Result<Model, CutError> {
    let graph = model.graph.as_ref().ok_or(CutError::NoGraph)?;
    let given: HashSet<&str> = inputs.iter().map(|(name, ..)| *name).collect();
    let needed = needed_nodes(graph, &given, outputs.iter().map(|(name, ..)| *name))?;
    let node: Vec<Node> = graph
        .node
        .iter()
        .enumerate()
        .filter(|(index, _)| needed.contains(index))
        .map(|(_, node)| node.clone())
        .collect();
    let mut read: HashSet<&str> = outputs.iter().map(|(name, ..)| *name).collect();
    node.iter().for_each(|node| names_read(node, &mut read));
    let initializer = graph
        .initializer
        .iter()
        .filter(|tensor| read.contains(tensor.name.as_str()))
        .cloned()
        .collect();
    let part = Graph {
        node: node.clone(),
        name: graph.name.clone(),
        initializer,
        input: inputs
            .iter()
            .map(|(name, kind, dims)| value_info(name, *kind, dims))
            .collect(),
        output: outputs
            .iter()
            .map(|(name, kind, dims)| value_info(name, *kind, dims))
            .collect(),
        value_info: Vec::new(),
    };
    Ok(Model {
        ir_version: model.ir_version,
        producer_name: model.producer_name.clone(),
        producer_version: model.producer_version.clone(),
        graph: Some(part),
        opset_import: model.opset_import.clone(),
        metadata_props: model.metadata_props.clone(),
        functions: model.functions.clone(),
    })
}

/// Finds the nodes on which `outputs` hang, walking back until a given value or a constant.
fn needed_nodes<'a>(
    graph: &'a Graph,
    given: &HashSet<&str>,
    outputs: impl Iterator<Item = &'a str>,
) -> Result<HashSet<usize>, CutError> {
    let mut producer = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for output in &node.output {
            producer.insert(output.as_str(), index);
        }
    }
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let mut needed = HashSet::new();
    let mut open: Vec<&str> = outputs.collect();
    while let Some(name) = open.pop() {
        if name.is_empty() || given.contains(name) || constants.contains(name) {
            continue;
        }
        let Some(&index) = producer.get(name) else {
            return Err(CutError::Missing(name.to_owned()));
        };
        if needed.insert(index)
            && let Some(node) = graph.node.get(index)
        {
            let mut read = HashSet::new();
            names_read(node, &mut read);
            open.extend(read);
        }
    }
    Ok(needed)
}

/// Collects every outer value that a node reads, those of its sub-graphs included.
fn names_read<'a>(node: &'a Node, names: &mut HashSet<&'a str>) {
    names.extend(node.input.iter().map(String::as_str));
    for attribute in &node.attribute {
        for body in attribute.g.iter().chain(&attribute.graphs) {
            let mut inner = HashSet::new();
            body.node
                .iter()
                .for_each(|node| names_read(node, &mut inner));
            inner.extend(body.output.iter().map(|value| value.name.as_str()));
            for local in body.node.iter().flat_map(|node| &node.output) {
                inner.remove(local.as_str());
            }
            let constants = body.initializer.iter().map(|tensor| &tensor.name);
            for local in constants.chain(body.input.iter().map(|value| &value.name)) {
                inner.remove(local.as_str());
            }
            names.extend(inner);
        }
    }
}
