//! Thousands of seeded attacks on live sessions: only the peer is heard, answered and believed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

#[path = "attack/attacker.rs"]
mod attacker;
#[path = "attack/peer.rs"]
mod peer;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use attacker::{ALL, Attack, Scene};
use common::{B, Party, at, config, hold};
use offhook_media::sdp;
use offhook_media::srtp::{MasterKey, SrtpKeys, Suite};
use offhook_media::{Direction, Event, LocalMedia, Negotiated, SessionConfig, SourceRule};
use peer::{Datagram, Peer};
use rand::rngs::{SmallRng, StdRng};
use rand::{Rng, SeedableRng};

const OUR_SSRC: u32 = 0x0FF0_0C1E;
/// No attacker is as quiet, no sound that is made up for the peer's as loud.
const LOUD: i16 = 10_000;
/// Steps of a session, each with a packet of the peer's and up to three attacks.
const STEPS: u64 = 250;

/// One session under attack.
struct Siege {
    random: SmallRng,
    party: Party,
    peer: Peer,
    rule: SourceRule,
    /// What was agreed on, but for the direction.
    agreed: Negotiated,
    keys: u8,
    our_key: MasterKey,
    /// Numbers of the peer's packets that must be heard.
    owed: BTreeSet<u64>,
    heard: BTreeSet<u64>,
    pressed: String,
    known: bool,
    silent_ms: u64,
    former: Option<SocketAddr>,
    ours: Vec<u8>,
    /// Where all that the session sends must go.
    sound_goes_to: SocketAddr,
    reports_go_to: SocketAddr,
    attacks: u64,
    last: Vec<(Attack, Datagram)>,
}

/// What is agreed on with a peer that describes itself so.
fn agreed_with(peer: SocketAddr, rtcp_mux: bool) -> Negotiated {
    let media = |address, id| LocalMedia {
        rtcp_mux,
        ..LocalMedia::new(address, id)
    };
    let offer = sdp::offer(&media(peer, 1));
    let ours = media(B.parse().unwrap(), 2);
    sdp::answer(&offer, &ours).unwrap().1
}

/// Behind NAT the peer describes this address, and is seen at another.
const HIDDEN: &str = "192.168.1.20:4000";

