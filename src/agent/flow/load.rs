//! Reading flow files.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::check::{Problem, Severity, check_flow};
use super::definition::{Flow, Node};
use super::nearest::nearest;

const NODE_TYPES: [&str; 8] = [
    "say", "ask", "branch", "http", "book", "transfer", "llm", "end",
];
/// The largest flow file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads and validates a flow file.
///
/// # Errors
/// Returns every error found; mere warnings do not keep a flow from loading.
pub fn load(path: &Path) -> Result<Flow, Vec<Problem>> {
    let file = path.display().to_string();
    let fail = |message: String| vec![Problem::error(&file, None, None, message)];
    let size = std::fs::metadata(path)
        .map_err(|e| fail(format!("cannot be read: {e}")))?
        .len();
    if size > MAX_FILE {
        return Err(fail(format!("is {size} bytes; the most is {MAX_FILE}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    parse(&file, &text)
}

/// Parses and validates a flow; `file` names it in problems.
///
/// # Errors
/// Returns every error found; mere warnings do not keep a flow from loading.
pub fn parse(file: &str, text: &str) -> Result<Flow, Vec<Problem>> {
    let flow = shape(file, text)?;
    let errors: Vec<Problem> = check_flow(&flow, file)
        .into_iter()
        .filter(|p| p.severity == Severity::Error)
        .collect();
    if errors.is_empty() {
        Ok(flow)
    } else {
        Err(errors)
    }
}

/// Parses a flow without looking at what its nodes refer to.
pub(super) fn shape(file: &str, text: &str) -> Result<Flow, Vec<Problem>> {
    let mut table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map(|s| line_of(text, s.start));
            let at = line.map(|l| format!("line {l}: ")).unwrap_or_default();
            return Err(vec![Problem::error(
                file,
                None,
                None,
                format!("{at}{}", error.message()),
            )]);
        }
    };
    let mut problems = Vec::new();
    let mut nodes = BTreeMap::new();
    match table.remove("nodes") {
        Some(Value::Table(all)) => {
            for (name, value) in all {
                match node(value) {
                    Ok(node) => {
                        nodes.insert(name, node);
                    }
                    Err((key, message)) => {
                        problems.push(Problem::error(file, Some(&name), key.as_deref(), message));
                    }
                }
            }
        }
        Some(_) => problems.push(Problem::error(
            file,
            None,
            Some("nodes"),
            "must be a table".into(),
        )),
        None => problems.push(Problem::error(
            file,
            None,
            Some("nodes"),
            "is missing: a flow needs `[nodes.NAME]` tables".into(),
        )),
    }
    // The header alone, so that an error in it is not hidden by one in a node.
    table.insert("nodes".into(), Value::Table(Table::new()));
    match typed::<Flow>(Value::Table(table)) {
        Ok(mut flow) if problems.is_empty() => {
            flow.nodes = nodes;
            Ok(flow)
        }
        Ok(_) => Err(problems),
        Err((key, message)) => {
            problems.insert(0, Problem::error(file, None, key.as_deref(), message));
            Err(problems)
        }
    }
}

type Fault = (Option<String>, String);

fn node(value: Value) -> Result<Node, Fault> {
    let Value::Table(mut table) = value else {
        return Err((None, "must be a table with a `type`".into()));
    };
    let kind = match table.remove("type") {
        Some(Value::String(kind)) => kind,
        Some(_) => return Err((Some("type".into()), "must be a text".into())),
        None => {
            let list = NODE_TYPES.join(", ");
            return Err((
                Some("type".into()),
                format!("is missing; it is one of {list}"),
            ));
        }
    };
    let value = Value::Table(table);
    match kind.as_str() {
        "say" => typed(value).map(Node::Say),
        "ask" => typed(value).map(|n| Node::Ask(Box::new(n))),
        "branch" => typed(value).map(Node::Branch),
        "http" => typed(value).map(|n| Node::Http(Box::new(n))),
        "book" => typed(value).map(Node::Book),
        "transfer" => typed(value).map(Node::Transfer),
        "llm" => typed(value).map(|n| Node::Llm(Box::new(n))),
        "end" => typed(value).map(Node::End),
        wrong => {
            let hint = nearest(wrong, NODE_TYPES).map(|n| format!("; did you mean `{n}`?"));
            let list = NODE_TYPES.join(", ");
            let hint = hint.unwrap_or_else(|| format!("; it is one of {list}"));
            Err((Some("type".into()), format!("no node is a `{wrong}`{hint}")))
        }
    }
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    value
        .try_into()
        .map_err(|error: toml::de::Error| mended(error.message()))
}

/// Turns a deserialiser's message into a key and a sentence that says how to mend it.
fn mended(message: &str) -> Fault {
    let message = message.lines().next().unwrap_or_default();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    if let (true, Some((wrong, valid))) = (unknown, quoted.split_first()) {
        let hint = match nearest(wrong, valid.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known are {}", valid.join(", ")),
        };
        let what = if message.starts_with("unknown field") {
            "unknown key"
        } else {
            "unknown value"
        };
        return (Some((*wrong).to_owned()), format!("{what}; {hint}"));
    }
    if let (true, Some(name)) = (message.starts_with("missing field"), quoted.first()) {
        return (Some((*name).to_owned()), "is missing".to_owned());
    }
    (None, message.to_owned())
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}
