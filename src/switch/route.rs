//! Routes: who answers a called number or name.

use std::time::Duration;

use crate::config::{RouteConfig, RouteTarget};

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Who answers.
    pub target: RouteTarget,
    /// Whether the route that says so names its callers.
    pub names_caller: bool,
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

    /// Finds who answers a call from `caller` to `called`, both user parts.
    #[must_use]
    pub fn route(&self, called: &str, caller: &str) -> Option<Routed> {
        let mut agents = self.agents.iter();
        if let Some(agent) = agents.find(|agent| agent.eq_ignore_ascii_case(called)) {
            return Some(Routed {
                target: RouteTarget::Agent(agent.clone()),
                names_caller: false,
                ring: Duration::ZERO,
            });
        }
        let mut routes = self.routes.iter();
        let route = routes.find(|route| route.matches(called, caller))?;
        Some(Routed {
            target: route.target.clone(),
            names_caller: !route.from.is_any(),
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
        let target = |called, caller| table.route(called, caller).map(|routed| routed.target);
        assert_eq!(target("1202", "44123"), Some(agent("sales")));
        assert_eq!(target("1202", "49123"), Some(room));
        assert_eq!(target("1302", "49123"), Some(agent("support")));
        assert_eq!(target("Sales", "49123"), Some(agent("sales")));
        assert_eq!(target("44", ""), None);
        let names = |caller| table.route("1202", caller).unwrap().names_caller;
        assert!(names("44123") && !names("1"));
        assert_eq!(table.route("1202", "1").unwrap().ring.as_secs(), 20);
    }
}
