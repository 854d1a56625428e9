//! A value that no log, error or dump may show.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// What is shown in a secret's place.
const REDACTED: &str = "***";

/// A password, key or token; everything but [`Secret::expose`] shows `***` in its place.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the secret itself, for the one place that has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Removes the secret from a text that came from outside; also the long words of one that has
    /// several, such as the key of a header "Bearer …".
    pub fn redact(&self, text: &str) -> String {
        // Shorter ones would redact half of any text.
        if self.0.len() < 4 {
            return text.to_owned();
        }
        let words = self.0.split_whitespace().filter(|word| word.len() >= 8);
        words.fold(text.replace(&self.0, REDACTED), |text, word| {
            text.replace(word, REDACTED)
        })
    }

    /// Reports whether the secret is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_in_no_output() {
        let secret = Secret::new("hunter2");
        let shown = format!(
            "{secret} {secret:?} {}",
            serde_json::to_string(&secret).unwrap()
        );
        assert_eq!(shown, "*** *** \"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_secret_is_taken_out_of_a_foreign_text() {
        assert_eq!(
            Secret::new("hunter2").redact("bad key hunter2!"),
            "bad key ***!"
        );
        assert_eq!(
            Secret::new("Bearer sk-123456").redact("the key sk-123456 is no Bearer"),
            "the key *** is no Bearer"
        );
        assert_eq!(Secret::new("").redact("untouched"), "untouched");
    }

    #[test]
    fn secrets_compare_by_value() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("ab"));
    }
}
