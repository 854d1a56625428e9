//! Routes: who answers a called number or name.

use crate::config::{RouteConfig, RouteTarget};

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
    pub fn target_of(&self, called: &str, caller: &str) -> Option<RouteTarget> {
        let by_name = self
            .agents
            .iter()
            .find(|agent| agent.eq_ignore_ascii_case(called));
        let by_route = || {
            self.routes
                .iter()
                .find(|route| route.matches(called, caller))
        };
        by_name
            .map(|agent| RouteTarget::Agent(agent.clone()))
            .or_else(|| by_route().map(|route| route.target.clone()))
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
        assert_eq!(table.target_of("1202", "44123"), Some(agent("sales")));
        assert_eq!(table.target_of("1202", "49123"), Some(room));
        assert_eq!(table.target_of("1302", "49123"), Some(agent("support")));
        assert_eq!(table.target_of("Sales", "49123"), Some(agent("sales")));
        assert_eq!(table.target_of("44", ""), None);
    }
}
