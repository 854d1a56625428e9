//! Text that must not be seen.

use std::fmt;

use serde::Deserialize;

/// A key or password; it shows itself to nobody but who asks for it by name.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself, for the wire only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Removes the secret from a text that came from outside.
    pub fn redact(&self, text: &str) -> String {
        // Shorter ones would redact half of any text.
        if self.0.len() < 4 {
            text.to_owned()
        } else {
            text.replace(&self.0, "[redacted]")
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_in_no_debug_output_and_no_foreign_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.redact("bad key hunter2!"), "bad key [redacted]!");
        assert_eq!(Secret::new("").redact("untouched"), "untouched");
    }
}
