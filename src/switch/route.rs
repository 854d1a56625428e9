//! Routes: who answers a called number or name.

use std::time::Duration;

use crate::config::{Asked, Next, RouteConfig, RouteTarget, WeightedTrunk};

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Who answers.
    pub target: RouteTarget,
    /// Whether the route that says so is for calls of one trunk.
    pub names_trunk: bool,
    /// How long it may ring there.
    pub ring: Duration,
    /// Who is called next where nobody answers there.
    pub then: Vec<Next>,
}

/// Routes in the order of the configuration: the first that fits answers.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    routes: Vec<RouteConfig>,
    agents: Vec<String>,
}

impl RouteTable {
    /// Makes a table over `routes`; an agent can also be called by its own name.
    #[must_use]
    pub fn new(routes: Vec<RouteConfig>, agents: Vec<String>) -> Self {
        Self { routes, agents }
    }

    /// Finds who answers a call.
    #[must_use]
    pub fn route(&self, call: &Asked<'_>) -> Option<Routed> {
        let mut agents = self.agents.iter();
        if let Some(agent) = agents.find(|agent| agent.eq_ignore_ascii_case(call.to)) {
            return Some(Routed {
                target: RouteTarget::Agent(agent.clone()),
                names_trunk: false,
                ring: Duration::ZERO,
                then: Vec::new(),
            });
        }
        let mut routes = self.routes.iter();
        routes.find(|route| route.matches(call)).map(Routed::by)
    }

    /// Finds where a call of an agent's own goes, by its name as who calls: by the first route that
    /// fits and leads to trunks or users. A route to an agent or a room takes calls in, and says
    /// nothing of where one goes out; nor does one that rejects whatever nothing else takes.
    #[must_use]
    pub fn way_out(&self, call: &Asked<'_>) -> Option<Routed> {
        let leads_out = |route: &&RouteConfig| match route.target {
            RouteTarget::Trunks(_) | RouteTarget::Users { .. } => true,
            RouteTarget::Reject(_) => !route.to.is_any(),
            RouteTarget::Agent(_) | RouteTarget::Room(_) => false,
        };
        let mut routes = self.routes.iter().filter(leads_out);
        routes.find(|route| route.matches(call)).map(Routed::by)
    }
}

/// One of those to whom a route leads.
#[derive(Debug, Clone, Copy)]
pub struct Towards<'r> {
    /// Who.
    pub whom: &'r RouteTarget,
    /// Over trunks: the number to call; none calls the one that was called.
    pub to: Option<&'r str>,
    /// How long it may ring.
    pub ring: Duration,
}

impl<'r> Towards<'r> {
    fn of(next: &'r Next) -> Self {
        Self {
            whom: &next.target,
            to: next.to.as_deref(),
            ring: Duration::from_secs(u64::from(next.ring_s)),
        }
    }
}

impl Routed {
    /// To whom it leads, one after the other.
    pub fn targets(&self) -> impl Iterator<Item = Towards<'_>> {
        let first = Towards {
            whom: &self.target,
            to: None,
            ring: self.ring,
        };
        std::iter::once(first).chain(self.then.iter().map(Towards::of))
    }

    fn by(route: &RouteConfig) -> Self {
        Self {
            target: route.target.clone(),
            names_trunk: route.from_trunk.is_some(),
            ring: Duration::from_secs(u64::from(route.ring_s)),
            then: route.then.clone(),
        }
    }
}

