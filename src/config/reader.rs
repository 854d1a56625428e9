//! Reads typed values out of the tree, remembers which keys exist and what is wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::env::{Env, expand};
use super::error::{Origin, Problem};
use super::tree::{Node, Table, Value};
use super::value::{FromValue, describe};

/// A key that the configuration knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The dotted path; elements of `[[trunk]]` are written `trunk.name`.
    pub path: String,
    /// What its value has to be, in words.
    pub expected: &'static str,
}

/// A key that was written and is not known, with the keys that are known beside it.
pub(super) struct Unknown {
    pub(super) origin: Origin,
    pub(super) section: String,
    pub(super) key: String,
    pub(super) known: Vec<&'static str>,
}

/// What reading a configuration gathers on its way.
pub(super) struct Reader<'a> {
    pub(super) env: &'a Env,
    base: &'a Path,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    pub(super) keys: Vec<Key>,
    pub(super) unknown: Vec<Unknown>,
}

impl<'a> Reader<'a> {
    /// Starts a reader whose relative paths begin at `base`.
    pub(super) fn new(env: &'a Env, base: &'a Path) -> Self {
        Self {
            env,
            base,
            problems: Vec::new(),
            warnings: Vec::new(),
            keys: Vec::new(),
            unknown: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, origin: &Origin, key: &str, message: impl Into<String>) {
        let (origin, key) = (origin.clone(), key.to_owned());
        self.problems.push(Problem {
            origin,
            key,
            message: message.into(),
        });
    }

    /// Notes what is allowed but probably not meant.
    pub(super) fn warn(&mut self, origin: &Origin, key: &str, message: &str) {
        let place = match origin {
            Origin::Line(line) => format!("line {line}: "),
            Origin::Env(name) => format!("{name}: "),
            Origin::Absent => String::new(),
        };
        self.warnings.push(format!("{place}{key}: {message}"));
    }

    /// Resolves a written path: `~/` is the home folder, relative ones start at the file.
    pub(super) fn resolve(&self, written: &str) -> PathBuf {
        let home = written
            .strip_prefix("~/")
            .and_then(|rest| Some(self.env.home()?.join(rest)));
        home.unwrap_or_else(|| self.base.join(written))
    }
}

/// One table of the configuration, taken apart key by key.
pub(super) struct Section {
    path: String,
    /// Where the section itself was written.
    pub(super) origin: Origin,
    /// Whether the section was written at all.
    pub(super) present: bool,
    table: Table,
    known: Vec<&'static str>,
}

impl Section {
    /// Wraps the whole document.
    pub(super) fn root(table: Table) -> Self {
        Self {
            path: String::new(),
            origin: Origin::Absent,
            present: true,
            table,
            known: Vec::new(),
        }
    }

