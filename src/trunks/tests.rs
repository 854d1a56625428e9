//! Trunks against a name server and a registrar of the test's own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use offhook_sip::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

use super::*;
use crate::call::TrunkState;
use crate::config::Env;
use crate::net::media::{MediaThread, PortPool};
use crate::net::sip::{Listen, Tls};
use crate::switch::Standing;

type Zone = Arc<Mutex<HashMap<String, Vec<RData>>>>;

/// A name server whose records change while it runs; without any it is out of order.
struct NameServer {
    address: SocketAddr,
    zone: Zone,
    asked: watch::Receiver<u64>,
}

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Zone::default();
        let (tell, asked) = watch::channel(0);
        let records = Arc::clone(&zone);
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let answer = answer(&query, &records.lock().unwrap());
                let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
                tell.send_modify(|count| *count += 1);
            }
        });
        Self {
            address,
            zone,
            asked,
        }
    }

    fn set(&self, records: Vec<(&str, RData)>) {
        let mut zone = self.zone.lock().unwrap();
        zone.clear();
        for (name, record) in records {
            zone.entry(format!("{name}.")).or_default().push(record);
        }
    }

    /// Waits until it has been asked again.
    async fn asked_again(&mut self) {
        self.asked.borrow_and_update();
        self.asked.changed().await.unwrap();
    }

    fn keeper(&self, trunk: &str) -> Keeper {
        let text = format!("[[trunk]]\nname = \"carrier\"\n{trunk}");
        let config = Config::parse(&text, None, &Env::process()).unwrap();
        let address = self.address;
        let resolver = Box::new(move || Resolver::asking(address));
        let open = [Transport::Udp, Transport::Tcp];
        Keeper::new(config.trunks[0].clone(), &open, resolver)
    }
}

