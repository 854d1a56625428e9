//! Templates: `{{name}}`, `{{a.b}}`, `{{x | default}}`; plain substitution, missing values are "".

use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::agent::Variables;
use crate::agent::variables::plain_text;

/// Says where a rendered text goes, so that a value cannot break out of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Speech and plain text.
    Plain,
    /// Inside a JSON string.
    Json,
    /// Inside a URL: percent-encoded (RFC 3986 §2.1).
    Url,
    /// Inside a header: no line breaks.
    Header,
}

/// Holds what a template may refer to.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The conversation's variables.
    pub variables: &'a Variables,
    /// Names that hold only here; they win.
    pub locals: &'a [(&'a str, &'a str)],
    /// The time, for `current_date`, `current_time`, `current_weekday` and, with a zone appended,
    /// `current_time_Europe/Berlin`.
    pub wall: &'a Zoned,
}

/// Renders a template.
pub fn render(template: &str, scope: &Scope<'_>, mode: Mode) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((head, tail)) = rest.split_once("{{") {
        out.push_str(head);
        let Some((expression, after)) = tail.split_once("}}") else {
            out.push_str("{{");
            rest = tail;
            continue;
        };
        out.push_str(&escape(&value(expression, scope), mode));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Returns the path of a template that is one placeholder and nothing else.
pub(super) fn sole_path(template: &str) -> Option<&str> {
    let inner = template.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains(['{', '}', '|'])).then(|| inner.trim())
}

/// Returns the paths that a template names, or what is wrong with it.
pub(super) fn paths(template: &str) -> Result<Vec<&str>, String> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some((_, tail)) = rest.split_once("{{") {
        let Some((expression, after)) = tail.split_once("}}") else {
            return Err("`{{` without `}}`".to_owned());
        };
        let path = expression.split('|').next().unwrap_or_default().trim();
        let valid = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
        if path.is_empty() || !path.chars().all(valid) {
            return Err(format!("`{{{{{expression}}}}}` names no variable"));
        }
        out.push(path);
        rest = after;
    }
    Ok(out)
}

/// Says whether a name is one that every template knows.
pub(super) fn built_in(name: &str) -> bool {
    name == "spoken" || name.starts_with("current_")
}

fn value(expression: &str, scope: &Scope<'_>) -> String {
    let (path, default) = match expression.split_once('|') {
        Some((path, default)) => (path.trim(), default.trim()),
        None => (expression.trim(), ""),
    };
    if let Some((_, local)) = scope.locals.iter().find(|(name, _)| *name == path) {
        return (*local).to_owned();
    }
    if scope.variables.is_set(path) {
        return scope
            .variables
            .path(path)
            .map(plain_text)
            .unwrap_or_default();
    }
    if let Some(now) = current(path, scope.wall) {
        return now;
    }
    let default = default.strip_prefix("fallback:").unwrap_or(default).trim();
    default.trim_matches(['"', '\'']).to_owned()
}

fn current(path: &str, wall: &Zoned) -> Option<String> {
    let rest = path.strip_prefix("current_")?;
    let (what, zone) = rest
        .split_once('_')
        .map_or((rest, None), |(w, z)| (w, Some(z)));
    let wall = match zone {
        Some(zone) => wall.with_time_zone(TimeZone::get(zone).ok()?),
        None => wall.clone(),
    };
    let format = match what {
        "date" => "%Y-%m-%d",
        "time" => "%H:%M",
        "weekday" => "%A",
        _ => return None,
    };
    Some(wall.strftime(format).to_string())
}

fn escape(value: &str, mode: Mode) -> String {
    match mode {
        Mode::Plain => value.to_owned(),
        Mode::Header => value.replace(['\r', '\n', '\0'], " "),
        Mode::Json => {
            let quoted = serde_json::Value::String(value.to_owned()).to_string();
            quoted
                .get(1..quoted.len() - 1)
                .unwrap_or_default()
                .to_owned()
        }
        Mode::Url => percent_encode(value),
    }
}

/// Encodes everything but unreserved characters (RFC 3986 §2.3).
pub(super) fn percent_encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(template: &str, mode: Mode) -> String {
        let wall: Zoned = "2026-06-04T10:00:00-04:00[America/New_York]"
            .parse()
            .unwrap();
        let variables: Variables = [
            ("name", json!("Jane \"J\"\nDoe")),
            ("contact", json!({"id": 7})),
            ("empty", json!("")),
        ]
        .into_iter()
        .collect();
        let scope = Scope {
            variables: &variables,
            locals: &[("spoken", "x")],
            wall: &wall,
        };
        render(template, &scope, mode)
    }

    #[test]
    fn values_paths_and_defaults_are_substituted() {
        assert_eq!(
            rendered("id {{contact.id}} {{ spoken }}", Mode::Plain),
            "id 7 x"
        );
        assert_eq!(
            rendered("Hi {{nobody | there}}{{empty|!}}", Mode::Plain),
            "Hi there!"
        );
        assert_eq!(rendered("{{x | fallback:y}}", Mode::Plain), "y");
        assert_eq!(rendered("[{{missing}}]", Mode::Plain), "[]");
        assert_eq!(
            rendered(
                "{{current_weekday}} {{current_time_Europe/Berlin}}",
                Mode::Plain
            ),
            "Thursday 16:00"
        );
        assert_eq!(rendered("open {{ end", Mode::Plain), "open {{ end");
    }

    #[test]
    fn values_cannot_break_out_of_their_place() {
        assert_eq!(
            rendered(r#"{"n":"{{name}}"}"#, Mode::Json),
            r#"{"n":"Jane \"J\"\nDoe"}"#
        );
        assert_eq!(
            rendered("/c?n={{name}}", Mode::Url),
            "/c?n=Jane%20%22J%22%0ADoe"
        );
        assert_eq!(rendered("{{name}}", Mode::Header), "Jane \"J\" Doe");
    }

    #[test]
    fn substitution_is_not_repeated() {
        let wall: Zoned = "2026-06-04T10:00:00+00:00[UTC]".parse().unwrap();
        let variables: Variables = [("a", "{{b}}"), ("b", "secret")].into_iter().collect();
        let scope = Scope {
            variables: &variables,
            locals: &[],
            wall: &wall,
        };
        assert_eq!(render("{{a}}", &scope, Mode::Plain), "{{b}}");
    }
}
