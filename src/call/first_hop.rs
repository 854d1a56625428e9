//! Where a trunk's requests go first: its outbound proxy, the route that its registrar wants
//! (RFC 3608), or the trunk itself.

use offhook_sip::Transport;
use offhook_sip::uri::{Scheme, Uri};

use super::outbound::host_and_port;
use crate::config::TrunkConfig;
use crate::net::sip::Whom;

/// A host that requests go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirstHop {
    /// The host.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: Option<u16>,
    /// The transport, where it is pinned.
    pub(crate) pinned: Option<Transport>,
}

impl FirstHop {
    /// Where a trunk's requests go by its configuration alone, as its registrations do.
    pub(crate) fn configured(trunk: &TrunkConfig) -> Self {
        let (host, port) = match &trunk.outbound_proxy {
            Some(proxy) => host_and_port(proxy),
            None => (trunk.host.clone(), trunk.port),
        };
        Self {
            host,
            port,
            pinned: trunk.transport.map(Transport::from),
        }
    }

    /// Where its other requests go once its registrar has said which route they shall take; none
    /// where that is where they go anyway.
    pub(crate) fn of_service_route(trunk: &TrunkConfig, service_route: &[String]) -> Option<Self> {
        if trunk.outbound_proxy.is_some() {
            return None;
        }
        let first = service_route.first()?;
        let uri = Uri::parse(uri_of(first)).ok()?;
        let configured = Self::configured(trunk);
        let named = uri.transport().map(str::to_ascii_lowercase);
        let named = match named.as_deref() {
            _ if uri.scheme == Scheme::Sips => Some(Transport::Tls),
            Some("udp") => Some(Transport::Udp),
            Some("tcp") => Some(Transport::Tcp),
            Some("tls") => Some(Transport::Tls),
            _ => None,
        };
        if uri.scheme == Scheme::Sips && configured.pinned.is_some_and(|t| t != Transport::Tls) {
            tracing::warn!(trunk = %trunk.name, "a sips Service-Route is not followed in the clear");
            return None;
        }
        let hop = Self {
            host: uri.host.to_string(),
            port: uri.port,
            pinned: configured.pinned.or(named),
        };
        (hop != configured).then_some(hop)
    }
}

/// The route that a trunk's requests but REGISTER are given: the outbound proxy, and behind it what
/// its registrar wants (RFC 3608 §6.1), which may begin with that proxy.
pub(crate) fn route(trunk: &TrunkConfig, service_route: &[String]) -> Vec<String> {
    let proxy = trunk.outbound_proxy.as_deref();
    let is_proxy = |route: &&String| {
        let (uri, proxy) = (Uri::parse(uri_of(route)).ok(), proxy.map(host_and_port));
        uri.zip(proxy).is_some_and(|(uri, (host, port))| {
            uri.host.to_string().eq_ignore_ascii_case(&host)
                && uri.port.unwrap_or(5060) == port.unwrap_or(5060)
        })
    };
    let known = service_route.first().filter(is_proxy).is_some();
    let proxy = proxy.map(|proxy| format!("<sip:{proxy};lr>"));
    let behind = service_route.iter().skip(usize::from(known));
    proxy.into_iter().chain(behind.cloned()).collect()
}

/// Whom a trunk's connections must reach, where TLS can tell: the host that its configuration names,
/// whatever the DNS or its registrar made of that.
pub(crate) fn whom(trunk: &TrunkConfig) -> Whom {
    Whom {
        host: FirstHop::configured(trunk).host,
        ca: trunk.ca.clone(),
    }
}

fn uri_of(route: &str) -> &str {
    route.trim_start_matches('<').trim_end_matches('>')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env};

    fn trunk(more: &str) -> TrunkConfig {
        let text = format!(
            "[[trunk]]\nname = \"carrier\"\nkind = \"register\"\nhost = \"carrier.test\"\n\
             username = \"us\"\npassword = \"secret\"\n{more}"
        );
        let config = Config::parse(&text, None, &Env::process()).unwrap();
        config.trunks[0].clone()
    }

    fn routes(list: &[&str]) -> Vec<String> {
        list.iter().map(|route| (*route).to_owned()).collect()
    }

    #[test]
    fn the_service_route_stands_behind_the_proxy_which_is_not_named_twice() {
        let proxied = trunk("outbound_proxy = \"edge.test:5070\"\n");
        let core = routes(&["<sip:core.test;lr>"]);
        let both = ["<sip:edge.test:5070;lr>", "<sip:core.test;lr>"];
        assert_eq!(route(&proxied, &core), both);
        let with_proxy = routes(&["<sip:EDGE.test:5070;lr;x=1>", "<sip:core.test;lr>"]);
        assert_eq!(route(&proxied, &with_proxy), both);
        assert_eq!(route(&proxied, &[]), ["<sip:edge.test:5070;lr>"]);
        assert_eq!(FirstHop::of_service_route(&proxied, &core), None);
        assert_eq!(route(&trunk(""), &core), core);
    }

    #[test]
    fn without_a_proxy_requests_go_where_the_service_route_begins() {
        let open = trunk("");
        let hop = |trunk, first| FirstHop::of_service_route(trunk, &routes(&[first]));
        let first = hop(&open, "<sip:core.test:5080;transport=tcp;lr>").unwrap();
        assert_eq!((first.host.as_str(), first.port), ("core.test", Some(5080)));
        assert_eq!(first.pinned, Some(Transport::Tcp));
        let pinned = trunk("transport = \"udp\"\n");
        let first = hop(&pinned, "<sip:core.test;transport=tcp;lr>").unwrap();
        assert_eq!(
            first.pinned,
            Some(Transport::Udp),
            "as the configuration says"
        );
        assert_eq!(hop(&open, "<sip:carrier.test;lr>"), None);
        assert_eq!(hop(&open, "<nonsense>"), None);
    }
}
