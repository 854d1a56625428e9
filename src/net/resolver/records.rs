//! What the records of a domain mean: which service comes first (RFC 3263 §4.1, RFC 3403), and in
//! which order its servers are tried (RFC 2782).

use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use offhook_sip::Transport;

/// A NAPTR record that leads to SRV records of a service that we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naptr {
    pub(super) order: u16,
    pub(super) preference: u16,
    pub(super) transport: Transport,
    /// The name of the SRV records.
    pub(super) replacement: String,
}

impl Naptr {
    /// Reads a record; none where it is for another service, or rewrites instead of replacing.
    pub(super) fn read(record: &NAPTR) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_uppercase();
        let transport = match text(&record.services).as_str() {
            "SIP+D2U" => Transport::Udp,
            "SIP+D2T" => Transport::Tcp,
            "SIPS+D2T" => Transport::Tls,
            _ => return None,
        };
        let leads_to_srv = text(&record.flags) == "S" && !record.replacement.is_root();
        leads_to_srv.then(|| Self {
            order: record.order,
            preference: record.preference,
            transport,
            replacement: record.replacement.to_string(),
        })
    }
}

/// The services that a domain has and we can use, the one that it wants first: by order, and by
/// preference within one.
pub(super) fn services(mut records: Vec<Naptr>, usable: &[Transport]) -> Vec<(Transport, String)> {
    records.retain(|record| usable.contains(&record.transport));
    records.sort_by_key(|record| (record.order, record.preference));
    let services = records.into_iter();
    services
        .map(|record| (record.transport, record.replacement))
        .collect()
}

/// The name of the SRV records of a domain's service where no NAPTR record names another
/// (RFC 3263 §4.1).
pub(super) fn service_name(transport: Transport, host: &str) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tls => "_sips._tcp",
        _ => "_sip._tcp",
    };
    format!("{service}.{host}.")
}

/// A server of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Srv {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) target: String,
    pub(super) port: u16,
}

impl Srv {
    /// Reads a record; none where it says that the service is not there.
    pub(super) fn read(record: &SRV) -> Option<Self> {
        let is_there = !record.target.is_root();
        is_there.then(|| Self {
            priority: record.priority,
            weight: record.weight,
            target: record.target.to_string().trim_end_matches('.').to_owned(),
            port: record.port,
        })
    }
}

/// Puts servers into the order in which they are tried: by priority, and within one as `draw` has
/// it, which gives a number from 0 to the one that it gets, so that each comes first as often as its
/// weight says.
pub(super) fn in_order(mut servers: Vec<Srv>, mut draw: impl FnMut(u32) -> u32) -> Vec<Srv> {
    // Those without weight stand first, so that they have a small chance.
    servers.sort_by_key(|server| (server.priority, server.weight > 0));
    let mut ordered = Vec::with_capacity(servers.len());
    while let Some(first) = servers.first() {
        let priority = first.priority;
        let of_it = servers.partition_point(|server| server.priority <= priority);
        let weights = servers
            .iter()
            .take(of_it)
            .map(|server| u32::from(server.weight));
        let drawn = draw(weights.clone().sum());
        let mut running = 0;
        let at = weights.into_iter().position(|weight| {
            running += weight;
            running >= drawn
        });
        ordered.push(servers.remove(at.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn server(priority: u16, weight: u16, target: &str) -> Srv {
        Srv {
            priority,
            weight,
            target: target.to_owned(),
            port: 5060,
        }
    }

    fn targets(servers: &[Srv]) -> Vec<&str> {
        servers
            .iter()
            .map(|server| server.target.as_str())
            .collect()
    }

    #[test]
    fn servers_of_a_priority_are_tried_by_what_is_drawn_and_no_later_priority_before() {
        let servers = || {
            vec![
                server(2, 10, "later"),
                server(1, 30, "b"),
                server(1, 10, "a"),
                server(1, 0, "none"),
            ]
        };
        let mut asked = Vec::new();
        let mut draw = |numbers: &[u32]| {
            let mut numbers = numbers.iter().copied();
            let ordered = in_order(servers(), |most| {
                asked.push(most);
                numbers.next().unwrap_or(0)
            });
            targets(&ordered).join(" ")
        };
        assert_eq!(draw(&[0, 31, 0, 0]), "none a b later");
        assert_eq!(draw(&[30, 10, 0, 0]), "b a none later");
        assert_eq!(draw(&[40, 1, 30, 10]), "a b none later");
        assert_eq!(asked[..4], [40, 40, 30, 10]);
    }

    #[test]
    fn each_server_comes_first_as_often_as_its_weight_says() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut first = [0_u32; 3];
        for _ in 0..10_000 {
            let servers = vec![server(1, 60, "0"), server(1, 30, "1"), server(1, 10, "2")];
            let ordered = in_order(servers, |most| rng.random_range(0..=most));
            first[ordered[0].target.parse::<usize>().unwrap()] += 1;
        }
        let near = |count: u32, share: f64| (f64::from(count) / 10_000.0 - share).abs() < 0.03;
        assert!(
            near(first[0], 0.6) && near(first[1], 0.3) && near(first[2], 0.1),
            "{first:?}"
        );
    }

    #[test]
    fn the_service_that_the_domain_wants_comes_first_of_those_that_we_can_use() {
        let naptr = |order, preference, transport, name: &str| Naptr {
            order,
            preference,
            transport,
            replacement: name.to_owned(),
        };
        let records = || {
            vec![
                naptr(20, 1, Transport::Udp, "udp"),
                naptr(10, 50, Transport::Tcp, "tcp"),
                naptr(10, 10, Transport::Tls, "tls"),
            ]
        };
        let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
        let names = |usable: &[Transport]| {
            let services = services(records(), usable).into_iter();
            services.map(|(_, name)| name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&all), "tls tcp udp");
        assert_eq!(names(&all[..2]), "tcp udp");
        assert_eq!(names(&[Transport::Udp]), "udp");
    }
}
