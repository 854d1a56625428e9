//! Transfers that the peer asks for (RFC 3515): what is refused, and what it is told.

use offhook_sip::{CallHandle, Event, ReferTo, Settings};

use crate::support::*;

const TO: &str = "Refer-To: <sip:bob@example.com>\r\n";

/// Sends a REFER within a call.
fn ask(desk: &mut Desk, cseq: u32, tag: &str, fields: &str) {
    let fields = format!("{fields}{CONTACT}");
    let branch = format!("z9hG4bKr{cseq}");
    desk.receive(&request("REFER", cseq, &branch, tag, &fields, ""));
}

fn asked(desk: &mut Desk) -> (ReferTo, Option<String>) {
    match desk.event() {
        Event::Refer {
            refer_to,
            referred_by,
            ..
        } => (refer_to, referred_by),
        other => panic!("{other:?}"),
    }
}

/// Accepts a REFER of the peer, whose first report is answered.
fn accept(desk: &mut Desk, call: CallHandle, tag: &str, cseq: u32) {
    ask(desk, cseq, tag, TO);
    asked(desk);
    desk.ua.answer_refer(desk.now, call, Ok(()));
    let mut sent = desk.sent();
    assert_eq!(sent[0].what(), "202");
    let first = sent.remove(1);
    assert_report(&first, cseq, "100 Trying");
    desk.receive(&respond(&first, 200, "", "", ""));
}

fn assert_report(sent: &Sent, refer: u32, line: &str) {
    assert_eq!(sent.what(), "NOTIFY");
    let field = |name| sent.header(name).unwrap();
    assert_eq!(field("Event"), format!("refer;id={refer}"));
    assert_eq!(field("Content-Type"), "message/sipfrag;version=2.0");
    assert_eq!(sent.body(), format!("SIP/2.0 {line}\r\n"));
    let state = match line.starts_with('1') {
        true => "active;expires=60",
        false => "terminated;reason=noresource",
    };
    assert_eq!(field("Subscription-State"), state);
    assert_eq!(field("Contact"), "<sip:us@127.0.0.1:5060>");
}

#[test]
fn a_refer_is_answered_202_and_told_of_each_step_with_rising_numbers() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    let by = "b: \"Them\"\r\n  <sip:them@example.com>;cid=\"x@y\"\r\n";
    ask(
        &mut desk,
        2,
        &tag,
        &format!("r: sip:bob@example.com\r\n{by}"),
    );
    desk.nothing_sent();
    let (refer_to, referred_by) = asked(&mut desk);
    assert_eq!(refer_to.uri, "sip:bob@example.com");
    assert_eq!(refer_to.replaces, None);
    assert_eq!(
        referred_by.unwrap(),
        "\"Them\" <sip:them@example.com>;cid=\"x@y\""
    );
    desk.ua.answer_refer(desk.now, call, Ok(()));
    let sent = desk.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].what(), "202");
    assert_eq!(
        sent[0].header("Contact").unwrap(),
        "<sip:us@127.0.0.1:5060>"
    );
    let mut last = sent[1].clone();
    assert_report(&last, 2, "100 Trying");
    assert_eq!(last.start(), "NOTIFY sip:them@127.0.0.1:5070 SIP/2.0");
    for (status, reason, line) in [
        (180, "", "180 Ringing"),
        (183, "Soon\r\nEvil: x", "183 SoonEvil: x"),
        (200, "OK", "200 OK"),
    ] {
        desk.receive(&respond(&last, 200, "", "", ""));
        desk.nothing_sent();
        desk.ua.notify_refer(desk.now, call, status, reason);
        let next = desk.one();
        assert_report(&next, 2, line);
        assert_eq!(next.cseq(), last.cseq() + 1);
        last = next;
    }
    desk.ua.notify_refer(desk.now, call, 500, "");
    desk.receive(&respond(&last, 200, "", "", ""));
    desk.ua.notify_refer(desk.now, call, 500, "");
    desk.nothing_sent();
    desk.receive(&request("BYE", 3, "z9hG4bKbye", &tag, "", ""));
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
}