fn answer(query: &Message, zone: &HashMap<String, Vec<RData>>) -> Message {
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    answer.add_queries(query.queries.clone());
    if zone.is_empty() {
        answer.metadata.response_code = ResponseCode::ServFail;
        return answer;
    }
    let asked = &query.queries[0];
    let name = asked.name.to_string();
    let Some(records) = zone.get(&name) else {
        answer.metadata.response_code = ResponseCode::NXDomain;
        return answer;
    };
    for record in records {
        if record.record_type() == asked.query_type {
            let record = Record::from_rdata(asked.name.clone(), 60, record.clone());
            answer.add_answer(record);
        }
    }
    answer
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

fn a(last: u8) -> RData {
    RData::A(ip(last).into())
}

fn srv(priority: u16, port: u16, target: &str) -> RData {
    let target = Name::from_utf8(format!("{target}.")).unwrap();
    RData::SRV(SRV::new(priority, 0, port, target))
}

fn networks(last: &[u8]) -> Vec<Network> {
    last.iter()
        .map(|last| IpAddr::from(ip(*last)).into())
        .collect()
}

fn line(sip: &Sip) -> Arc<Line> {
    let media = MediaThread::start(None).unwrap();
    let ports = PortPool::new(27_000..=27_009, 7);
    let advertise = offhook_sip::Advertise::default();
    Arc::new(Line::new(sip.clone(), media, ports, advertise))
}

async fn sip(transport: Transport, peers: Vec<TrunkPeer>) -> Sip {
    let listen = Listen {
        transport,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let settings = Settings {
        access: offhook_sip::Access {
            trunks: peers,
            ..Default::default()
        },
        ..Settings::default()
    };
    Sip::start(&[listen], Tls::default(), settings)
        .await
        .unwrap()
        .0
}

#[tokio::test]
async fn calls_are_known_from_the_host_and_the_proxy_by_the_transports_own_records() {
    let server = NameServer::start().await;
    server.set(vec![
        ("_sip._tcp.proxy.test", srv(1, 5070, "edge.test")),
        ("_sip._udp.proxy.test", srv(1, 5070, "other.test")),
        ("edge.test", a(21)),
        ("other.test", a(23)),
        ("host.test", a(22)),
    ]);
    let trunk = "kind = \"peer\"\nhost = \"host.test\"\noutbound_proxy = \"proxy.test\"\n";
    let mut pinned = server.keeper(&format!("{trunk}transport = \"tcp\"\n"));
    pinned.look_up().await;
    assert_eq!(pinned.networks(), networks(&[21, 22]));
    // The proxy is where requests go.
    let target = SocketAddr::from((ip(21), 5070));
    assert_eq!(pinned.hop.known.target(None), Some(target));
    let mut open = server.keeper(trunk);
    open.look_up().await;
    assert_eq!(open.networks(), networks(&[21, 22, 23]));
}

fn naptr(order: u16, service: &str, replacement: &str) -> RData {
    let text = |text: &str| text.as_bytes().into();
    let name = Name::from_utf8(format!("{replacement}.")).unwrap();
    RData::NAPTR(NAPTR::new(
        order,
        1,
        text("s"),
        text(service),
        text(""),
        name,
    ))
}

#[tokio::test]
async fn a_trunk_goes_where_its_domain_wants_it_unless_its_transport_is_pinned() {
    let server = NameServer::start().await;
    server.set(vec![
        ("host.test", naptr(10, "SIPS+D2T", "_sips._tcp.host.test")),
        ("host.test", naptr(20, "SIP+D2T", "_sip._tcp.edge.test")),
        ("host.test", naptr(30, "SIP+D2U", "_sip._udp.host.test")),
        ("_sips._tcp.host.test", srv(1, 5061, "edge.test")),
        ("_sip._tcp.edge.test", srv(1, 5070, "edge.test")),
        ("_sip._udp.host.test", srv(1, 5080, "other.test")),
        ("edge.test", a(21)),
        ("other.test", a(23)),
    ]);
    let trunk = "kind = \"peer\"\nhost = \"host.test\"\n";
    // TLS is none of what these can do.
    let mut open = server.keeper(trunk);
    open.look_up().await;
    let edge = SocketAddr::from((ip(21), 5070));
    assert_eq!(open.hop.hops(), [(Transport::Tcp, edge)]);
    let mut pinned = server.keeper(&format!("{trunk}transport = \"udp\"\n"));
    pinned.look_up().await;
    let other = SocketAddr::from((ip(23), 5080));
    assert_eq!(pinned.hop.hops(), [(Transport::Udp, other)]);
}

#[tokio::test]
async fn a_domain_without_naptr_is_reached_over_what_it_has_servers_for_and_each_once() {
    let server = NameServer::start().await;
    server.set(vec![
        ("_sip._udp.host.test", srv(1, 5060, "")),
        ("_sip._tcp.host.test", srv(1, 5070, "one.test")),
        ("_sip._tcp.host.test", srv(2, 5070, "two.test")),
        ("_sip._tcp.host.test", srv(3, 5071, "two.test")),
        ("one.test", a(21)),
        ("two.test", a(21)),
    ]);
    let mut keeper = server.keeper("kind = \"peer\"\nhost = \"host.test\"\n");
    keeper.look_up().await;
    let hops = [5070, 5071].map(|port| (Transport::Tcp, SocketAddr::from((ip(21), port))));
    assert_eq!(keeper.hop.hops(), hops);
}

#[tokio::test]
async fn a_name_server_that_fails_changes_nothing_and_is_asked_again_soon() {
    let server = NameServer::start().await;
    server.set(vec![("host.test", a(22))]);
    let mut keeper = server.keeper("kind = \"peer\"\nhost = \"host.test\"\n");
    keeper.look_up().await;
    let found = keeper.networks();
    assert_eq!(found, networks(&[22]));
    server.set(Vec::new());
    keeper.look_up().await;
    assert_eq!((keeper.networks(), keeper.failures), (found, 1));
    server.set(vec![("host.test", a(24))]);
    keeper.look_up().await;
    // The old address stays for a while: name servers rotate.
    assert_eq!(
        (keeper.networks(), keeper.failures),
        (networks(&[22, 24]), 0)
    );
}

#[test]
fn look_ups_that_fail_back_off_to_the_usual_pace() {
    let pause_s = |failures| pause(failures, 1.0).as_secs();
    assert_eq!([1, 2, 3, 4, 7, 40].map(pause_s), [1, 2, 4, 8, 60, 60]);
    assert_eq!(pause(0, 0.0), Duration::from_secs(45));
}

/// Sends an INVITE from an address and returns the first answer's status.
async fn invite(from: Ipv4Addr, n: u32, switch: SocketAddr) -> String {
    let socket = UdpSocket::bind((from, 0)).await.unwrap();
    let here = socket.local_addr().unwrap();
    let text = format!(
        "INVITE sip:us@{switch} SIP/2.0\r\nVia: SIP/2.0/UDP {here};rport;branch=z9hG4bK{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:them@{here}>;tag=1\r\nTo: <sip:us@{switch}>\r\n\
         Call-ID: call-{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:them@{here}>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    socket.send_to(text.as_bytes(), switch).await.unwrap();
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).await.unwrap();
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_trunk_that_no_name_server_knew_at_boot_is_let_in_once_one_does() {
    let mut server = NameServer::start().await;
    let mut keeper = server.keeper("kind = \"peer\"\nhost = \"host.test\"\n");
    keeper.look_up().await;
    let trunk = keeper.trunk.clone();
    let peers = peers(&[trunk], std::slice::from_mut(&mut keeper));
    let sip = sip(Transport::Udp, peers).await;
    let switch = sip.listeners()[0].1;
    assert_eq!(invite(ip(31), 0, switch).await, "403");
    server.set(vec![("host.test", a(31))]);
    tokio::spawn(keeper.run(line(&sip), Arc::default()));
    server.asked_again().await;
    let mut n = 1;
    while invite(ip(31), n, switch).await != "100" {
        n += 1;
    }
    assert_eq!(invite(ip(32), n + 1, switch).await, "403");
}

/// Waits until the trunk's registration stands so.
async fn until(states: &mut watch::Receiver<HashMap<String, TrunkState>>, words: &str) {
    let stands = |states: &HashMap<String, TrunkState>| {
        let state = states
            .get("carrier")
            .and_then(|s| s.registration.as_deref());
        state.is_some_and(|state| state.starts_with(words))
    };
    states.wait_for(stands).await.unwrap();
}

/// Answers a request with what a response must repeat of it.
fn granted(register: &str) -> String {
    let repeated = ["via:", "from:", "to:", "call-id:", "cseq:"];
    let lines = register.lines().filter(|line| {
        let line = line.to_lowercase();
        repeated.iter().any(|name| line.starts_with(name))
    });
    let lines: String = lines.map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 200 OK\r\n{lines}Expires: 77\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_registrar_that_is_gone_is_followed_by_the_next_and_its_first_word_is_kept() {
    let server = NameServer::start().await;
    let registrar = TcpListener::bind((ip(42), 0)).await.unwrap();
    let port = registrar.local_addr().unwrap().port();
    server.set(vec![
        ("_sip._tcp.host.test", srv(1, port, "dead.test")),
        ("_sip._tcp.host.test", srv(2, port, "alive.test")),
        ("dead.test", a(41)),
        ("alive.test", a(42)),
    ]);
    let keeper = server.keeper(
        "kind = \"register\"\nhost = \"host.test\"\ntransport = \"tcp\"\n\
         username = \"us\"\npassword = \"secret\"\nping_s = 0\n",
    );
    let sip = sip(Transport::Tcp, Vec::new()).await;
    let states = Arc::new(TrunkStates::default());
    let mut notes = states.watch();
    tokio::spawn(keeper.run(line(&sip), states));
    let (mut connection, _) = registrar.accept().await.unwrap();
    let mut text = String::new();
    while !text.contains("\r\n\r\n") {
        let mut buffer = [0; 4096];
        let length = connection.read(&mut buffer).await.unwrap();
        text += std::str::from_utf8(&buffer[..length]).unwrap();
    }
    assert!(text.starts_with("REGISTER sip:host.test SIP/2.0"), "{text}");
    let granted = granted(&text);
    until(&mut notes, "failed with 503").await;
    connection.write_all(granted.as_bytes()).await.unwrap();
    until(&mut notes, "registered for 77 s").await;
}

#[tokio::test]
async fn requests_take_the_route_that_the_registrar_wants() {
    let server = NameServer::start().await;
    let registrar = UdpSocket::bind((ip(45), 0)).await.unwrap();
    let core = UdpSocket::bind((ip(46), 0)).await.unwrap();
    let (port, route) = (
        registrar.local_addr().unwrap().port(),
        core.local_addr().unwrap(),
    );
    let keeper = server.keeper(&format!(
        "kind = \"register\"\nhost = \"127.0.0.45\"\nport = {port}\n\
         username = \"us\"\npassword = \"secret\"\n"
    ));
    let sip = sip(Transport::Udp, Vec::new()).await;
    let states = Arc::new(TrunkStates::default());
    let mut notes = states.watch();
    tokio::spawn(keeper.run(line(&sip), Arc::clone(&states)));
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = registrar.recv_from(&mut buffer).await.unwrap();
        let asked = std::str::from_utf8(&buffer[..length]).unwrap();
        let field = format!("Service-Route: <sip:{route};lr>\r\nExpires:");
        let answer = granted(asked).replace("Expires:", &field);
        registrar.send_to(answer.as_bytes(), from).await.unwrap();
        if asked.starts_with("REGISTER ") {
            assert!(!asked.contains("\r\nRoute:"), "{asked}");
            break;
        }
    }
    let goes_there = |states: &HashMap<String, TrunkState>| {
        let state = states.get("carrier");
        state.is_some_and(|state| state.hops == [(Transport::Udp, route)])
    };
    notes.wait_for(goes_there).await.unwrap();
    assert_eq!(
        states.of("carrier").service_route,
        [format!("<sip:{route};lr>")]
    );
    let length = core.recv(&mut buffer).await.unwrap();
    let asked = std::str::from_utf8(&buffer[..length]).unwrap();
    assert!(asked.starts_with("OPTIONS sip:127.0.0.45:"), "{asked}");
    assert!(
        asked.contains(&format!("\r\nRoute: <sip:{route};lr>\r\n")),
        "{asked}"
    );
}

#[tokio::test]
async fn each_address_is_asked_whether_it_is_there_and_one_that_says_nothing_keeps_its_place() {
    let server = NameServer::start().await;
    let peer = UdpSocket::bind((ip(43), 0)).await.unwrap();
    let port = peer.local_addr().unwrap().port();
    server.set(vec![
        ("_sip._udp.host.test", srv(1, port, "one.test")),
        ("_sip._udp.host.test", srv(2, port, "two.test")),
        ("one.test", a(43)),
        ("two.test", a(44)),
    ]);
    let keeper = server.keeper("kind = \"peer\"\nhost = \"host.test\"\n");
    let sip = sip(Transport::Udp, Vec::new()).await;
    let line = line(&sip);
    tokio::spawn(keeper.run(Arc::clone(&line), Arc::default()));
    let mut buffer = [0; 2048];
    let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
    let asked = std::str::from_utf8(&buffer[..length]).unwrap();
    assert!(
        asked.starts_with("OPTIONS sip:host.test SIP/2.0"),
        "{asked}"
    );
    let answer = granted(asked);
    peer.send_to(answer.as_bytes(), from).await.unwrap();
    let [one, two] = [43, 44].map(|last| SocketAddr::from((ip(last), port)));
    while line.reach().standing((Transport::Udp, one)) != Standing::Up {
        tokio::task::yield_now().await;
    }
    // The second was never heard of: that is no proof that it is dead, so the order stays.
    let mut targets = [one, two];
    line.reach().order(Transport::Udp, &mut targets);
    assert_eq!(targets, [one, two]);
}

#[tokio::test]
async fn an_account_is_registered_by_its_address_and_proven_by_its_digest_user() {
    let server = NameServer::start().await;
    let flow = Flow {
        transport: Transport::Udp,
        local: SocketAddr::from((ip(1), 5060)),
        remote: SocketAddr::from((ip(47), 5060)),
    };
    let asked = |more: &str| {
        let trunk = format!("kind = \"register\"\nhost = \"edge.test\"\npassword = \"p\"\n{more}");
        register(&server.keeper(&trunk).trunk, flow)
    };
    for (more, aor, digest) in [
        ("username = \"us\"\n", "sip:us@edge.test", "us"),
        (
            "username = \"us\"\nauth_username = \"login\"\n",
            "sip:us@edge.test",
            "login",
        ),
        (
            "username = \"us@ims.test\"\n",
            "sip:us@ims.test",
            "us@ims.test",
        ),
        (
            "username = \"us@ims.test\"\nauth_username = \"login@realm\"\n",
            "sip:us@ims.test",
            "login@realm",
        ),
    ] {
        let register = asked(more);
        assert_eq!(register.aor, aor);
        assert_eq!(register.registrar_uri, "sip:edge.test");
        assert_eq!(register.credentials.unwrap().username, digest);
        assert!(!register.contact_user.contains("us"), "{more}");
    }
}

#[tokio::test]
async fn a_trunk_registers_over_ipv6_and_its_calls_are_known() {
    let Ok(registrar) = UdpSocket::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no ::1");
        return;
    };
    let server = NameServer::start().await;
    let port = registrar.local_addr().unwrap().port();
    let mut keeper = server.keeper(&format!(
        "kind = \"register\"\nhost = \"[::1]\"\nport = {port}\ntransport = \"udp\"\n\
         username = \"us\"\npassword = \"secret\"\nping_s = 0\n"
    ));
    keeper.look_up().await;
    assert_eq!(keeper.networks(), ["::1".parse().unwrap()]);
    let listen = Listen {
        transport: Transport::Udp,
        address: "[::1]:0".parse().unwrap(),
    };
    let started = Sip::start(&[listen], Tls::default(), Settings::default()).await;
    let sip = started.unwrap().0;
    let states = Arc::new(TrunkStates::default());
    let mut notes = states.watch();
    tokio::spawn(keeper.run(line(&sip), states));
    let mut buffer = [0; 2048];
    let (length, from) = registrar.recv_from(&mut buffer).await.unwrap();
    let asked = std::str::from_utf8(&buffer[..length]).unwrap();
    let start = format!("REGISTER sip:[::1]:{port} SIP/2.0\r\n");
    assert!(asked.starts_with(&start), "{asked}");
    let local = sip.listeners()[0].1;
    assert_eq!(from, local);
    for field in ["\r\nTo: <sip:us@[::1]>\r\n", &format!("@{local}>")] {
        assert!(asked.contains(field), "{asked}");
    }
    let answer = granted(asked);
    registrar.send_to(answer.as_bytes(), from).await.unwrap();
    until(&mut notes, "registered for 77 s").await;
}