    /// Returns a key of this section in dotted form.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Returns the name that this section was given, well formed or not.
    pub(super) fn name(&self) -> Option<String> {
        match &self.table.get("name")?.value {
            Value::Text(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// Reports a problem with one of this section's keys.
    pub(super) fn wrong(
        &self,
        r: &mut Reader<'_>,
        key: &str,
        origin: &Origin,
        message: impl Into<String>,
    ) {
        r.problem(origin, &self.key(key), message);
    }

    /// Returns where a key was written, or else where its section was.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        self.table
            .get(key)
            .map_or_else(|| self.origin.clone(), |node| node.origin.clone())
    }

    /// Whether a key was written and not taken yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes a table inside this one; an absent one is empty.
    pub(super) fn section(&mut self, r: &mut Reader<'_>, key: &'static str) -> Section {
        self.known.push(key);
        let path = self.key(key);
        let node = self.table.remove(key);
        let present = node.is_some();
        let (table, origin) = match node {
            Some(Node {
                value: Value::Table(table),
                origin,
            }) => (table, origin),
            Some(node) => {
                let message = format!("is a section: write [{path}] on a line of its own");
                r.problem(&node.origin, &path, message);
                (Table::new(), node.origin)
            }
            None => (Table::new(), Origin::Absent),
        };
        Section {
            path,
            origin,
            present,
            table,
            known: Vec::new(),
        }
    }

    /// Takes an array of tables inside this one.
    pub(super) fn sections(&mut self, r: &mut Reader<'_>, key: &'static str) -> Vec<Section> {
        self.known.push(key);
        let path = self.key(key);
        let items = match self.table.remove(key) {
            None => return Vec::new(),
            Some(Node {
                value: Value::Array(items),
                ..
            }) => items,
            Some(node) => {
                let message = format!("there may be several: write [[{path}]], not [{path}]");
                r.problem(&node.origin, &path, message);
                return Vec::new();
            }
        };
        let mut sections = Vec::with_capacity(items.len());
        for Node { value, origin } in items {
            match value {
                Value::Table(table) => {
                    let path = path.clone();
                    sections.push(Section {
                        path,
                        origin,
                        present: true,
                        table,
                        known: Vec::new(),
                    });
                }
                _ => r.problem(
                    &origin,
                    &path,
                    format!("write it as [[{path}]] with its keys"),
                ),
            }
        }
        sections
    }

    fn take(&mut self, r: &mut Reader<'_>, key: &'static str, what: &'static str) -> Option<Node> {
        self.known.push(key);
        r.keys.push(Key {
            path: self.key(key),
            expected: what,
        });
        self.table.remove(key)
    }

    /// Takes an optional value; a wrong one is reported and counts as absent.
    pub(super) fn opt<T: FromValue>(&mut self, r: &mut Reader<'_>, key: &'static str) -> Option<T> {
        let node = self.take(r, key, T::EXPECTED)?;
        self.convert(r, key, &node)
    }

    /// Takes a value that has a default.
    pub(super) fn or<T: FromValue>(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
        default: T,
    ) -> T {
        self.opt(r, key).unwrap_or(default)
    }

    /// Takes a value that has to be there; its absence is reported with `why`.
    pub(super) fn required<T: FromValue>(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
        why: &str,
    ) -> Option<T> {
        match self.take(r, key, T::EXPECTED) {
            Some(node) => self.convert(r, key, &node),
            None => {
                let origin = self.origin.clone();
                self.wrong(r, key, &origin, format!("is missing: {why}"));
                None
            }
        }
    }

    /// Takes a whole number between two bounds.
    pub(super) fn number(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let origin = self.origin_of(key);
        match self.opt::<u64>(r, key) {
            Some(number) if range.contains(&number) => number,
            Some(number) => {
                let (low, high) = (range.start(), range.end());
                let message = format!("{number} is out of range: from {low} to {high}");
                self.wrong(r, key, &origin, message);
                default
            }
            None => default,
        }
    }

    /// Takes a list; in a variable its items are separated by commas.
    pub(super) fn list<T: FromValue>(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
    ) -> Option<Vec<T>> {
        let node = self.take(r, key, "a list")?;
        let items = match (node.value, &node.origin) {
            (Value::Array(items), _) => items,
            (Value::Text(text), origin @ Origin::Env(_)) => separated(&text, origin),
            (other, origin) => {
                let kind = other.kind();
                let message = format!("expected a list in [ ], each {}; got {kind}", T::EXPECTED);
                self.wrong(r, key, origin, message);
                return None;
            }
        };
        let values = items.iter().filter_map(|item| self.convert(r, key, item));
        Some(values.collect())
    }

    /// Takes a value, or a list of them.
    pub(super) fn one_or_list<T: FromValue>(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
    ) -> Option<Vec<T>> {
        let node = self.take(r, key, T::EXPECTED)?;
        let items = match (node.value, &node.origin) {
            (Value::Array(items), _) => items,
            (Value::Text(text), origin @ Origin::Env(_)) => separated(&text, origin),
            (value, origin) => vec![Node {
                value,
                origin: origin.clone(),
            }],
        };
        let values = items.iter().filter_map(|item| self.convert(r, key, item));
        Some(values.collect())
    }

    /// Takes a path, resolved against the file's folder.
    pub(super) fn path(&mut self, r: &mut Reader<'_>, key: &'static str) -> Option<PathBuf> {
        let origin = self.origin_of(key);
        let written: String = self.opt(r, key)?;
        if written.is_empty() {
            self.wrong(
                r,
                key,
                &origin,
                "is empty: write a path, or leave the key out",
            );
            return None;
        }
        Some(r.resolve(&written))
    }

    /// Takes a table whose keys are free, each value of one type.
    pub(super) fn map<T: FromValue>(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
    ) -> BTreeMap<String, T> {
        let Some(node) = self.take(r, key, "a table of your own keys") else {
            return BTreeMap::new();
        };
        let Value::Table(table) = node.value else {
            self.wrong(
                r,
                key,
                &node.origin,
                "expected a table, for instance { name = \"value\" }",
            );
            return BTreeMap::new();
        };
        let pairs = table.into_iter().filter_map(|(name, node)| {
            let value = self.convert(r, &format!("{key}.{name}"), &node)?;
            Some((name, value))
        });
        pairs.collect()
    }

    /// Takes a table of whatever shape, as JSON.
    pub(super) fn json(
        &mut self,
        r: &mut Reader<'_>,
        key: &'static str,
    ) -> BTreeMap<String, serde_json::Value> {
        let Some(node) = self.take(r, key, "a table of JSON") else {
            return BTreeMap::new();
        };
        let Value::Table(table) = node.value else {
            self.wrong(r, key, &node.origin, "expected a table");
            return BTreeMap::new();
        };
        let members = table.iter().map(|(name, node)| {
            let path = format!("{key}.{name}");
            (name.clone(), self.json_value(r, &path, node))
        });
        members.collect()
    }

    fn json_value(&self, r: &mut Reader<'_>, key: &str, node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Text(_) => self
                .convert::<String>(r, key, node)
                .unwrap_or_default()
                .into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Bool(flag) => (*flag).into(),
            Value::Datetime => {
                self.wrong(r, key, &node.origin, "write a date as text, in quotes");
                serde_json::Value::Null
            }
            Value::Array(items) => items
                .iter()
                .map(|item| self.json_value(r, key, item))
                .collect(),
            Value::Table(table) => {
                let members = table.iter().map(|(name, node)| {
                    let path = format!("{key}.{name}");
                    (name.clone(), self.json_value(r, &path, node))
                });
                members.collect::<serde_json::Map<_, _>>().into()
            }
        }
    }

    fn convert<T: FromValue>(&self, r: &mut Reader<'_>, key: &str, node: &Node) -> Option<T> {
        let mut loose = matches!(node.origin, Origin::Env(_));
        let expanded = match &node.value {
            Value::Text(text) if !loose && text.contains("${") => match expand(text, r.env) {
                Ok(text) => {
                    loose = true;
                    Some(Value::Text(text))
                }
                Err(message) => {
                    self.wrong(r, key, &node.origin, message);
                    return None;
                }
            },
            _ => None,
        };
        let value = expanded.as_ref().unwrap_or(&node.value);
        let message = match T::from_value(value, loose) {
            Some(Ok(value)) => return Some(value),
            Some(Err(message)) => message,
            None if T::SECRET || expanded.is_some() => {
                format!("expected {}; got {}", T::EXPECTED, value.kind())
            }
            None => format!("expected {}; got {}", T::EXPECTED, describe(value)),
        };
        self.wrong(r, key, &node.origin, message);
        None
    }

    /// Ends the section: keys that nothing asked for are unknown.
    pub(super) fn finish(self, r: &mut Reader<'_>) {
        for (key, node) in self.table {
            let (section, known) = (self.path.clone(), self.known.clone());
            r.unknown.push(Unknown {
                origin: node.origin,
                section,
                key,
                known,
            });
        }
    }
}

/// The items of a variable's list, which commas separate.
fn separated(text: &str, origin: &Origin) -> Vec<Node> {
    let items = text.split(',').map(str::trim);
    let node = |item: &str| Node {
        value: Value::Text(item.into()),
        origin: origin.clone(),
    };
    items.filter(|item| !item.is_empty()).map(node).collect()
}
