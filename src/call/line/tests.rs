//! Where a call's media is described to be.

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
