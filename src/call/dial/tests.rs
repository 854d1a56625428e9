use offhook_sip::{Access, Advertise, Settings};

use super::*;
use crate::net::media::{MediaThread, PortPool};
use crate::net::sip::{Listen, News, Sip, Tls};

async fn sip() -> (Sip, mpsc::Receiver<News>) {
    let listen = Listen {
        transport: Transport::Udp,
        address: "127.0.0.1:0".parse().unwrap(),
    };
    let settings = Settings {
        access: Access {
            open_loopback: true,
            ..Access::default()
        },
        ..Settings::default()
    };
    Sip::start(&[listen], Tls::default(), settings)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_address_of_a_family_without_a_listener_is_passed_over() {
    let ((caller, _news), (callee, mut calls)) = (sip().await, sip().await);
    let there = callee.listeners()[0].1;
    let media = MediaThread::start(None).unwrap();
    let ports = PortPool::new(44_000..=44_099, 3);
    let line = Line::new(caller, media, ports, Advertise::default());
    let mut dialling = Dialling::new(
        "sip:bob@localhost",
        "sip:ann@localhost",
        vec!["[::1]:9".parse().unwrap(), there],
        Transport::Udp,
    );
    let busy = async {
        while let Some(news) = calls.recv().await {
            if let News::Incoming(incoming) = news {
                return callee.reject(incoming.call, 486, Vec::new()).await;
            }
        }
        Ok(())
    };
    let (_give_up, mut given_up) = mpsc::channel(1);
    let attached = Attached::default();
    let ring = dial(&line, 1, &dialling, attached, |_| {}, &mut given_up);
    let (dialled, _) = tokio::join!(ring, busy);
    assert_eq!(
        dialled.err().and_then(|failure| failure.status()),
        Some(486)
    );
    // Where no address is reached, the failure says why.
    dialling.targets.truncate(1);
    let attached = Attached::default();
    let dialled = dial(&line, 2, &dialling, attached, |_| {}, &mut given_up).await;
    let failure = dialled.map(drop).unwrap_err().to_string();
    assert!(failure.contains("sip.listen"), "{failure}");
}
