use super::*;

const MS: Duration = Duration::from_millis(1);
const START: Duration = Duration::from_secs(1_000);

fn calls() -> Calls {
    // Nobody between the two sides.
    let called = "127.0.0.3:7000".parse().unwrap();
    let addresses = Addresses {
        caller: "127.0.0.2:7000".parse().unwrap(),
        called,
        subject: called,
        run: 1,
    };
    let manner = Manner {
        rings: 20 * MS,
        talks: 100 * MS,
        from: START,
        until: START + Duration::from_secs(1),
    };
    Calls::new(addresses, manner)
}

/// Carries what one side says to the other for so long, `delay` after it was said; `lost` says
/// what does not come.
fn carry(calls: &mut Calls, from: Duration, for_ms: u32, mut lost: impl FnMut(Side, &str) -> bool) {
    let mut on_the_way: VecDeque<(Side, String)> = VecDeque::new();
    for ms in 0..for_ms {
        let now = from + MS * ms;
        for (side, text) in std::mem::take(&mut on_the_way) {
            let to = match side {
                Side::Caller => Side::Called,
                Side::Called => Side::Caller,
            };
            calls.receive(now, to, text.as_bytes());
        }
        calls.step(now);
        while let Some((side, text)) = calls.poll() {
            if !lost(side, &text) {
                on_the_way.push_back((side, text));
            }
        }
    }
}

#[test]
fn a_call_rings_is_answered_and_ends_and_its_180_is_timed_from_its_invite() {
    let mut calls = calls();
    calls.place(START, START);
    carry(&mut calls, START, 200, |_, _| false);
    assert!(calls.is_idle());
    let tally = &calls.tally;
    assert_eq!((tally.placed, tally.completed, tally.failures()), (1, 1, 0));
    assert_eq!(tally.rings_after_ms, [2.0]);
    assert_eq!((tally.repeated, tally.heard_again), (0, 0));
    assert!(calls.answering.is_empty(), "nothing is left of it");
}

#[test]
fn calls_before_and_after_the_time_that_counts_do_not_count() {
    let mut calls = calls();
    let before = START - MS;
    calls.place(before, before);
    calls.place(START, START);
    let after = START + Duration::from_secs(1);
    carry(&mut calls, START, 1_000, |_, _| false);
    calls.place(after, after);
    carry(&mut calls, after, 200, |_, _| false);
    assert!(calls.is_idle());
    assert_eq!((calls.tally.placed, calls.tally.completed), (1, 1));
    assert_eq!(calls.tally.rings_after_ms.len(), 1);
}

#[test]
fn what_is_lost_is_said_again_and_counted_and_the_call_goes_on() {
    // A BYE tells the called side as much as an ACK.
    for (first, repeated) in [("INVITE", 1), ("BYE", 1), ("SIP/2.0 200", 1), ("ACK", 0)] {
        let mut calls = calls();
        calls.place(START, START);
        let mut left = 1;
        carry(&mut calls, START, 2_000, |_, text| {
            let hit = left > 0 && text.starts_with(first);
            left -= u32::from(hit);
            hit
        });
        assert!(calls.is_idle(), "{first}");
        assert_eq!(calls.tally.completed, 1, "{first}");
        assert_eq!(calls.tally.repeated, repeated, "{first}");
    }
}

#[test]
fn a_call_that_nobody_answers_has_failed_after_its_patience() {
    let mut calls = calls();
    calls.place(START, START);
    carry(&mut calls, START, 5_100, |_, _| true);
    assert!(calls.is_idle());
    assert_eq!(calls.tally.failed["no response"], 1);
    // At 0.5, 1.5 and 3.5 s.
    assert_eq!(calls.tally.repeated, 3);
}

#[test]
fn a_refusal_is_acknowledged_and_counted_by_its_status() {
    let mut calls = calls();
    calls.place(START, START);
    let (_, invite) = calls.poll().unwrap();
    let invite = Message::parse(invite.as_bytes()).unwrap();
    let refusal = calls
        .addresses
        .respond(&invite, "503 Service Unavailable", 4);
    calls.receive(START + MS, Side::Caller, refusal.as_bytes());
    let (side, ack) = calls.poll().unwrap();
    assert!(side == Side::Caller && ack.starts_with("ACK "), "{ack}");
    let ack = Message::parse(ack.as_bytes()).unwrap();
    assert_eq!(ack.to().unwrap().tag(), Some("d4"));
    let branch = |message: &Message<'_>| message.top_via().unwrap().branch.map(str::to_owned);
    assert_eq!(branch(&ack), branch(&invite));
    assert_eq!(calls.tally.failed["503"], 1);
    assert!(calls.is_idle());
}

#[test]
fn junk_and_what_belongs_to_no_call_are_passed_over() {
    let mut calls = calls();
    let stray = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.2:7000;branch=z9hG4bK1\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: 9.1@bench\r\n\
        CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    for bytes in [&b""[..], b"\r\n\r\n", &[0xff; 100], stray.as_bytes()] {
        calls.receive(START, Side::Caller, bytes);
        calls.receive(START, Side::Called, bytes);
    }
    assert!(calls.poll().is_none());
    assert_eq!(calls.tally.placed, 0);
}
