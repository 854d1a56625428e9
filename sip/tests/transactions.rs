//! The four transactions, state by state and timer by timer (RFC 3261 §17, RFC 6026).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use offhook_sip::transaction::{
    AckReceived, InviteClient, InviteClientState, InviteServer, InviteServerState, NonInviteClient,
    NonInviteClientState, NonInviteServer, NonInviteServerState, OnRequest, OnRespond, OnResponse,
    OnTimeout, Timer, Timers,
};

const T1: Duration = Duration::from_millis(500);
const T4: Duration = Duration::from_secs(5);
const GIVE_UP: Duration = Duration::from_secs(32);
const TIMER_D: Duration = Duration::from_secs(32);

#[allow(clippy::disallowed_methods)] // an arbitrary origin: only differences matter
fn origin() -> Instant {
    Instant::now()
}

/// Follows a machine's own deadlines to its end and returns what happened when, in milliseconds.
fn timeline(
    start: Instant,
    deadline: impl Fn() -> Option<(Instant, Timer)>,
    mut timeout: impl FnMut(Instant) -> OnTimeout,
) -> Vec<(u128, Timer, OnTimeout)> {
    let mut events = Vec::new();
    while let Some((at, timer)) = deadline() {
        assert!(events.len() < 100, "the timers do not end");
        events.push(((at - start).as_millis(), timer, timeout(at)));
    }
    events
}

macro_rules! timeline {
    ($start:expr, $machine:expr) => {{
        let cell = std::cell::RefCell::new(&mut $machine);
        timeline(
            $start,
            || cell.borrow().deadline(),
            |at| cell.borrow_mut().handle_timeout(at),
        )
    }};
}

// --- INVITE client, figure 5 with RFC 6026 ---------------------------------------------------

fn invite_client(now: Instant, reliable: bool) -> InviteClient {
    InviteClient::new(now, reliable, Timers::default())
}

#[test]
fn invite_client_timer_a_doubles_without_ceiling_until_timer_b() {
    let now = origin();
    let mut machine = invite_client(now, false);
    let sent = |at| (at, Timer::A, OnTimeout::Retransmit);
    assert_eq!(
        timeline!(now, machine),
        [
            sent(500),
            sent(1_500),
            sent(3_500),
            sent(7_500),
            sent(15_500),
            sent(31_500),
            (32_000, Timer::B, OnTimeout::TimedOut),
        ]
    );
    assert_eq!(machine.state(), InviteClientState::Terminated);
}

#[test]
fn invite_client_never_retransmits_on_a_reliable_transport() {
    let now = origin();
    let mut machine = invite_client(now, true);
    assert_eq!(
        timeline!(now, machine),
        [(32_000, Timer::B, OnTimeout::TimedOut)]
    );
}

#[test]
fn invite_client_stops_all_timers_on_a_provisional_response() {
    let now = origin();
    let mut machine = invite_client(now, false);
    for status in [100, 180, 183, 199] {
        assert_eq!(
            machine.handle_response(now, status),
            OnResponse::Deliver,
            "{status}"
        );
        assert_eq!(machine.state(), InviteClientState::Proceeding);
        assert_eq!(machine.deadline(), None);
    }
}

#[test]
fn invite_client_that_is_abandoned_ends_without_a_final_response() {
    let now = origin();
    let mut machine = invite_client(now, false);
    machine.handle_response(now, 180);
    machine.abandon(now);
    machine.handle_response(now + T1, 180);
    machine.abandon(now + T1);
    assert_eq!(
        timeline!(now, machine),
        [(32_000, Timer::B, OnTimeout::TimedOut)]
    );
    let mut early = invite_client(now, false);
    early.abandon(now);
    early.handle_response(now + T1, 100);
    assert_eq!(
        timeline!(now, early),
        [(32_500, Timer::B, OnTimeout::TimedOut)]
    );
    let mut answered = invite_client(now, false);
    answered.handle_response(now, 180);
    answered.abandon(now);
    assert_eq!(
        answered.handle_response(now + T1, 487),
        OnResponse::DeliverAndAck
    );
}

#[test]
fn invite_client_acknowledges_failures_and_absorbs_their_retransmissions_for_timer_d() {
    let now = origin();
    for status in [300, 407, 486, 503, 603] {
        for provisional in [false, true] {
            let mut machine = invite_client(now, false);
            if provisional {
                machine.handle_response(now, 180);
            }
            assert_eq!(
                machine.handle_response(now, status),
                OnResponse::DeliverAndAck
            );
            assert_eq!(machine.state(), InviteClientState::Completed);
            assert_eq!(machine.handle_response(now, status), OnResponse::Reack);
            assert_eq!(machine.handle_response(now, 180), OnResponse::Ignore);
            assert_eq!(machine.handle_response(now, 200), OnResponse::Ignore);
            assert_eq!(machine.deadline(), Some((now + TIMER_D, Timer::D)));
            assert_eq!(machine.handle_timeout(now + TIMER_D), OnTimeout::Terminated);
        }
    }
}

