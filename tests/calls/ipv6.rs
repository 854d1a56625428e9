//! Calls over IPv6.

use std::net::{Ipv6Addr, UdpSocket};

use crate::caller::Caller;
use crate::peer::LISTENER;
use crate::rig::{Switch, heard_words};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::disallowed_methods)] // whether there is such an address at all
async fn an_agent_is_heard_over_ipv6() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("skipped: this machine has no ::1");
        return;
    }
    let sip = "[sip]\nlisten = [\"udp://[::1]:0\"]\n";
    let switch = Switch::start(LISTENER, sip).await;
    assert!(switch.uri.starts_with("sip:test@[::1]:"), "{}", switch.uri);
    let mut events = switch.events();
    let from = Ipv6Addr::LOCALHOST.into();
    let caller = Caller::dial_from(from, "+12025550143", &switch.uri).await;
    let caller = caller.unwrap();
    events.agent_said("What can I do for you").await;
    let heard = heard_words(&caller.hang_up().await);
    assert!(heard.contains("what can i do for you"), "{heard}");
    let record = switch.record(&mut events).await;
    assert_eq!(record["from"], "+12025550143");
    assert!(record["media"]["packets"].as_u64().unwrap() > 0, "{record}");
    switch.stop().await;
}
