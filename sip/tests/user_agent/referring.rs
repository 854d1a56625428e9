//! Transfers that we ask for (RFC 3515): the answer, the reports, and what never comes.

use offhook_sip::{CallHandle, EndCause, Event, Reason, Refer, ReplacesBuf};
use proptest::prelude::*;

use crate::support::*;

const FRAG: &str = "Content-Type: message/sipfrag;version=2.0\r\n";
const ACTIVE: &str = "active;expires=60";
const OVER: &str = "terminated;reason=noresource";

/// Gives a request without a body a sipfrag.
fn with_frag(text: &str, frag: &str) -> String {
    let length = format!("{FRAG}Content-Length: {}\r\n\r\n{frag}", frag.len());
    text.replace("Content-Length: 0\r\n\r\n", &length)
}

/// A report of the peer.
fn notify(invite: &Sent, cseq: u32, event: &str, state: &str, frag: &str) -> String {
    let fields = format!("Event: {event}\r\nSubscription-State: {state}\r\n{CONTACT}");
    with_frag(&request_back(invite, "NOTIFY", cseq, &fields, ""), frag)
}

fn to(uri: &str) -> Refer {
    Refer {
        refer_to: uri.to_owned(),
        ..Refer::default()
    }
}

/// Asks for a blind transfer, and returns the REFER.
fn ask(desk: &mut Desk, call: CallHandle) -> Sent {
    desk.ua.refer(desk.now, call, to("sip:bob@example.com"));
    let refer = desk.one();
    assert_eq!(refer.what(), "REFER");
    refer
}

