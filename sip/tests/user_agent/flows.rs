//! The call flows of RFC 3665, each with a user agent at both ends.
//!
//! Left out are the redirection of §3.6, which whoever places calls follows and no user agent alone,
//! and what a proxy alone decides.

use std::time::Duration;

use offhook_sip::digest::{Algorithm, DigestServer, Ha1, ServerConfig, Verdict};
use offhook_sip::message::{HeaderName, Message};
use offhook_sip::{CallHandle, Credentials, Event, Invite, Register, Settings};

use crate::access::guarded;
use crate::support::*;

const ALICE: &str = "198.51.100.1:5060";
const BOB: &str = "203.0.113.9:5060";

/// Alice's and Bob's user agents, a wire between them, and what went over it.
struct Pair {
    alice: Desk,
    bob: Desk,
    wire: Vec<String>,
    /// Whether a record-routing proxy stands in between (§3.2).
    proxied: bool,
}

impl Pair {
    fn new(bob: Settings) -> Self {
        let seed = [9; 32];
        let mut alice = Desk::with(Settings { seed, ..settings() }).from(BOB);
        let mut bob = Desk::with(bob).from(ALICE);
        alice.flow.local = ALICE.parse().unwrap();
        bob.flow.local = BOB.parse().unwrap();
        bob.now = alice.now;
        Self {
            alice,
            bob,
            wire: Vec::new(),
            proxied: false,
        }
    }

    /// Carries everything that is sent to the other side, until both are silent.
    fn carry(&mut self) {
        loop {
            // Line ends that keep a NAT open are no messages.
            let said = |desk: &mut Desk| {
                let mut sent = desk.sent();
                sent.retain(|sent| !sent.text.trim().is_empty());
                sent
            };
            let (from_alice, from_bob) = (said(&mut self.alice), said(&mut self.bob));
            if from_alice.is_empty() && from_bob.is_empty() {
                return;
            }
            for sent in from_alice {
                self.wire.push(format!("A {}", sent.what()));
                let text = self.over_proxy(sent.text);
                self.bob.receive(&text);
            }
            for sent in from_bob {
                self.wire.push(format!("B {}", sent.what()));
                let text = self.over_proxy(sent.text);
                self.alice.receive(&text);
            }
        }
    }

    /// Does what a stateless proxy does to a message: its Via comes and goes, it takes its own
    /// Route off and stays in the path of an INVITE (RFC 3261 §16.6, §16.7).
    fn over_proxy(&self, text: String) -> String {
        const VIA: &str = "Via: SIP/2.0/UDP ss1.example.net;branch=z9hG4bKproxy-";
        if !self.proxied {
            return text;
        }
        if text.starts_with("SIP/2.0 ") {
            let (before, after) = text.split_once("Via: ").unwrap();
            let (own, after) = after.split_once("\r\n").unwrap();
            assert!(own.contains("ss1.example.net"), "{own}");
            return format!("{before}{after}");
        }
        let (route, rest) = text.split_once("\r\nRoute: ").unwrap();
        let (own, rest) = rest.split_once("\r\n").unwrap();
        assert!(own.starts_with("<sip:ss1.example.net;lr"), "{own}");
        let branch = text.split("branch=").nth(1).unwrap();
        let branch = branch.split(['\r', ';']).next().unwrap();
        let stays = match route.starts_with("INVITE") {
            true => "Record-Route: <sip:ss1.example.net;lr>\r\n",
            false => "",
        };
        let (start, fields) = route.split_once("\r\n").unwrap();
        format!("{start}\r\n{VIA}{branch}\r\n{stays}{fields}\r\n{rest}")
    }

    fn pass(&mut self, passed_ms: u64) {
        self.alice.pass(ms(passed_ms));
        self.bob.pass(ms(passed_ms));
    }

    fn went(&mut self, expected: &[&str]) {
        self.carry();
        assert_eq!(std::mem::take(&mut self.wire), expected);
    }

    /// Alice calls Bob, who learns of it.
    fn calls(&mut self, invite: Invite) -> (CallHandle, CallHandle) {
        let here = self.alice.ua.invite(self.alice.now, invite).unwrap();
        self.carry();
        let Event::Incoming { call: there, .. } = self.bob.event() else {
            panic!("no call")
        };
        assert!(matches!(self.alice.event(), Event::Trying { .. }));
        self.bob.ua.ring(self.bob.now, there, 180, None);
        self.carry();
        let rings = self.alice.event();
        assert!(matches!(rings, Event::Progress { status: 180, .. }));
        (here, there)
    }

