//! `[[route]]`: which call goes where.

use std::collections::BTreeSet;
use std::fmt;

use super::pattern::Pattern;
use super::reader::{Reader, Section};
use super::suggest::nearest;
use super::trunk::{NAME_RULE, is_name};

/// One `[[route]]`; the first that matches a call takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// Matches the number or name that was called.
    pub to: Pattern,
    /// Matches the number or name that calls.
    pub from: Pattern,
    /// Who answers.
    pub target: RouteTarget,
}

/// Who answers a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// An agent, by its name.
    Agent(String),
    /// All who are in a conference room, by its name.
    Room(String),
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => f.write_str(name),
            Self::Room(name) => write!(f, "room {name}"),
        }
    }
}

impl RouteConfig {
    /// Reports whether this route takes a call.
    pub fn matches(&self, to: &str, from: &str) -> bool {
        self.to.matches(to) && self.from.matches(from)
    }

    pub(super) fn read_all(
        r: &mut Reader<'_>,
        sections: Vec<Section>,
        agents: &BTreeSet<String>,
    ) -> Vec<Self> {
        let mut routes: Vec<Self> = Vec::new();
        for mut s in sections {
            let to = s.or(r, "to", Pattern::any());
            let from = s.or(r, "from", Pattern::any());
            let target = read_target(r, &mut s, agents);
            let takes_all = |route: &Self| route.to.is_any() && route.from.is_any();
            if target.is_some() && routes.iter().any(takes_all) {
                let message = "an earlier route takes every call already";
                r.warn(&s.origin, "route", message);
            }
            s.finish(r);
            routes.extend(target.map(|target| Self { to, from, target }));
        }
        routes
    }
}

/// Reads who answers: one key of several says it.
fn read_target(
    r: &mut Reader<'_>,
    s: &mut Section,
    agents: &BTreeSet<String>,
) -> Option<RouteTarget> {
    let keys = ["agent", "room"];
    let written: Vec<&'static str> = keys.into_iter().filter(|key| s.has(key)).collect();
    let origins = keys.map(|key| s.origin_of(key));
    let [agent, room] = keys.map(|key| s.opt::<String>(r, key));
    let [of_agent, of_room] = origins;
    match written.as_slice() {
        [] => {
            let message = "is missing: name the agent that answers, or a conference room";
            let origin = s.origin.clone();
            s.wrong(r, "agent", &origin, message);
        }
        [key, other, ..] => {
            let message = format!("a route leads to one place: take {other} or {key} away");
            s.wrong(r, other, &of_room, message);
        }
        [_] => {}
    }
    if let Some(name) = agent {
        if !agents.contains(&name) {
            s.wrong(r, "agent", &of_agent, unknown_agent(&name, agents));
        }
        return Some(RouteTarget::Agent(name));
    }
    let name = room?;
    if !is_name(&name) {
        s.wrong(r, "room", &of_room, NAME_RULE);
    }
    Some(RouteTarget::Room(name))
}

fn unknown_agent(name: &str, agents: &BTreeSet<String>) -> String {
    let near = nearest(name, agents.iter().map(String::as_str));
    let mend = match near {
        Some(near) => format!("the nearest is {near:?}"),
        None => "there is no [[agent]] at all".to_owned(),
    };
    format!("no [[agent]] is named {name:?}; {mend}")
}
