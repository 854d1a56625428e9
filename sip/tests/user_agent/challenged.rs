//! Carriers that ask for the password again within a call (RFC 3261 §22.3).

use offhook_sip::message::HeaderName;
use offhook_sip::{CallHandle, EndCause, Event};

use crate::support::*;

/// A call that was placed with a password, and that they have answered.
fn talk() -> (Desk, CallHandle) {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(Some(credentials("p")));
    desk.receive(&respond(&invite, 407, "proxy", &challenge(0), ""));
    let again = desk.sent().pop().unwrap();
    desk.receive(&respond(&again, 200, "them", CONTACT, ANSWER));
    desk.sent();
    desk.events();
    (desk, call)
}

fn challenge(nonce: usize) -> String {
    format!("Proxy-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"\r\n")
}

/// Sends an INFO and returns it.
fn press(desk: &mut Desk, call: CallHandle, key: usize) -> Sent {
    let key = format!("Signal={key}").into_bytes();
    desk.ua.info(desk.now, call, "application/dtmf-relay", key);
    desk.one()
}

/// The count of the nonce that a request carries, if it carries one.
fn count(request: &Sent) -> Option<String> {
    let answer = request.header("Proxy-Authorization")?;
    let (_, count) = answer.split_once("nc=")?;
    Some(count.to_owned())
}

/// Challenges a request with a fresh nonce again and again, and returns how often the peer was sent
/// credentials.
fn refuse(desk: &mut Desk, mut request: Sent) -> usize {
    for tries in 0..20 {
        desk.receive(&respond(&request, 407, "", &challenge(100 + tries), ""));
        let again = desk.sent().into_iter().find(|sent| sent.what() != "ACK");
        let Some(again) = again else { return tries };
        assert!(count(&again).is_some(), "{}", again.text);
        request = again;
    }
    panic!("it never ends");
}

/// Lets a callee that is not the one that answered first answer too; returns the BYE to it.
fn answers_too(desk: &mut Desk, invite: &Sent) -> Sent {
    desk.receive(&respond(invite, 200, "late", CONTACT, ANSWER));
    let sent = desk.sent();
    let what: Vec<String> = sent.iter().map(Sent::what).collect();
    assert_eq!(what, ["ACK", "BYE"]);
    sent.into_iter().nth(1).unwrap()
}

#[test]
fn a_carrier_that_challenges_every_request_is_answered_each_time() {
    let (mut desk, call) = talk();
    for nonce in 1..20 {
        let info = press(&mut desk, call, 1);
        desk.receive(&respond(&info, 407, "", &challenge(nonce), ""));
        let again = desk.one();
        assert_eq!(again.cseq(), info.cseq() + 1);
        assert!(again.header("Proxy-Authorization").is_some());
        desk.receive(&respond(&again, 200, "", "", ""));
    }
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    desk.receive(&respond(&bye, 407, "", &challenge(20), ""));
    let again = desk.one();
    assert_eq!(again.what(), "BYE");
    desk.receive(&respond(&again, 200, "", "", ""));
    let ended = desk.event();
    let cause = EndCause::LocalBye;
    assert!(matches!(ended, Event::Ended { cause: by, .. } if by == cause));
    desk.ends_empty();
}

#[test]
fn a_challenged_info_is_answered_but_not_without_end() {
    let (mut desk, call) = talk();
    let mut info = press(&mut desk, call, 1);
    for n in 0..20 {
        let challenge =
            format!("Proxy-Authenticate: Digest realm=\"r\", nonce=\"{n}\", stale=true\r\n");
        desk.receive(&respond(&info, 407, "", &challenge, ""));
        let Some(again) = desk.sent().pop() else {
            assert!(n > 1);
            break;
        };
        assert_eq!(again.cseq(), info.cseq() + 1);
        assert_eq!(again.body(), "Signal=1");
        assert!(again.header("Proxy-Authorization").is_some());
        info = again;
    }
    assert!(info.cseq() < 12, "{}", info.cseq());
    desk.no_event();
}

#[test]
fn four_infos_that_are_challenged_at_once_are_all_answered() {
    for nonce_of in [|key: usize| 10 + key, |_: usize| 10] {
        let (mut desk, call) = talk();
        let keys: Vec<Sent> = (1..=4).map(|key| press(&mut desk, call, key)).collect();
        for (key, info) in (1..).zip(&keys) {
            desk.receive(&respond(info, 407, "", &challenge(nonce_of(key)), ""));
        }
        let sent = desk.sent();
        let bodies: Vec<&str> = sent.iter().map(Sent::body).collect();
        assert_eq!(bodies, ["Signal=1", "Signal=2", "Signal=3", "Signal=4"]);
        assert!(sent.iter().all(|info| count(info).is_some()));
        let answers: std::collections::BTreeSet<_> = sent
            .iter()
            .map(|info| info.header("Proxy-Authorization"))
            .collect();
        assert_eq!(answers.len(), 4, "no answer serves twice");
        for info in &sent {
            desk.receive(&respond(info, 200, "", "", ""));
        }
        desk.nothing_sent();
        desk.no_event();
    }
}

#[test]
fn pracks_of_several_forks_that_are_challenged_at_once_are_all_answered() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(Some(credentials("p")));
    let mut pracks = Vec::new();
    for tag in ["one", "two", "three", "four"] {
        let fields = format!("Require: 100rel\r\nRSeq: 1\r\n{CONTACT}");
        desk.receive(&respond(&invite, 183, tag, &fields, ANSWER));
        pracks.push(desk.one());
    }
    for (nonce, prack) in pracks.iter().enumerate() {
        desk.receive(&respond(prack, 407, "", &challenge(nonce), ""));
        let again = desk.one();
        assert_eq!(again.what(), "PRACK");
        assert_eq!(again.tag(HeaderName::To), prack.tag(HeaderName::To));
        assert!(count(&again).is_some());
    }
}