    /// Bob answers.
    fn answers(&mut self, there: CallHandle) {
        assert!(self.bob.ua.answer(self.bob.now, there, ANSWER.into()));
        self.carry();
        let answer = self.alice.event();
        assert!(matches!(answer, Event::Answered { body: Some(_), .. }));
        assert!(matches!(self.bob.event(), Event::Confirmed { .. }));
    }

    fn ends(mut self) {
        self.alice.ends_empty();
        self.bob.ends_empty();
    }
}

fn open() -> Settings {
    let mut settings = settings();
    settings.access.trunks = vec![offhook_sip::TrunkPeer {
        name: "alice".into(),
        networks: vec!["198.51.100.1".parse().unwrap()],
        ..Default::default()
    }];
    settings
}

fn alice(password: &str) -> Option<Credentials> {
    Some(Credentials {
        username: "alice".into(),
        password: password.into(),
    })
}

fn register(pair: &Pair, password: &str) -> Register {
    Register {
        registrar_uri: "sip:offhook.example".into(),
        aor: "sip:alice@offhook.example".into(),
        contact_user: "alice".into(),
        flow: pair.alice.flow,
        stream: None,
        route: Vec::new(),
        credentials: alice(password),
        expires_s: 100,
    }
}

/// Bob's registrar grants what was asked for.
fn grants(pair: &mut Pair) {
    pair.carry();
    let Event::Request {
        handle, message, ..
    } = pair.bob.event()
    else {
        panic!("no REGISTER")
    };
    let view = message.view();
    let fields: Vec<_> = [HeaderName::Contact, HeaderName::Expires]
        .into_iter()
        .filter_map(|name| Some((name.as_str().to_owned(), view.header(name)?.to_owned())))
        .collect();
    let registrar = &mut pair.bob;
    registrar
        .ua
        .respond(registrar.now, handle, 200, &fields, &[]);
    pair.carry();
}

#[test]
fn a_registration_is_made_updated_and_cancelled() {
    // §2.1: challenged, answered, granted.
    let mut pair = Pair::new(guarded());
    let wanted = register(&pair, "alice-secret");
    let binding = pair.alice.ua.register(pair.alice.now, wanted).unwrap();
    grants(&mut pair);
    pair.went(&["A REGISTER", "B 401", "A REGISTER", "B 200"]);
    let granted = pair.alice.event();
    assert!(matches!(granted, Event::Registered { expires_s: 100, .. }));
    // §2.2: updated before it ends; the nonce is still good, and its count goes up.
    for _ in 0..950 {
        pair.pass(100);
        pair.carry();
        if !pair.wire.is_empty() {
            break;
        }
    }
    grants(&mut pair);
    pair.went(&["A REGISTER", "B 200"]);
    let granted = pair.alice.event();
    assert!(matches!(granted, Event::Registered { expires_s: 100, .. }));
    // §2.4: taken back.
    pair.alice.ua.unregister(pair.alice.now, binding);
    grants(&mut pair);
    pair.went(&["A REGISTER", "B 200"]);
    assert!(matches!(pair.alice.event(), Event::Unregistered { .. }));
    pair.ends();
}

#[test]
fn a_registration_with_a_wrong_password_fails() {
    // §2.5, but by 403 at once: who may not guess learns nothing by another challenge.
    let mut pair = Pair::new(guarded());
    let wanted = register(&pair, "guess");
    let binding = pair.alice.ua.register(pair.alice.now, wanted).unwrap();
    pair.went(&["A REGISTER", "B 401", "A REGISTER", "B 403"]);
    let failed = pair.alice.event();
    assert!(matches!(
        failed,
        Event::RegistrationFailed { status: 403, .. }
    ));
    assert!(matches!(
        pair.bob.event(),
        Event::AuthenticationFailed { .. }
    ));
    pair.alice.ua.unregister(pair.alice.now, binding);
    pair.carry();
    pair.ends();
}

