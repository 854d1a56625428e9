//! Validation: everything that is wrong with a flow, each with its place and its mend.

mod llm;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::condition::Condition;
use super::definition::{Ask, Flow, Node, Text};
use super::load;
use super::nearest::nearest;
use super::slots::SlotKind;
use super::template;

/// Grades a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The flow cannot run.
    Error,
    /// The flow runs, but hardly as meant.
    Warning,
}

/// Names something wrong in a flow file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The node.
    pub node: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// What is wrong and how to mend it.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
    pub(super) fn error(
        file: &str,
        node: Option<&str>,
        key: Option<&str>,
        message: String,
    ) -> Self {
        Self {
            file: file.to_owned(),
            node: node.map(str::to_owned),
            key: key.map(str::to_owned),
            message,
            severity: Severity::Error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if let Some(node) = &self.node {
            write!(f, "node `{node}`: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.message)?;
        match self.severity {
            Severity::Error => Ok(()),
            Severity::Warning => f.write_str(" (warning)"),
        }
    }
}

/// Reports everything that is wrong with a flow file.
pub fn check(path: &Path) -> Vec<Problem> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Err(error) => vec![Problem::error(
            &file,
            None,
            None,
            format!("cannot be read: {error}"),
        )],
        Ok(text) => match load::shape(&file, &text) {
            Ok(flow) => check_flow(&flow, &file),
            Err(problems) => problems,
        },
    }
}

/// Reports everything that is wrong with a flow; `file` names it.
pub fn check_flow(flow: &Flow, file: &str) -> Vec<Problem> {
    let mut checker = Checker {
        flow,
        file,
        problems: Vec::new(),
        known: known_variables(flow),
    };
    checker.header();
    for (name, node) in &flow.nodes {
        for (key, target) in node.targets() {
            checker.target(Some(name), &key, target);
        }
        checker.node(name, node);
    }
    checker.reachability();
    checker.problems
}

struct Checker<'f> {
    flow: &'f Flow,
    file: &'f str,
    problems: Vec<Problem>,
    known: BTreeSet<String>,
}

