//! On-box models for Offhook.

pub mod manifest;
pub mod onnx;
pub mod runtime;
pub mod voice;
pub mod workers;

pub use runtime::{Graph, ModelError, Runtime, Weights};
pub use workers::{Cancel, Job, JobState, Priority, WorkerOptions, Workers};
