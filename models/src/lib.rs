//! On-box models for Offhook.

pub mod denoise;
pub mod manifest;
pub mod mel;
pub mod onnx;
pub mod pull;
pub mod resample;
pub mod runtime;
pub mod turn;
pub mod vad;
pub mod voice;
pub mod whisper;
pub mod workers;

pub use runtime::{Graph, ModelError, Runtime, Weights};
pub use workers::{Cancel, Job, JobState, Priority, WorkerOptions, Workers};
