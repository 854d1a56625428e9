//! The values a conversation collects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most variables one conversation may hold.
pub(crate) const MAX_VARIABLES: usize = 256;
/// The longest variable name, in bytes.
pub(crate) const MAX_NAME_LEN: usize = 128;
/// The largest value, in bytes of its JSON text.
pub(crate) const MAX_VALUE_LEN: usize = 32 * 1024;

/// Maps names to JSON values, bounded to 256 names of 128 bytes with 32 KiB each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variables(BTreeMap<String, Value>);

impl Variables {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable and says whether it was within the bounds; out of bounds nothing changes.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> bool {
        let (name, value) = (name.into(), value.into());
        let full = self.0.len() >= MAX_VARIABLES && !self.0.contains_key(&name);
        if full || name.is_empty() || name.len() > MAX_NAME_LEN || !small_enough(&value) {
            return false;
        }
        self.0.insert(name, value);
        true
    }

    /// Adds every variable of `other`, which wins where both have a name.
    pub fn extend(&mut self, other: &Variables) {
        for (name, value) in &other.0 {
            self.insert(name.clone(), value.clone());
        }
    }

    /// Removes a variable and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Looks a variable up by its plain name.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Looks a dotted path up (`contact.id`, `items.0.name`); a plain name with dots wins.
    pub fn path(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let (head, rest) = path.split_once('.')?;
        dotted(self.0.get(head)?, rest)
    }

    /// Returns a path's value as plain text: strings bare, other values as JSON, missing as "".
    pub fn text(&self, path: &str) -> String {
        self.path(path).map(plain_text).unwrap_or_default()
    }

    /// Says whether a path holds anything but null, "" and empty collections.
    pub fn is_set(&self, path: &str) -> bool {
        match self.path(path) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            Some(_) => true,
        }
    }

    /// Iterates over names and values in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Borrows the map itself.
    pub fn as_map(&self) -> &BTreeMap<String, Value> {
        &self.0
    }

    /// Says how many variables there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut variables = Self::new();
        for (name, value) in pairs {
            variables.insert(name, value);
        }
        variables
    }
}

/// Follows a dotted path (`a.b`, `items.0`) into a JSON value.
pub(crate) fn dotted<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |at, key| match at {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => at.get(key),
    })
}

/// Writes a JSON value as plain text: strings bare, null as "", the rest as JSON.
pub(crate) fn plain_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn small_enough(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= MAX_VALUE_LEN,
        Value::Array(_) | Value::Object(_) => value.to_string().len() <= MAX_VALUE_LEN,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_reach_into_objects_and_arrays() {
        let vars: Variables = [("contact", json!({"id": 7, "tags": ["a", "b"]}))]
            .into_iter()
            .collect();
        assert_eq!(vars.text("contact.id"), "7");
        assert_eq!(vars.text("contact.tags.1"), "b");
        assert_eq!(vars.text("contact.nothing"), "");
    }

    #[test]
    fn growth_is_bounded() {
        let mut vars = Variables::new();
        for n in 0..1000 {
            vars.insert(format!("v{n}"), n);
        }
        assert_eq!(vars.len(), MAX_VARIABLES);
        assert!(!vars.insert("v0", "x".repeat(MAX_VALUE_LEN + 1)));
        assert!(vars.insert("v0", "fits"));
    }
}