impl Siege {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let rule = match random.random_bool(0.5) {
            true => SourceRule::Negotiated,
            false => SourceRule::Signalling,
        };
        let described = "198.51.100.77:33332".parse().unwrap();
        let key = random.random_bool(0.5).then(|| Peer::draw_key(&mut random));
        let mut peer = Peer::new(described, key, &mut random);
        let mux = random.random_bool(0.5);
        peer.reports_above = match (mux, rule) {
            (true, _) => 0,
            (false, SourceRule::Negotiated) => 1,
            (false, SourceRule::Signalling) => 7,
        };
        let shown = match rule {
            SourceRule::Negotiated => peer.at,
            SourceRule::Signalling => HIDDEN.parse().unwrap(),
        };
        let our_key = MasterKey::draw(
            Suite::AesCm128HmacSha1_80,
            &mut StdRng::seed_from_u64(random.random()),
        );
        let agreed = agreed_with(shown, mux);
        let peer_at = peer.at;
        let mut siege = Self {
            party: Party::new(SessionConfig {
                source_rule: rule,
                signalling_remote: peer.at.ip(),
                recording: true,
                ..config(agreed.clone(), OUR_SSRC)
            }),
            keys: agreed.dtmf_receive.unwrap(),
            random,
            peer,
            rule,
            agreed,
            our_key,
            owed: BTreeSet::new(),
            heard: BTreeSet::new(),
            pressed: String::new(),
            known: false,
            silent_ms: 0,
            former: None,
            ours: Vec::new(),
            sound_goes_to: peer_at,
            reports_go_to: peer_at,
            attacks: 0,
            last: Vec::new(),
        };
        siege.renegotiate(0, Direction::SendRecv);
        siege.aim();
        siege
    }

    /// Where what we send must go as long as nothing was heard.
    fn aim(&mut self) {
        let port = self.agreed.remote.port();
        let (sound, reports) = match self.rule {
            SourceRule::Negotiated => (self.agreed.remote, self.agreed.remote_rtcp),
            SourceRule::Signalling => {
                let to = |port| SocketAddr::new(self.peer.at.ip(), port);
                (to(port), to(port + u16::from(!self.agreed.rtcp_mux)))
            }
        };
        (self.sound_goes_to, self.reports_go_to) = (sound, reports);
    }

    /// Lets the peer's address, key and the direction hold.
    fn renegotiate(&mut self, ms: u64, direction: Direction) {
        let keys = |theirs: &MasterKey| SrtpKeys {
            ours: self.our_key.clone(),
            theirs: theirs.clone(),
            their_mki: None,
        };
        self.agreed.srtp = self.peer.key.as_ref().map(keys);
        let agreed = hold(&self.agreed, direction);
        self.party.session.renegotiate(at(ms), agreed);
        self.party.drain(at(ms));
    }

    fn run(mut self) -> u64 {
        // Who is first: attackers race the peer.
        for step in 0..3 {
            self.attack(step * 20);
            self.party.run_until(at(step * 20 + 20));
            self.check();
        }
        let mut silent = 0;
        for step in 3..STEPS {
            let ms = step * 20;
            if silent > 0 {
                silent -= 1;
                self.peer.be_silent(1);
                self.silent_ms += 20;
                self.attack(ms + 5);
                if silent == 0 && self.random.random_bool(0.5) {
                    self.move_to_another_port();
                }
            } else {
                let waits = self.speak(ms);
                self.attack(ms + 5);
                match self.random.random_range(0..100) {
                    // What waits for a packet that went before it is lost when a call is held.
                    _ if waits => {}
                    0..3 => silent = self.random.random_range(35..60),
                    3..6 => self.change(ms + 10),
                    6..9 => self.deliver_report(ms + 10),
                    9..11 => self.press(ms + 10),
                    _ => {}
                }
            }
            self.party.run_until(at(ms + 20));
            self.check();
        }
        self.end();
        self.attacks
    }

    /// The peer's next packet of sound, or two when the first only proves where it is: then the
    /// second waits for the first to be given up.
    fn speak(&mut self, ms: u64) -> bool {
        let first = !self.known;
        // What must prove itself is heard from its second packet on.
        let exact = self.rule == SourceRule::Negotiated && self.peer.at == self.agreed.remote;
        let proves = first && !exact;
        if proves {
            let packet = self.peer.say();
            self.deliver(ms, &packet);
            self.attack(ms);
        }
        let packet = self.peer.say();
        self.owed.insert(self.peer.packets_said() - 1);
        self.deliver(ms, &packet);
        (self.known, self.silent_ms) = (true, 0);
        if first {
            self.deliver_report(ms);
        }
        if self.rule == SourceRule::Signalling {
            self.sound_goes_to = self.peer.at;
        }
        proves
    }

    fn deliver_report(&mut self, ms: u64) {
        let report = self.peer.report(false);
        self.reports_go_to = match self.rule {
            SourceRule::Negotiated => self.agreed.remote_rtcp,
            SourceRule::Signalling => report.from,
        };
        self.deliver(ms, &report);
    }

    fn press(&mut self, ms: u64) {
        let digit = self.random.random_range(0..10);
        self.pressed.push(char::from(b'0' + digit));
        for packet in self.peer.press(self.keys, digit) {
            self.deliver(ms, &packet);
        }
    }

    /// A NAT gives the peer another port: its next packet proves it, the one after is heard.
    fn move_to_another_port(&mut self) {
        if self.silent_ms < 500 {
            return;
        }
        self.known = false;
        self.former = Some(self.peer.at);
        self.peer.at.set_port(self.peer.at.port() + 10);
    }

    /// An offer within the call: another address, key, or a hold and its end.
    fn change(&mut self, ms: u64) {
        self.check();
        match self.random.random_range(0..3) {
            0 if self.rule == SourceRule::Negotiated => {
                self.former = Some(self.peer.at);
                let ip = match self.random.random_bool(0.5) {
                    true => IpAddr::from([203, 0, 113, self.random.random_range(1..250)]),
                    false => self.peer.at.ip(),
                };
                self.peer.at = SocketAddr::new(ip, self.peer.at.port() + 100);
                self.agreed = agreed_with(self.peer.at, self.agreed.rtcp_mux);
                self.known = false;
                self.aim();
            }
            1 if self.peer.key.is_some() => {
                // Another key, or the one before once more.
                let again = self.random.random_bool(0.3);
                let first = self.peer.first_key().filter(|_| again);
                let key = first.unwrap_or_else(|| Peer::draw_key(&mut self.random));
                self.peer.take_key(Some(key));
            }
            _ => {
                self.renegotiate(ms, Direction::SendOnly);
                for _ in 0..10 {
                    self.attack(ms);
                }
            }
        }
        self.renegotiate(ms, Direction::SendRecv);
        self.attack(ms);
    }

    fn attack(&mut self, ms: u64) {
        for _ in 0..self.random.random_range(0..=3) {
            let attack = ALL[self.random.random_range(0..ALL.len())];
            let scene = Scene {
                peer: &self.peer,
                known: self.known,
                silent_ms: self.silent_ms,
                keys: self.keys,
                ours: &self.ours,
                our_ssrc: OUR_SSRC,
                former: self.former.filter(|former| *former != self.agreed.remote),
            };
            let datagrams = scene.strike(attack, &mut self.random);
            self.attacks += u64::from(!datagrams.is_empty());
            self.last.clear();
            for datagram in datagrams {
                self.deliver(ms, &datagram);
                self.last.push((attack, datagram));
            }
            self.check();
        }
    }

    fn deliver(&mut self, ms: u64, datagram: &Datagram) {
        let Datagram { from, rtcp, bytes } = datagram;
        match rtcp {
            true => self.party.session.handle_rtcp(at(ms), *from, bytes),
            false => self.party.session.handle_rtp(at(ms), *from, bytes),
        }
        self.party.drain(at(ms));
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        for (_, event) in self.party.events.drain(..) {
            match event {
                Event::Heard(frame) => {
                    let loudest = frame.samples().iter().map(|s| s.unsigned_abs()).max();
                    assert!(loudest < Some(LOUD.unsigned_abs()), "heard {:?}", self.last);
                    if !frame.concealed && frame.samples().iter().any(|s| *s != 0) {
                        let number = self.peer.number_of(frame.samples());
                        let number = number.unwrap_or_else(|| panic!("heard {:?}", self.last));
                        assert!(self.heard.insert(number), "{number} twice: {:?}", self.last);
                    }
                }
                Event::Recording(frame) => {
                    let loudest = frame.remote.iter().map(|s| s.unsigned_abs()).max();
                    assert!(loudest < Some(LOUD.unsigned_abs()), "taped {:?}", self.last);
                }
                Event::Dtmf { digit, .. } => {
                    assert!(!self.pressed.is_empty(), "pressed {:?}", self.last);
                    assert_eq!(digit.as_char(), self.pressed.remove(0), "{:?}", self.last);
                }
                Event::RemoteBye => panic!("goodbye {:?}", self.last),
                Event::Latched { remote } => assert_eq!(remote, self.peer.at, "{:?}", self.last),
                Event::MediaTimeout { .. } => panic!("it timed out"),
                _ => {}
            }
        }
        for sent in self.party.sent.drain(..) {
            if sent.is_rtp() {
                assert_eq!(sent.to, self.sound_goes_to, "{:?}", self.last);
                self.ours = sent.bytes;
            } else {
                assert_eq!(sent.to, self.reports_go_to, "{:?}", self.last);
            }
        }
    }

    /// All that the peer said was heard, and its own goodbye is believed, once.
    fn end(&mut self) {
        let lost: Vec<u64> = self.owed.difference(&self.heard).copied().collect();
        assert_eq!(lost, [0; 0], "not heard, of {}", self.owed.len());
        assert_eq!(self.pressed, "", "not pressed");
        assert_eq!(self.party.session.stats().remote_loss, 0.0);
        let ms = STEPS * 20;
        if self.known {
            let goodbye = self.peer.report(true);
            self.deliver(ms, &goodbye);
            self.deliver(ms, &goodbye);
            let events = self.party.events.drain(..);
            let goodbyes = events.filter(|(_, event)| matches!(event, Event::RemoteBye));
            assert_eq!(goodbyes.count(), 1);
        }
    }
}

#[test]
fn nobody_but_the_peer_is_heard_sent_to_or_believed() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let wanted = number("OFFHOOK_ATTACKS").unwrap_or(100_000);
    let seeds = match number("OFFHOOK_ATTACK_SEED") {
        Some(seed) => seed..=seed,
        None => 0..=u64::MAX,
    };
    let mut attacks = 0;
    for seed in seeds {
        let siege = std::panic::catch_unwind(|| Siege::new(seed).run());
        attacks += siege.unwrap_or_else(|panic| {
            eprintln!("OFFHOOK_ATTACK_SEED={seed} runs this again");
            std::panic::resume_unwind(panic)
        });
        if attacks >= wanted {
            break;
        }
    }
    println!("{attacks} attacks");
}
