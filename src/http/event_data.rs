//! What is told of an event beside its kind and its time, as the text that is sent.

use serde::Serialize;
use serde_json::value::{RawValue, Value};

/// What else is told of an event: JSON, as it is sent. Thousands of events are remembered, and each
/// is written for every subscriber.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Data(Box<RawValue>);

impl Data {
    /// Writes it down.
    #[must_use]
    pub fn new(data: &Value) -> Self {
        Self(serde_json::value::to_raw_value(data).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// Reads it.
    #[must_use]
    pub fn read(&self) -> Value {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}
