//! Session timers: what is asked for and agreed upon (RFC 4028 §7.1, §9), and who remembers it.

use offhook_sip::message::HeaderName;
use offhook_sip::{CallHandle, EndCause, Event, SessionTimer, Settings};

use crate::support::*;

pub(crate) const ALLOW: &str = "Allow: INVITE, ACK, BYE, UPDATE\r\n";

pub(crate) fn s(seconds: u64) -> std::time::Duration {
    ms(seconds * 1000)
}

/// Calls a peer that answers with these fields.
pub(crate) fn talk(desk: &mut Desk, fields: &str) -> (CallHandle, Sent) {
    let (call, invite) = desk.call(None);
    let fields = format!("{CONTACT}{fields}");
    desk.receive(&respond(&invite, 200, "them", &fields, ANSWER));
    assert_eq!(desk.one().what(), "ACK");
    assert!(matches!(desk.event(), Event::Answered { .. }));
    (call, invite)
}

/// Is called with these fields, and answers; returns the 200 as well.
pub(crate) fn pick_up(desk: &mut Desk, fields: &str) -> (CallHandle, String, Sent) {
    let fields = format!("{CONTACT}{fields}");
    desk.receive(&request("INVITE", 1, "z9hG4bKinv", "", &fields, OFFER));
    desk.sent();
    let Event::Incoming { call, .. } = desk.event() else {
        panic!("no call")
    };
    desk.ua.answer(desk.now, call, ANSWER.into());
    let ok = desk.one();
    let tag = ok.tag(HeaderName::To);
    desk.receive(&request("ACK", 1, "z9hG4bKack", &tag, "", ""));
    assert!(matches!(desk.event(), Event::Confirmed { .. }));
    (call, tag, ok)
}

/// Waits for our next request, and returns it with the seconds that it took.
pub(crate) fn next(desk: &mut Desk, within_s: u64) -> (Sent, u64) {
    let from = desk.now;
    for _ in 0..within_s * 10 {
        desk.pass(ms(100));
        if let Some(sent) = desk.sent().into_iter().next() {
            return (sent, (desk.now - from).as_secs());
        }
    }
    panic!("nothing was sent within {within_s} s");
}

pub(crate) fn expires(sent: &Sent) -> String {
    sent.header("Session-Expires").unwrap_or_default()
}

pub(crate) fn silent_for(desk: &mut Desk, seconds: u64) {
    desk.pass(s(seconds));
    desk.nothing_sent();
    desk.no_event();
    assert_eq!(desk.ua.call_count(), 1);
}

