//! Hold: the agent waits without a word, and goes on where it was.

use super::*;

fn recognised(c: &Command) -> bool {
    matches!(c, Command::Recognise { .. })
}

#[test]
fn nobody_is_asked_whether_they_are_there_while_they_hold() {
    let mut rig = chat();
    rig.hear_out();
    let quiet = rig.ms();
    rig.put_on_hold();
    rig.advance(300_000);
    assert_eq!(rig.said_since(quiet), "");
    assert!(!rig.agent.is_finished());
    rig.take_off_hold();
    rig.advance(7_000);
    assert_eq!(rig.said_since(quiet), "", "the wait begins afresh");
    rig.advance(1_100);
    assert!(rig.said_since(quiet).contains("Are you still there?"));
}

#[test]
fn speech_that_a_hold_stops_is_not_given_up_and_goes_on() {
    let mut rig = chat();
    rig.advance(1_000);
    assert!(rig.sounding());
    rig.put_on_hold();
    rig.advance(120_000);
    assert_eq!(rig.count(cancelled), 0);
    rig.take_off_hold();
    rig.hear_out();
    let turns = rig.turns();
    assert!(turns[0].text.ends_with("What is your name?"));
    assert!(!turns[0].interrupted && turns[0].heard_text.is_none());
}

#[test]
fn music_on_hold_is_no_turn_of_the_caller() {
    let mut rig = chat();
    rig.hear_out();
    rig.put_on_hold();
    let (quiet, before) = (rig.ms(), rig.count(recognised));
    rig.say_for("All our agents are busy", 30_000);
    rig.advance(20_000);
    assert_eq!(rig.count(recognised), before);
    assert_eq!(rig.said_since(quiet), "");
    rig.take_off_hold();
    rig.say("Jane Doe");
    rig.advance(2_000);
    assert_eq!(rig.agent.variables().text("caller_name"), "Jane Doe");
}

#[test]
fn what_was_said_before_the_hold_is_answered_after_it() {
    let mut rig = chat();
    rig.hear_out();
    rig.voice_on();
    rig.advance(700);
    rig.voice_off("Jane Doe");
    let quiet = rig.ms();
    rig.put_on_hold();
    rig.advance(30_000);
    assert_eq!(rig.agent.variables().text("caller_name"), "Jane Doe");
    assert_eq!(rig.said_since(quiet), "");
    rig.take_off_hold();
    rig.hear_out();
    assert!(rig.said_since(quiet).contains("And your phone number?"));
    let answer = rig.turns().into_iter().next_back().unwrap();
    assert_eq!(
        answer.latency.voice_to_voice_ms, None,
        "the hold is no latency"
    );
}

#[test]
fn who_speaks_already_when_the_hold_ends_is_heard() {
    let mut rig = chat();
    rig.hear_out();
    rig.put_on_hold();
    rig.advance(5_000);
    rig.voice_on();
    rig.advance(200);
    rig.take_off_hold();
    rig.advance(700);
    rig.voice_off("Jane Doe");
    rig.advance(2_000);
    assert_eq!(rig.agent.variables().text("caller_name"), "Jane Doe");
}

#[test]
fn a_voice_of_which_nothing_came_after_the_hold_is_no_turn() {
    let mut rig = chat();
    rig.hear_out();
    rig.voice_on();
    rig.advance(500);
    let last_voiced = rig.now;
    rig.put_on_hold();
    // Not a packet comes in the hold, so that the detector still believes in the voice after it.
    rig.advance(30_000);
    let before = rig.count(recognised);
    rig.take_off_hold();
    rig.advance(100);
    rig.voice_since = None;
    rig.agent.handle_speech_stop(rig.now, last_voiced);
    rig.drain();
    rig.advance(3_000);
    assert_eq!(rig.count(recognised), before);
}

#[test]
fn a_call_that_is_answered_on_hold_is_greeted_after_it() {
    let mut rig = Rig::new(flow_of(CHAT));
    rig.put_on_hold();
    rig.answer();
    rig.advance(60_000);
    assert_eq!(rig.count(spoke), 0);
    rig.take_off_hold();
    rig.hear_out();
    assert!(rig.said_since(0).starts_with("Thank you very much"));
}

#[test]
fn the_longest_call_ends_on_hold_too() {
    let settings = Settings {
        call_limit: Duration::from_secs(60),
        ..Settings::default()
    };
    let mut rig = Rig::with(settings, flow_of(CHAT));
    rig.answer();
    rig.advance(1_000);
    rig.put_on_hold();
    rig.advance(81_000);
    assert!(rig.agent.is_finished());
    assert_eq!(rig.count(|c| matches!(c, Command::HangUp { .. })), 1);
}
