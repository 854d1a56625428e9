//! What a written value can become.

use super::secret::Secret;
use super::tree::Value;

/// A type that a written value can become.
pub(super) trait FromValue: Sized {
    /// What the value has to be, in words.
    const EXPECTED: &'static str;
    /// Whether an error may quote the value.
    const SECRET: bool = false;
    /// Converts; `None` means a wrong type, `Some(Err)` a right type with a wrong content.
    fn from_value(value: &Value, loose: bool) -> Option<Result<Self, String>>;
}

/// Reads a number or flag that is written as text in the environment.
fn loose_text<T: std::str::FromStr>(value: &Value, loose: bool) -> Option<T> {
    match value {
        Value::Text(text) if loose => text.trim().parse().ok(),
        _ => None,
    }
}

impl FromValue for String {
    const EXPECTED: &'static str = "text";
    fn from_value(value: &Value, _loose: bool) -> Option<Result<Self, String>> {
        match value {
            Value::Text(text) => Some(Ok(text.clone())),
            _ => None,
        }
    }
}

impl FromValue for Secret {
    const EXPECTED: &'static str = "text (best as \"${VARIABLE}\")";
    const SECRET: bool = true;
    fn from_value(value: &Value, loose: bool) -> Option<Result<Self, String>> {
        Some(
            String::from_value(value, loose)?.and_then(|text| match text.as_str() {
                "" => Err("is empty".to_owned()),
                _ => Ok(Secret::new(text)),
            }),
        )
    }
}

impl FromValue for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_value(value: &Value, loose: bool) -> Option<Result<Self, String>> {
        match value {
            Value::Bool(flag) => Some(Ok(*flag)),
            other => loose_text(other, loose).map(Ok),
        }
    }
}

impl FromValue for u64 {
    const EXPECTED: &'static str = "a whole number";
    fn from_value(value: &Value, loose: bool) -> Option<Result<Self, String>> {
        match value {
            Value::Integer(number) => {
                Some(u64::try_from(*number).map_err(|_| "must not be negative".to_owned()))
            }
            other => loose_text(other, loose).map(Ok),
        }
    }
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "a number";
    fn from_value(value: &Value, loose: bool) -> Option<Result<Self, String>> {
        match value {
            Value::Float(number) if number.is_finite() => Some(Ok(*number)),
            #[allow(clippy::cast_precision_loss)]
            Value::Integer(number) => Some(Ok(*number as f64)),
            other => loose_text(other, loose).map(Ok),
        }
    }
}

/// Makes a type that is parsed from text readable as a value.
macro_rules! text_value {
    ($type:ty, $expected:literal) => {
        impl $crate::config::value::FromValue for $type {
            const EXPECTED: &'static str = $expected;
            fn from_value(
                value: &$crate::config::tree::Value,
                _loose: bool,
            ) -> Option<Result<Self, String>> {
                match value {
                    $crate::config::tree::Value::Text(text) => Some(text.trim().parse()),
                    _ => None,
                }
            }
        }
    };
}
pub(super) use text_value;

/// Describes a value in an error; long text is not quoted.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Text(text) if text.chars().count() <= 60 => format!("the text {text:?}"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) if number.is_finite() => format!("the number {number}"),
        Value::Float(_) => "a number that is out of range".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        other => other.kind().to_owned(),
    }
}
