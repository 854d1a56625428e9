//! `[[route]]`: which call goes where.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::headers;
use super::hours::Opening;
use super::next::{self, Next};
use super::pattern::Pattern;
use super::reader::{Reader, Section};
use super::sip::small;
use super::suggest::nearest;
use super::target::{self, RouteTarget};

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
    /// Only calls whose INVITE has these header fields, each with a value that matches.
    pub headers: BTreeMap<String, Pattern>,
    /// When it is open; always where nothing is written.
    pub opening: Option<Opening>,
    /// Who answers.
    pub target: RouteTarget,
    /// How long a trunk or user may ring, in s.
    pub ring_s: u32,
    /// Who is called next, one after the other, where nobody has answered.
    pub then: Vec<Next>,
}

/// What is asked of the routes: a call that came in.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The number or name that was called.
    pub to: &'a str,
    /// The number or name that calls.
    pub from: &'a str,
    /// The trunk that it came in over.
    pub trunk: Option<&'a str>,
    /// The header fields of its INVITE.
    pub headers: &'a [(String, String)],
    /// When it came.
    pub at: Timestamp,
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
    /// Reports whether this route takes a call.
    pub fn matches(&self, call: &Asked<'_>) -> bool {
        let wanted = self.from_trunk.as_deref();
        let over = wanted.is_none() || wanted == call.trunk;
        let has = |(name, value): (&String, &Pattern)| {
            let named = |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
            let mut found = call.headers.iter().filter(named);
            found.any(|(_, found)| value.matches(found.trim()))
        };
        let opening = self.opening.as_ref();
        let open = opening.is_none_or(|opening| opening.holds(call.at));
        open && over
            && self.to.matches(call.to)
            && self.from.matches(call.from)
            && self.headers.iter().all(has)
    }

    fn takes_all(&self) -> bool {
        let anybody = self.to.is_any() && self.from.is_any();
        let always = self.opening.is_none() && self.headers.is_empty();
        anybody && always && self.from_trunk.is_none()
    }

    pub(super) fn read_all(r: &mut Reader<'_>, sections: Vec<Section>, known: &Known) -> Vec<Self> {
        let (mut routes, mut origins): (Vec<Self>, Vec<_>) = Default::default();
        for mut s in sections {
            let to = s.or(r, "to", Pattern::any());
            let from = s.or(r, "from", Pattern::any());
            let from_trunk = read_from_trunk(r, &mut s, known);
            let headers = headers::read_wanted(r, &mut s);
            let opening = Opening::read(r, &mut s);
            let target = target::read(r, &mut s, known);
            let ring_s = small(s.number(r, "ring_s", 1..=300, RING_S));
            let origin = s.origin_of("then");
            let then = Next::read_all(r, &mut s, known, target.as_ref());
            if target.is_some() && routes.iter().any(Self::takes_all) {
                let message = "an earlier route takes every call already";
                r.warn(&s.origin, "route", message);
            }
            s.finish(r);
            origins.extend(target.is_some().then_some(origin));
            routes.extend(target.map(|target| Self {
                to,
                from,
                from_trunk,
                headers,
                opening,
                target,
                ring_s,
                then,
            }));
        }
        if let Some((at, number)) = next::find_round(&routes)
            && let Some(origin) = origins.get(at)
        {
            let message = format!("goes round: {number} leads back to this route");
            r.problem(origin, "route.then", message);
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
