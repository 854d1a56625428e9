//! `[[route.then]]`: who is called next where nobody before has answered.

use std::collections::BTreeSet;

use super::error::Origin;
use super::reader::{Reader, Section};
use super::route::{Known, RING_S, RouteConfig};
use super::sip::small;
use super::target::{self, RouteTarget};

/// Those who may come next of one route, at most.
const MAX_NEXT: usize = 5;
/// Digits of the longest number.
const MAX_DIGITS: usize = 20;

/// Who is called next, where nobody before has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Users, trunks, or as the last an agent.
    pub target: RouteTarget,
    /// Over trunks: the number to call; none calls the one that was called.
    pub to: Option<String>,
    /// How long it may ring there, in s.
    pub ring_s: u32,
}

impl Next {
    /// Reads those who come after the route's own target.
    pub(super) fn read_all(
        r: &mut Reader<'_>,
        s: &mut Section,
        known: &Known,
        first: Option<&RouteTarget>,
    ) -> Vec<Self> {
        let key = "then";
        let origin = s.origin_of(key);
        let sections = s.sections(r, key);
        if sections.is_empty() {
            return Vec::new();
        }
        if first.is_some_and(|first| !first.is_bridged()) {
            s.wrong(
                r,
                key,
                &origin,
                "is for a route with `user` or `trunk` alone",
            );
        }
        if sections.len() > MAX_NEXT {
            let message = format!("names {}: {MAX_NEXT} at most", sections.len());
            s.wrong(r, key, &origin, message);
        }
        let last = sections.len().saturating_sub(1);
        let mut rung = BTreeSet::new();
        names_once(r, s, (key, &origin), first, &mut rung);
        let mut all = Vec::new();
        for (n, mut section) in sections.into_iter().enumerate() {
            let at = section.origin.clone();
            let target = target::read(r, &mut section, known);
            let to = read_number(r, &mut section, target.as_ref());
            let ring_s = small(section.number(r, "ring_s", 1..=300, RING_S));
            section.finish(r);
            let wrong = match &target {
                Some(RouteTarget::Agent(_)) if n < last => {
                    Some("an agent always answers: nobody comes after it")
                }
                Some(RouteTarget::Room(_) | RouteTarget::Reject(_)) => {
                    Some("leads to users, trunks, or as the last to an agent")
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                s.wrong(r, key, &at, wrong);
            }
            names_once(r, s, (key, &at), target.as_ref(), &mut rung);
            all.extend(target.map(|target| Self { target, to, ring_s }));
        }
        all
    }
}

/// Reports users who would be rung a second time, and notes the others.
fn names_once(
    r: &mut Reader<'_>,
    s: &Section,
    (key, origin): (&'static str, &Origin),
    target: Option<&RouteTarget>,
    rung: &mut BTreeSet<String>,
) {
    let Some(RouteTarget::Users { names, .. }) = target else {
        return;
    };
    let before: Vec<_> = names.iter().filter(|name| rung.contains(*name)).collect();
    for name in before {
        let message = format!("goes round: user {name:?} was rung before, and has not answered");
        s.wrong(r, key, origin, message);
    }
    rung.extend(names.iter().cloned());
}

/// Reads which number is called over trunks.
fn read_number(
    r: &mut Reader<'_>,
    s: &mut Section,
    target: Option<&RouteTarget>,
) -> Option<String> {
    let key = "to";
    let origin = s.origin_of(key);
    let number: String = s.opt(r, key)?;
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let is_number = (1..=MAX_DIGITS).contains(&digits.len())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || b"*#".contains(&b));
    let wrong = if !matches!(target, Some(RouteTarget::Trunks(_)) | None) {
        "is for `trunk` alone"
    } else if !is_number {
        "is no number: write it like \"+12025550123\""
    } else {
        return Some(number);
    };
    s.wrong(r, key, &origin, wrong);
    None
}

/// Finds the route whose calls would come back to it, as it and those after it forward them to
/// numbers of ours; gives its place and the number by which it leaves.
pub(super) fn find_round(routes: &[RouteConfig]) -> Option<(usize, String)> {
    let numbers = |route: &RouteConfig| -> Vec<String> {
        let over_trunks = route.then.iter().filter_map(|next| next.to.clone());
        over_trunks.collect()
    };
    // What rings users takes calls in: a number that leads there is one of ours.
    let takes = |number: &str| {
        let rings = |route: &&RouteConfig| matches!(route.target, RouteTarget::Users { .. });
        let fits = |route: &&RouteConfig| !route.to.is_any() && route.to.matches(number);
        let mut found = routes.iter().enumerate();
        found
            .find(|(_, route)| rings(route) && fits(route))
            .map(|(at, _)| at)
    };
    for (start, route) in routes.iter().enumerate() {
        for number in numbers(route) {
            let (mut seen, mut waits) = (BTreeSet::new(), vec![number.clone()]);
            while let Some(next) = waits.pop() {
                match takes(&next) {
                    Some(at) if at == start => return Some((start, number)),
                    Some(at) if seen.insert(at) => {
                        waits.extend(routes.get(at).map(numbers).unwrap_or_default());
                    }
                    _ => {}
                }
            }
        }
    }
    None
}