#[test]
fn a_session_is_made_and_ended_by_either_side() {
    // §3.1.
    for bob_hangs_up in [false, true] {
        let mut pair = Pair::new(open());
        let (here, there) = pair.calls(invite(pair.alice.flow, None));
        pair.answers(there);
        pair.went(&["A INVITE", "B 100", "B 180", "B 200", "A ACK"]);
        match bob_hangs_up {
            true => pair.bob.ua.hang_up(pair.bob.now, there, None),
            false => pair.alice.ua.hang_up(pair.alice.now, here, None),
        }
        match bob_hangs_up {
            true => pair.went(&["B BYE", "A 200"]),
            false => pair.went(&["A BYE", "B 200"]),
        }
        assert!(matches!(pair.alice.event(), Event::Ended { .. }));
        assert!(matches!(pair.bob.event(), Event::Ended { .. }));
        pair.ends();
    }
}

#[test]
fn a_session_that_is_challenged_is_made_with_credentials() {
    // §3.2 and §3.3, F1 to F6: the challenge is acknowledged, and the INVITE sent again.
    let mut pair = Pair::new(guarded());
    let (here, there) = pair.calls(invite(pair.alice.flow, alice("alice-secret")));
    pair.answers(there);
    let made = ["A INVITE", "B 401", "A ACK", "A INVITE", "B 100", "B 180"];
    pair.went(&[&made[..], &["B 200", "A ACK"]].concat());
    pair.alice.ua.hang_up(pair.alice.now, here, None);
    pair.went(&["A BYE", "B 200"]);
    pair.alice.events();
    pair.bob.events();
    pair.ends();
}

/// A proxy that asks for credentials of its own.
fn asking_proxy(realm: &str, first_serial: u64) -> DigestServer {
    DigestServer::new(ServerConfig {
        realm: realm.into(),
        secret: [3; 32],
        first_serial,
        nonce_lifetime: Duration::from_secs(60),
        max_nonces: 16,
    })
}

/// Shows a request to proxies in a row: the challenge of the first that is not content.
fn asked_by(proxies: &mut [DigestServer], request: &Sent) -> Option<String> {
    let users = |user: &str, realm: &str, algorithm: Algorithm| {
        (user == "trunkuser").then(|| Ha1::new(algorithm, user, realm, "p"))
    };
    for proxy in proxies {
        let message = Message::parse(request.text.as_bytes()).unwrap();
        match proxy.verify(Duration::ZERO, &message, true, &users) {
            Verdict::Accepted { username } => assert_eq!(username, "trunkuser"),
            Verdict::Missing => {
                let asked = proxy.challenge(Duration::ZERO, true, false);
                let fields = asked
                    .into_iter()
                    .map(|(name, value)| format!("{name}: {value}\r\n"));
                return Some(fields.collect());
            }
            verdict => panic!("{}: {verdict:?}", proxy.realm()),
        }
    }
    None
}

/// Lets a request through proxies in a row, each of which asks where it must; returns the request
/// as the last lets it through, and who has asked.
fn goes_through(
    proxies: &mut [DigestServer],
    alice: &mut Desk,
    mut request: Sent,
) -> (Sent, Vec<String>) {
    let mut asked = Vec::new();
    while let Some(challenge) = asked_by(proxies, &request) {
        asked.push(challenge.split('"').nth(1).unwrap().to_owned());
        alice.receive(&respond(&request, 407, "proxy", &challenge, ""));
        let mut sent = alice.sent();
        sent.retain(|sent| sent.what() != "ACK");
        assert_eq!(sent.len(), 1, "after {asked:?}");
        request = sent.remove(0);
    }
    (request, asked)
}

#[test]
fn a_session_over_two_proxies_that_both_ask_is_made_with_credentials_for_each() {
    // §3.3, F1 to F13.
    const REALMS: [&str; 2] = ["atlanta.example.com", "biloxi.example.com"];
    let mut proxies = [asking_proxy(REALMS[0], 100), asking_proxy(REALMS[1], 200)];
    let mut alice = Desk::new();
    let (call, invite) = alice.call(Some(credentials("p")));
    let (invite, asked) = goes_through(&mut proxies, &mut alice, invite);
    assert_eq!(asked, REALMS);
    alice.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    let ack = alice.one();
    // The ACK of a 2xx has what its INVITE had (RFC 3261 §22.1, §13.2.2.4).
    let answers = ack.headers(HeaderName::ProxyAuthorization).len();
    assert_eq!((ack.what().as_str(), answers), ("ACK", 2));
    assert!(matches!(alice.event(), Event::Answered { .. }));
    // F19 and on: each may ask again within the call.
    alice.ua.hang_up(alice.now, call, None);
    let bye = alice.one();
    let (bye, asked) = goes_through(&mut proxies, &mut alice, bye);
    assert_eq!(
        (bye.what().as_str(), &asked[..]),
        ("BYE", &REALMS.map(str::to_owned)[..])
    );
    alice.receive(&respond(&bye, 200, "", "", ""));
    alice.ends_empty();
}