#[test]
fn one_report_is_out_at_a_time_and_the_newest_waits() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    ask(&mut desk, 2, &tag, TO);
    asked(&mut desk);
    desk.ua.answer_refer(desk.now, call, Ok(()));
    let first = desk.sent().remove(1);
    for status in [180, 183, 200] {
        desk.ua.notify_refer(desk.now, call, status, "");
        desk.nothing_sent();
    }
    desk.receive(&respond(&first, 200, "", "", ""));
    assert_report(&desk.one(), 2, "200 OK");
}

#[test]
fn a_refusal_is_answered_with_its_status() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    ask(&mut desk, 2, &tag, TO);
    asked(&mut desk);
    desk.ua.answer_refer(desk.now, call, Err(403));
    assert_eq!(desk.one().what(), "403");
    desk.ua.answer_refer(desk.now, call, Ok(()));
    desk.ua.notify_refer(desk.now, call, 200, "OK");
    desk.nothing_sent();
}

#[test]
fn a_refer_that_the_switch_leaves_alone_gets_603() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    ask(&mut desk, 2, &tag, TO);
    asked(&mut desk);
    desk.pass(ms(4_900));
    desk.nothing_sent();
    desk.pass(ms(100));
    assert_eq!(desk.one().what(), "603");
    desk.no_event();
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn a_failed_report_ends_the_reports_and_never_the_call() {
    for status in [481, 408, 500, 603, 401, 0] {
        let mut desk = Desk::new();
        let (call, tag) = desk.pick_up();
        accept(&mut desk, call, &tag, 2);
        desk.ua.notify_refer(desk.now, call, 180, "");
        let ringing = desk.one();
        match status {
            0 => desk.pass(ms(33_000)),
            _ => desk.receive(&respond(&ringing, status, "", "", "")),
        }
        desk.sent();
        desk.ua.notify_refer(desk.now, call, 200, "OK");
        desk.nothing_sent();
        desk.no_event();
        assert_eq!(desk.ua.call_count(), 1);
        accept(&mut desk, call, &tag, 3);
    }
}

#[test]
fn a_challenge_to_a_report_is_answered() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(Some(credentials("secret")));
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    desk.sent();
    desk.events();
    let fields = format!("{TO}{CONTACT}");
    desk.receive(&request_back(&invite, "REFER", 1, &fields, ""));
    asked(&mut desk);
    desk.ua.answer_refer(desk.now, call, Ok(()));
    let first = desk.sent().remove(1);
    let challenge = "Proxy-Authenticate: Digest realm=\"them\", nonce=\"n\"\r\n";
    desk.receive(&respond(&first, 407, "", challenge, ""));
    let again = desk.one();
    assert!(again.header("Proxy-Authorization").is_some());
    assert_eq!(again.cseq(), first.cseq() + 1);
    assert_eq!(again.body(), first.body());
    assert_eq!(again.header("Content-Type"), first.header("Content-Type"));
    desk.receive(&respond(&again, 200, "", "", ""));
    desk.ua.notify_refer(desk.now, call, 200, "OK");
    assert_eq!(desk.one().what(), "NOTIFY");
}

#[test]
fn a_report_is_repeated_before_it_expires_until_the_switch_is_silent_too_long() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    accept(&mut desk, call, &tag, 2);
    desk.ua.notify_refer(desk.now, call, 180, "");
    let ringing = desk.one();
    desk.receive(&respond(&ringing, 200, "", "", ""));
    let (from, mut times) = (desk.now, Vec::new());
    while desk.now < from + ms(400_000) {
        desk.pass(ms(1_000));
        for sent in desk.sent() {
            let line = sent.body().trim_end().to_owned();
            times.push(((desk.now - from).as_secs(), line));
            desk.receive(&respond(&sent, 200, "", "", ""));
        }
    }
    let expected: Vec<(u64, String)> = [
        (45, "180 Ringing"),
        (90, "180 Ringing"),
        (135, "180 Ringing"),
        (180, "408 Request Timeout"),
    ]
    .map(|(at, line)| (at, format!("SIP/2.0 {line}")))
    .into();
    assert_eq!(times, expected);
    desk.no_event();
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn another_refer_gets_491_until_the_outcome_was_told() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    ask(&mut desk, 2, &tag, TO);
    asked(&mut desk);
    ask(&mut desk, 3, &tag, TO);
    assert_eq!(desk.one().what(), "491");
    desk.ua.answer_refer(desk.now, call, Ok(()));
    desk.sent();
    ask(&mut desk, 4, &tag, TO);
    assert_eq!(desk.one().what(), "491");
    desk.ua.answer_refer(desk.now, call, Ok(()));
    desk.nothing_sent();
    desk.no_event();
    desk.ua.notify_refer(desk.now, call, 486, "");
    ask(&mut desk, 5, &tag, TO);
    asked(&mut desk);
}