#[test]
fn invite_client_timer_d_is_zero_on_a_reliable_transport() {
    let now = origin();
    let mut machine = invite_client(now, true);
    machine.handle_response(now, 486);
    assert_eq!(machine.deadline(), Some((now, Timer::D)));
}

#[test]
fn invite_client_delivers_every_2xx_for_timer_m_because_forks_answer_too() {
    let now = origin();
    for reliable in [false, true] {
        let mut machine = invite_client(now, reliable);
        assert_eq!(machine.handle_response(now, 200), OnResponse::Deliver);
        assert_eq!(machine.state(), InviteClientState::Accepted);
        assert_eq!(machine.handle_response(now + T1, 200), OnResponse::Deliver);
        assert_eq!(machine.handle_response(now + T1, 486), OnResponse::Ignore);
        assert_eq!(machine.handle_response(now + T1, 180), OnResponse::Ignore);
        assert_eq!(machine.deadline(), Some((now + GIVE_UP, Timer::M)));
        assert_eq!(machine.handle_timeout(now + GIVE_UP), OnTimeout::Terminated);
    }
}

#[test]
fn invite_client_reports_a_transport_failure_only_while_nothing_was_heard() {
    let now = origin();
    let mut calling = invite_client(now, false);
    assert!(calling.transport_failed());
    assert_eq!(calling.state(), InviteClientState::Terminated);
    for status in [180, 200, 486] {
        let mut heard = invite_client(now, false);
        heard.handle_response(now, status);
        assert!(!heard.transport_failed(), "{status}");
    }
}

#[test]
fn invite_client_woken_late_sends_once_and_not_in_a_burst() {
    let now = origin();
    let mut machine = invite_client(now, false);
    let late = now + Duration::from_secs(10);
    assert_eq!(machine.handle_timeout(late), OnTimeout::Retransmit);
    assert_eq!(machine.handle_timeout(late), OnTimeout::Nothing);
    assert_eq!(machine.handle_timeout(now + GIVE_UP), OnTimeout::TimedOut);
    assert_eq!(machine.handle_timeout(now + GIVE_UP), OnTimeout::Nothing);
}

// --- INVITE server, figure 7 with RFC 6026 ---------------------------------------------------

fn invite_server(reliable: bool) -> InviteServer {
    InviteServer::new(reliable, Timers::default())
}

#[test]
fn invite_server_repeats_its_provisional_to_a_retransmitted_invite() {
    let now = origin();
    let mut machine = invite_server(false);
    assert_eq!(machine.respond(now, 100), OnRespond::Send);
    assert_eq!(machine.respond(now, 180), OnRespond::Send);
    assert_eq!(machine.handle_request(), OnRequest::Resend);
    assert_eq!(machine.handle_ack(now), AckReceived::Ignore);
    assert_eq!(machine.deadline(), None);
    assert_eq!(machine.state(), InviteServerState::Proceeding);
}

#[test]
fn invite_server_retransmits_a_failure_by_timer_g_until_timer_h() {
    let now = origin();
    let mut machine = invite_server(false);
    assert_eq!(machine.respond(now, 486), OnRespond::Send);
    assert_eq!(machine.respond(now, 200), OnRespond::Refuse);
    assert_eq!(machine.handle_request(), OnRequest::Resend);
    let sent = |at| (at, Timer::G, OnTimeout::Retransmit);
    assert_eq!(
        timeline!(now, machine),
        [
            sent(500),
            sent(1_500),
            sent(3_500),
            sent(7_500),
            sent(11_500),
            sent(15_500),
            sent(19_500),
            sent(23_500),
            sent(27_500),
            sent(31_500),
            (32_000, Timer::H, OnTimeout::TimedOut),
        ]
    );
}

#[test]
fn invite_server_waits_for_the_ack_without_retransmitting_on_a_reliable_transport() {
    let now = origin();
    let mut machine = invite_server(true);
    machine.respond(now, 404);
    assert_eq!(
        timeline!(now, machine),
        [(32_000, Timer::H, OnTimeout::TimedOut)]
    );
}

#[test]
fn invite_server_absorbs_acks_for_timer_i() {
    let now = origin();
    for (reliable, wait) in [(false, T4), (true, Duration::ZERO)] {
        let mut machine = invite_server(reliable);
        machine.respond(now, 486);
        assert_eq!(machine.handle_ack(now), AckReceived::Consumed);
        assert_eq!(machine.state(), InviteServerState::Confirmed);
        assert_eq!(machine.handle_ack(now), AckReceived::Consumed);
        assert_eq!(machine.handle_request(), OnRequest::Absorb);
        assert_eq!(machine.deadline(), Some((now + wait, Timer::I)));
        assert_eq!(machine.handle_timeout(now + wait), OnTimeout::Terminated);
    }
}