#[test]
fn a_session_over_a_preloaded_route_keeps_to_the_proxy_in_both_directions() {
    // §3.2: the proxy stays in the path by Record-Route. It asserts each request's Route.
    for bob_hangs_up in [false, true] {
        let mut pair = Pair::new(open());
        pair.proxied = true;
        let mut over_route = invite(pair.alice.flow, None);
        over_route.route = vec!["<sip:ss1.example.net;lr>".into()];
        let (here, there) = pair.calls(over_route);
        pair.answers(there);
        pair.went(&["A INVITE", "B 100", "B 180", "B 200", "A ACK"]);
        match bob_hangs_up {
            true => pair.bob.ua.hang_up(pair.bob.now, there, None),
            false => pair.alice.ua.hang_up(pair.alice.now, here, None),
        }
        pair.carry();
        assert_eq!(pair.wire.len(), 2);
        pair.alice.events();
        pair.bob.events();
        pair.ends();
    }
}

#[test]
fn a_session_that_nobody_answers_is_cancelled() {
    // §3.8.
    let mut pair = Pair::new(open());
    let (here, _) = pair.calls(invite(pair.alice.flow, None));
    pair.went(&["A INVITE", "B 100", "B 180"]);
    pair.pass(20_000);
    pair.alice.ua.hang_up(pair.alice.now, here, None);
    pair.went(&["A CANCEL", "B 200", "B 487", "A ACK"]);
    assert!(matches!(pair.alice.event(), Event::Ended { .. }));
    assert!(matches!(pair.bob.event(), Event::Ended { .. }));
    pair.ends();
}

#[test]
fn a_callee_that_is_busy_says_so() {
    // §3.9.
    let mut pair = Pair::new(open());
    let call = invite(pair.alice.flow, None);
    pair.alice.ua.invite(pair.alice.now, call).unwrap();
    pair.carry();
    let Event::Incoming { call: there, .. } = pair.bob.event() else {
        panic!("no call")
    };
    assert!(matches!(pair.alice.event(), Event::Trying { .. }));
    pair.bob.ua.reject(pair.bob.now, there, 486, &[]);
    pair.went(&["A INVITE", "B 100", "B 486", "A ACK"]);
    let busy = pair.alice.event();
    assert!(matches!(busy, Event::Rejected { status: 486, .. }));
    pair.bob.events();
    pair.ends();
}

#[test]
fn a_session_is_changed_by_a_reinvite_of_either_side() {
    // §3.7: the one whose address changes sends the re-INVITE.
    let mut pair = Pair::new(open());
    let (here, there) = pair.calls(invite(pair.alice.flow, None));
    pair.answers(there);
    pair.went(&["A INVITE", "B 100", "B 180", "B 200", "A ACK"]);
    let moved = OFFER.replace("127.0.0.1", "198.51.100.7");
    pair.bob
        .ua
        .reinvite(pair.bob.now, there, moved.clone().into());
    pair.carry();
    let Event::Reoffer { offer, .. } = pair.alice.event() else {
        panic!("no offer")
    };
    assert_eq!(offer, Some(moved.into_bytes()));
    let agreed = Ok(Some(ANSWER.into()));
    pair.alice.ua.answer_reoffer(pair.alice.now, here, agreed);
    pair.went(&["B INVITE", "A 100", "A 200", "B ACK"]);
    let answered = pair.bob.event();
    assert!(matches!(
        answered,
        Event::ReofferAnswered {
            result: Ok(Some(_)),
            ..
        }
    ));
    assert!(matches!(pair.alice.event(), Event::Confirmed { .. }));
    pair.alice.ua.reinvite(pair.alice.now, here, OFFER.into());
    pair.carry();
    assert!(matches!(pair.bob.event(), Event::Reoffer { .. }));
    pair.bob.ua.answer_reoffer(pair.bob.now, there, Err(488));
    pair.went(&["A INVITE", "B 100", "B 488", "A ACK"]);
    let refused = pair.alice.event();
    assert!(matches!(
        refused,
        Event::ReofferAnswered {
            result: Err(488),
            ..
        }
    ));
    pair.alice.ua.hang_up(pair.alice.now, here, None);
    pair.went(&["A BYE", "B 200"]);
    pair.alice.events();
    pair.bob.events();
    pair.ends();
}
