//! Refreshes that we send (RFC 4028 §7.4, §10): a call that lives goes on, and one that is dead is
//! found.

use offhook_sip::{EndCause, Event, Reason, Settings};

use crate::support::*;
use crate::timers::*;

#[test]
fn a_refresh_is_sent_at_half_of_the_interval() {
    let mut desk = Desk::new();
    let fields = format!("{ALLOW}Require: timer\r\nSession-Expires: 600;refresher=uac\r\n");
    let (_, invite) = talk(&mut desk, &fields);
    for cseq in 2..6 {
        let from = desk.now;
        desk.pass(s(299));
        desk.nothing_sent();
        let (at, reason) = desk.ua.poll_timeout().unwrap();
        assert_eq!((at - from, reason), (s(300), Reason::SessionTimer));
        desk.pass(s(1));
        let update = desk.one();
        assert_eq!((update.what().as_str(), update.cseq()), ("UPDATE", cseq));
        assert_eq!(update.header("Call-ID"), invite.header("Call-ID"));
        assert_eq!(expires(&update), "600;refresher=uac");
        assert_eq!(update.header("Supported").unwrap(), SUPPORTED);
        assert_eq!(
            update.header("Contact").unwrap(),
            "<sip:+12025550100@127.0.0.1:5060>"
        );
        assert_eq!(update.body(), "");
        let ok = format!("{CONTACT}Session-Expires: 600;refresher=uac\r\n");
        desk.receive(&respond(&update, 200, "", &ok, ""));
        desk.nothing_sent();
        desk.no_event();
    }
}

#[test]
fn update_is_used_where_the_peer_allows_it() {
    for (allow, method) in [
        (ALLOW, "UPDATE"),
        ("Allow: INVITE, ACK, BYE\r\n", "INVITE"),
        ("", "INVITE"),
    ] {
        let mut desk = Desk::new();
        let fields = format!("{allow}Session-Expires: 1800\r\nSupported: timer\r\n");
        let (_, _, ok) = pick_up(&mut desk, &fields);
        assert_eq!(expires(&ok), "1800;refresher=uas");
        let (refresh, after_s) = next(&mut desk, 2000);
        assert_eq!((refresh.what().as_str(), after_s), (method, 900));
        assert_eq!(expires(&refresh), "1800;refresher=uac");
    }
}

#[test]
fn a_refresh_by_reinvite_repeats_our_description_and_tells_its_answer() {
    let mut desk = Desk::new();
    let (call, _) = talk(&mut desk, "Session-Expires: 200;refresher=uac\r\n");
    let (first, _) = next(&mut desk, 200);
    assert_eq!((first.what().as_str(), first.body()), ("INVITE", OFFER));
    assert_eq!(
        first.header("Content-Type").as_deref(),
        Some("application/sdp")
    );
    let ok = format!("{CONTACT}Session-Expires: 200;refresher=uac\r\n");
    let ok = respond(&first, 200, "", &ok, ANSWER);
    desk.receive(&ok);
    let ack = desk.one();
    assert_eq!((ack.what(), ack.cseq()), ("ACK".into(), first.cseq()));
    match desk.event() {
        Event::Confirmed { body, .. } => assert_eq!(body.as_deref(), Some(ANSWER.as_bytes())),
        other => panic!("{other:?}"),
    }
    desk.receive(&ok);
    assert_eq!(desk.one().text, ack.text, "a copy is acknowledged only");
    desk.no_event();
    // What was offered since then holds; what was refused does not.
    for (n, status, answer) in [(1, 200, ANSWER), (2, 488, ""), (3, 200, "")] {
        desk.ua
            .reinvite(desk.now, call, format!("{OFFER}a=x:{n}\r\n").into());
        let reinvite = desk.one();
        assert_eq!(expires(&reinvite), "200;refresher=uac");
        desk.receive(&respond(&reinvite, status, "", CONTACT, answer));
        desk.sent();
        desk.events();
    }
    let (second, _) = next(&mut desk, 200);
    assert_eq!(second.body(), format!("{OFFER}a=x:1\r\n"));
}

