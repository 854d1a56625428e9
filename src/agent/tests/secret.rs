//! What must not be on the recording: the pause lies around all of it.

use super::*;

const CARD: &str = r#"
name = "payment"
start = "name"
[nodes.name]
type = "ask"
say = "Hello, what is your name?"
slot = "caller_name"
grammar = "name"
next = "card"
on_fail = "bye"
[nodes.card]
type = "ask"
say = "Please read me your card number."
slot = "card"
grammar = "text"
record = false
next = "back"
on_fail = "bye"
[nodes.back]
type = "ask"
say = "Thank you. Shall we call you back?"
slot = "back"
grammar = "yes_no"
next = "bye"
on_fail = "bye"
[nodes.bye]
type = "end"
say = "Goodbye!"
"#;

fn pauses(c: &Command) -> bool {
    matches!(c, Command::PauseRecording)
}

fn resumes(c: &Command) -> bool {
    matches!(c, Command::ResumeRecording)
}

/// A caller who is asked for their card's number, and has heard that out.
fn asked() -> Rig {
    let mut rig = Rig::new(flow_of(CARD));
    rig.answer();
    rig.hear_out();
    rig.say("Jane Doe");
    rig.advance(90);
    rig.hear_out();
    rig
}

#[test]
fn the_recording_pauses_when_the_question_is_handed_over_and_goes_on_when_its_answer_is_heard() {
    let mut rig = asked();
    assert_eq!(rig.count(pauses), 1);
    let at =
        |command: &Command| matches!(command, Command::Speak { text, .. } if text.contains("card"));
    assert_eq!(rig.at(pauses), rig.at(at));
    rig.say("4111 1111 1111 1111");
    rig.advance(2_000);
    let thanked = rig.at(|c| matches!(c, Command::Speak { text, .. } if text.contains("Thank")));
    assert!(rig.at(resumes) > thanked, "{:?}", rig.at(resumes));
    rig.say("Yes");
    rig.advance(3_000);
    assert_eq!((rig.count(pauses), rig.count(resumes)), (1, 1));
}

#[test]
fn a_caller_who_goes_on_with_a_secret_is_not_recorded_meanwhile() {
    let mut rig = asked();
    rig.say("4111 1111");
    rig.advance(90);
    let answers = |c: &Command| matches!(c, Command::Speak { text, .. } if text.contains("Thank"));
    assert_eq!(rig.count(answers), 1, "it was believed to be over");
    // Nothing of that was heard: it is taken back.
    rig.say_for("1111 1111", 600);
    assert_eq!(rig.count(resumes), 0);
    rig.advance(3_000);
    assert_eq!(rig.count(resumes), 1);
    assert_eq!(rig.agent.variables().text("card"), "4111 1111 1111 1111");
}

#[test]
fn who_hangs_up_on_a_secret_leaves_it_one() {
    let mut rig = asked();
    rig.voice_on();
    rig.advance(500);
    rig.agent.handle_hang_up(rig.now);
    rig.advance(1_000);
    assert_eq!((rig.count(pauses), rig.count(resumes)), (1, 0));
}