impl Checker<'_> {
    fn report(&mut self, severity: Severity, node: Option<&str>, key: &str, message: String) {
        let mut problem = Problem::error(self.file, node, Some(key), message);
        problem.severity = severity;
        self.problems.push(problem);
    }

    fn error(&mut self, node: Option<&str>, key: &str, message: impl Into<String>) {
        self.report(Severity::Error, node, key, message.into());
    }

    fn warning(&mut self, node: Option<&str>, key: &str, message: impl Into<String>) {
        self.report(Severity::Warning, node, key, message.into());
    }

    fn header(&mut self) {
        let flow = self.flow;
        self.target(None, "start", &flow.start);
        for (key, target) in [
            ("on_silence.goto", &flow.on_silence.goto),
            ("on_hangup", &flow.on_hangup),
            ("on_goodbye", &flow.on_goodbye),
            ("on_human", &flow.on_human),
        ] {
            if let Some(target) = target {
                self.target(None, key, target);
            }
        }
        if !(1.0..=600.0).contains(&flow.on_silence.after_s) {
            self.error(
                None,
                "on_silence.after_s",
                "must be between 1 and 600 seconds",
            );
        }
        if let Some(zone) = &flow.time_zone
            && jiff::tz::TimeZone::get(zone).is_err()
        {
            self.error(
                None,
                "time_zone",
                format!("`{zone}` is no time zone; one is Europe/Berlin"),
            );
        }
        let code = &flow.country_code;
        if code.is_empty() || code.len() > 3 || !code.chars().all(|c| c.is_ascii_digit()) {
            self.error(
                None,
                "country_code",
                "must be one to three digits, without \"+\"",
            );
        }
        self.texts(None, "on_silence.say", &flow.on_silence.say);
    }

    fn target(&mut self, node: Option<&str>, key: &str, target: &str) {
        if self.flow.nodes.contains_key(target) {
            return;
        }
        let hint = nearest(target, self.flow.nodes.keys().map(String::as_str));
        let hint = hint
            .map(|n| format!("; did you mean `{n}`?"))
            .unwrap_or_default();
        self.error(node, key, format!("there is no node `{target}`{hint}"));
    }

    fn node(&mut self, name: &str, node: &Node) {
        let at = Some(name);
        match node {
            Node::Say(n) => {
                self.texts(at, "say", &n.say);
                for (key, value) in &n.set {
                    self.json(at, &format!("set.{key}"), value);
                }
            }
            Node::Ask(n) => self.ask(name, n),
            Node::Branch(n) => {
                for (i, case) in n.cases.iter().enumerate() {
                    self.condition(name, &format!("cases.{i}.when"), &case.when);
                }
            }
            Node::Http(n) => {
                self.request(name, &n.method, &n.url, n.timeout_s);
                self.template(at, "url", &n.url);
                n.headers
                    .iter()
                    .for_each(|(k, v)| self.template(at, &format!("headers.{k}"), v));
                n.json.iter().for_each(|v| self.json(at, "json", v));
                let form = n.form.iter().flatten();
                form.for_each(|(k, v)| self.template(at, &format!("form.{k}"), v));
                self.texts(at, "say", &n.say);
                if n.json.is_some() && n.form.is_some() {
                    self.error(at, "form", "stands beside `json`: a request has one body");
                }
                if n.on_error.is_none() {
                    self.warning(
                        at,
                        "on_error",
                        "is missing: after an error the flow goes on with `next`",
                    );
                }
            }
            Node::Book(n) => {
                self.template(at, "date_time", &n.date_time);
                self.template(at, "notes", &n.notes);
                self.texts(at, "say", &n.say);
                if n.on_error.is_none() {
                    self.warning(
                        at,
                        "on_error",
                        "is missing: a failed booking would be confirmed",
                    );
                }
            }
            Node::Transfer(n) => {
                self.template(at, "to", &n.to);
                self.texts(at, "say", &n.say);
                n.briefing
                    .iter()
                    .for_each(|text| self.template(at, "briefing", text));
                self.transfer(name, "", &n.to, n.ring_s);
            }
            Node::Llm(n) => self.llm(name, n),
            Node::End(n) => self.texts(at, "say", &n.say),
        }
    }

    fn ask(&mut self, name: &str, n: &Ask) {
        let at = Some(name);
        self.texts(at, "say", &n.say);
        self.texts(at, "reask", &n.reask);
        n.confirm.iter().for_each(|c| self.texts(at, "confirm", c));
        if n.say.iter().all(|t| t.trim().is_empty()) {
            self.error(at, "say", "is empty: a question needs words");
        }
        if let Some(when) = &n.skip_when {
            self.condition(name, "skip_when", when);
            if n.next.is_none() {
                self.error(at, "next", "is missing: `skip_when` needs somewhere to go");
            }
        }
        let both = n.on_yes.is_some() && n.on_no.is_some();
        if n.next.is_none() && !(n.grammar == SlotKind::YesNo && both) {
            let or = if n.grammar == SlotKind::YesNo {
                " (or `on_yes` and `on_no`)"
            } else {
                ""
            };
            self.error(at, "next", format!("is missing{or}"));
        }
        for (key, target) in [("on_yes", &n.on_yes), ("on_no", &n.on_no)] {
            if target.is_some() && n.grammar != SlotKind::YesNo {
                self.error(at, key, "belongs to the `yes_no` grammar");
            }
        }
        if n.grammar == SlotKind::Choice && n.choices.is_empty() {
            self.error(
                at,
                "choices",
                "is missing: the `choice` grammar needs its answers",
            );
        }
        if n.max_tries == 0 {
            self.error(at, "max_tries", "must be at least 1");
        }
        if n.on_fail.is_none() {
            self.warning(
                at,
                "on_fail",
                "is missing: after too many tries the call ends with an apology",
            );
        }
        if let Some(confirm) = &n.confirm
            && !confirm
                .iter()
                .any(|t| t.contains("spoken") || t.contains(&n.slot))
        {
            self.warning(
                at,
                "confirm",
                "does not read the value back: use {{spoken}}",
            );
        }
    }

    fn request(&mut self, name: &str, method: &str, url: &str, timeout_s: f64) {
        const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
        let at = Some(name);
        if !METHODS.contains(&method.to_uppercase().as_str()) {
            self.error(
                at,
                "method",
                format!("`{method}` is none of {}", METHODS.join(", ")),
            );
        }
        let absolute = url.starts_with("http://") || url.starts_with("https://");
        if !(absolute || url.starts_with('/') || url.starts_with("{{")) {
            self.error(
                at,
                "url",
                format!("`{url}` is neither http(s)://… nor a path of the CRM"),
            );
        }
        if !(0.1..=60.0).contains(&timeout_s) {
            self.error(at, "timeout_s", "must be between 0.1 and 60 seconds");
        }
    }

    fn texts(&mut self, node: Option<&str>, key: &str, text: &Text) {
        text.iter().for_each(|t| self.template(node, key, t));
    }

    fn json(&mut self, node: Option<&str>, key: &str, value: &Value) {
        match value {
            Value::String(text) => self.template(node, key, text),
            Value::Array(items) => items.iter().for_each(|v| self.json(node, key, v)),
            Value::Object(map) => map
                .iter()
                .for_each(|(k, v)| self.json(node, &format!("{key}.{k}"), v)),
            _ => {}
        }
    }

    fn template(&mut self, node: Option<&str>, key: &str, text: &str) {
        match template::paths(text) {
            Err(message) => self.error(node, key, message),
            Ok(paths) => {
                for path in paths {
                    self.variable(node, key, path);
                }
            }
        }
    }

    fn condition(&mut self, node: &str, key: &str, text: &str) {
        match Condition::parse(text) {
            Err(message) => self.error(Some(node), key, format!("`{text}`: {message}")),
            Ok(condition) => {
                for path in condition.paths() {
                    self.variable(Some(node), key, path);
                }
            }
        }
    }

    /// Warns of a variable that nothing sets and that is close to one that something sets.
    fn variable(&mut self, node: Option<&str>, key: &str, path: &str) {
        let name = path.split('.').next().unwrap_or(path);
        if self.known.contains(path) || self.known.contains(name) || template::built_in(name) {
            return;
        }
        if let Some(near) = nearest(path, self.known.iter().map(String::as_str)) {
            let near = near.to_owned();
            self.warning(
                node,
                key,
                format!("nothing sets `{path}`; did you mean `{near}`?"),
            );
        }
    }

    fn reachability(&mut self) {
        let flow = self.flow;
        let roots = [
            Some(&flow.start),
            flow.on_silence.goto.as_ref(),
            flow.on_hangup.as_ref(),
            flow.on_goodbye.as_ref(),
            flow.on_human.as_ref(),
        ];
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = roots.into_iter().flatten().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if let Some(node) = flow.nodes.get(name).filter(|_| seen.insert(name)) {
                open.extend(node.targets().into_iter().map(|(_, target)| target));
            }
        }
        let lost: Vec<String> = flow
            .nodes
            .keys()
            .filter(|n| !seen.contains(n.as_str()))
            .cloned()
            .collect();
        for name in lost {
            self.warning(Some(&name), "type", "nothing leads to this node");
        }
    }
}

