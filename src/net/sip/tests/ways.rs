//! Which way requests take between two user agents.

use offhook_sip::{Access, Invite, Settings};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::{IncomingCall, Listen, News, Signal, Tls};
use super::*;
use crate::mailbox;

fn settings() -> Settings {
    Settings {
        access: Access {
            open_loopback: true,
            ..Access::default()
        },
        ..Settings::default()
    }
}

async fn start(transports: &[Transport], port: u16) -> Option<(Sip, mpsc::Receiver<News>)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let listen = transports.iter().map(|transport| Listen {
        transport: *transport,
        address,
    });
    let listen: Vec<Listen> = listen.collect();
    Sip::start(&listen, Tls::default(), settings()).await.ok()
}

/// Who listens over all of these at one port.
async fn callee(transports: &[Transport]) -> (Sip, mpsc::Receiver<News>) {
    loop {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        if let Some(started) = start(transports, port).await {
            return started;
        }
    }
}

async fn incoming(news: &mut mpsc::Receiver<News>) -> Box<IncomingCall> {
    match news.recv().await {
        Some(News::Incoming(call)) => call,
        other => panic!("{other:?}"),
    }
}

/// Calls with an INVITE that is too large for a datagram.
async fn call(sip: &Sip, callee: &Sip) -> mailbox::Receiver<Signal> {
    let remote = callee.listeners()[0].1;
    let flow = sip.flow_to(remote, Transport::Udp).unwrap();
    let invite = Invite {
        request_uri: "sip:desk@pbx.test".to_owned(),
        to: "sip:desk@pbx.test".to_owned(),
        from: "<sip:me@phone.test>".to_owned(),
        route: Vec::new(),
        flow,
        stream: sip.stream_beside(&flow),
        credentials: None,
        body: Vec::new(),
        content_type: "application/sdp".to_owned(),
        headers: vec![("X-Padding".to_owned(), "x".repeat(1300))],
    };
    sip.invite(invite).await.unwrap().signals
}

#[tokio::test]
async fn what_is_too_large_for_a_datagram_goes_over_tcp_and_the_call_goes_on() {
    let (callee, mut news) = callee(&[Transport::Udp, Transport::Tcp]).await;
    // Nothing of ours listens for connections.
    let (caller, _news) = start(&[Transport::Udp], 0).await.unwrap();
    let mut signals = call(&caller, &callee).await;
    let incoming = incoming(&mut news).await;
    assert_eq!(incoming.invite.flow.transport, Transport::Tcp);
    assert!(callee.answer(incoming.call, Vec::new()).await.unwrap());
    while !matches!(signals.recv().await, Some(Signal::Answered { .. })) {}
    let mut theirs = incoming.signals;
    while !matches!(theirs.recv().await, Some(Signal::Confirmed { .. })) {}
    callee.hang_up(incoming.call, None).await.unwrap();
    while !matches!(signals.recv().await, Some(Signal::Ended { .. })) {}
}

#[tokio::test]
async fn who_takes_no_connections_is_called_over_udp_all_the_same() {
    let (callee, mut news) = callee(&[Transport::Udp]).await;
    let (caller, _news) = start(&[Transport::Udp], 0).await.unwrap();
    let _signals = call(&caller, &callee).await;
    let incoming = incoming(&mut news).await;
    assert_eq!(incoming.invite.flow.transport, Transport::Udp);
}