#[test]
fn invite_server_after_a_2xx_absorbs_invites_and_passes_acks_for_timer_l() {
    let now = origin();
    for reliable in [false, true] {
        let mut machine = invite_server(reliable);
        assert_eq!(machine.respond(now, 200), OnRespond::Send);
        assert_eq!(machine.state(), InviteServerState::Accepted);
        assert_eq!(machine.handle_request(), OnRequest::Absorb);
        assert_eq!(machine.handle_ack(now), AckReceived::Deliver);
        assert_eq!(machine.handle_ack(now), AckReceived::Deliver);
        assert_eq!(
            timeline!(now, machine),
            [(32_000, Timer::L, OnTimeout::Terminated)]
        );
    }
}

// --- non-INVITE client, figure 6 -------------------------------------------------------------

fn non_invite_client(now: Instant, reliable: bool) -> NonInviteClient {
    NonInviteClient::new(now, reliable, Timers::default())
}

#[test]
fn non_invite_client_timer_e_doubles_to_t2_until_timer_f() {
    let now = origin();
    let mut machine = non_invite_client(now, false);
    let sent = |at| (at, Timer::E, OnTimeout::Retransmit);
    assert_eq!(
        timeline!(now, machine),
        [
            sent(500),
            sent(1_500),
            sent(3_500),
            sent(7_500),
            sent(11_500),
            sent(15_500),
            sent(19_500),
            sent(23_500),
            sent(27_500),
            sent(31_500),
            (32_000, Timer::F, OnTimeout::TimedOut),
        ]
    );
}

#[test]
fn non_invite_client_retransmits_every_t2_once_it_heard_a_provisional() {
    let now = origin();
    let mut machine = non_invite_client(now, false);
    assert_eq!(machine.handle_response(now, 100), OnResponse::Deliver);
    assert_eq!(machine.state(), NonInviteClientState::Proceeding);
    let events = timeline!(now, machine);
    let times: Vec<u128> = events.iter().map(|event| event.0).collect();
    assert_eq!(
        times,
        [
            500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500, 32_000
        ]
    );
    assert_eq!(events.last().unwrap().2, OnTimeout::TimedOut);
}

#[test]
fn non_invite_client_absorbs_response_retransmissions_for_timer_k() {
    let now = origin();
    for (reliable, wait) in [(false, T4), (true, Duration::ZERO)] {
        for status in [200, 302, 401, 481, 503] {
            let mut machine = non_invite_client(now, reliable);
            assert_eq!(machine.handle_response(now, status), OnResponse::Deliver);
            assert_eq!(machine.state(), NonInviteClientState::Completed);
            assert_eq!(machine.handle_response(now, status), OnResponse::Ignore);
            assert_eq!(timeline!(now, machine).len(), 1);
            let mut machine = non_invite_client(now, reliable);
            machine.handle_response(now, status);
            assert_eq!(machine.deadline(), Some((now + wait, Timer::K)));
        }
    }
}

#[test]
fn non_invite_client_on_a_reliable_transport_only_times_out() {
    let now = origin();
    let mut machine = non_invite_client(now, true);
    assert_eq!(
        timeline!(now, machine),
        [(32_000, Timer::F, OnTimeout::TimedOut)]
    );
}

#[test]
fn non_invite_client_reports_a_transport_failure_only_while_nothing_was_heard() {
    let now = origin();
    assert!(non_invite_client(now, false).transport_failed());
    let mut heard = non_invite_client(now, false);
    heard.handle_response(now, 100);
    assert!(!heard.transport_failed());
}

// --- non-INVITE server, figure 8 -------------------------------------------------------------

fn non_invite_server(now: Instant, reliable: bool) -> NonInviteServer {
    NonInviteServer::new(now, reliable, Timers::default())
}

#[test]
fn non_invite_server_absorbs_until_it_has_something_to_repeat() {
    let now = origin();
    let mut machine = non_invite_server(now, false);
    assert_eq!(machine.state(), NonInviteServerState::Trying);
    assert_eq!(machine.handle_request(), OnRequest::Absorb);
    assert_eq!(machine.respond(now, 100), OnRespond::Send);
    assert_eq!(machine.state(), NonInviteServerState::Proceeding);
    assert_eq!(machine.handle_request(), OnRequest::Resend);
    assert_eq!(machine.respond(now, 200), OnRespond::Send);
    assert_eq!(machine.state(), NonInviteServerState::Completed);
    assert_eq!(machine.handle_request(), OnRequest::Resend);
    assert_eq!(machine.respond(now, 200), OnRespond::Refuse);
}

#[test]
fn non_invite_server_repeats_its_final_response_for_timer_j() {
    let now = origin();
    for (reliable, wait) in [(false, GIVE_UP), (true, Duration::ZERO)] {
        let mut machine = non_invite_server(now, reliable);
        machine.respond(now, 200);
        assert_eq!(machine.deadline(), Some((now + wait, Timer::J)));
        assert_eq!(machine.handle_timeout(now + wait), OnTimeout::Terminated);
    }
}

#[test]
fn non_invite_server_forgets_a_request_that_nobody_answers() {
    let now = origin();
    let mut machine = non_invite_server(now, false);
    assert_eq!(
        timeline!(now, machine),
        [(32_000, Timer::F, OnTimeout::TimedOut)]
    );
    assert_eq!(machine.respond(now, 200), OnRespond::Refuse);
}
