//! Any datagrams to a session that speaks: RTP, RTCP and what is neither.
//!
//! The input is a run of records: a byte says where a datagram goes and from whom it comes, and
//! whether it is passed on to another session, a byte how much time passes, a byte how long it is.
#![no_main]

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use offhook_media::sdp;
use offhook_media::{Event, InbandDtmf, LocalMedia, MediaSession, SessionConfig, UtteranceId};

fn session(start: Instant, host: u8) -> MediaSession {
    let peer: SocketAddr = ([192, 0, 2, host], 4000).into();
    let offer = sdp::offer(&LocalMedia::new(peer, 1));
    let local = LocalMedia::new(([192, 0, 2, 2], 5000).into(), 2);
    let (_, negotiated) = sdp::answer(&offer, &local).expect("our own offer");
    let config = SessionConfig {
        recording: host == 1,
        echo_gate: true,
        inband_dtmf: if host == 1 { InbandDtmf::On } else { InbandDtmf::Off },
        ..SessionConfig::new(negotiated, 7, peer.ip())
    };
    MediaSession::new(start, config)
}

fn drain(session: &mut MediaSession, last: &mut u64) {
    while session.poll_transmit().is_some() {}
    while let Some(event) = session.poll_event() {
        if let Event::Heard(frame) = event {
            assert!(frame.rtp_timestamp >= *last, "heard time runs back");
            *last = frame.rtp_timestamp;
        }
    }
}

/// Passes a datagram on where that may be; some of them end that, or ask for the sound as well.
fn relay(
    session: &mut MediaSession,
    other: &mut MediaSession,
    now: Instant,
    from: SocketAddr,
    datagram: &[u8],
    how: u8,
) {
    if how & 0x20 != 0 {
        session.end_relay();
        other.end_relay();
    } else if !session.is_relaying() && session.can_relay_with(other) {
        let hears = how & 0x10 != 0;
        session.begin_relay(other, hears);
        other.begin_relay(session, hears);
    }
    session.relay_rtp(now, from, datagram, other);
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static START: OnceLock<Instant> = OnceLock::new();
    let mut now = *START.get_or_init(Instant::now);
    let mut session = session(now, 1);
    let mut other = self::session(now, 9);
    let (memory, mut last, mut rest) = (session.memory_bytes(), 0, bytes);
    while let [how, pause, length, after @ ..] = rest {
        let (datagram, after) = after.split_at(usize::from(*length).min(after.len()));
        let from = SocketAddr::from(([192, 0, 2, 1 + (how & 1)], 4000 + u16::from(how >> 7)));
        now += Duration::from_millis(u64::from(*pause));
        match how >> 1 & 3 {
            0 if how & 0x40 != 0 => relay(&mut session, &mut other, now, from, datagram, *how),
            0 => session.handle_rtp(now, from, datagram),
            1 => session.handle_rtcp(now, from, datagram),
            2 => drop(session.play(now, UtteranceId(1), &[i16::from(*how) * 100; 400])),
            _ => drop(session.cancel()),
        }
        while session.next_tick() <= now {
            session.tick(session.next_tick());
            drain(&mut session, &mut last);
        }
        drain(&mut session, &mut last);
        if other.next_tick() <= now {
            other.tick(now);
        }
        let mut heard = 0;
        drain(&mut other, &mut heard);
        rest = after;
    }
    assert_eq!(session.memory_bytes(), memory, "a session does not grow");
});
