//! Keys over trunks that want them in one way alone.

use offhook::net::media::LegEvent;
use offhook::net::sip::Signal;
use offhook_media::Codec;

use crate::bridging::number;
use crate::caller::Caller;
use crate::desk::{Desk, Listening};
use crate::peer::LISTENER;
use crate::rig::Switch;

/// A caller and the carrier's side of a bridge, over a trunk that wants keys like this.
async fn bridged(keys: &str) -> (Switch, Caller, Listening, String) {
    let mut desk = Desk::open_at([127, 0, 0, 2].into()).await;
    desk.codecs = offhook::call::codecs::Codecs::in_order([Codec::Pcmu]);
    let port = desk.line.sip().listeners()[0].1.port();
    let more = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {port}\n\
         networks = [\"127.0.0.2/32\"]\ncaller_id = \"+12025550100\"\nping_s = 0\ndtmf = \"{keys}\"\n\
         [[route]]\nto = \"+44*\"\ntrunk = \"carrier\"\n"
    );
    let switch = Switch::start(LISTENER, &more).await;
    let uri = number(&switch);
    let answers = async {
        let incoming = desk.rings().await;
        let offer = String::from_utf8(incoming.invite.offer.clone().unwrap()).unwrap();
        (desk.pick_up(*incoming).await, offer)
    };
    let (caller, (called, offer)) = tokio::join!(Caller::dial(&uri), answers);
    (switch, caller.unwrap(), called, offer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_wants_keys_by_info_gets_them_so_and_not_in_the_sound() {
    let (switch, caller, mut called, offer) = bridged("info").await;
    assert!(!offer.contains("telephone-event"), "{offer}");
    caller.press("5#");
    let mut told = Vec::new();
    while told.len() < 2 {
        if let Some(Signal::Info { content_type, body }) = called.signals.recv().await {
            assert_eq!(content_type.as_deref(), Some("application/dtmf-relay"));
            told.push(String::from_utf8(body).unwrap());
        }
    }
    assert!(
        told[0].contains("Signal=5") && told[1].contains("Signal=#"),
        "{told:?}"
    );
    caller.hang_up().await;
    called.until_over().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_wants_keys_as_tones_gets_tones() {
    let (switch, caller, mut called, offer) = bridged("tones").await;
    assert!(!offer.contains("telephone-event"), "{offer}");
    caller.press("5");
    loop {
        if let Some(LegEvent::Dtmf { digit, .. }) = called.leg.event().await {
            assert_eq!(digit, '5');
            break;
        }
    }
    caller.hang_up().await;
    called.until_over().await;
    switch.stop().await;
}