#[test]
fn a_bye_that_is_challenged_with_the_invites_nonce_is_answered_with_the_next_count() {
    let (mut desk, call) = talk();
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    assert_eq!(count(&bye), None);
    desk.receive(&respond(&bye, 407, "", &challenge(0), ""));
    let again = desk.one();
    assert_eq!(again.what(), "BYE");
    assert_eq!(count(&again).as_deref(), Some("00000002"));
    desk.receive(&respond(&again, 200, "", "", ""));
    desk.event();
    desk.ends_empty();
}

#[test]
fn a_nonce_that_comes_again_after_another_is_counted_on() {
    let (mut desk, call) = talk();
    for (nonce, counted) in [(0, "00000002"), (1, "00000001"), (0, "00000003")] {
        let info = press(&mut desk, call, 1);
        desk.receive(&respond(&info, 407, "", &challenge(nonce), ""));
        assert_eq!(count(&desk.one()).as_deref(), Some(counted));
    }
}

#[test]
fn a_challenged_bye_to_a_fork_that_lost_is_answered_while_the_call_goes_on() {
    let mut desk = Desk::new();
    let (call, first) = desk.call(Some(credentials("p")));
    desk.receive(&respond(&first, 407, "proxy", &challenge(0), ""));
    let invite = desk.sent().pop().unwrap();
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    desk.sent();
    desk.events();
    let bye = answers_too(&mut desk, &invite);
    desk.receive(&respond(&bye, 407, "", &challenge(0), ""));
    let again = desk.one();
    assert_eq!(
        (again.what(), again.cseq()),
        ("BYE".to_owned(), bye.cseq() + 1)
    );
    assert_eq!(again.tag(HeaderName::To), "late");
    assert_eq!(count(&again).as_deref(), Some("00000002"));
    desk.receive(&respond(&again, 200, "", "", ""));
    desk.no_event();
    // The call's own BYE goes on from there.
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    assert_eq!(bye.tag(HeaderName::To), "them");
    desk.receive(&respond(&bye, 407, "", &challenge(0), ""));
    let again = desk.one();
    assert_eq!(count(&again).as_deref(), Some("00000003"));
    desk.receive(&respond(&again, 200, "", "", ""));
    desk.event();
    desk.ends_empty();
}

#[test]
fn a_challenged_bye_to_a_fork_that_lost_is_answered_after_the_call_has_ended() {
    let mut desk = Desk::new();
    let (call, first) = desk.call(Some(credentials("p")));
    desk.receive(&respond(&first, 407, "proxy", &challenge(0), ""));
    let invite = desk.sent().pop().unwrap();
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    desk.sent();
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    desk.receive(&respond(&bye, 200, "", "", ""));
    desk.events();
    assert_eq!(desk.ua.call_count(), 0);
    let bye = answers_too(&mut desk, &invite);
    // The INVITE's transaction is forgotten meanwhile.
    desk.pass(ms(31_900));
    desk.sent();
    desk.receive(&respond(&bye, 407, "", &challenge(0), ""));
    let again = desk.one();
    assert_eq!(again.tag(HeaderName::To), "late");
    assert_eq!(count(&again).as_deref(), Some("00000002"));
    desk.receive(&respond(&again, 200, "", "", ""));
    desk.no_event();
    desk.ends_empty();
}

