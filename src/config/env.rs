//! The environment as the configuration sees it, and `${NAME}` inside values.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The prefix of variables that set a key: `OFFHOOK__SIP__LISTEN` sets `sip.listen`.
pub const ENV_PREFIX: &str = "OFFHOOK__";

/// A snapshot of environment variables, so that loading a configuration depends on its arguments.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// Takes the process's environment; variables that are not UTF-8 are left out.
    pub fn process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Returns a variable's value; a variable that is set but empty counts as not set here.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Returns the variables that set a key, by name.
    pub(super) fn overrides(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the person's home folder.
    pub(super) fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from)
    }

    /// Returns where models are kept when nothing else is said (XDG base directory).
    pub(super) fn cache(&self) -> PathBuf {
        let xdg = self
            .var("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let cache = xdg.or_else(|| self.home().map(|home| home.join(".cache")));
        cache
            .unwrap_or_else(|| PathBuf::from(".cache"))
            .join("offhook")
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values are very likely secrets: only the names are shown.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Replaces `${NAME}` and `${NAME:-fallback}` in `text`; `$${` stands for a literal `${`.
///
/// # Errors
/// Says which variable is not set, or what is wrong with the notation.
pub(super) fn expand(text: &str, env: &Env) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = reference.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let inner = reference.get(2..).unwrap_or_default();
        let Some(end) = inner.find('}') else {
            return Err("\"${\" is never closed with \"}\"; write $${ for a literal ${".to_owned());
        };
        let (name, after) = inner.split_at(end);
        out.push_str(lookup(name, env)?);
        rest = after.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

fn lookup<'a>(reference: &'a str, env: &'a Env) -> Result<&'a str, String> {
    let (name, fallback) = match reference.split_once(":-") {
        Some((name, fallback)) => (name, Some(fallback)),
        None => (reference, None),
    };
    let mut chars = name.chars();
    let first_ok = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first_ok || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!(
            "\"${{{name}}}\" does not name an environment variable; write $${{ for a literal ${{"
        ));
    }
    env.var(name).or(fallback).ok_or_else(|| {
        format!("the environment variable {name} is not set; set it, or write the value here")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        [("KEY", "s3cr${t}"), ("EMPTY", "")].into_iter().collect()
    }

    #[test]
    fn references_are_replaced_once_and_their_values_are_not_read_again() {
        assert_eq!(expand("a-${KEY}-b", &env()).unwrap(), "a-s3cr${t}-b");
        assert_eq!(expand("${NONE:-x}${EMPTY:-y}", &env()).unwrap(), "xy");
    }

    #[test]
    fn a_doubled_dollar_is_a_literal_and_a_lone_dollar_stays() {
        assert_eq!(
            expand("$${KEY} costs $5", &env()).unwrap(),
            "${KEY} costs $5"
        );
    }

    #[test]
    fn a_missing_variable_is_named() {
        assert!(
            expand("${NONE}", &env())
                .unwrap_err()
                .contains("variable NONE is not set")
        );
        assert!(
            expand("${KEY", &env())
                .unwrap_err()
                .contains("never closed")
        );
        assert!(
            expand("${no no}", &env())
                .unwrap_err()
                .contains("does not name")
        );
    }

    #[test]
    fn debug_output_holds_names_only() {
        assert!(!format!("{:?}", env()).contains("s3cr"));
    }
}
