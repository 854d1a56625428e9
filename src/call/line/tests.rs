//! Where a call's media is described to be.

use offhook_media::UtteranceId;
use offhook_sip::{Settings, Transport};

use super::*;
use crate::net::sip::{Listen, Tls};

/// A line on loopback whose machine has this public address.
async fn line(public: &str, seed: u64) -> Line {
    let listen = Listen {
        transport: Transport::Udp,
        address: "127.0.0.1:0".parse().unwrap(),
    };
    let (sip, _news) = Sip::start(&[listen], Tls::default(), Settings::default())
        .await
        .unwrap();
    let advertise = Advertise {
        public: Some(public.parse().unwrap()),
        local_networks: vec!["10.0.0.0/8".parse().unwrap()],
    };
    let media = MediaThread::start(None).unwrap();
    let ports = PortPool::new(43_000..=43_999, seed);
    Line::new(sip, media, ports, advertise)
}

fn flow(remote: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: remote.parse().unwrap(),
    }
}

#[tokio::test]
async fn behind_a_one_to_one_nat_the_description_names_the_public_address() {
    let line = line("203.0.113.7", 1).await;
    let offer = line
        .offer(
            &flow("198.51.100.9:5060"),
            &Codecs::default(),
            SrtpPolicy::Off,
        )
        .unwrap();
    let theirs = line
        .offer(
            &flow("198.51.100.9:5060"),
            &Codecs::default(),
            SrtpPolicy::Off,
        )
        .unwrap()
        .sdp();
    let answer = line.answer(
        &flow("198.51.100.9:5060"),
        &Codecs::default(),
        SrtpPolicy::Off,
        &theirs,
    );
    for half in [offer, answer.unwrap().0] {
        let sdp = String::from_utf8(half.sdp()).unwrap();
        assert!(sdp.contains("c=IN IP4 203.0.113.7\r\n"), "{sdp}");
        let origin = sdp.lines().find(|line| line.starts_with("o=")).unwrap();
        assert!(origin.ends_with(" IN IP4 203.0.113.7"), "{sdp}");
        assert!(!sdp.contains("127.0.0.1"), "{sdp}");
        let port = format!("m=audio {} ", half.lease.port);
        assert!(sdp.contains(&port), "{sdp}");
        assert_eq!(half.ports.local.ip().to_string(), "127.0.0.1");
    }
    for near in ["127.0.0.1:5070", "10.1.2.3:5060"] {
        let sdp = line
            .offer(&flow(near), &Codecs::default(), SrtpPolicy::Off)
            .unwrap()
            .sdp();
        let sdp = String::from_utf8(sdp).unwrap();
        assert!(sdp.contains("c=IN IP4 127.0.0.1\r\n"), "{near}: {sdp}");
    }
}

/// Somebody who calls over loopback, and whether they take comfort noise.
struct Caller {
    rtp: tokio::net::UdpSocket,
    offer: String,
}

impl Caller {
    #[allow(clippy::disallowed_methods)] // the other side of a test
    async fn new(takes_comfort_noise: bool) -> Self {
        let rtp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = rtp.local_addr().unwrap().port();
        let noise = if takes_comfort_noise { " 13" } else { "" };
        let offer = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0{noise} 101\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=rtcp-mux\r\n"
        );
        Self { rtp, offer }
    }

    /// The payload type, the marker and the timestamp of the next packet of sound.
    async fn packet(&self) -> (u8, bool, u32) {
        let mut packet = [0; 2_048];
        loop {
            self.rtp.recv(&mut packet).await.unwrap();
            // Reports come to the same port (RFC 5761 §4).
            if !(192..224).contains(&packet[1]) {
                let timestamp = u32::from_be_bytes(packet[4..8].try_into().unwrap());
                return (packet[1] & 0x7F, packet[1] & 0x80 != 0, timestamp);
            }
        }
    }
}

#[tokio::test]
async fn silence_is_told_by_comfort_noise_where_it_is_configured_and_the_other_side_takes_it() {
    let line = line("203.0.113.7", 2).await;
    let flow = flow("127.0.0.1:5070");
    for (ours, theirs) in [(true, true), (true, false), (false, true)] {
        let codecs = Codecs::default().telling_silence(ours);
        let offered = line.offer(&flow, &codecs, SrtpPolicy::Off).unwrap().sdp();
        let offered = String::from_utf8(offered).unwrap();
        assert_eq!(offered.contains("a=rtpmap:13 CN/8000"), ours, "{offered}");
        let caller = Caller::new(theirs).await;
        let offer = caller.offer.as_bytes();
        let answered = line.answer(&flow, &codecs, SrtpPolicy::Off, offer);
        let (half, negotiated) = answered.unwrap();
        let agreed = ours && theirs;
        let answer = String::from_utf8(half.sdp()).unwrap();
        assert_eq!(answer.contains("a=rtpmap:13 CN/8000"), agreed, "{answer}");
        let from = "127.0.0.1".parse().unwrap();
        let attached = Attached::default();
        let leg = line.open(next_leg(), half, negotiated, from, attached);
        let leg = leg.unwrap();
        // The agent says nothing: five packets a second, or fifty.
        let silence = if agreed { 13 } else { 0 };
        let (_, _, mut before) = caller.packet().await;
        for _ in 0..5 {
            let (kind, _, timestamp) = caller.packet().await;
            let ms = timestamp.wrapping_sub(before) / 8;
            assert_eq!(kind, silence);
            assert!(ms <= 200 && (agreed || ms == 20), "{ms} ms");
            before = timestamp;
        }
        // It says something for 200 ms, and nothing again.
        let (utterance, samples) = (UtteranceId(1), Arc::from([4_000; 1_600]));
        let play = Command::Play {
            leg: leg.id,
            utterance,
            samples,
        };
        leg.media.send(play).unwrap();
        leg.media.send(Command::Finish(leg.id, utterance)).unwrap();
        let (kind, marker) = loop {
            let (kind, marker, _) = caller.packet().await;
            if kind == 0 && (marker || agreed) {
                break (kind, marker);
            }
        };
        assert_eq!((kind, marker), (0, true));
        if agreed {
            for _ in 1..10 {
                assert_eq!(caller.packet().await.0, 0);
            }
            assert_eq!(caller.packet().await.0, 13);
        }
    }
}