#[test]
fn our_answer_to_the_peers_offer_is_what_a_refresh_repeats() {
    let mut desk = Desk::new();
    let (call, tag, _) = pick_up(
        &mut desk,
        "Supported: timer\r\nSession-Expires: 200;refresher=uas\r\n",
    );
    let (first, _) = next(&mut desk, 200);
    assert_eq!(first.body(), ANSWER);
    desk.receive(&respond(&first, 200, "", CONTACT, OFFER));
    desk.receive(&request("INVITE", 2, "z9hG4bK2", &tag, CONTACT, OFFER));
    let held = format!("{ANSWER}a=recvonly\r\n");
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(held.clone().into())));
    desk.receive(&request("ACK", 2, "z9hG4bK2a", &tag, "", ""));
    desk.sent();
    desk.events();
    let (second, _) = next(&mut desk, 200);
    assert_eq!(second.body(), held);
}

#[test]
fn a_refused_refresh_leaves_the_call_up() {
    for allow in [ALLOW, ""] {
        for status in [302, 400, 403, 420, 488, 500, 503, 603] {
            let mut desk = Desk::new();
            let fields = format!("{allow}Session-Expires: 1800;refresher=uac\r\n");
            talk(&mut desk, &fields);
            let (mut refresh, _) = next(&mut desk, 1800);
            for _ in 0..20 {
                desk.receive(&respond(&refresh, status, "", "", ""));
                desk.sent();
                desk.no_event();
                let after_s;
                (refresh, after_s) = next(&mut desk, 1800);
                assert_eq!(after_s, 225, "{status}");
            }
            let ok = "Session-Expires: 1800;refresher=uac\r\n";
            desk.receive(&respond(&refresh, 200, "", ok, ""));
            desk.sent();
            assert_eq!(next(&mut desk, 1800).1, 900);
            assert_eq!(desk.ua.call_count(), 1);
        }
    }
}

#[test]
fn a_peer_that_refuses_update_as_such_is_refreshed_by_reinvite_from_then_on() {
    for status in [405, 501] {
        let mut desk = Desk::new();
        let fields = format!("{ALLOW}Session-Expires: 600;refresher=uac\r\n");
        talk(&mut desk, &fields);
        let (update, _) = next(&mut desk, 600);
        desk.receive(&respond(&update, status, "", ALLOW, ""));
        let reinvite = desk.one();
        assert_eq!((reinvite.what(), reinvite.body()), ("INVITE".into(), OFFER));
        assert_eq!(reinvite.cseq(), update.cseq() + 1);
        let fields = format!("{CONTACT}{fields}");
        desk.receive(&respond(&reinvite, 200, "", &fields, ANSWER));
        desk.sent();
        desk.events();
        assert_eq!(next(&mut desk, 600).0.what(), "INVITE");
    }
}

#[test]
fn a_refresh_that_the_peer_knows_no_dialog_for_ends_the_call() {
    for (allow, sent) in [(ALLOW, &["BYE"][..]), ("", &["ACK", "BYE"])] {
        let mut desk = Desk::new();
        talk(
            &mut desk,
            &format!("{allow}Session-Expires: 600;refresher=uac\r\n"),
        );
        let (refresh, _) = next(&mut desk, 600);
        desk.receive(&respond(&refresh, 481, "", "", ""));
        assert_eq!(desk.sent_what(), sent);
        assert_eq!(ended(&mut desk), EndCause::Lost);
        desk.ends_empty();
    }
}

#[test]
fn a_refresh_that_nobody_answers_ends_the_call_and_a_dead_transport_does_not() {
    for allow in [ALLOW, ""] {
        let fields = format!("{allow}Session-Expires: 600;refresher=uac\r\n");
        let mut desk = Desk::new();
        talk(&mut desk, &fields);
        next(&mut desk, 600);
        desk.pass(s(32));
        assert_eq!(desk.sent().last().unwrap().what(), "BYE");
        assert_eq!(ended(&mut desk), EndCause::Timeout);
        desk.ends_empty();

        let mut desk = Desk::new();
        talk(&mut desk, &fields);
        next(&mut desk, 600);
        desk.ua.transport_failed(desk.now, desk.flow);
        desk.no_event();
        assert_eq!(next(&mut desk, 600).1, 75);
        assert_eq!(desk.ua.call_count(), 1);
    }
}

