//! Routes: which agent answers a called number or name.

use crate::config::RouteConfig;

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

    /// Finds the agent for a call from `caller` to `called`, both user parts.
    #[must_use]
    pub fn agent_for(&self, called: &str, caller: &str) -> Option<&str> {
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
            .map(String::as_str)
            .or_else(|| by_route().map(|route| route.agent.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &str, from: &str, agent: &str) -> RouteConfig {
        RouteConfig {
            to: to.parse().unwrap(),
            from: from.parse().unwrap(),
            agent: agent.to_owned(),
        }
    }

    #[test]
    fn the_first_route_that_fits_answers_and_an_agents_own_name_always_does() {
        let routes = vec![route("1*", "44*", "sales"), route("1*", "*", "support")];
        let table = RouteTable::new(routes, vec!["sales".into(), "support".into()]);
        assert_eq!(table.agent_for("1202", "44123"), Some("sales"));
        assert_eq!(table.agent_for("1202", "49123"), Some("support"));
        assert_eq!(table.agent_for("Sales", "49123"), Some("sales"));
        assert_eq!(table.agent_for("44", ""), None);
    }
}
