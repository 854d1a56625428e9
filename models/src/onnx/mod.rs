//! ONNX models as data: read, written and cut from Rust, without a protobuf compiler.
//!
//! [`proto`] holds the message types, [`GraphBuilder`] writes a graph node by node,
//! [`extract`] takes the part of a graph that lies between given inputs and outputs.

mod build;
mod cut;
pub mod proto;

pub use build::{Attribute, GraphBuilder};
pub use cut::{CutError, extract};
pub use proto::{DataType, Model};