#[test]
fn a_refresh_by_reinvite_that_is_only_worked_on_is_cancelled_and_tried_again() {
    for answered in [true, false] {
        let mut desk = Desk::new();
        talk(&mut desk, "Session-Expires: 1800;refresher=uac\r\n");
        let (reinvite, _) = next(&mut desk, 1800);
        desk.receive(&respond(&reinvite, 100, "", "", ""));
        let (cancel, _) = next(&mut desk, 60);
        let what = (cancel.what(), cancel.cseq());
        assert_eq!(what, ("CANCEL".into(), reinvite.cseq()));
        desk.receive(&respond(&cancel, 200, "", "", ""));
        if answered {
            desk.receive(&respond(&reinvite, 487, "", "", ""));
            assert_eq!(desk.one().what(), "ACK");
        }
        desk.no_event();
        assert_eq!(next(&mut desk, 1800).0.what(), "INVITE");
        desk.no_event();
    }
}

#[test]
fn a_refresh_waits_as_long_as_the_peer_asks_within_reason() {
    for (asked_s, wait_s) in [(7, 7), (9999, 60)] {
        let mut desk = Desk::new();
        let fields = format!("{ALLOW}Session-Expires: 1800;refresher=uac\r\n");
        talk(&mut desk, &fields);
        let (refresh, _) = next(&mut desk, 1800);
        let field = format!("Retry-After: {asked_s}\r\n");
        desk.receive(&respond(&refresh, 500, "", &field, ""));
        assert_eq!(next(&mut desk, 100).1, wait_s);
    }
}

#[test]
fn a_refresh_moves_the_target() {
    let mut desk = Desk::new();
    let fields = format!("{ALLOW}Session-Expires: 600;refresher=uac\r\n");
    talk(&mut desk, &fields);
    let (refresh, _) = next(&mut desk, 600);
    let moved = "Contact: <sip:them@127.0.0.1:5079>\r\n";
    desk.receive(&respond(&refresh, 200, "", moved, ""));
    let (refresh, _) = next(&mut desk, 600);
    assert_eq!(refresh.start(), "UPDATE sip:them@127.0.0.1:5079 SIP/2.0");
}

#[test]
fn a_refresh_waits_for_an_ack_and_for_an_offer_of_ours() {
    let mut desk = Desk::new();
    let fields = format!("{CONTACT}{ALLOW}Session-Expires: 20\r\n");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", &fields, OFFER));
    let Event::Incoming { call, .. } = desk.event() else {
        panic!("no call")
    };
    desk.ua.answer(desk.now, call, ANSWER.into());
    desk.sent();
    desk.pass(s(25));
    assert!(desk.sent_what().iter().all(|what| what == "200"));

    let mut desk = Desk::new();
    let fields = format!("{ALLOW}Session-Expires: 600;refresher=uac\r\n");
    let (call, _) = talk(&mut desk, &fields);
    desk.pass(s(299));
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    desk.receive(&respond(&reinvite, 100, "", "", ""));
    silent_for(&mut desk, 20);
    desk.receive(&respond(&reinvite, 488, "", "", ""));
    assert_eq!(desk.one().what(), "ACK");
    assert_eq!(next(&mut desk, 10).0.what(), "UPDATE");
}

#[test]
fn a_422_to_a_refresh_or_to_our_offer_raises_the_interval() {
    for allow in [ALLOW, ""] {
        let mut desk = Desk::new();
        talk(
            &mut desk,
            &format!("{allow}Session-Expires: 600;refresher=uac\r\n"),
        );
        let (refresh, _) = next(&mut desk, 600);
        desk.receive(&respond(&refresh, 422, "", "Min-SE: 800\r\n", ""));
        let again = desk.sent().pop().unwrap();
        assert_eq!(again.what(), refresh.what());
        assert_eq!(expires(&again), "800;refresher=uac");
        assert_eq!(again.header("Min-SE").unwrap(), "800");
        // What asks for no more than it has is refused like anything else.
        desk.receive(&respond(&again, 422, "", "Min-SE: 800\r\n", ""));
        desk.sent();
        assert_eq!(next(&mut desk, 800).1, 100);
    }
    let mut desk = Desk::new();
    let (call, _) = talk(&mut desk, "Session-Expires: 600;refresher=uas\r\n");
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    assert_eq!(expires(&reinvite), "600;refresher=uas");
    desk.receive(&respond(&reinvite, 422, "", "Min-SE: 700\r\n", ""));
    desk.pass(ms(0));
    let again = desk.sent().pop().unwrap();
    assert_eq!(
        (again.what(), expires(&again)),
        ("INVITE".into(), "700;refresher=uas".into())
    );
    desk.no_event();
}

