//! Routes: who answers a called number or name.

use std::time::Duration;

use crate::config::{RouteConfig, RouteTarget};

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Who answers.
    pub target: RouteTarget,
    /// Whether the route that says so is for calls of one trunk.
    pub names_trunk: bool,
    /// How long it may ring there.
    pub ring: Duration,
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

    /// Finds who answers a call from `caller` to `called`, both user parts, that came in over this
    /// trunk or none.
    #[must_use]
    pub fn route(&self, called: &str, caller: &str, trunk: Option<&str>) -> Option<Routed> {
        let mut agents = self.agents.iter();
        if let Some(agent) = agents.find(|agent| agent.eq_ignore_ascii_case(called)) {
            return Some(Routed {
                target: RouteTarget::Agent(agent.clone()),
                names_trunk: false,
                ring: Duration::ZERO,
            });
        }
        let mut routes = self.routes.iter();
        let route = routes.find(|route| route.matches(called, caller, trunk))?;
        Some(Routed {
            target: route.target.clone(),
            names_trunk: route.from_trunk.is_some(),
            ring: Duration::from_secs(u64::from(route.ring_s)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &str, from: &str, target: RouteTarget) -> RouteConfig {
        RouteConfig {
            to: to.parse().unwrap(),
            from: from.parse().unwrap(),
            from_trunk: None,
            target,
            ring_s: 20,
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
            let routed = table.route(called, caller, None);
            routed.map(|routed| routed.target)
        };
        assert_eq!(target("1202", "44123"), Some(agent("sales")));
        assert_eq!(target("1202", "49123"), Some(room));
        assert_eq!(target("1302", "49123"), Some(agent("support")));
        assert_eq!(target("Sales", "49123"), Some(agent("sales")));
        assert_eq!(target("44", ""), None);
        assert_eq!(table.route("1202", "1", None).unwrap().ring.as_secs(), 20);
    }

    #[test]
    fn a_route_of_one_trunk_is_for_nobody_else_whatever_they_say_they_are() {
        let carrier = RouteConfig {
            from_trunk: Some("carrier".to_owned()),
            ..route("*", "44*", RouteTarget::Trunk("other".to_owned()))
        };
        let table = RouteTable::new(vec![carrier], Vec::new());
        let routed = table.route("1202", "44123", Some("carrier")).unwrap();
        assert!(routed.names_trunk);
        assert_eq!(table.route("1202", "44123", Some("other")), None);
        assert_eq!(table.route("1202", "44123", None), None);
    }
}