pub(crate) fn ended(desk: &mut Desk) -> EndCause {
    match desk.event() {
        Event::Ended { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invite_asks_for_a_timer_and_leaves_the_refresher_to_the_callee() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(None);
    assert_eq!(expires(&invite), "1800");
    assert_eq!(invite.header("Supported").unwrap(), SUPPORTED);
    assert!(invite.header("Min-SE").is_none() && invite.header("Require").is_none());
    let mut desk = Desk::with(Settings {
        session: SessionTimer {
            expires_s: 100,
            min_se_s: 300,
        },
        ..settings()
    });
    let (_, invite) = desk.call(None);
    assert_eq!(expires(&invite), "300", "never less than what we take");
    assert_eq!(invite.header("Min-SE").unwrap(), "300");
    let mut desk = Desk::with(Settings {
        session: SessionTimer {
            expires_s: 0,
            min_se_s: 90,
        },
        ..settings()
    });
    let (_, invite) = desk.call(None);
    assert!(invite.header("Session-Expires").is_none());
}

#[test]
fn an_interval_too_small_is_answered_422_and_ours_is_raised_by_422() {
    let mut desk = Desk::with(Settings {
        session: SessionTimer {
            expires_s: 600,
            min_se_s: 120,
        },
        ..settings()
    });
    let too_small = format!("{CONTACT}Supported: timer\r\nSession-Expires: 119\r\n");
    desk.receive(&request("INVITE", 1, "z9hG4bKi", "", &too_small, OFFER));
    let refused = desk.one();
    assert_eq!(
        (refused.what().as_str(), refused.header("Min-SE").as_deref()),
        ("422", Some("120"))
    );
    desk.no_event();
    assert!(desk.ua.is_idle());

    let (_, invite) = desk.call(None);
    assert_eq!(invite.header("Min-SE").unwrap(), "120");
    desk.receive(&respond(&invite, 422, "p", "Min-SE: 900\r\n", ""));
    let sent = desk.sent();
    assert_eq!(sent[0].what(), "ACK");
    let again = &sent[1];
    assert_eq!(
        (expires(again), again.header("Min-SE").unwrap()),
        ("900".to_owned(), "900".to_owned())
    );
    assert_eq!(again.headers(HeaderName::SessionExpires).len(), 1);
    assert_eq!(again.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!((again.cseq(), again.body()), (2, OFFER));
    desk.no_event();
    let fields = format!("{CONTACT}{ALLOW}Session-Expires: 900;refresher=uac\r\n");
    desk.receive(&respond(again, 200, "them", &fields, ANSWER));
    assert_eq!(desk.one().what(), "ACK");
    let (update, after_s) = next(&mut desk, 900);
    assert_eq!(
        (expires(&update), after_s),
        ("900;refresher=uac".into(), 450)
    );
}

#[test]
fn an_invite_that_is_refused_by_422_in_vain_or_without_end_is_rejected() {
    for (first, step) in [(0, 0), (1800, 0), (2000, 100)] {
        let mut desk = Desk::new();
        let (_, mut invite) = desk.call(None);
        let mut invites = 1;
        for n in 0..20 {
            let field = format!("Min-SE: {}\r\n", first + n * step);
            desk.receive(&respond(&invite, 422, "p", &field, ""));
            match desk.sent().into_iter().find(|sent| sent.what() == "INVITE") {
                Some(again) => invite = again,
                None => break,
            }
            invites += 1;
        }
        assert_eq!(invites, if step == 0 { 1 } else { 7 });
        assert!(matches!(desk.event(), Event::Rejected { status: 422, .. }));
        desk.ends_empty();
    }
}

#[test]
fn a_422_after_a_challenge_is_answered_with_fresh_credentials() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(Some(credentials("secret")));
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"\r\n";
    desk.receive(&respond(&invite, 407, "p", challenge, ""));
    let authorized = desk.sent().pop().unwrap();
    desk.receive(&respond(&authorized, 422, "p", "Min-SE: 2400\r\n", ""));
    let again = desk.sent().pop().unwrap();
    assert_eq!((again.cseq(), expires(&again)), (3, "2400".to_owned()));
    let credentials = again.headers(HeaderName::ProxyAuthorization);
    assert_eq!(credentials.len(), 1);
    assert!(credentials[0].contains("nc=00000002"), "{credentials:?}");
}

#[test]
fn who_refreshes_is_whom_the_caller_names_and_else_we_are() {
    let timer = "Supported: timer\r\n";
    for (fields, said, require) in [
        ("Session-Expires: 600;refresher=uac\r\n", "uac", true),
        ("Session-Expires: 600;refresher=uas\r\n", "uas", false),
        ("x: 600\r\n", "uas", false),
    ] {
        let mut desk = Desk::new();
        let (_, _, ok) = pick_up(&mut desk, &format!("{timer}{ALLOW}{fields}"));
        assert_eq!(expires(&ok), format!("600;refresher={said}"));
        assert_eq!(ok.header("Require").is_some(), require, "{fields}");
        assert_eq!(ok.header("Supported").unwrap(), SUPPORTED);
        let (refresh, after_s) = next(&mut desk, 600);
        assert_eq!(refresh.what(), "UPDATE");
        assert_eq!(after_s, if require { 568 } else { 300 });
    }
}

#[test]
fn a_peer_without_timers_is_refreshed_by_nobody_or_us() {
    let mut desk = Desk::new();
    let (_, _, ok) = pick_up(&mut desk, "");
    assert!(ok.header("Session-Expires").is_none() && ok.header("Require").is_none());
    silent_for(&mut desk, 14_400);
    // A proxy asks on its behalf, for less than we would take: the peer would not know a 422.
    let mut desk = Desk::new();
    let (_, _, ok) = pick_up(&mut desk, &format!("{ALLOW}Session-Expires: 60\r\n"));
    assert_eq!(expires(&ok), "60;refresher=uas");
    assert!(ok.header("Require").is_none());
    assert_eq!(next(&mut desk, 60).1, 30);
    // One that asks for nothing gets nothing, though it could.
    let mut desk = Desk::new();
    let (_, _, ok) = pick_up(&mut desk, "Supported: timer\r\n");
    assert!(ok.header("Session-Expires").is_none());
    silent_for(&mut desk, 14_400);
    // Nor does a callee that does not say that it expects refreshes.
    let mut desk = Desk::new();
    talk(&mut desk, "Supported: timer\r\n");
    silent_for(&mut desk, 14_400);
}

#[test]
fn a_session_interval_that_cannot_be_read_is_none() {
    let mut desk = Desk::new();
    let (_, _, ok) = pick_up(&mut desk, "Supported: timer\r\nSession-Expires: soon\r\n");
    assert!(ok.header("Session-Expires").is_none());
    silent_for(&mut desk, 4_000);
    let mut desk = Desk::new();
    talk(
        &mut desk,
        "Session-Expires: ;refresher=uac\r\nMin-SE: x\r\n",
    );
    silent_for(&mut desk, 4_000);
}

#[test]
fn an_interval_of_no_time_or_of_ages_bounds_the_pace() {
    let mut desk = Desk::new();
    talk(&mut desk, "Session-Expires: 0;refresher=uac\r\n");
    assert_eq!(next(&mut desk, 100).1, 10);
    let mut desk = Desk::new();
    let ages = "Session-Expires: 99999999999;refresher=uas\r\n";
    talk(&mut desk, ages);
    silent_for(&mut desk, 3600);
    assert!(desk.ua.poll_timeout().is_some());
}

#[test]
fn a_peer_that_forgets_its_refresh_is_asked_before_the_call_is_given_up() {
    for (fields, asked_s) in [("600", 568), ("60", 40)] {
        let fields = format!("{ALLOW}Session-Expires: {fields};refresher=uas\r\n");
        let mut desk = Desk::new();
        let (_, invite) = talk(&mut desk, &fields);
        let (asked, after_s) = next(&mut desk, 600);
        assert_eq!((asked.what().as_str(), after_s), ("UPDATE", asked_s));
        assert!(expires(&asked).ends_with(";refresher=uac"), "we do it now");
        desk.receive(&respond(&asked, 200, "", CONTACT, ""));
        desk.no_event();
        assert_eq!(next(&mut desk, 600).0.what(), "UPDATE");
        assert_eq!(desk.ua.call_count(), 1);
        // And it may remember later.
        let fields = format!("{CONTACT}Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n");
        desk.receive(&request_back(&invite, "UPDATE", 1, &fields, ""));
        assert_eq!(expires(&desk.one()), "600;refresher=uac");
    }
    for (status, cause) in [(Some(481), EndCause::Lost), (None, EndCause::Timeout)] {
        let mut desk = Desk::new();
        let fields = format!("Supported: timer\r\n{ALLOW}Session-Expires: 600;refresher=uac\r\n");
        pick_up(&mut desk, &fields);
        let (asked, _) = next(&mut desk, 600);
        match status {
            Some(status) => desk.receive(&respond(&asked, status, "", "", "")),
            None => desk.pass(s(32)),
        }
        assert_eq!(desk.sent().last().unwrap().what(), "BYE");
        assert_eq!(ended(&mut desk), cause);
        desk.ends_empty();
    }
}

#[test]
fn a_refresh_by_the_peer_puts_the_timer_back() {
    let mut desk = Desk::new();
    let fields = format!("Supported: timer\r\n{ALLOW}Session-Expires: 600;refresher=uac\r\n");
    let (call, tag, _) = pick_up(&mut desk, &fields);
    let mut cseq = 1;
    for (method, refresh) in [
        (
            "UPDATE",
            "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n",
        ),
        ("UPDATE", "Supported: timer\r\nSession-Expires: 600\r\n"),
        (
            "INVITE",
            "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n",
        ),
        ("INVITE", "Supported: timer\r\n"),
        ("UPDATE", ""),
    ] {
        for _ in 0..3 {
            desk.pass(s(500));
            desk.nothing_sent();
            cseq += 1;
            let fields = format!("{CONTACT}{refresh}");
            let (branch, body) = (
                format!("z9hG4bK{cseq}"),
                if method == "INVITE" { OFFER } else { "" },
            );
            desk.receive(&request(method, cseq, &branch, &tag, &fields, body));
            if method == "INVITE" {
                assert_eq!(desk.one().what(), "100");
                desk.ua
                    .answer_reoffer(desk.now, call, Ok(Some(ANSWER.into())));
                desk.receive(&request("ACK", cseq, &format!("{branch}a"), &tag, "", ""));
                desk.events();
            }
            let ok = desk.one();
            assert_eq!(ok.what(), "200");
            if refresh.is_empty() {
                assert_eq!(expires(&ok), "", "who has not asked is not told");
                continue;
            }
            assert_eq!(expires(&ok), "600;refresher=uac");
            assert_eq!(ok.header("Require").unwrap(), "timer");
        }
    }
    let (asked, after_s) = next(&mut desk, 600);
    assert_eq!((asked.what().as_str(), after_s), ("UPDATE", 568));
}

#[test]
fn a_new_interval_is_taken_from_either_side_whenever_it_is_named() {
    let mut desk = Desk::new();
    let (_, invite) = talk(
        &mut desk,
        &format!("{ALLOW}Session-Expires: 600;refresher=uac\r\n"),
    );
    let (refresh, _) = next(&mut desk, 600);
    let fields = format!("{CONTACT}Session-Expires: 400;refresher=uac\r\n");
    desk.receive(&respond(&refresh, 200, "", &fields, ""));
    let (refresh, after_s) = next(&mut desk, 600);
    assert_eq!(
        (expires(&refresh), after_s),
        ("400;refresher=uac".into(), 200)
    );
    // Theirs crosses ours: both are answered, and the last word holds.
    let fields = format!("{CONTACT}Supported: timer\r\nSession-Expires: 60;refresher=uas\r\n");
    desk.receive(&request_back(&invite, "UPDATE", 1, &fields, ""));
    let ok = desk.one();
    assert_eq!(
        (ok.what(), expires(&ok)),
        ("200".into(), "60;refresher=uas".into())
    );
    desk.receive(&respond(&refresh, 200, "", CONTACT, ""));
    let (refresh, after_s) = next(&mut desk, 600);
    assert_eq!(after_s, 30);
    // Whatever crosses ours, its answer counts.
    desk.receive(&request_back(&invite, "UPDATE", 2, &fields, ""));
    desk.sent();
    desk.receive(&respond(&refresh, 481, "", "", ""));
    assert_eq!(ended(&mut desk), EndCause::Lost);

    let mut desk = Desk::new();
    let fields = format!("{ALLOW}Session-Expires: 600;refresher=uac\r\n");
    let (call, _) = talk(&mut desk, &fields);
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    let fields = format!("{CONTACT}Session-Expires: 800;refresher=uas\r\n");
    desk.receive(&respond(&reinvite, 200, "", &fields, ANSWER));
    desk.sent();
    assert_eq!(next(&mut desk, 800).1, 768, "it was for the peer");
}

#[test]
fn a_timer_that_is_named_before_the_answer_waits_for_it() {
    let mut desk = Desk::new();
    let (call, tag) = desk.ring();
    let fields = format!("{CONTACT}{ALLOW}Supported: timer\r\nSession-Expires: 90\r\n");
    desk.receive(&request("UPDATE", 2, "z9hG4bKu", &tag, &fields, ""));
    assert_eq!(expires(&desk.one()), "90;refresher=uas");
    desk.pass(s(200));
    assert!(desk.sent_what().iter().all(|what| what == "180"));
    desk.ua.answer(desk.now, call, ANSWER.into());
    assert_eq!(desk.one().what(), "200");
    desk.receive(&request("ACK", 1, "z9hG4bKack", &tag, "", ""));
    assert_eq!(next(&mut desk, 90).1, 45);
}

#[test]
fn require_timer_is_understood_and_options_says_so() {
    let mut desk = Desk::new();
    let fields = "Require: timer\r\nSession-Expires: 600\r\n";
    let (_, tag, ok) = pick_up(&mut desk, fields);
    assert_eq!(expires(&ok), "600;refresher=uas");
    let fields = format!("Require: timer\r\n{CONTACT}");
    desk.receive(&request("UPDATE", 2, "z9hG4bKu", &tag, &fields, ""));
    assert_eq!(desk.one().what(), "200");
    desk.receive(&request("OPTIONS", 9, "z9hG4bKo", "", "", ""));
    assert_eq!(desk.one().header("Supported").unwrap(), SUPPORTED);
}
