//! `[[route]]`: which call goes where.

use std::collections::BTreeSet;
use std::fmt;

use super::error::Origin;
use super::pattern::Pattern;
use super::reader::{Reader, Section};
use super::sip::small;
use super::suggest::nearest;
use super::trunk::{NAME_RULE, is_name};

/// How long it may ring where nothing is written, in s.
pub(super) const RING_S: u64 = 60;

/// One `[[route]]`; the first that matches a call takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// Matches the number or name that was called.
    pub to: Pattern,
    /// Matches the number or name that calls: of a user the name that it has proven, of a trunk's caller
    /// what it says.
    pub from: Pattern,
    /// Only calls that come in over this trunk; none for calls from anywhere.
    pub from_trunk: Option<String>,
    /// Who answers.
    pub target: RouteTarget,
    /// How long a trunk or user may ring, in s.
    pub ring_s: u32,
}

/// Who answers a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// An agent, by its name.
    Agent(String),
    /// All who are in a conference room, by its name.
    Room(String),
    /// Who has the number that was called, over a trunk, by its name.
    Trunk(String),
    /// The phones that a user has registered, by the user's name.
    User(String),
}

impl RouteTarget {
    /// Whether a call that goes there is bridged: it has a leg at each side.
    #[must_use]
    pub fn is_bridged(&self) -> bool {
        matches!(self, Self::Trunk(_) | Self::User(_))
    }
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => f.write_str(name),
            Self::Room(name) => write!(f, "room {name}"),
            Self::Trunk(name) => write!(f, "trunk {name}"),
            Self::User(name) => write!(f, "user {name}"),
        }
    }
}

/// The names that a route may lead to.
pub(super) struct Known {
    /// Of agents, as they are written, well formed or not.
    pub(super) agents: BTreeSet<String>,
    /// Of trunks over which calls can be placed.
    pub(super) trunks: BTreeSet<String>,
    /// Of all trunks.
    pub(super) all_trunks: BTreeSet<String>,
    /// Of users.
    pub(super) users: BTreeSet<String>,
}

impl RouteConfig {
    /// Reports whether this route takes a call, which came in over this trunk or none.
    pub fn matches(&self, to: &str, from: &str, trunk: Option<&str>) -> bool {
        let wanted = self.from_trunk.as_deref();
        let over = wanted.is_none() || wanted == trunk;
        over && self.to.matches(to) && self.from.matches(from)
    }

    pub(super) fn read_all(r: &mut Reader<'_>, sections: Vec<Section>, known: &Known) -> Vec<Self> {
        let mut routes: Vec<Self> = Vec::new();
        for mut s in sections {
            let to = s.or(r, "to", Pattern::any());
            let from = s.or(r, "from", Pattern::any());
            let from_trunk = read_from_trunk(r, &mut s, known);
            let target = read_target(r, &mut s, known);
            let ring_s = small(s.number(r, "ring_s", 1..=300, RING_S));
            let takes_all = |route: &Self| {
                route.to.is_any() && route.from.is_any() && route.from_trunk.is_none()
            };
            if target.is_some() && routes.iter().any(takes_all) {
                let message = "an earlier route takes every call already";
                r.warn(&s.origin, "route", message);
            }
            s.finish(r);
            routes.extend(target.map(|target| Self {
                to,
                from,
                from_trunk,
                target,
                ring_s,
            }));
        }
        routes
    }
}

/// Reads over which trunk a call must come in.
fn read_from_trunk(r: &mut Reader<'_>, s: &mut Section, known: &Known) -> Option<String> {
    let key = "from_trunk";
    let origin = s.origin_of(key);
    let name = s.opt::<String>(r, key)?;
    if !known.all_trunks.contains(&name) {
        let near = nearest(&name, known.all_trunks.iter().map(String::as_str));
        let mend = match near {
            Some(near) => format!("the nearest is {near:?}"),
            None => "there is no [[trunk]] at all".to_owned(),
        };
        let message = format!("no [[trunk]] is named {name:?}; {mend}");
        s.wrong(r, key, &origin, message);
    }
    Some(name)
}

/// Reads who answers: one key of several says it.
fn read_target(r: &mut Reader<'_>, s: &mut Section, known: &Known) -> Option<RouteTarget> {
    let keys = ["agent", "room", "trunk", "user"];
    let written: Vec<&'static str> = keys.into_iter().filter(|key| s.has(key)).collect();
    let origins: Vec<Origin> = written.iter().map(|key| s.origin_of(key)).collect();
    let named = keys.map(|key| (key, s.opt::<String>(r, key)));
    let (key, origin) = match (written.as_slice(), origins.as_slice()) {
        ([key], [origin]) => (*key, origin),
        ([key, other, ..], [_, origin, ..]) => {
            let message = format!("a route leads to one place: take {other} or {key} away");
            s.wrong(r, other, origin, message);
            return None;
        }
        _ => {
            let message = "is missing: name the agent that answers, or a room, trunk or user";
            let origin = s.origin.clone();
            s.wrong(r, "agent", &origin, message);
            return None;
        }
    };
    let name = named.into_iter().find_map(|(_, name)| name)?;
    let (section, names) = match key {
        "room" if is_name(&name) => return Some(RouteTarget::Room(name)),
        "room" => {
            s.wrong(r, key, origin, NAME_RULE);
            return None;
        }
        "trunk" => ("[[trunk]] that places calls", &known.trunks),
        "user" => ("[[user]]", &known.users),
        _ => ("[[agent]]", &known.agents),
    };
    if !names.contains(&name) {
        let near = nearest(&name, names.iter().map(String::as_str));
        let mend = match near {
            Some(near) => format!("the nearest is {near:?}"),
            None => format!("there is no {section} at all"),
        };
        s.wrong(
            r,
            key,
            origin,
            format!("no {section} is named {name:?}; {mend}"),
        );
    }
    Some(match key {
        "trunk" => RouteTarget::Trunk(name),
        "user" => RouteTarget::User(name),
        _ => RouteTarget::Agent(name),
    })
}
