//! Keys, silence, and what fails: nobody is left hanging.

use super::*;

#[test]
fn keys_are_taken_as_an_answer_and_cut_the_agent_off() {
    let mut rig = chat();
    rig.hear_out();
    rig.say("Jane Doe");
    rig.advance(500);
    assert!(rig.sounding());
    for digit in "4155550123#".chars() {
        rig.agent.handle_digit(rig.now, digit);
        rig.drain();
        rig.advance(120);
    }
    assert_eq!(rig.count(cancelled), 1);
    assert_eq!(rig.agent.variables().text("number"), "+14155550123");
    rig.hear_out();
    rig.agent.handle_digit(rig.now, '1');
    rig.drain();
    assert_eq!(
        rig.agent.variables().value("back"),
        Some(&true.into()),
        "one key is enough here"
    );
}

#[test]
fn keys_without_a_pound_end_with_a_pause() {
    let mut rig = chat();
    rig.hear_out();
    rig.say("Jane Doe");
    rig.hear_out();
    for digit in "4155550123".chars() {
        rig.agent.handle_digit(rig.now, digit);
        rig.advance(200);
    }
    rig.advance(3_000);
    assert_eq!(rig.agent.variables().text("number"), "+14155550123");
}

#[test]
fn a_silent_caller_is_asked_again_and_then_let_go() {
    let mut rig = chat();
    rig.hear_out();
    let quiet = rig.ms();
    rig.advance(8_100);
    assert!(rig.said_since(quiet).contains("Are you still there?"));
    rig.advance(60_000);
    assert!(rig.agent.is_finished());
    assert_eq!(rig.agent.outcome().outcome, "no_answer");
    assert_eq!(rig.count(|c| matches!(c, Command::HangUp { .. })), 1);
}

#[test]
fn steady_noise_does_not_silence_the_agent_for_good() {
    let mut rig = chat();
    rig.transcript = Some(Some("[music]".into()));
    rig.hear_out();
    let quiet = rig.ms();
    rig.voice_on();
    rig.advance(40_000);
    assert!(rig.said_since(quiet).contains("Are you still there?"));
}

#[test]
fn a_failing_recogniser_leads_to_a_question_and_not_to_silence() {
    let mut rig = chat();
    rig.hear_out();
    rig.transcript = Some(None);
    let quiet = rig.ms();
    rig.say("Jane Doe");
    rig.advance(1_000);
    assert!(
        rig.said_since(quiet)
            .contains("Sorry, I didn't catch that.")
    );
    rig.stt_ms = 60_000;
    rig.hear_out();
    let quiet = rig.ms();
    rig.say("Jane Doe");
    rig.advance(6_000);
    assert!(
        rig.said_since(quiet).contains("didn't"),
        "a recogniser that never answers"
    );
}

#[test]
fn a_playout_that_reports_nothing_does_not_hang_the_call() {
    let mut rig = Rig::new(flow_of(CHAT));
    rig.mute = true;
    rig.answer();
    rig.advance(300_000);
    assert!(rig.agent.is_finished());
}

#[test]
fn a_hang_up_records_what_was_heard_and_ends() {
    let mut rig = chat();
    rig.advance(40 + 60 * 27);
    rig.agent.handle_hang_up(rig.now);
    rig.drain();
    rig.advance(50);
    assert!(rig.agent.is_finished());
    let turns = rig.turns();
    assert_eq!(
        turns[0].heard_text.as_deref(),
        Some("Thank you very much for")
    );
    let Some((_, Command::Finished(outcome))) = rig.log.last() else {
        panic!("no outcome")
    };
    assert_eq!(
        (outcome.ended_by, outcome.outcome.as_str()),
        (EndedBy::Caller, "abandoned")
    );
}

#[test]
fn the_longest_call_ends_with_a_goodbye() {
    let settings = Settings {
        call_limit: Duration::from_secs(20),
        ..Settings::default()
    };
    let mut rig = Rig::with(settings, flow_of(CHAT));
    rig.answer();
    rig.advance(19_000);
    rig.voice_on();
    rig.advance(30_000);
    assert!(rig.agent.is_finished());
    assert!(
        rig.said_since(19_000)
            .contains("I have to end the call here")
    );
}

const MODEL: &str = r#"
name = "model"
start = "talk"
[nodes.talk]
type = "llm"
prompt = "Be kind."
say = "Hello!"
"#;

#[test]
fn a_model_has_as_long_as_its_client_gives_it() {
    let seconds = Duration::from_secs;
    let settings = Settings::default().with_llm_limits(seconds(20), seconds(10));
    let mut rig = Rig::with(settings, flow_of(MODEL));
    rig.answer();
    rig.hear_out();
    rig.say("Do you have roses?");
    rig.advance(19_000);
    let asked = rig.llms.len();
    let (id, event) = (rig.llms[asked - 1].id, LlmEvent::Working);
    rig.agent.handle_llm(rig.now, id, event);
    rig.drain();
    rig.advance(9_000);
    let (late, event) = (rig.ms(), LlmEvent::Token("We have many of them. ".into()));
    rig.agent.handle_llm(rig.now, id, event);
    rig.drain();
    assert_eq!(rig.said_since(late), "We have many of them.");
    assert_eq!(rig.llms.len(), asked, "it was not asked again");
    // And no longer: a client that says nothing of it does not hold the call up.
    rig.advance(10_600);
    assert_eq!(rig.llms.len(), asked + 1);
}
