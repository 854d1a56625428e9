//! Where a `[[route]]` leads.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::error::Origin;
use super::reader::{Reader, Section};
use super::route::Known;
use super::suggest::nearest;
use super::trunk::{NAME_RULE, is_name};
use super::value::text_value;

/// Trunks or users that one route may lead to at most.
const MAX_NAMED: usize = 10;
/// The greatest weight of a trunk.
const MAX_WEIGHT: u64 = 1_000;

/// Who answers a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// An agent, by its name.
    Agent(String),
    /// All who are in a conference room, by its name.
    Room(String),
    /// Who has the number that was called, over one of these trunks.
    Trunks(Vec<WeightedTrunk>),
    /// The phones that users have registered.
    Users {
        /// The users' names.
        names: Vec<String>,
        /// Whether they ring all at once or one after the other.
        hunt: Hunt,
    },
    /// Nobody: the call is refused.
    Reject(Rejection),
}

/// A trunk of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedTrunk {
    /// Its name.
    pub name: String,
    /// The share of calls that try it first; all alike are tried in the order that is written.
    pub weight: u32,
}

/// How several users are rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hunt {
    /// All at once: the first that answers has the call.
    #[default]
    All,
    /// One after the other, each for as long as `ring_s` says.
    InTurn,
}

impl FromStr for Hunt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "in-turn" => Ok(Self::InTurn),
            _ => Err(format!("{text:?} is neither \"all\" nor \"in-turn\"")),
        }
    }
}

text_value!(Hunt, "\"all\" or \"in-turn\"");

/// Why a route refuses a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The callee is busy.
    Busy,
    /// The callee does not want the call.
    Declined,
    /// There is no such number.
    NotFound,
    /// The callee cannot be reached now.
    Unavailable,
    /// The number is no longer in use.
    Gone,
}

impl Rejection {
    const ALL: [Self; 5] = [
        Self::Busy,
        Self::Declined,
        Self::NotFound,
        Self::Unavailable,
        Self::Gone,
    ];

    /// The SIP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Busy => 486,
            Self::Declined => 603,
            Self::NotFound => 404,
            Self::Unavailable => 480,
            Self::Gone => 410,
        }
    }

    /// The cause that telephone networks give for it (ITU-T Q.850).
    #[must_use]
    pub fn q850(self) -> u8 {
        match self {
            Self::Busy => 17,
            Self::Declined => 21,
            Self::NotFound => 1,
            Self::Unavailable => 20,
            Self::Gone => 22,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::NotFound => "not-found",
            Self::Unavailable => "unavailable",
            Self::Gone => "gone",
        }
    }
}

impl FromStr for Rejection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|cause| cause.as_str() == text);
        found.ok_or_else(|| {
            let words = Self::ALL.map(|cause| format!("{:?}", cause.as_str()));
            format!("{text:?} is not a cause: write {}", words.join(", "))
        })
    }
}

text_value!(Rejection, "a cause such as \"busy\"");

impl RouteTarget {
    /// Whether a call that goes there is bridged: it has a leg at each side.
    #[must_use]
    pub fn is_bridged(&self) -> bool {
        matches!(self, Self::Trunks(_) | Self::Users { .. })
    }
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => f.write_str(name),
            Self::Room(name) => write!(f, "room {name}"),
            Self::Trunks(trunks) => {
                let names: Vec<&str> = trunks.iter().map(|trunk| trunk.name.as_str()).collect();
                write!(f, "trunk {}", names.join(", "))
            }
            Self::Users { names, .. } => write!(f, "user {}", names.join(", ")),
            Self::Reject(cause) => write!(f, "nobody: {}", cause.as_str()),
        }
    }
}