/// The order in which trunks are tried for one call: as they are written where none has a weight,
/// else drawn, each as likely first among those that are left as its weight says. `draw` gives a
/// number below the one that it is given.
#[must_use]
pub fn trunk_order(trunks: &[WeightedTrunk], mut draw: impl FnMut(u32) -> u32) -> Vec<&str> {
    let mut left: Vec<&WeightedTrunk> = trunks.iter().collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let total: u32 = left.iter().map(|trunk| trunk.weight).sum();
        let mut drawn = if total == 0 { 0 } else { draw(total) };
        let takes = |trunk: &&WeightedTrunk| match drawn.checked_sub(trunk.weight) {
            Some(rest) if total > 0 => {
                drawn = rest;
                false
            }
            _ => true,
        };
        let at = left.iter().position(takes).unwrap_or(0);
        order.push(left.remove(at).name.as_str());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(to: &'a str, from: &'a str, trunk: Option<&'a str>) -> Asked<'a> {
        Asked {
            to,
            from,
            trunk,
            headers: &[],
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn trunks(of: &[(&str, u32)]) -> Vec<WeightedTrunk> {
        let trunk = |(name, weight): &(&str, u32)| WeightedTrunk {
            name: (*name).to_owned(),
            weight: *weight,
        };
        of.iter().map(trunk).collect()
    }

    #[test]
    fn trunks_without_weights_are_tried_as_they_are_written() {
        let trunks = trunks(&[("b", 0), ("a", 0)]);
        assert_eq!(trunk_order(&trunks, |_| unreachable!()), ["b", "a"]);
    }

    #[test]
    fn trunks_are_tried_first_as_often_as_their_weight_says_and_each_once() {
        let trunks = trunks(&[("a", 3), ("b", 1)]);
        let first = |drawn| trunk_order(&trunks, |total| drawn % total);
        for drawn in 0..3 {
            assert_eq!(first(drawn), ["a", "b"]);
        }
        assert_eq!(first(3), ["b", "a"]);
    }

    #[test]
    fn a_route_for_a_header_takes_the_calls_that_have_it() {
        let tenant = RouteConfig {
            headers: [("X-Tenant".to_owned(), "acme*".parse().unwrap())].into(),
            ..route("*", "*", agent("acme"))
        };
        let table = RouteTable::new(vec![tenant], Vec::new());
        let headers = [("x-tenant".to_owned(), " acme-7 ".to_owned())];
        let call = Asked {
            headers: &headers,
            ..asked("1202", "44", None)
        };
        assert!(table.route(&call).is_some());
        assert_eq!(table.route(&asked("1202", "44", None)), None);
    }

    fn route(to: &str, from: &str, target: RouteTarget) -> RouteConfig {
        RouteConfig {
            to: to.parse().unwrap(),
            from: from.parse().unwrap(),
            from_trunk: None,
            headers: Default::default(),
            opening: None,
            target,
            ring_s: 20,
            then: Vec::new(),
        }
    }

    fn agent(name: &str) -> RouteTarget {
        RouteTarget::Agent(name.to_owned())
    }

    #[test]
    fn the_first_route_that_fits_answers_and_an_agents_own_name_always_does() {
        let room = RouteTarget::Room("sales".to_owned());
        let routes = vec![
            route("1*", "44*", agent("sales")),
            route("12*", "49*", room.clone()),
            route("1*", "*", agent("support")),
        ];
        let table = RouteTable::new(routes, vec!["sales".into(), "support".into()]);
        let target = |called, caller| {
            let routed = table.route(&asked(called, caller, None));
            routed.map(|routed| routed.target)
        };
        assert_eq!(target("1202", "44123"), Some(agent("sales")));
        assert_eq!(target("1202", "49123"), Some(room));
        assert_eq!(target("1302", "49123"), Some(agent("support")));
        assert_eq!(target("Sales", "49123"), Some(agent("sales")));
        assert_eq!(target("44", ""), None);
        assert_eq!(
            table
                .route(&asked("1202", "1", None))
                .unwrap()
                .ring
                .as_secs(),
            20
        );
    }

    #[test]
    fn an_agents_own_call_goes_by_the_first_route_that_leads_out_and_is_for_it() {
        let over = |name: &str| RouteTarget::Trunks(trunks(&[(name, 0)]));
        let desk = RouteTarget::Users {
            names: vec!["ann".to_owned()],
            hunt: Default::default(),
        };
        let reject = RouteTarget::Reject(crate::config::Rejection::NotFound);
        let carriers = RouteConfig {
            from_trunk: Some("carrier".to_owned()),
            ..route("+44*", "*", over("carriers"))
        };
        let routes = vec![
            route("+4490*", "*", reject.clone()),
            carriers,
            route("+44*", "ann", over("anns")),
            route("+44*", "sales", over("sales")),
            route("+4420*", "*", agent("sales")),
            route("100", "*", desk.clone()),
            route("*", "*", agent("sales")),
            route("+44*", "*", over("all")),
            route("*", "*", reject.clone()),
        ];
        let table = RouteTable::new(routes, vec!["sales".into()]);
        let goes = |to, by| table.way_out(&asked(to, by, None)).map(|way| way.target);
        assert_eq!(goes("+442079460123", "sales"), Some(over("sales")));
        assert_eq!(goes("+442079460123", "support"), Some(over("all")));
        assert_eq!(goes("+44909879", "sales"), Some(reject));
        assert_eq!(goes("100", "sales"), Some(desk));
        assert_eq!(goes("+12025550123", "sales"), None);
    }

    #[test]
    fn a_route_of_one_trunk_is_for_nobody_else_whatever_they_say_they_are() {
        let carrier = RouteConfig {
            from_trunk: Some("carrier".to_owned()),
            ..route("*", "44*", RouteTarget::Trunks(trunks(&[("other", 0)])))
        };
        let table = RouteTable::new(vec![carrier], Vec::new());
        let routed = table
            .route(&asked("1202", "44123", Some("carrier")))
            .unwrap();
        assert!(routed.names_trunk);
        assert_eq!(table.route(&asked("1202", "44123", Some("other"))), None);
        assert_eq!(table.route(&asked("1202", "44123", None)), None);
    }
}
