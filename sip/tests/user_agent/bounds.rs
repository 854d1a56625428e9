//! Nothing that a peer can make grow is without a bound.

use offhook_sip::message::HeaderName;
use offhook_sip::{Event, Settings};

use crate::support::*;

#[test]
fn more_calls_than_allowed_get_503_with_retry_after() {
    let mut desk = Desk::with(Settings {
        max_calls: 1,
        retry_after_s: 7,
        ..settings()
    });
    desk.ring();
    let other = request("INVITE", 1, "z9hG4bKtwo", "", CONTACT, OFFER).replace("call-1", "call-2");
    desk.receive(&other);
    let refused = desk.one();
    assert_eq!(
        (
            refused.what().as_str(),
            refused.header("Retry-After").as_deref()
        ),
        ("503", Some("7"))
    );
    assert!(matches!(desk.event(), Event::Overloaded));
    desk.receive(&request("OPTIONS", 9, "z9hG4bKo", "", "", ""));
    assert_eq!(
        desk.one().what(),
        "503",
        "whoever watches us by OPTIONS learns it too"
    );
    assert!(desk.ua.invite(desk.now, invite(desk.flow, None)).is_err());
}

#[test]
fn options_says_503_while_no_call_would_be_taken() {
    let mut desk = Desk::with(settings());
    let options = |n: u32| request("OPTIONS", n, &format!("z9hG4bKo{n}"), "", "", "");
    desk.ua.set_takes_calls(false);
    desk.receive(&options(1));
    let refusal = desk.one();
    assert_eq!(refusal.what(), "503");
    desk.ua.set_takes_calls(true);
    desk.receive(&options(2));
    assert_eq!(desk.one().what(), "200");
}

#[test]
fn transactions_are_bounded_and_a_call_can_still_be_ended() {
    let mut desk = Desk::with(Settings {
        max_transactions: 5,
        ..settings()
    });
    let (_, tag) = desk.pick_up();
    for cseq in 2..100 {
        desk.receive(&request(
            "INFO",
            cseq,
            &format!("z9hG4bK{cseq}"),
            &tag,
            "",
            "",
        ));
    }
    assert!(desk.ua.transaction_count() <= 5);
    assert!(desk.ua.stats().overloaded > 0);
    desk.sent();
    desk.receive(&request("BYE", 200, "z9hG4bKbye", &tag, "", ""));
    assert_eq!(desk.one().what(), "200");
    assert!(matches!(desk.event(), Event::Ended { .. }));
    desk.ends_empty();
}

#[test]
fn twenty_thousand_calls_leave_nothing_behind() {
    let mut desk = Desk::with(Settings {
        max_transactions: 1_000_000,
        ..settings()
    });
    for n in 0..20_000 {
        let (invite, ack, bye) = (
            format!("z9hG4bKi{n}"),
            format!("z9hG4bKa{n}"),
            format!("z9hG4bKb{n}"),
        );
        let id = format!("call-{n}x");
        let text = request("INVITE", 1, &invite, "", CONTACT, OFFER).replace("call-1", &id);
        desk.receive(&text);
        let Event::Incoming { call, .. } = desk.event() else {
            panic!("no call {n}")
        };
        match n % 4 {
            0 => desk.ua.reject(desk.now, call, 404, &[]),
            1 => desk.receive(&request("CANCEL", 1, &invite, "", "", "").replace("call-1", &id)),
            _ => {
                desk.ua.answer(desk.now, call, ANSWER.into());
                let tag = desk.sent().pop().unwrap().tag(HeaderName::To);
                desk.receive(&request("ACK", 1, &ack, &tag, "", "").replace("call-1", &id));
                desk.receive(&request("BYE", 2, &bye, &tag, "", "").replace("call-1", &id));
            }
        }
        desk.sent();
        desk.events();
        desk.pass(ms(2));
    }
    assert_eq!(desk.ua.call_count(), 0);
    desk.ends_empty();
}