fn answered(desk: &mut Desk) -> Result<(), u16> {
    match desk.event() {
        Event::ReferAnswered { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

fn progress(desk: &mut Desk) -> (u16, bool) {
    match desk.event() {
        Event::ReferProgress {
            status, is_final, ..
        } => (status, is_final),
        other => panic!("{other:?}"),
    }
}

/// Asks for a transfer that the peer accepts.
fn accepted(desk: &mut Desk, call: CallHandle) -> Sent {
    let refer = ask(desk, call);
    desk.receive(&respond(&refer, 202, "", CONTACT, ""));
    assert_eq!(answered(desk), Ok(()));
    refer
}

#[test]
fn a_blind_transfer_reports_trying_ringing_and_success() {
    let mut desk = Desk::new();
    let (call, invite) = desk.talk();
    let refer = Refer {
        referred_by: Some("\"Desk\" <sip:desk@us.example>".to_owned()),
        ..to("<sip:bob@example.com;user=phone>")
    };
    desk.ua.refer(desk.now, call, refer);
    let refer = desk.one();
    assert_eq!(refer.start(), "REFER sip:them@127.0.0.1:5070 SIP/2.0");
    let field = |name| refer.header(name).unwrap();
    assert_eq!(field("Refer-To"), "<sip:bob@example.com;user=phone>");
    assert_eq!(field("r"), field("Refer-To"), "the compact form");
    assert_eq!(field("b"), "\"Desk\" <sip:desk@us.example>");
    assert_eq!(field("Contact"), "<sip:+12025550100@127.0.0.1:5060>");
    assert_eq!(field("Supported"), SUPPORTED);
    assert_eq!(refer.header("Refer-Sub"), None);
    assert_eq!(refer.cseq(), 2);
    desk.receive(&respond(&refer, 202, "", CONTACT, ""));
    assert_eq!(answered(&mut desk), Ok(()));
    for (cseq, state, frag, told) in [
        (1, ACTIVE, "SIP/2.0 100 Trying", (100, false)),
        (2, ACTIVE, "SIP/2.0 180 Ringing\r\n", (180, false)),
        (3, OVER, "SIP/2.0 200 OK\r\n", (200, true)),
    ] {
        desk.receive(&notify(&invite, cseq, "refer;id=2", state, frag));
        assert_eq!(desk.one().what(), "200");
        assert_eq!(progress(&mut desk), told);
    }
    desk.receive(&notify(&invite, 4, "refer;id=2", OVER, "SIP/2.0 200 OK"));
    assert_eq!(desk.one().what(), "481", "it is over");
    desk.no_event();
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    assert_eq!(bye.cseq(), 3);
    desk.receive(&respond(&bye, 200, "", "", ""));
    desk.ends_empty();
}

#[test]
fn a_refusal_says_its_status_and_leaves_the_call_up() {
    for status in [302, 403, 405, 408, 486, 501, 603] {
        let mut desk = Desk::new();
        let (call, invite) = desk.talk();
        let refer = ask(&mut desk, call);
        desk.receive(&respond(&refer, status, "", "", ""));
        assert_eq!(answered(&mut desk), Err(status));
        desk.receive(&notify(&invite, 1, "refer", OVER, "SIP/2.0 200 OK"));
        assert_eq!(desk.one().what(), "481");
        accepted(&mut desk, call);
    }
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    let refer = ask(&mut desk, call);
    desk.receive(&respond(&refer, 481, "", "", ""));
    assert!(matches!(
        desk.event(),
        Event::Ended {
            cause: EndCause::Lost,
            ..
        }
    ));
}

#[test]
fn a_challenge_is_answered_and_the_reports_name_the_refer_that_was_accepted() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(Some(credentials("secret")));
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    desk.sent();
    desk.events();
    let first = ask(&mut desk, call);
    let challenge = "WWW-Authenticate: Digest realm=\"them\", nonce=\"n\"\r\n";
    desk.receive(&respond(&first, 401, "", challenge, ""));
    let second = desk.one();
    assert_eq!((second.what(), second.cseq()), ("REFER".into(), 3));
    assert!(
        second
            .header("Authorization")
            .unwrap()
            .contains("trunkuser")
    );
    assert_eq!(second.header("Refer-To"), first.header("Refer-To"));
    desk.no_event();
    desk.receive(&respond(&second, 202, "", CONTACT, ""));
    assert_eq!(answered(&mut desk), Ok(()));
    let frag = "SIP/2.0 486 Busy";
    desk.receive(&notify(&invite, 1, "refer;id=2", OVER, frag));
    assert_eq!(desk.one().what(), "481");
    desk.receive(&notify(&invite, 2, "refer;id=3", OVER, frag));
    assert_eq!(desk.one().what(), "200");
    assert_eq!(progress(&mut desk), (486, true));

    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    let refer = ask(&mut desk, call);
    desk.receive(&respond(&refer, 401, "", challenge, ""));
    assert_eq!(answered(&mut desk), Err(401), "nothing to answer it with");
}

#[test]
fn silence_refuses_the_transfer_and_leaves_the_call_up() {
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    ask(&mut desk, call);
    desk.pass(ms(33_000));
    assert_eq!(answered(&mut desk), Err(408));
    desk.sent();
    ask(&mut desk, call);
    desk.ua.transport_failed(desk.now, desk.flow);
    assert_eq!(answered(&mut desk), Err(503));
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn progress_that_never_ends_is_given_up() {
    let mut desk = Desk::new();
    let (call, invite) = desk.talk();
    accepted(&mut desk, call);
    desk.pass(ms(100_000));
    desk.receive(&notify(&invite, 1, "refer", ACTIVE, "SIP/2.0 180 Ringing"));
    assert_eq!(progress(&mut desk), (180, false));
    desk.pass(ms(179_000));
    desk.no_event();
    assert_eq!(desk.ua.poll_timeout().unwrap().1, Reason::Transfer);
    desk.pass(ms(1_000));
    assert_eq!(progress(&mut desk), (408, true));
    desk.sent();
    desk.receive(&notify(&invite, 2, "refer", OVER, "SIP/2.0 200 OK"));
    assert_eq!(desk.one().what(), "481");
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn reports_that_end_without_an_outcome_are_told_as_408() {
    for (state, frag) in [
        ("terminated;reason=timeout", ""),
        ("terminated", "SIP/2.0 100 Trying"),
        ("terminated", "nonsense"),
    ] {
        let mut desk = Desk::new();
        let (call, invite) = desk.talk();
        accepted(&mut desk, call);
        desk.receive(&notify(&invite, 1, "refer", state, frag));
        assert_eq!(desk.one().what(), "200");
        assert_eq!(progress(&mut desk), (408, true));
    }
}

#[test]
fn an_outcome_is_told_once_however_long_the_peer_keeps_its_subscription() {
    let mut desk = Desk::new();
    let (call, invite) = desk.talk();
    accepted(&mut desk, call);
    for cseq in 1..4 {
        let state = if cseq == 3 { OVER } else { ACTIVE };
        desk.receive(&notify(&invite, cseq, "refer", state, "SIP/2.0 486 Busy"));
        assert_eq!(desk.one().what(), "200");
        match cseq {
            1 => assert_eq!(progress(&mut desk), (486, true)),
            _ => desk.no_event(),
        }
    }
    let again = accepted(&mut desk, call);
    let event = format!("refer;id={}", again.cseq());
    desk.receive(&notify(&invite, 4, &event, ACTIVE, "SIP/2.0 200 OK"));
    desk.sent();
    assert_eq!(progress(&mut desk), (200, true));
    accepted(&mut desk, call);
}

#[test]
fn a_report_that_overtakes_the_answer_stands_for_it() {
    let mut desk = Desk::new();
    let (call, invite) = desk.talk();
    let refer = ask(&mut desk, call);
    desk.receive(&notify(&invite, 1, "refer", ACTIVE, "SIP/2.0 100 Trying"));
    assert_eq!(desk.one().what(), "200");
    let events = desk.events();
    assert!(matches!(
        events[..],
        [
            Event::ReferAnswered { result: Ok(()), .. },
            Event::ReferProgress {
                status: 100,
                is_final: false,
                ..
            }
        ]
    ));
    desk.receive(&respond(&refer, 202, "", CONTACT, ""));
    desk.no_event();
}

#[test]
fn a_notify_for_nothing_gets_481_and_one_of_another_package_489() {
    let mut desk = Desk::new();
    let (call, invite) = desk.talk();
    let frag = "SIP/2.0 200 OK";
    desk.receive(&notify(&invite, 1, "refer", ACTIVE, frag));
    assert_eq!(desk.one().what(), "481");
    accepted(&mut desk, call);
    for (cseq, event, status) in [
        (2, "refer;id=77", "481"),
        (3, "refer;id=x", "481"),
        (4, "dialog", "489"),
        (5, "", "489"),
    ] {
        desk.receive(&notify(&invite, cseq, event, ACTIVE, frag));
        let refused = desk.one();
        assert_eq!(refused.what(), status, "{event}");
        if status == "489" {
            assert_eq!(refused.header("Allow-Events").unwrap(), "refer");
        }
    }
    let html = notify(&invite, 6, "refer", ACTIVE, frag).replace("message/sipfrag", "text/html");
    desk.receive(&html);
    assert_eq!(desk.one().what(), "415");
    desk.no_event();
    let old = notify(&invite, 7, "refer", ACTIVE, frag);
    desk.receive(&old.replace("Subscription-State: active;expires=60\r\n", ""));
    assert_eq!(desk.one().what(), "200");
    assert_eq!(progress(&mut desk), (200, true));
    desk.receive(&notify(&invite, 8, "refer", OVER, frag));
    assert_eq!(desk.one().what(), "481");
}

#[test]
fn a_peer_that_will_not_report_is_over_at_once() {
    for (status, fields) in [
        (204, ""),
        (200, "Refer-Sub: false\r\n"),
        (202, "Refer-Sub: False;x=y\r\n"),
    ] {
        let mut desk = Desk::new();
        let (call, _) = desk.talk();
        let refer = Refer {
            without_reports: true,
            ..to("tel:+12025550199")
        };
        desk.ua.refer(desk.now, call, refer);
        let refer = desk.one();
        assert_eq!(refer.header("Refer-Sub").unwrap(), "false");
        assert_eq!(refer.header("Refer-To").unwrap(), "<tel:+12025550199>");
        let fields = format!("{CONTACT}{fields}");
        desk.receive(&respond(&refer, status, "", &fields, ""));
        let events = desk.events();
        assert!(matches!(events[0], Event::ReferAnswered { .. }));
        assert!(matches!(events[1],
            Event::ReferProgress { status: told, is_final: true, .. } if told == status));
        accepted(&mut desk, call);
    }
}

#[test]
fn one_transfer_at_a_time_and_only_of_an_answered_call() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(None);
    desk.ua.refer(desk.now, call, to("sip:bob@example.com"));
    desk.nothing_sent();
    assert_eq!(answered(&mut desk), Err(491));
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    desk.sent();
    desk.events();
    let refer = ask(&mut desk, call);
    for _ in 0..2 {
        desk.ua.refer(desk.now, call, to("sip:bob@example.com"));
        assert_eq!(answered(&mut desk), Err(491));
        desk.receive(&respond(&refer, 202, "", CONTACT, ""));
        desk.events();
    }
    desk.ua.hang_up(desk.now, call, None);
    desk.sent();
    desk.ua.refer(desk.now, call, to("sip:bob@example.com"));
    desk.no_event();
    desk.nothing_sent();
    desk.pass(ms(33_000));
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
}

#[test]
fn what_names_no_place_to_call_is_refused_at_once() {
    let mut desk = Desk::new();
    let (call, _) = desk.talk();
    let replaces = |call_id: &str| ReplacesBuf {
        call_id: call_id.to_owned(),
        to_tag: "1".to_owned(),
        from_tag: "2".to_owned(),
        early_only: false,
    };
    for refer in [
        to(""),
        to("http://example.com"),
        to("sip:"),
        to("<sip:a@b>, <sip:c@d>"),
        Refer {
            referred_by: Some("nobody".to_owned()),
            ..to("sip:bob@example.com")
        },
        Refer {
            replaces: Some(replaces("a\r\nEvil: x")),
            ..to("sip:bob@example.com")
        },
        Refer {
            replaces: Some(replaces("a")),
            ..to("tel:+12025550199")
        },
        Refer {
            replaces: Some(replaces("a")),
            ..to("<sip:a@b?Replaces=x>")
        },
    ] {
        desk.ua.refer(desk.now, call, refer);
        desk.nothing_sent();
        assert_eq!(answered(&mut desk), Err(400));
    }
    desk.ua.refer_to_call(desk.now, call, call);
    assert_eq!(answered(&mut desk), Err(400), "a call for itself");
    let (early, _) = desk.call(None);
    desk.ua.refer_to_call(desk.now, call, early);
    assert_eq!(answered(&mut desk), Err(400), "a call that only rings");
}

#[test]
fn an_attended_transfer_names_the_other_call_as_its_peer_does() {
    let mut desk = Desk::new();
    let (other, invite) = desk.talk();
    let call = {
        let other_invite = request("INVITE", 1, "z9hG4bKtwo", "", CONTACT, OFFER);
        desk.receive(&other_invite.replace("call-1", "call-2"));
        let Event::Incoming { call, .. } = desk.event() else {
            panic!("no call")
        };
        desk.ua.answer(desk.now, call, ANSWER.into());
        desk.sent();
        call
    };
    desk.ua.refer_to_call(desk.now, call, other);
    let refer = desk.one();
    let (id, ours) = (
        invite.header("Call-ID").unwrap(),
        invite.tag(offhook_sip::message::HeaderName::From),
    );
    let id = id.replace('@', "%40");
    assert_eq!(
        refer.header("Refer-To").unwrap(),
        format!("<sip:them@127.0.0.1:5070?Replaces={id}%3Bto-tag%3Dthem%3Bfrom-tag%3D{ours}>")
    );
    assert_eq!(refer.header("Call-ID").unwrap(), "call-2");
}

#[test]
fn nothing_grows_over_a_thousand_refers_in_one_call() {
    let mut desk = Desk::new();
    let (call, invite) = desk.talk();
    for n in 1..=1_000 {
        let refer = ask(&mut desk, call);
        assert_eq!(refer.cseq(), n + 1);
        match n % 3 {
            0 => desk.receive(&respond(&refer, 603, "", "", "")),
            _ => {
                desk.receive(&respond(&refer, 202, "", CONTACT, ""));
                let event = format!("refer;id={}", refer.cseq());
                desk.receive(&notify(&invite, n, &event, OVER, "SIP/2.0 200 OK"));
            }
        }
        desk.sent();
        desk.events();
        desk.pass(ms(5_000));
        assert!(desk.ua.transaction_count() < 20);
    }
    assert_eq!(desk.ua.call_count(), 1);
    desk.pass(ms(40_000));
    assert_eq!(desk.ua.transaction_count(), 0);
}

proptest! {
    /// Whatever a Replaces may hold is read as it was written, and nothing else is written.
    #[test]
    fn a_refer_to_is_read_as_it_was_written(
        call_id in "[!-~]{1,40}",
        to_tag in "[A-Za-z0-9.!%*_+`'~-]{1,20}",
        from_tag in "[A-Za-z0-9.!%*_+`'~-]{1,20}",
        early_only: bool,
        query in prop::option::of("[a-z]{1,8}=[a-z]{0,8}"),
    ) {
        let replaces = ReplacesBuf { call_id: call_id.clone(), to_tag, from_tag, early_only };
        let uri = "sip:bob@example.com;user=phone";
        let refer_to = match query {
            Some(query) => format!("<{uri}?{query}>"),
            None => uri.to_owned(),
        };
        let mut desk = Desk::new();
        let (call, _) = desk.talk();
        let refer = Refer { replaces: Some(replaces.clone()), ..to(&refer_to) };
        desk.ua.refer(desk.now, call, refer);
        if call_id.contains([';', ',']) {
            prop_assert_eq!(answered(&mut desk), Err(400));
            return Ok(());
        }
        let written = desk.one().header("Refer-To").unwrap();
        let mut other = Desk::new();
        let (_, tag) = other.pick_up();
        let fields = format!("Refer-To: {written}\r\n{CONTACT}");
        other.receive(&request("REFER", 2, "z9hG4bKr", &tag, &fields, ""));
        match other.event() {
            Event::Refer { refer_to, .. } => {
                prop_assert_eq!(refer_to.replaces, Some(replaces));
                // A bare URI's parameters were put inside the brackets.
                prop_assert_eq!(refer_to.uri, uri);
            }
            other => panic!("{other:?}"),
        }
    }
}