#[test]
fn a_422_without_end_is_a_refusal() {
    let mut desk = Desk::new();
    talk(
        &mut desk,
        &format!("{ALLOW}Session-Expires: 600;refresher=uac\r\n"),
    );
    let (mut refresh, _) = next(&mut desk, 600);
    let mut tries = 1;
    for n in 0..100 {
        let field = format!("Min-SE: {}\r\n", 601 + n);
        desk.receive(&respond(&refresh, 422, "", &field, ""));
        match desk.sent().pop() {
            Some(again) => refresh = again,
            None => break,
        }
        tries += 1;
    }
    assert_eq!(tries, 8);
    silent_for(&mut desk, 60);
}

#[test]
fn a_challenge_to_a_refresh_is_answered() {
    for allow in [ALLOW, ""] {
        for (status, asks, answers) in [
            (401, "WWW-Authenticate", "Authorization"),
            (407, "Proxy-Authenticate", "Proxy-Authorization"),
        ] {
            let mut desk = Desk::new();
            let (_, invite) = desk.call(Some(credentials("secret")));
            let fields = format!("{CONTACT}{allow}Session-Expires: 600;refresher=uac\r\n");
            desk.receive(&respond(&invite, 200, "them", &fields, ANSWER));
            desk.sent();
            desk.events();
            let (refresh, _) = next(&mut desk, 600);
            let challenge = format!("{asks}: Digest realm=\"r\", nonce=\"n\"\r\n");
            desk.receive(&respond(&refresh, status, "", &challenge, ""));
            let answered = desk.sent().pop().unwrap();
            assert_eq!(answered.what(), refresh.what());
            assert_eq!(answered.cseq(), refresh.cseq() + 1);
            assert!(answered.header(answers).unwrap().contains("nonce=\"n\""));
            assert_eq!(expires(&answered), "600;refresher=uac");
            desk.receive(&respond(&answered, 200, "", &fields, ""));
            desk.sent();
            assert_eq!(next(&mut desk, 600).1, 300);
        }
    }
}

#[test]
fn a_challenge_that_cannot_be_answered_is_a_refusal() {
    let mut desk = Desk::new();
    talk(
        &mut desk,
        &format!("{ALLOW}Session-Expires: 600;refresher=uac\r\n"),
    );
    let (refresh, _) = next(&mut desk, 600);
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    desk.receive(&respond(&refresh, 401, "", challenge, ""));
    desk.nothing_sent();
    assert_eq!(next(&mut desk, 600).1, 75);
}

#[test]
fn a_refresh_that_meets_the_peers_offer_is_tried_again_after_the_back_off() {
    for allow in [ALLOW, ""] {
        let mut desk = Desk::new();
        let (_, invite) = talk(
            &mut desk,
            &format!("{allow}Session-Expires: 600;refresher=uac\r\n"),
        );
        let (refresh, _) = next(&mut desk, 600);
        desk.receive(&request_back(&invite, "INVITE", 1, CONTACT, OFFER));
        // An UPDATE without an offer is in nobody's way (RFC 3311 §5.2).
        let theirs = if allow.is_empty() { "491" } else { "100" };
        assert_eq!(desk.one().what(), theirs);
        if theirs == "100" {
            assert!(matches!(desk.event(), Event::Reoffer { .. }));
            continue;
        }
        let ack = request_back(&invite, "ACK", 1, "", "");
        desk.receive(&ack.replace("backACK1", "backINVITE1"));
        desk.receive(&respond(&refresh, 491, "", "", ""));
        assert_eq!(desk.one().what(), "ACK");
        desk.no_event();
        let (again, after_s) = next(&mut desk, 10);
        assert_eq!(again.what(), refresh.what());
        assert!((2..=4).contains(&after_s), "{after_s}");
    }
}

