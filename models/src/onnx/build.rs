//! Writes a graph node by node.

use super::proto::{
    AttributeProto, DataType, Dimension, DimensionValue, Graph, Model, Node, OperatorSet, Shape,
    Tensor, TensorType, Type, ValueInfo,
};

/// Version of ONNX's operator set that written graphs ask for (`LayerNormalization`: 17,
/// axes of `ReduceMean` as input: 18, `Gelu`: 20).
const OPSET: i64 = 20;
/// Version of the ONNX format that goes with [`OPSET`].
const IR_VERSION: i64 = 9;

/// An attribute's value.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// Integer.
    Int(i64),
    /// Float.
    Float(f32),
    /// Integers.
    Ints(Vec<i64>),
    /// String.
    Text(&'static str),
}

/// Builds a graph; every method that adds a node returns the name of its output.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: Graph,
    next: usize,
    contrib: bool,
}

impl GraphBuilder {
    /// Starts a graph of the given name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            graph: Graph {
                name: name.to_owned(),
                ..Graph::default()
            },
            ..Self::default()
        }
    }

    /// Declares an input; a dimension given as text is open until the graph runs.
    pub fn input(&mut self, name: &str, data_type: DataType, dims: &[&str]) -> String {
        self.graph.input.push(value_info(name, data_type, dims));
        name.to_owned()
    }

    /// Declares `value` an output under `name`.
    pub fn output(&mut self, name: &str, value: &str, data_type: DataType, dims: &[&str]) {
        self.push("Identity", "", &[value], vec![name.to_owned()], &[]);
        self.graph.output.push(value_info(name, data_type, dims));
    }

    /// Adds a constant of 32-bit floats.
    pub fn floats(&mut self, name: &str, dims: &[i64], data: &[f32]) -> String {
        let raw = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DataType::F32, dims, raw)
    }

    /// Adds a constant of 64-bit integers in one dimension.
    pub fn ints(&mut self, data: &[i64]) -> String {
        let name = self.fresh("ints");
        let raw = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(&name, DataType::I64, &[data.len() as i64], raw)
    }

    /// Adds a constant scalar.
    pub fn scalar(&mut self, value: f32) -> String {
        let name = self.fresh("scalar");
        self.constant(&name, DataType::F32, &[], value.to_le_bytes().to_vec())
    }

    /// Adds a constant from little-endian bytes.
    pub fn constant(
        &mut self,
        name: &str,
        data_type: DataType,
        dims: &[i64],
        raw: Vec<u8>,
    ) -> String {
        self.graph.initializer.push(Tensor {
            name: name.to_owned(),
            data_type: data_type as i32,
            dims: dims.to_vec(),
            raw_data: raw,
            ..Tensor::default()
        });
        name.to_owned()
    }

    /// Declares a constant whose data the session is given when it is made.
    pub fn shared(&mut self, name: &str, data_type: DataType, dims: &[i64]) -> String {
        self.graph.initializer.push(Tensor {
            name: name.to_owned(),
            data_type: data_type as i32,
            dims: dims.to_vec(),
            data_location: 1,
            external_data: vec![super::proto::StringEntry {
                key: "location".to_owned(),
                value: "given-by-the-session".to_owned(),
            }],
            ..Tensor::default()
        });
        name.to_owned()
    }

    /// Adds an operator of ONNX's own set with one output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Attribute)]) -> String {
        let output = self.fresh(op);
        self.push(op, "", inputs, vec![output.clone()], attributes);
        output
    }

    /// Adds an operator of ONNX's own set with several outputs.
    pub fn node_n(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
        outputs: usize,
    ) -> Vec<String> {
        let names: Vec<_> = (0..outputs).map(|_| self.fresh(op)).collect();
        self.push(op, "", inputs, names.clone(), attributes);
        names
    }

    /// Adds an operator of ONNX Runtime's own set (`com.microsoft`) with one output.
    pub fn contrib(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        self.contrib_n(op, inputs, attributes, &[])
    }

    /// Adds an operator of ONNX Runtime's own set whose outputs after the first are named by
    /// the caller, empty for one that is left out; returns the first.
    pub fn contrib_n(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
        further: &[String],
    ) -> String {
        let first = self.fresh(op);
        let outputs = std::iter::once(first.clone())
            .chain(further.iter().cloned())
            .collect();
        self.contrib = true;
        self.push(op, "com.microsoft", inputs, outputs, attributes);
        first
    }

    /// Returns a name that no other value of the graph has.
    pub fn name(&mut self, stem: &str) -> String {
        self.fresh(stem)
    }

    /// Declares an output that a node already writes under its name.
    pub fn declare_output(&mut self, name: &str, data_type: DataType, dims: &[&str]) {
        self.graph.output.push(value_info(name, data_type, dims));
    }

    /// Ends the graph.
    #[must_use]
    pub fn finish(self) -> Model {
        let mut opset_import = vec![OperatorSet {
            domain: String::new(),
            version: OPSET,
        }];
        if self.contrib {
            opset_import.push(OperatorSet {
                domain: "com.microsoft".to_owned(),
                version: 1,
            });
        }
        Model {
            ir_version: IR_VERSION,
            producer_name: "offhook".to_owned(),
            graph: Some(self.graph),
            opset_import,
            ..Model::default()
        }
    }

    fn fresh(&mut self, stem: &str) -> String {
        self.next += 1;
        format!("{stem}_{}", self.next)
    }

    fn push(
        &mut self,
        op: &str,
        domain: &str,
        inputs: &[&str],
        output: Vec<String>,
        attributes: &[(&str, Attribute)],
    ) {
        let name = self.fresh("node");
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output,
            name,
            op_type: op.to_owned(),
            attribute: attributes
                .iter()
                .map(|(name, value)| attribute(name, value))
                .collect(),
            domain: domain.to_owned(),
        });
    }
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let mut proto = AttributeProto {
        name: name.to_owned(),
        ..AttributeProto::default()
    };
    match value {
        Attribute::Float(value) => (proto.f, proto.r#type) = (*value, 1),
        Attribute::Int(value) => (proto.i, proto.r#type) = (*value, 2),
        Attribute::Text(value) => (proto.s, proto.r#type) = (value.as_bytes().to_vec(), 3),
        Attribute::Ints(value) => (proto.ints, proto.r#type) = (value.clone(), 7),
    }
    proto
}

pub(super) fn value_info(name: &str, data_type: DataType, dims: &[&str]) -> ValueInfo {
    let dim = dims
        .iter()
        .map(|dim| Dimension {
            value: Some(match dim.parse() {
                Ok(size) => DimensionValue::Size(size),
                Err(_) => DimensionValue::Name((*dim).to_owned()),
            }),
        })
        .collect();
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(Type {
            tensor_type: Some(TensorType {
                elem_type: data_type as i32,
                shape: Some(Shape { dim }),
            }),
        }),
    }
}