/// Reads who answers: one key of several says it.
pub(super) fn read(r: &mut Reader<'_>, s: &mut Section, known: &Known) -> Option<RouteTarget> {
    let keys = ["agent", "room", "trunk", "user", "reject"];
    let written: Vec<&'static str> = keys.into_iter().filter(|key| s.has(key)).collect();
    let origins: Vec<Origin> = written.iter().map(|key| s.origin_of(key)).collect();
    let (weights_at, hunt_at) = (s.origin_of("weights"), s.origin_of("hunt"));
    let agent = s.opt::<String>(r, "agent");
    let room = s.opt::<String>(r, "room");
    let trunks = s.one_or_list::<String>(r, "trunk");
    let weights = s.list::<u64>(r, "weights");
    let users = s.one_or_list::<String>(r, "user");
    let hunt = s.opt::<Hunt>(r, "hunt");
    let reject = s.opt::<Rejection>(r, "reject");
    let (key, origin) = match (written.as_slice(), origins.as_slice()) {
        ([key], [origin]) => (*key, origin),
        ([key, other, ..], [_, origin, ..]) => {
            let message = format!("a route leads to one place: take {other} or {key} away");
            s.wrong(r, other, origin, message);
            return None;
        }
        _ => {
            let message = "is missing: name the agent that answers, or a room, trunk or user, or \
                           say why nobody does (reject)";
            let origin = s.origin.clone();
            s.wrong(r, "agent", &origin, message);
            return None;
        }
    };
    if weights.is_some() && key != "trunk" {
        s.wrong(
            r,
            "weights",
            &weights_at,
            "is for a route with `trunk` alone",
        );
    }
    if hunt.is_some() && key != "user" {
        s.wrong(r, "hunt", &hunt_at, "is for a route with `user` alone");
    }
    match key {
        "room" => {
            let name = room?;
            if !is_name(&name) {
                s.wrong(r, key, origin, NAME_RULE);
                return None;
            }
            Some(RouteTarget::Room(name))
        }
        "trunk" => {
            let names = trunks?;
            let section = "[[trunk]] that places calls";
            check(r, s, (key, origin), &names, (section, &known.trunks));
            let weights = check_weights(r, s, &weights_at, weights, names.len());
            let named = names.into_iter().zip(weights);
            let trunk = |(name, weight)| WeightedTrunk { name, weight };
            Some(RouteTarget::Trunks(named.map(trunk).collect()))
        }
        "user" => {
            let names = users?;
            check(r, s, (key, origin), &names, ("[[user]]", &known.users));
            let hunt = hunt.unwrap_or_default();
            Some(RouteTarget::Users { names, hunt })
        }
        "reject" => reject.map(RouteTarget::Reject),
        _ => {
            let name = agent?;
            let names = std::slice::from_ref(&name);
            check(r, s, (key, origin), names, ("[[agent]]", &known.agents));
            Some(RouteTarget::Agent(name))
        }
    }
}

/// Checks that each name is known, and written once.
fn check(
    r: &mut Reader<'_>,
    s: &Section,
    (key, origin): (&'static str, &Origin),
    names: &[String],
    (section, known): (&str, &BTreeSet<String>),
) {
    if names.is_empty() || names.len() > MAX_NAMED {
        let message = format!("names {}: from 1 to {MAX_NAMED}", names.len());
        s.wrong(r, key, origin, message);
    }
    for (n, name) in names.iter().enumerate() {
        if names.iter().take(n).any(|other| other == name) {
            s.wrong(r, key, origin, format!("names {name:?} twice"));
        }
        if known.contains(name) {
            continue;
        }
        let mend = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("the nearest is {near:?}"),
            None => format!("there is no {section} at all"),
        };
        let message = format!("no {section} is named {name:?}; {mend}");
        s.wrong(r, key, origin, message);
    }
}

/// Checks that there is a weight for each trunk; without any all are alike.
fn check_weights(
    r: &mut Reader<'_>,
    s: &Section,
    origin: &Origin,
    weights: Option<Vec<u64>>,
    trunks: usize,
) -> Vec<u32> {
    let Some(weights) = weights else {
        return vec![0; trunks];
    };
    if weights.len() != trunks
        || weights
            .iter()
            .any(|weight| !(1..=MAX_WEIGHT).contains(weight))
    {
        let message =
            format!("needs a number from 1 to {MAX_WEIGHT} for each of the {trunks} trunks");
        s.wrong(r, "weights", origin, message);
    }
    let weights = weights.into_iter().map(super::sip::small);
    weights.chain(std::iter::repeat(1)).take(trunks).collect()
}
