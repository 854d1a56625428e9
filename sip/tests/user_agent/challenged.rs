//! Carriers that ask for the password again within a call (RFC 3261 §22.3).

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
    format!("Proxy-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\"\r\n")
}

#[test]
fn a_carrier_that_challenges_every_request_is_answered_each_time() {
    let (mut desk, call) = talk();
    for nonce in 1..20 {
        let key = b"Signal=1".to_vec();
        desk.ua.info(desk.now, call, "application/dtmf-relay", key);
        let info = desk.one();
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
    let key = b"Signal=1".to_vec();
    desk.ua.info(desk.now, call, "application/dtmf-relay", key);
    let mut info = desk.one();
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
