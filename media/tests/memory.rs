//! What a call's media takes in memory, as the switch runs it, and that it says so itself.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{A, address, agreement, at, config, rtp, with_peer_at};
use offhook_media::codec::{Encoder, OpusWishes};
use offhook_media::srtp::{MasterKey, SrtpKeys, Suite};
use offhook_media::{Codec, Event, InbandDtmf, MediaSession, Negotiated};
use offhook_media::{SessionConfig, UtteranceId};

const KB: usize = 1_024;
/// A plain leg of narrow band that nobody listens to, such as one of a bridge: 12 KB are the jitter
/// buffer's.
const PLAIN: usize = 24 * KB;
/// What tells our own echo holds what was sent lately, and 9 KB of what it looks for it with while
/// something is said.
const ECHO_GATE: usize = 14 * KB;
/// Both parties' sound of the frame that is being put together.
const RECORDING: usize = 2 * KB;
/// The key schedules both ways and which of the peer's packets have come.
const SRTP: usize = 5 * KB;
/// The filters that hear keys in the sound, where the peer takes no telephone-events.
const TONES: usize = KB;
/// The codec's state both ways, 311 to 338 KB, and twice the samples in the playout
/// and the jitter buffer.
const OPUS: usize = 368 * KB;

thread_local! {
    /// Bytes that this thread holds, which no other test disturbs.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: i64) {
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// Counting bytes needs an allocator of our own; it hands everything on.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the switch sets for a call with an agent, and what it leaves as it is for another one.
fn production(negotiated: Negotiated, agent: bool) -> SessionConfig {
    SessionConfig {
        playout_capacity_ms: 100,
        jitter_max_ms: 200,
        echo_gate: agent,
        gain_control: agent,
        ..config(negotiated, 7)
    }
}

fn encrypted(negotiated: Negotiated) -> Negotiated {
    let draw = || MasterKey::draw(Suite::AesCm128HmacSha1_80, &mut rand::rng());
    let srtp = SrtpKeys {
        ours: draw(),
        theirs: draw(),
        their_mki: None,
    };
    Negotiated {
        srtp: Some(srtp),
        ..negotiated
    }
}

/// What a peer sends of the codec, and what is said to it, 20 ms each.
fn sound(negotiated: &Negotiated) -> (Vec<u8>, Vec<i16>) {
    let speech = vec![4_000; negotiated.rate_hz() as usize / 50];
    let mut payload = [0; 1_000];
    let mut encoder = Encoder::new(
        negotiated.codec,
        negotiated.rate_hz(),
        OpusWishes::default(),
    );
    let len = encoder.encode(&speech, &mut payload);
    (payload[..len].to_vec(), speech)
}

/// Lets both sides speak for two seconds, and gives what the session says that it holds at most; it
/// must not be less than what it does hold.
fn held(name: &str, config: SessionConfig) -> usize {
    let (payload_type, codec) = config.negotiated.receive_payload_types[0];
    let (payload, speech) = sound(&config.negotiated);
    let before = HELD.get();
    let mut session = MediaSession::new(at(0), config);
    let (mut most, mut holds) = (0, 0);
    for n in 0..100_u32 {
        let now = at(u64::from(n) * 20);
        let timestamp = n * codec.clock_rate_hz() / 50;
        let packet = rtp(payload_type, n as u16, timestamp, 5, &payload);
        session.handle_rtp(now, address(A), &packet);
        drop(packet);
        session.play(now, UtteranceId(1), &speech);
        session.tick(now);
        while session.poll_transmit().is_some() {}
        while session.poll_event().is_some() {}
        let heap = usize::try_from(HELD.get() - before).unwrap();
        holds = holds.max(heap + size_of::<MediaSession>());
        most = most.max(session.memory_bytes());
    }
    assert!(holds <= most, "{name} holds {holds} bytes, not {most}");
    most
}

#[test]
fn each_kind_of_call_stays_within_its_bound_and_says_no_less_than_it_holds() {
    let plain = || with_peer_at(A);
    let tones = || Negotiated {
        dtmf: None,
        dtmf_receive: None,
        ..plain()
    };
    let recorded = |config| SessionConfig {
        recording: true,
        ..config
    };
    let (_, opus) = agreement(|local| local.codecs = vec![Codec::Opus]);
    let agent = PLAIN + ECHO_GATE;
    let all = agent + RECORDING + SRTP;
    let cases = [
        ("a bridged leg", production(plain(), false), PLAIN),
        ("an agent's", production(plain(), true), agent),
        ("one with tones", production(tones(), true), agent + TONES),
        (
            "a recorded one",
            recorded(production(plain(), true)),
            agent + RECORDING,
        ),
        (
            "an encrypted one",
            production(encrypted(plain()), true),
            agent + SRTP,
        ),
        (
            "one with it all",
            recorded(production(encrypted(plain()), true)),
            all,
        ),
        (
            "the same in Opus",
            recorded(production(encrypted(opus), true)),
            all + OPUS,
        ),
    ];
    for (name, config, bound) in cases {
        assert_eq!(config.inband_dtmf, InbandDtmf::Auto);
        let held = held(name, config);
        println!("{name}: {held} bytes of {bound}");
        assert!(held <= bound, "{name} holds {held} bytes of {bound}");
    }
}

#[test]
fn an_event_is_no_larger_than_the_sound_in_it() {
    assert!(size_of::<Event>() <= 720, "{}", size_of::<Event>());
}