#[test]
fn a_refer_to_that_is_no_call_gets_400() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    for (cseq, fields) in [
        "",
        "Refer-To: <sip:a@b>\r\nRefer-To: <sip:c@d>\r\n",
        "Refer-To: <sip:a@b>, <sip:c@d>\r\n",
        "Refer-To: <sip:a@b>\r\nr: <sip:a@b>\r\n",
        "Refer-To: <http://example.com/>\r\n",
        "Refer-To: nobody\r\n",
        "Refer-To: <sip:a@b\r\n",
        "Refer-To: sip:a@b?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2\r\n",
        "Refer-To: <sip:a@b?Replaces=x>\r\n",
        "Refer-To: <sip:a@b?Replaces>\r\n",
        "Refer-To: <sip:a@b?Replaces=x%3Bto-tag%3D1>\r\n",
        "Refer-To: <sip:a@b?Replaces=%FF%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n",
        "Refer-To: <sip:a@b?Replaces=x%0D%0AEvil:x%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n",
        "Refer-To: <sip:a@b?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=y>\r\n",
        "Refer-To: <sip:a@b;method=BYE>\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        ask(&mut desk, u32::try_from(cseq).unwrap() + 2, &tag, fields);
        assert_eq!(desk.one().what(), "400", "{fields}");
    }
    desk.no_event();
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn of_what_a_refer_to_carries_only_replaces_is_taken() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    let uri = "sip:bob@example.com:5080;method=INVITE;transport=tcp\
               ?Subject=x&%52eplaces=12345%40192.0.2.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994\
               %3bearly-only&Route=%3Csip:evil.example%3E";
    ask(
        &mut desk,
        2,
        &tag,
        &format!("Refer-To: Bob <{uri}>;x=y\r\n"),
    );
    let (refer_to, referred_by) = asked(&mut desk);
    assert_eq!(refer_to.uri, "sip:bob@example.com:5080;transport=tcp");
    assert_eq!(
        refer_to.replaces.unwrap().to_string(),
        "12345@192.0.2.3;to-tag=12345;from-tag=5FFE-3994;early-only"
    );
    assert_eq!(referred_by, None);
    desk.ua.answer_refer(desk.now, call, Err(603));
    desk.sent();
    for (cseq, fields) in [
        (
            3,
            "Refer-To: <tel:+12025550199;phone-context=x>\r\nReferred-By: nobody\r\n",
        ),
        (
            4,
            "Refer-To: <sips:bob@example.com>\r\nb: <sip:a@b>\r\nb: <sip:c@d>\r\n",
        ),
    ] {
        ask(&mut desk, cseq, &tag, fields);
        assert_eq!(asked(&mut desk).1, None, "no address, or not one");
        desk.ua.answer_refer(desk.now, call, Err(603));
        desk.sent();
    }
}

#[test]
fn a_peer_that_wants_no_reports_gets_none() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    let fields = format!("{TO}Refer-Sub: false\r\nRequire: norefersub\r\n");
    ask(&mut desk, 2, &tag, &fields);
    asked(&mut desk);
    desk.ua.answer_refer(desk.now, call, Ok(()));
    let accepted = desk.one();
    assert_eq!(accepted.what(), "202");
    assert_eq!(accepted.header("Refer-Sub").unwrap(), "false");
    desk.ua.notify_refer(desk.now, call, 200, "OK");
    desk.nothing_sent();
    accept(&mut desk, call, &tag, 3);
}

#[test]
fn a_refer_outside_of_an_answered_call_is_refused() {
    let mut desk = Desk::new();
    ask(&mut desk, 1, "", TO);
    assert_eq!(desk.one().what(), "403");
    ask(&mut desk, 1, "nobody", TO);
    assert_eq!(desk.one().what(), "481");
    assert!(desk.ua.is_idle());
    let (_, tag) = desk.ring();
    ask(&mut desk, 2, &tag, TO);
    assert_eq!(desk.one().what(), "403");
    desk.no_event();
    ask(&mut desk, 3, &tag, "Require: precondition\r\n");
    assert_eq!(desk.one().what(), "420");
}

