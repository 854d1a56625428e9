use std::net::SocketAddr;

use offhook_media::SrtpPolicy;
use offhook_sip::{Access, Advertise, Settings, Transport};
use tokio::sync::mpsc;

use super::*;
use crate::call::codecs::Codecs;
use crate::call::line::next_leg;
use crate::net::media::{MediaThread, PortPool};
use crate::net::sip::{IncomingCall, Listen, News, Sip, Tls};

/// A phone, and where it is.
async fn phone() -> (Line, mpsc::Receiver<News>, SocketAddr) {
    let listen = [Listen {
        transport: Transport::Udp,
        address: ([127, 0, 0, 1], 0).into(),
    }];
    let settings = Settings {
        access: Access {
            open_loopback: true,
            ..Access::default()
        },
        ..Settings::default()
    };
    let (sip, news) = Sip::start(&listen, Tls::default(), settings).await.unwrap();
    let address = sip.listeners()[0].1;
    let media = MediaThread::start(None).unwrap();
    let ports = PortPool::new(25_000..=25_999, 7);
    let line = Line::new(sip, media, ports, Advertise::default());
    (line, news, address)
}

async fn rings(news: &mut mpsc::Receiver<News>) -> Box<IncomingCall> {
    loop {
        if let Some(News::Incoming(incoming)) = news.recv().await {
            return incoming;
        }
    }
}

fn dialling(targets: Vec<SocketAddr>) -> Dialling {
    Dialling::new(
        format!("sip:+442079460123@{}", targets[0]),
        "<sip:+12025550100@127.0.0.1>",
        targets,
        Transport::Udp,
    )
}

/// What becomes of a call, beyond its ringing.
async fn outcome(outgoing: &mut Outgoing) -> Progress {
    loop {
        let heard = outgoing.hear().await;
        match outgoing.take(heard).await {
            None | Some(Progress::Rings(_)) => {}
            Some(progress) => return progress,
        }
    }
}

/// Calls two phones, of which the first says no; says whether the second rings.
async fn second_rings_after(status: u16) -> bool {
    let (ours, _, _) = phone().await;
    let (first, mut at_first, there) = phone().await;
    let (second, mut at_second, elsewhere) = phone().await;
    let ours = Arc::new(ours);
    let dialling = dialling(vec![there, elsewhere]);
    let mut outgoing = Outgoing::new(Arc::clone(&ours), dialling, next_leg());
    assert!(outgoing.place().await.is_none());
    let refuse = async {
        let incoming = rings(&mut at_first).await;
        let rejected = first.sip().reject(incoming.call, status, Vec::new());
        rejected.await.unwrap();
    };
    let answer = async {
        let incoming = rings(&mut at_second).await;
        let invite = &incoming.invite;
        let offer = invite.offer.clone().unwrap();
        let codecs = Codecs::default();
        let answered = second.answer(&invite.flow, &codecs, SrtpPolicy::Off, &offer);
        let (half, _) = answered.unwrap();
        assert!(
            second
                .sip()
                .answer(incoming.call, half.sdp())
                .await
                .unwrap()
        );
        // Both stay until the answer was heard.
        std::future::pending::<()>().await;
    };
    let ((), progress) = tokio::select! {
        both = async { tokio::join!(refuse, outcome(&mut outgoing)) } => both,
        () = answer => unreachable!(),
    };
    match progress {
        Progress::Answered(_) => true,
        Progress::Failed(failure) => {
            assert_eq!(failure.status(), Some(status));
            false
        }
        _ => panic!("neither"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_overloaded_gives_way_to_the_next_one_of_the_trunk() {
    assert!(second_rings_after(503).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_called_party_who_is_busy_is_not_rung_at_another_address() {
    assert!(!second_rings_after(486).await);
}

/// An address at which somebody listens and says nothing by itself.
async fn silent() -> (tokio::net::UdpSocket, SocketAddr) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_says_nothing_in_time_gives_way_to_the_next_one_and_is_tried_last() {
    let (ours, _, _) = phone().await;
    let (_socket, nowhere) = silent().await;
    let (second, mut at_second, there) = phone().await;
    let ours = Arc::new(ours);
    let mut dialling = dialling(vec![nowhere, there]);
    dialling.speaks_within = Some(std::time::Duration::from_millis(50));
    let mut outgoing = Outgoing::new(Arc::clone(&ours), dialling, next_leg());
    assert!(outgoing.place().await.is_none());
    let refuse = async {
        let incoming = rings(&mut at_second).await;
        let rejected = second.sip().reject(incoming.call, 486, Vec::new());
        rejected.await.unwrap();
    };
    let ((), progress) = tokio::join!(refuse, outcome(&mut outgoing));
    match progress {
        Progress::Failed(failure) => assert_eq!(failure.status(), Some(486)),
        _ => panic!("nobody answered"),
    }
    let mut targets = [nowhere, there];
    ours.reach().order(Transport::Udp, &mut targets);
    assert_eq!(targets, [there, nowhere]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_takes_the_call_on_is_waited_for() {
    let (ours, _, _) = phone().await;
    let (socket, there) = silent().await;
    let mut dialling = dialling(vec![there]);
    dialling.speaks_within = Some(std::time::Duration::from_secs(30));
    let mut outgoing = Outgoing::new(Arc::new(ours), dialling, next_leg());
    assert!(outgoing.place().await.is_none());
    let mut buffer = [0; 8_192];
    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
    let invite = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let kept = |line: &&str| kept.iter().any(|name| line.starts_with(name));
    let fields: Vec<&str> = invite.lines().filter(kept).collect();
    let trying = format!("SIP/2.0 100 Trying\r\n{}\r\n\r\n", fields.join("\r\n"));
    socket.send_to(trying.as_bytes(), from).await.unwrap();
    let heard = outgoing.hear().await;
    assert!(matches!(heard, Heard::Signal(Some(Signal::Trying))));
    assert!(outgoing.take(heard).await.is_none());
    assert!(outgoing.rings.unwrap().speaks_by.is_none());
}