#[test]
fn an_offer_of_ours_waits_for_our_refresh_and_a_refresh_for_the_peers_offer() {
    let mut desk = Desk::new();
    let (call, _) = talk(&mut desk, "Session-Expires: 600;refresher=uac\r\n");
    let (refresh, _) = next(&mut desk, 600);
    let offer = format!("{OFFER}a=x\r\n");
    desk.ua.reinvite(desk.now, call, offer.clone().into());
    desk.nothing_sent();
    desk.no_event();
    desk.receive(&respond(&refresh, 200, "", CONTACT, ANSWER));
    assert_eq!(desk.one().what(), "ACK");
    assert!(matches!(desk.event(), Event::Confirmed { .. }));
    let (ours, _) = next(&mut desk, 1);
    assert_eq!((ours.what().as_str(), ours.body()), ("INVITE", &*offer));
    desk.receive(&respond(&ours, 200, "", CONTACT, ANSWER));
    desk.sent();
    desk.events();

    let mut desk = Desk::new();
    let (call, invite) = talk(&mut desk, "Session-Expires: 600;refresher=uac\r\n");
    desk.pass(s(299));
    desk.receive(&request_back(&invite, "INVITE", 1, CONTACT, OFFER));
    assert_eq!(desk.one().what(), "100");
    desk.events();
    desk.pass(s(20));
    desk.nothing_sent();
    desk.ua
        .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
    assert_eq!(desk.one().what(), "200");
    desk.receive(&request_back(&invite, "ACK", 1, "", ""));
    desk.events();
    assert_eq!(next(&mut desk, 600).1, 300, "their offer has refreshed it");
}

#[test]
fn a_call_that_is_hung_up_is_refreshed_no_more() {
    for allow in [ALLOW, ""] {
        let mut desk = Desk::new();
        let (call, _) = talk(
            &mut desk,
            &format!("{allow}Session-Expires: 600;refresher=uac\r\n"),
        );
        let (refresh, _) = next(&mut desk, 600);
        desk.ua.hang_up(desk.now, call, None);
        let bye = desk.one();
        assert_eq!(bye.what(), "BYE");
        desk.receive(&respond(&refresh, 481, "", "", ""));
        desk.no_event();
        desk.receive(&respond(&bye, 200, "", "", ""));
        assert_eq!(ended(&mut desk), EndCause::LocalBye);
        desk.ends_empty();
    }
}

#[test]
fn a_refresh_waits_while_there_are_too_many_transactions() {
    let mut desk = Desk::with(Settings {
        max_transactions: 3,
        ..settings()
    });
    let fields = format!("{ALLOW}Session-Expires: 600;refresher=uas\r\n");
    let (_, tag, _) = pick_up(&mut desk, &fields);
    desk.pass(s(295));
    for cseq in 2..9 {
        let branch = format!("z9hG4bK{cseq}");
        desk.receive(&request("INFO", cseq, &branch, &tag, "", ""));
    }
    desk.sent();
    silent_for(&mut desk, 30);
    let (refresh, after_s) = next(&mut desk, 10);
    assert_eq!(refresh.what(), "UPDATE");
    assert!(after_s <= 6, "{after_s}");
}

#[test]
fn a_call_of_four_hours_with_refreshes_both_ways_stays_up_and_keeps_nothing() {
    let mut desk = Desk::new();
    let fields = format!("{ALLOW}Session-Expires: 600;refresher=uac\r\n");
    let (call, invite) = talk(&mut desk, &fields);
    let (mut ours, mut cseq) = (0, 0);
    for minute in 1..=240 {
        desk.pass(s(60));
        for sent in desk.sent() {
            assert_eq!(sent.what(), "UPDATE");
            desk.receive(&respond(&sent, 200, "", &fields, ""));
            ours += 1;
        }
        if minute % 7 == 0 {
            cseq += 1;
            let fields = format!("{CONTACT}Supported: timer\r\nSession-Expires: 600\r\n");
            desk.receive(&request_back(&invite, "UPDATE", cseq, &fields, ""));
            assert_eq!(expires(&desk.one()), "600;refresher=uas");
        }
        assert!(desk.ua.transaction_count() <= 2);
        assert_eq!(desk.ua.call_count(), 1);
        desk.no_event();
    }
    assert!(ours >= 24 && cseq >= 24, "{ours} {cseq}");
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    desk.receive(&respond(&bye, 200, "", "", ""));
    desk.ends_empty();
}