#[test]
fn a_call_that_ends_takes_its_transfers_along() {
    for ours in [true, false] {
        let mut desk = Desk::new();
        let (call, tag) = desk.pick_up();
        ask(&mut desk, 2, &tag, TO);
        asked(&mut desk);
        if ours {
            desk.ua.hang_up(desk.now, call, None);
            let sent = desk.sent();
            assert_eq!(sent[0].what(), "487");
            desk.receive(&respond(&sent[1], 200, "", "", ""));
        } else {
            desk.receive(&request("BYE", 3, "z9hG4bKbye", &tag, "", ""));
            assert_eq!(desk.sent_what(), ["200", "487"]);
        }
        assert!(matches!(desk.event(), Event::Ended { .. }));
        desk.ua.answer_refer(desk.now, call, Ok(()));
        desk.ua.notify_refer(desk.now, call, 200, "OK");
        desk.nothing_sent();
        desk.ends_empty();
    }
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    accept(&mut desk, call, &tag, 2);
    desk.ua.notify_refer(desk.now, call, 180, "");
    desk.sent();
    desk.receive(&request("BYE", 3, "z9hG4bKbye", &tag, "", ""));
    desk.ends_empty();
}

#[test]
fn reports_wait_while_no_transaction_may_be_opened() {
    let mut desk = Desk::with(Settings {
        max_transactions: 4,
        ..settings()
    });
    let (call, tag) = desk.pick_up();
    desk.pass(ms(40_000));
    accept(&mut desk, call, &tag, 2);
    desk.ua.info(desk.now, call, "text/plain", b"x".to_vec());
    desk.ua.info(desk.now, call, "text/plain", b"x".to_vec());
    let infos = desk.sent();
    desk.ua.notify_refer(desk.now, call, 200, "OK");
    desk.nothing_sent();
    for info in &infos {
        desk.receive(&respond(info, 200, "", "", ""));
    }
    let mut told = Vec::new();
    for _ in 0..40 {
        desk.pass(ms(1_000));
        told.extend(desk.sent());
    }
    assert!(told.iter().all(|sent| sent.body() == "SIP/2.0 200 OK\r\n"));
    assert!(!told.is_empty());
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn nothing_grows_over_a_thousand_refers_in_one_call() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    for n in 0..1_000 {
        let cseq = n + 2;
        accept(&mut desk, call, &tag, cseq);
        desk.ua.notify_refer(desk.now, call, 486, "");
        let last = desk.one();
        if n % 2 == 0 {
            desk.receive(&respond(&last, 200, "", "", ""));
        }
        desk.pass(ms(5_000));
        desk.sent();
        assert!(desk.ua.transaction_count() < 50);
    }
    desk.no_event();
    assert_eq!(desk.ua.call_count(), 1);
    desk.pass(ms(40_000));
    assert_eq!(desk.ua.transaction_count(), 0);
}

#[test]
fn who_lets_nobody_transfer_does_not_say_so_and_refuses_what_asks_for_it() {
    let desk = || {
        Desk::with(Settings {
            transfers: false,
            ..settings()
        })
    };
    let mut one = desk();
    let (_, tag) = one.pick_up();
    ask(&mut one, 2, &tag, TO);
    let refused = one.one();
    assert_eq!(refused.what(), "405");
    let allow = refused.header("Allow").unwrap();
    assert!(!allow.contains("REFER"), "{allow}");
    one.no_event();
    let (mut other, asks) = (desk(), format!("Require: replaces\r\n{CONTACT}"));
    other.receive(&request("INVITE", 1, "z9hG4bKnew", "", &asks, ""));
    let refused = other.one();
    assert_eq!(refused.what(), "420");
    assert_eq!(refused.header("Unsupported").unwrap(), "replaces");
    // Without that it is a call like any other.
    let names = format!("Replaces: of@others;to-tag=a;from-tag=b\r\n{CONTACT}");
    let invite = request("INVITE", 2, "z9hG4bKother", "", &names, "");
    other.receive(&invite.replace("Call-ID: ", "Call-ID: other-"));
    assert!(matches!(other.event(), Event::Incoming { .. }));
}
