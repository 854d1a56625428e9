//! Complete calls through two user agents: INVITE, 100, 180, 200, ACK, BYE, 200 (goal C5).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use divan::counter::ItemsCount;
use offhook_sip::{Access, CallHandle, Event, Flow, Invite, Settings, Transport, UserAgent};

fn main() {
    divan::main();
}

const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";

struct Pair {
    sides: [UserAgent; 2],
    now: Instant,
}

impl Pair {
    #[allow(clippy::disallowed_methods)] // an arbitrary origin
    fn new() -> Self {
        let side = |seed| {
            UserAgent::new(Settings {
                seed: [seed; 32],
                access: Access {
                    open_loopback: true,
                    ..Access::default()
                },
                max_transactions: 10_000_000,
                ..Settings::default()
            })
        };
        Self {
            sides: [side(1), side(2)],
            now: Instant::now(),
        }
    }

    fn flow(side: usize) -> Flow {
        let address = |side: usize| ([127, 0, 0, 1], 5060 + side as u16).into();
        Flow {
            transport: Transport::Udp,
            local: address(side),
            remote: address(1 - side),
        }
    }

    /// Carries messages until none is left, and returns the last call that an event named.
    fn settle(&mut self) -> Option<(CallHandle, CallHandle)> {
        let (mut ours, mut theirs) = (None, None);
        loop {
            let mut quiet = true;
            for side in 0..2 {
                while let Some(transmit) = self.sides[side].poll_transmit() {
                    quiet = false;
                    let flow = Self::flow(1 - side);
                    self.sides[1 - side].receive(self.now, flow, &transmit.bytes);
                }
                while let Some(event) = self.sides[side].poll_event() {
                    match event {
                        Event::Incoming { call, .. } => theirs = Some(call),
                        Event::Answered { call, .. } => ours = Some(call),
                        _ => {}
                    }
                }
            }
            if quiet {
                return ours.zip(theirs).or(theirs.zip(theirs)).or(ours.zip(ours));
            }
        }
    }

    fn call(&mut self) {
        let invite = Invite {
            request_uri: "sip:+12025550123@127.0.0.1:5061".into(),
            to: "sip:+12025550123@127.0.0.1:5061".into(),
            from: "\"Desk\" <sip:+12025550100@127.0.0.1>".into(),
            route: Vec::new(),
            flow: Self::flow(0),
            stream: None,
            credentials: None,
            body: SDP.to_vec(),
            content_type: "application/sdp".into(),
            headers: Vec::new(),
        };
        let ours = self.sides[0].invite(self.now, invite).unwrap();
        let (theirs, _) = self.settle().unwrap();
        self.sides[1].ring(self.now, theirs, 180, None);
        self.sides[1].answer(self.now, theirs, SDP.to_vec());
        self.settle();
        self.sides[0].hang_up(self.now, ours, None);
        self.settle();
        // 1,000 calls a second, so that transactions end as new ones begin.
        self.now += Duration::from_millis(1);
        self.sides
            .iter_mut()
            .for_each(|side| side.handle_timeout(self.now));
        self.settle();
    }
}

/// Both sides of a complete call, with the 32 s of transactions that a busy switch keeps.
#[divan::bench(sample_count = 20, sample_size = 2000)]
fn complete_call_on_both_sides(bencher: divan::Bencher<'_, '_>) {
    let mut pair = Pair::new();
    (0..40_000).for_each(|_| pair.call());
    assert!(pair.sides.iter().all(|side| side.call_count() == 0));
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| pair.call());
}