/// Collects every variable that the flow or the switch sets.
fn known_variables(flow: &Flow) -> BTreeSet<String> {
    const SWITCH: [&str; 12] = [
        "caller_phone",
        "caller_name",
        "caller_email",
        "first_name",
        "last_name",
        "contact_id",
        "call_id",
        "called_number",
        "call_transcript",
        "callback_requested",
        "agent",
        "direction",
    ];
    let mut known: BTreeSet<String> = SWITCH.iter().map(|s| (*s).to_owned()).collect();
    known.extend(flow.variables.keys().cloned());
    let empty = BTreeMap::new();
    for node in flow.nodes.values() {
        let saved = match node {
            Node::Http(n) => &n.save,
            _ => &empty,
        };
        known.extend(saved.keys().cloned());
        match node {
            Node::Ask(n) => {
                for suffix in ["", "_spoken", "_first", "_date", "_time"] {
                    known.insert(format!("{}{suffix}", n.slot));
                }
            }
            Node::Say(n) => known.extend(n.set.keys().cloned()),
            Node::Llm(n) => {
                known.extend(n.variables.iter().map(|v| v.name.clone()));
                known.extend(
                    n.http_tools
                        .iter()
                        .flat_map(|t| t.parameters.keys().cloned()),
                );
            }
            _ => {}
        }
    }
    known
}
