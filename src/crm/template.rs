//! JSON bodies with `{{name}}` in them.
//!
//! A template is JSON. In its strings `{{caller_name}}` stands for a variable, `{{a.b}}` for a part
//! of one, `{{caller_name | there}}` for a variable or, when it is missing, the text after the bar.
//! A string that is nothing but one `{{name}}` takes the variable's own type, and when the variable
//! is missing the member that would hold it is left out, so that no field of a contact is
//! overwritten with nothing. Quoting is JSON's own affair: what a caller says cannot break a body.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// A JSON body with placeholders.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Value);

impl Template {
    /// Reads a template from JSON text.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::new(serde_json::from_str(text).map_err(|error| error.to_string())?)
    }

    /// Makes a template of JSON.
    ///
    /// # Errors
    /// A placeholder that is not closed or names nothing.
    pub fn new(value: Value) -> Result<Self, String> {
        check(&value)?;
        Ok(Self(value))
    }

    /// Makes one that renders as null.
    pub fn empty() -> Self {
        Self(Value::Null)
    }

    /// Fills the template in.
    pub fn render(&self, variables: &Map<String, Value>) -> Value {
        fill(&self.0, variables).unwrap_or(Value::Null)
    }
}

impl<'de> Deserialize<'de> for Template {
    /// Reads a table as it is, and a string as JSON text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Self::parse(&text),
            value => Self::new(value),
        }
        .map_err(de::Error::custom)
    }
}

/// A piece of a template string.
enum Piece<'a> {
    Text(&'a str),
    Variable {
        path: &'a str,
        default: Option<&'a str>,
    },
}

/// Splits a template string; a `{{` that is never closed is an error.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, behind) = after
            .split_once("}}")
            .ok_or_else(|| format!("{text:?}: {{{{ without }}}}"))?;
        let (path, default) = match inside.split_once('|') {
            Some((path, default)) => (path.trim(), Some(default.trim())),
            None => (inside.trim(), None),
        };
        if path.is_empty() {
            return Err(format!("{text:?}: {{{{ }}}} names no variable"));
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Variable { path, default });
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

fn check(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => pieces(text).map(|_| ()),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(members) => members.values().try_for_each(check),
        _ => Ok(()),
    }
}

/// Fills a value in; none when it is a placeholder alone and the variable is missing.
fn fill(value: &Value, variables: &Map<String, Value>) -> Option<Value> {
    Some(match value {
        Value::String(text) => return fill_text(text, variables),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .filter_map(|item| fill(item, variables))
                .collect(),
        ),
        Value::Object(members) => members
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), fill(value, variables)?)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    })
}

fn fill_text(text: &str, variables: &Map<String, Value>) -> Option<Value> {
    let pieces = pieces(text).unwrap_or_default();
    if let [Piece::Variable { path, default }] = pieces.as_slice() {
        return look_up(variables, path)
            .cloned()
            .or_else(|| default.map(Value::from));
    }
    let mut filled = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Variable { path, default } => match look_up(variables, path) {
                Some(Value::String(text)) => filled.push_str(text),
                Some(other) => filled.push_str(&other.to_string()),
                None => filled.push_str(default.unwrap_or_default()),
            },
        }
    }
    Some(filled.into())
}

/// Finds a variable by its name or, part by part, by its path; null and "" count as missing.
fn look_up<'a>(variables: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let found = match variables.get(path) {
        Some(value) => Some(value),
        None => {
            let mut parts = path.split('.');
            let first = parts.next().and_then(|name| variables.get(name));
            parts.fold(first, |value, name| value?.get(name))
        }
    };
    found.filter(|value| !value.is_null() && *value != "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: Value, variables: Value) -> Value {
        let Value::Object(variables) = variables else {
            panic!("variables are an object")
        };
        Template::new(template).unwrap().render(&variables)
    }

    #[test]
    fn a_placeholder_alone_keeps_the_type_and_is_left_out_when_it_is_missing() {
        let template = json!({"id": "{{contact_id}}", "s": "{{ duration }}", "email": "{{email}}"});
        assert_eq!(
            render(
                template,
                json!({"contact_id": 42, "duration": 7, "email": ""})
            ),
            json!({"id": 42, "s": 7})
        );
    }

    #[test]
    fn within_text_a_missing_variable_is_its_default_or_nothing() {
        let template = json!({"notes": "{{name | someone}} of {{company.name}} wants {{need}}."});
        assert_eq!(
            render(template, json!({"company": {"name": "Acme"}})),
            json!({"notes": "someone of Acme wants ."})
        );
    }

    #[test]
    fn what_a_caller_says_cannot_break_the_body() {
        let said = "\"},{\"admin\":true} \\ {{secret}}\n";
        let body = render(
            json!({"notes": "said: {{said}}"}),
            json!({"said": said, "secret": "s"}),
        );
        assert_eq!(body["notes"], format!("said: {said}"));
        assert_eq!(
            serde_json::from_str::<Value>(&body.to_string()).unwrap(),
            body
        );
    }

    #[test]
    fn a_template_is_refused_when_it_is_no_json_or_a_placeholder_is_broken() {
        assert!(Template::parse("{\"a\": }").is_err());
        assert!(
            Template::parse("{\"a\": \"{{name\"}")
                .unwrap_err()
                .contains("without")
        );
        assert!(Template::parse("{\"a\": [\"{{ }}\"]}").is_err());
    }

    #[test]
    fn the_configuration_may_write_it_as_a_table_or_as_json_text() {
        #[derive(Deserialize)]
        struct Config {
            table: Template,
            text: Template,
        }
        let config: Config =
            toml::from_str("table = { name = \"{{name}}\" }\ntext = '{ \"name\": \"{{name}}\" }'")
                .unwrap();
        assert_eq!(config.table, config.text);
    }
}
