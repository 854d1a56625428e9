//! OPTIONS pings and wake-ups.

use offhook_sip::{Event, OptionsPing, PingError, Reason, Timers};

use crate::support::*;

#[test]
fn a_ping_tells_whether_the_peer_is_there() {
    let mut desk = Desk::new();
    let ping = |desk: &Desk| OptionsPing {
        uri: "sip:trunk.example".into(),
        flow: desk.flow,
        route: vec!["<sip:p1.example;lr>".into()],
    };
    for status in [200, 404, 503] {
        let question = ping(&desk);
        desk.ua.options(desk.now, question).unwrap();
        let options = desk.one();
        assert_eq!(options.header("Route").unwrap(), "<sip:p1.example;lr>");
        desk.receive(&respond(&options, status, "t", "", ""));
        assert!(matches!(desk.event(), Event::Pong { result: Ok(got), .. } if got == status));
    }
    let question = ping(&desk);
    desk.ua.options(desk.now, question).unwrap();
    desk.pass(ms(32_000));
    assert!(matches!(
        desk.event(),
        Event::Pong {
            result: Err(PingError::Timeout),
            ..
        }
    ));
    let question = ping(&desk);
    desk.ua.options(desk.now, question).unwrap();
    desk.ua.transport_failed(desk.now, desk.flow);
    assert!(matches!(
        desk.event(),
        Event::Pong {
            result: Err(PingError::Transport),
            ..
        }
    ));
    desk.ends_empty();
}

#[test]
fn a_wake_up_says_what_it_is_for() {
    let mut desk = Desk::new();
    assert!(desk.ua.poll_timeout().is_none());
    desk.call(None);
    let (at, reason) = desk.ua.poll_timeout().unwrap();
    assert_eq!(at, desk.now + Timers::default().t1);
    assert!(matches!(reason, Reason::Transaction(_)));
    assert_eq!(reason.to_string(), "Timer A");
}
