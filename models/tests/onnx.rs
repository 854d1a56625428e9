//! Graphs that are cut in two give what the whole gives: needs the model folder.

// What a test needs and does not get ends the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use offhook_models::manifest::{Manifest, default_dir};
use offhook_models::onnx::proto::{Dimension, DimensionValue};
use offhook_models::onnx::{Attribute, CutError, DataType, GraphBuilder, Model, extract};
use offhook_models::{Graph, ModelError, Weights};
use ort::value::{DynValue, Tensor};

fn load(model: &Model) -> Graph {
    try_load(model).unwrap()
}

fn try_load(model: &Model) -> Result<Graph, ModelError> {
    common::runtime().graph(&model.to_bytes(), &Weights::default())
}

fn run(graph: &Graph, input: &str, value: &DynValue, output: &str) -> DynValue {
    let mut session = graph.session();
    let mut outputs = session.run(ort::inputs![input => value]).unwrap();
    outputs.remove(output).unwrap()
}

fn floats(value: &DynValue) -> Vec<f32> {
    value.try_extract_tensor::<f32>().unwrap().1.to_vec()
}

#[test]
fn the_parts_of_smart_turn_give_its_answer() {
    let path = Manifest::embedded().file(&default_dir(), "smart-turn", ".onnx");
    let model = Model::parse(&std::fs::read(path).unwrap()).unwrap();
    let graph = model.graph.as_ref().unwrap();
    let open: &[&str] = &["a", "b", "c", "d"];
    let input = [("input_features", DataType::F32, &open[..3])];
    let output = [("logits", DataType::F32, &open[..2])];
    // Values through which everything flows: with one of them given, nothing else is missing.
    let whole_way = |name: &&String| {
        let value = [(name.as_str(), DataType::F32, open)];
        extract(&model, &value, &output).is_ok()
    };
    let values = graph.node.iter().flat_map(|node| &node.output);
    let waists: Vec<&String> = values.filter(whole_way).collect();
    assert!(waists.len() > 4, "{waists:?}");
    let waist = waists[waists.len() / 2].as_str();

    let mel: Vec<f32> = (0..80 * 800)
        .map(|n| (n % 97) as f32 / 97.0 - 0.5)
        .collect();
    let mel = Tensor::from_array(([1, 80, 800], mel)).unwrap().into_dyn();
    let whole = run(&load(&model), "input_features", &mel, "logits");
    // A part declares the rank of what it takes; ONNX Runtime refuses a wrong one.
    let parts = (1..=open.len()).find_map(|rank| {
        let value = [(waist, DataType::F32, &open[..rank])];
        let head = extract(&model, &input, &value).unwrap();
        let tail = extract(&model, &value, &output).unwrap();
        let loaded = (try_load(&head).ok()?, try_load(&tail).ok()?);
        Some((head, tail, loaded))
    });
    let (head, tail, (first, second)) = parts.unwrap();
    let count = |part: &Model| part.graph.as_ref().unwrap().node.len();
    assert!(count(&head) + count(&tail) <= graph.node.len(), "{waist}");
    assert!(count(&head) > 0 && count(&tail) > 0, "{waist}");
    let middle = run(&first, "input_features", &mel, waist);
    let joined = run(&second, waist, &middle, "logits");
    let (whole, joined) = (floats(&whole), floats(&joined));
    assert!(
        (whole[0] - joined[0]).abs() < 1e-5,
        "{whole:?}, {joined:?}, {waist}"
    );
}

/// (x + 1) × 2, and the square of x, which nothing else hangs on.
fn small() -> Model {
    let mut graph = GraphBuilder::new("small");
    let x = graph.input("x", DataType::F32, &["n"]);
    let (one, two) = (graph.scalar(1.0), graph.scalar(2.0));
    let sum = graph.node("Add", &[&x, &one], &[]);
    graph.output("sum", &sum, DataType::F32, &["n"]);
    let double = graph.node("Mul", &["sum", &two], &[]);
    graph.output("double", &double, DataType::F32, &["n"]);
    let square = graph.node("Mul", &[&x, &x], &[("unused", Attribute::Int(1))][..0]);
    graph.output("square", &square, DataType::F32, &["n"]);
    graph.finish()
}

#[test]
fn a_part_holds_what_its_outputs_hang_on_and_nothing_else() {
    let model = small();
    let double = [("double", DataType::F32, &["n"][..])];
    let x = [("x", DataType::F32, &["n"][..])];
    let sum = [("sum", DataType::F32, &["n"][..])];
    let part = |inputs: &[(&str, DataType, &[&str])]| {
        let part = extract(&model, inputs, &double).unwrap();
        let graph = part.graph.as_ref().unwrap();
        let sizes = (graph.node.len(), graph.initializer.len());
        (part, sizes)
    };
    let (whole, sizes) = part(&x);
    assert_eq!(sizes, (4, 2));
    let (tail, sizes) = part(&sum);
    assert_eq!(sizes, (2, 1));
    let value = |data: &[f32]| Tensor::from_array(([data.len()], data.to_vec())).unwrap();
    let from_x = run(
        &load(&whole),
        "x",
        &value(&[1.0, -4.0]).into_dyn(),
        "double",
    );
    assert_eq!(floats(&from_x), [4.0, -6.0]);
    let from_sum = run(&load(&tail), "sum", &value(&[5.0]).into_dyn(), "double");
    assert_eq!(floats(&from_sum), [10.0]);
}

#[test]
fn a_part_declares_the_inputs_that_it_was_given() {
    let part = extract(
        &small(),
        &[("sum", DataType::F32, &["7"])],
        &[("double", DataType::F32, &["n"])],
    )
    .unwrap();
    let graph = part.graph.unwrap();
    let names: Vec<_> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    assert_eq!(names, ["sum"]);
    assert_eq!(graph.output[0].name, "double");
}

#[test]
fn what_cannot_be_cut_says_what_is_missing() {
    let n: &[&str] = &["n"];
    let cut = |input: &str, output: &str| {
        let inputs = [(input, DataType::F32, n)];
        extract(&small(), &inputs, &[(output, DataType::F32, n)]).unwrap_err()
    };
    assert_eq!(cut("x", "nowhere"), CutError::Missing("nowhere".to_owned()));
    assert_eq!(cut("sum", "square"), CutError::Missing("x".to_owned()));
    let empty = Model {
        graph: None,
        ..small()
    };
    let none = extract(&empty, &[], &[]).unwrap_err();
    assert_eq!(none, CutError::NoGraph);
}

#[test]
fn a_model_that_is_written_and_read_is_the_same() {
    let model = small();
    let again = Model::parse(&model.to_bytes()).unwrap();
    assert_eq!(again, model);
    let dims = again.graph.unwrap().input[0].r#type.clone().unwrap();
    let dims = dims.tensor_type.unwrap().shape.unwrap().dim;
    let open = Dimension {
        value: Some(DimensionValue::Name("n".to_owned())),
    };
    assert_eq!(dims, [open]);
    assert!(Model::parse(&[0xff; 64]).is_err());
}