#[test]
fn a_challenged_bye_to_a_callee_that_answers_a_cancelled_call_is_answered() {
    let mut desk = Desk::new();
    let (call, invite) = desk.call(Some(credentials("p")));
    desk.receive(&respond(&invite, 180, "them", CONTACT, ""));
    desk.ua.hang_up(desk.now, call, None);
    desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
    let bye = desk.sent().pop().unwrap();
    let late = answers_too(&mut desk, &invite);
    for (bye, tag) in [(bye, "them"), (late, "late")] {
        desk.receive(&respond(&bye, 407, "", &challenge(0), ""));
        let again = desk.one();
        assert_eq!(again.what(), "BYE");
        assert_eq!(again.tag(HeaderName::To), tag);
        assert!(count(&again).is_some());
        desk.receive(&respond(&again, 200, "", "", ""));
    }
    desk.ends_empty();
}

#[test]
fn without_a_password_a_challenged_bye_to_a_fork_that_lost_is_left() {
    let mut desk = Desk::new();
    let (_, invite) = desk.talk();
    let bye = answers_too(&mut desk, &invite);
    desk.receive(&respond(&bye, 407, "", &challenge(0), ""));
    desk.nothing_sent();
}

#[test]
fn wrong_credentials_are_given_up_after_two_tries() {
    let mut desk = Desk::new();
    let (_, invite) = desk.call(Some(credentials("wrong")));
    assert_eq!(refuse(&mut desk, invite), 2, "INVITE");
    assert!(matches!(desk.event(), Event::Rejected { status: 407, .. }));
    desk.ends_empty();
    let talk = || {
        let mut desk = Desk::new();
        let (call, invite) = desk.call(Some(credentials("wrong")));
        desk.receive(&respond(&invite, 200, "them", CONTACT, ANSWER));
        desk.sent();
        desk.events();
        (desk, call, invite)
    };
    let (mut desk, call, _) = talk();
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    assert_eq!(refuse(&mut desk, bye), 2, "BYE");
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
    let (mut desk, _, invite) = talk();
    let bye = answers_too(&mut desk, &invite);
    assert_eq!(refuse(&mut desk, bye), 2, "BYE to a fork");
    let (mut desk, call, _) = talk();
    let info = press(&mut desk, call, 1);
    assert_eq!(refuse(&mut desk, info), 2, "INFO");
    desk.ua.reinvite(desk.now, call, OFFER.into());
    let reinvite = desk.one();
    assert_eq!(refuse(&mut desk, reinvite), 2, "re-INVITE");
    assert!(matches!(
        desk.event(),
        Event::ReofferAnswered {
            result: Err(407),
            ..
        }
    ));
}

#[test]
fn an_info_that_was_refused_is_not_followed_by_a_try_for_each_key_but_the_bye_is_tried() {
    let (mut desk, call) = talk();
    let keys: Vec<Sent> = (1..=2).map(|key| press(&mut desk, call, key)).collect();
    assert_eq!(refuse(&mut desk, keys[0].clone()), 2);
    assert_eq!(refuse(&mut desk, keys[1].clone()), 0, "it was out already");
    for key in 3..6 {
        let info = press(&mut desk, call, key);
        assert_eq!(refuse(&mut desk, info), 0);
    }
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    desk.receive(&respond(&bye, 407, "", &challenge(7), ""));
    let again = desk.one();
    assert!(count(&again).is_some());
    desk.receive(&respond(&again, 200, "", "", ""));
    desk.event();
    desk.ends_empty();
}

#[test]
fn the_nonce_just_carried_coming_back_is_a_refusal() {
    let (mut desk, call) = talk();
    let info = press(&mut desk, call, 1);
    desk.receive(&respond(&info, 407, "", &challenge(0), ""));
    let again = desk.one();
    desk.receive(&respond(&again, 407, "", &challenge(0), ""));
    desk.nothing_sent();
    desk.no_event();
}

#[test]
fn a_longer_session_interval_and_challenges_that_take_turns_end() {
    let mut desk = Desk::new();
    let (_, mut invite) = desk.call(Some(credentials("p")));
    for round in 0..20 {
        let (status, fields) = match round % 2 {
            0 => (422, format!("Min-SE: {}\r\n", 2000 + round)),
            _ => (407, challenge(round).replace("qop", "stale=true, qop")),
        };
        desk.receive(&respond(&invite, status, "proxy", &fields, ""));
        let again = desk.sent().into_iter().find(|sent| sent.what() == "INVITE");
        let Some(again) = again else {
            assert_eq!(round, 6);
            assert!(matches!(desk.event(), Event::Rejected { .. }));
            return desk.ends_empty();
        };
        invite = again;
    }
    panic!("it never ends");
}
