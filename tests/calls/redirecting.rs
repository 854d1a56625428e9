//! Calls that whoever is called leads elsewhere (3xx): who is called then, and who is not.

use serde_json::json;

use crate::bridging::refusal;
use crate::caller::Caller;
use crate::desk::Desk;
use crate::peer::LISTENER;
use crate::rig::Switch;

/// Where the carrier is, and where somebody else is.
const CARRIER: [u8; 4] = [127, 0, 0, 2];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 4];

fn port(desk: &Desk) -> u16 {
    desk.line.sip().listeners()[0].1.port()
}

/// A switch whose calls to +44 go over a trunk to a desk.
async fn carrier(more: &str) -> (Switch, Desk) {
    let desk = Desk::open_at(CARRIER.into()).await;
    let config = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {}\n\
         networks = [\"127.0.0.2/32\"]\ncaller_id = \"+12025550100\"\nping_s = 0\n\
         headers = {{ X-Account = \"secret\" }}\n{more}\
         [[route]]\nto = \"+44*\"\ntrunk = \"carrier\"\n",
        port(&desk)
    );
    (Switch::start(LISTENER, &config).await, desk)
}

/// Leads the next call elsewhere.
async fn redirect(desk: &mut Desk, contact: &str) -> String {
    let incoming = desk.rings().await;
    let contact = vec![("Contact".to_owned(), contact.to_owned())];
    let line = desk.line.sip();
    line.reject(incoming.call, 302, contact).await.unwrap();
    incoming.invite.request_uri.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_leads_a_call_to_another_address_of_its_own_and_to_another_number() {
    let (switch, mut first) = carrier("").await;
    let mut second = Desk::open_at(CARRIER.into()).await;
    let mut events = switch.events();
    // A call of the agent's, to another address.
    let asked = json!({ "to": "+442079460123", "agent": "test" });
    assert_eq!(switch.post("/v1/calls", &asked, None).await.status(), 202);
    let moved = format!(
        "<sip:b@203.0.113.9>;q=0.9, <sip:a@127.0.0.2:{}>;q=0.1",
        port(&second)
    );
    redirect(&mut first, &moved).await;
    let incoming = second.rings().await;
    let invite = &incoming.invite;
    assert_eq!(
        invite.request_uri,
        format!("sip:a@127.0.0.2:{}", port(&second))
    );
    assert_eq!(invite.to.user, "+442079460123", "who was called first");
    second.pick_up(*incoming).await.hang_up().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");

    // A call that is bridged, to another number: the host that is named with it is not called.
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let answers = async {
        redirect(&mut first, "<sip:+44-20-7946-0999@203.0.113.9>").await;
        let incoming = first.rings().await;
        let called = incoming.invite.request_uri.clone();
        (called, first.pick_up(*incoming).await)
    };
    let (caller, (called, mut listening)) = tokio::join!(Caller::dial(&uri), answers);
    assert!(
        called.starts_with("sip:+442079460999@127.0.0.2:"),
        "{called}"
    );
    caller.unwrap().hang_up().await;
    listening.until_over().await;
    assert_eq!(switch.record(&mut events).await["state"], "completed");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_call_may_not_be_led_is_how_it_ends_and_so_is_a_circle() {
    let (switch, mut desk) = carrier("").await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    for contact in ["<sip:desk@203.0.113.9>", "<tel:+442079460999>", "*"] {
        let refused = refusal(&uri, [127, 0, 0, 1], "+12025550143");
        let (status, _) = tokio::join!(refused, redirect(&mut desk, contact));
        assert_eq!(status, 480, "{contact}");
        let ended = events.until("call.ended", |_| true).await;
        let told = "redirected with status 302 (Moved Temporarily) to where it is not followed";
        assert_eq!(ended.data.read()["reason"], told);
    }
    let circle = async {
        redirect(&mut desk, "<sip:+442079460999@127.0.0.2>").await;
        redirect(
            &mut desk,
            "<sip:+442079460123@127.0.0.2>, <sip:+442079460999@x>",
        )
        .await
    };
    let refused = refusal(&uri, [127, 0, 0, 1], "+12025550143");
    let (status, last) = tokio::join!(refused, circle);
    assert_eq!(status, 480);
    assert!(last.contains("+442079460999"), "{last}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_may_be_followed_never_or_anywhere_and_what_is_its_own_stays_there() {
    let (switch, mut desk) = carrier("follow_redirects = \"never\"\n").await;
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let refused = refusal(&uri, [127, 0, 0, 1], "+12025550143");
    let own = "<sip:+442079460999@127.0.0.2>";
    let (status, _) = tokio::join!(refused, redirect(&mut desk, own));
    assert_eq!(status, 480);
    switch.stop().await;

    let (switch, mut desk) = carrier("follow_redirects = \"anywhere\"\n").await;
    let mut other = Desk::open_at(ELSEWHERE.into()).await;
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let leads = format!("<sip:desk@127.0.0.4:{}>", port(&other));
    let answers = async {
        redirect(&mut desk, &leads).await;
        let incoming = other.rings().await;
        let headers = format!("{:?}", incoming.invite.headers);
        assert!(!headers.contains("X-Account"), "{headers}");
        other.pick_up(*incoming).await
    };
    let (caller, mut called) = tokio::join!(Caller::dial(&uri), answers);
    caller.unwrap().hang_up().await;
    called.until_over().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_phone_leads_a_call_nowhere_else_and_the_next_user_is_rung() {
    let users = "[[user]]\nname = \"ann\"\npassword = \"correct horse battery\"\n\
                 [[user]]\nname = \"bob\"\npassword = \"correct horse battery\"\n\
                 [[route]]\nto = \"100\"\nuser = [\"ann\", \"bob\"]\nhunt = \"in-turn\"\n";
    let switch = Switch::start(LISTENER, users).await;
    let (mut ann, mut bob) = (Desk::open().await, Desk::open().await);
    let _there = ann.register(&switch, "ann", "correct horse battery").await;
    let _too = bob.register(&switch, "bob", "correct horse battery").await;
    let uri = switch.uri.replace("sip:test@", "sip:100@");
    let answers = async {
        redirect(&mut ann, "<sip:+442079460999@203.0.113.9>").await;
        bob.answer().await
    };
    let (caller, mut called) = tokio::join!(Caller::dial(&uri), answers);
    caller.unwrap().hang_up().await;
    called.until_over().await;
    switch.stop().await;
}
