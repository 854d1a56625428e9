//! The configuration as written: values with the place each came from, before any meaning.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::env::Env;
use super::error::{Origin, Problem};

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Table),
}

impl Value {
    /// Names the value's type as a person would.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a decimal number",
            Self::Bool(_) => "true or false",
            Self::Datetime => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Keys with their values.
pub(super) type Table = BTreeMap<String, Node>;

/// The arrays of tables, whose elements a variable names by index or by name.
const ARRAYS: [&str; 6] = ["trunk", "agent", "user", "room", "route", "http.key"];

/// Parses TOML into a tree; what cannot be parsed becomes problems that never quote the source.
pub(super) fn parse(source: &str, problems: &mut Vec<Problem>) -> Table {
    let lines = Lines::of(source);
    let (table, errors) = DeTable::parse_recoverable(source);
    for error in errors {
        let line = lines.line(error.span().map_or(0, |span| span.start));
        // The error's own Display quotes the line, which may hold a password.
        let message = format!("not valid TOML: {}", error.message());
        problems.push(Problem {
            origin: Origin::Line(line),
            key: String::new(),
            message,
        });
    }
    convert_table(table.get_ref(), &lines)
}

fn convert_table(table: &DeTable<'_>, lines: &Lines) -> Table {
    let entry = |(key, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<_>)| {
        let origin = Origin::Line(lines.line(key.span().start));
        (
            key.get_ref().to_string(),
            Node {
                value: convert(value.get_ref(), lines),
                origin,
            },
        )
    };
    table.iter().map(entry).collect()
}

fn convert(value: &DeValue<'_>, lines: &Lines) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let digits = integer.as_str();
            match i64::from_str_radix(digits, integer.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Float(f64::INFINITY),
            }
        }
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Table(table) => Value::Table(convert_table(table, lines)),
        DeValue::Array(array) => Value::Array(
            array
                .iter()
                .map(|item| Node {
                    value: convert(item.get_ref(), lines),
                    origin: Origin::Line(lines.line(item.span().start)),
                })
                .collect(),
        ),
    }
}

/// Lays the environment's `OFFHOOK__SECTION__KEY` variables over the tree.
pub(super) fn overlay(root: &mut Table, env: &Env, problems: &mut Vec<Problem>) {
    for (name, value) in env.overrides() {
        let path = name
            .get(super::ENV_PREFIX.len()..)
            .unwrap_or_default()
            .to_lowercase();
        let segments: Vec<&str> = path.split("__").collect();
        if segments.iter().any(|segment| segment.is_empty()) || segments.len() < 2 {
            let message = "write it as OFFHOOK__SECTION__KEY".to_owned();
            problems.push(problem(name, message));
        } else if let Err(message) = place(root, "", &segments, name, value) {
            problems.push(problem(name, message));
        }
    }
}

fn problem(name: &str, message: String) -> Problem {
    Problem {
        origin: Origin::Env(name.to_owned()),
        key: String::new(),
        message,
    }
}

fn place(
    table: &mut Table,
    path: &str,
    segments: &[&str],
    name: &str,
    value: &str,
) -> Result<(), String> {
    let Some((segment, rest)) = segments.split_first() else {
        return Ok(());
    };
    let mut key = find_key(table, segment);
    if path.ends_with(".headers") {
        // A variable's name cannot hold the hyphens of a header's.
        key = key.replace('_', "-");
    }
    let origin = Origin::Env(name.to_owned());
    if rest.is_empty() {
        table.insert(
            key,
            Node {
                value: Value::Text(value.to_owned()),
                origin,
            },
        );
        return Ok(());
    }
    let path = if path.is_empty() {
        key.clone()
    } else {
        format!("{path}.{key}")
    };
    let is_array = ARRAYS.contains(&path.as_str());
    let empty = if is_array {
        Value::Array(Vec::new())
    } else {
        Value::Table(Table::new())
    };
    let node = table.entry(key).or_insert_with(|| Node {
        value: empty,
        origin,
    });
    match &mut node.value {
        Value::Table(inner) => place(inner, &path, rest, name, value),
        Value::Array(items) if is_array => place_in_array(items, &path, rest, name, value),
        _ => Err(format!(
            "{path} is not a section in the file, so it has no keys to set"
        )),
    }
}

fn place_in_array(
    items: &mut Vec<Node>,
    path: &str,
    segments: &[&str],
    name: &str,
    value: &str,
) -> Result<(), String> {
    let Some((selector, rest)) = segments.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Err(format!(
            "say which {path}, by its name or its number from 0, and which key"
        ));
    };
    let by_name = items
        .iter()
        .position(|item| item_name(item).as_deref() == Some(selector));
    let index = match by_name.or_else(|| selector.parse().ok()) {
        Some(index) if index <= items.len() => index,
        Some(_) => return Err(format!("there are {} of {path}, from 0", items.len())),
        None => return Err(format!("no {path} is named {selector}")),
    };
    if index == items.len() {
        let origin = Origin::Env(name.to_owned());
        items.push(Node {
            value: Value::Table(Table::new()),
            origin,
        });
    }
    match items.get_mut(index).map(|item| &mut item.value) {
        Some(Value::Table(table)) => place(table, path, rest, name, value),
        _ => Err(format!("{path} number {index} is not a table")),
    }
}

/// Returns an element's name in the form that a variable's name can carry.
fn item_name(item: &Node) -> Option<String> {
    let Value::Table(table) = &item.value else {
        return None;
    };
    match &table.get("name")?.value {
        Value::Text(name) => Some(env_form(name)),
        _ => None,
    }
}

fn find_key(table: &Table, segment: &str) -> String {
    let existing = table.keys().find(|key| env_form(key) == segment);
    existing.cloned().unwrap_or_else(|| segment.to_owned())
}

fn env_form(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// Turns byte offsets into line numbers from 1.
struct Lines(Vec<usize>);

impl Lines {
    fn of(source: &str) -> Self {
        Self(source.match_indices('\n').map(|(at, _)| at).collect())
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|&newline| newline < offset) + 1
    }
}
