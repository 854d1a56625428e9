//! What callers say instead of an answer, and when they say nothing.

use crate::LEAD;
use crate::talk::Talk;

#[test]
fn refusals_are_respected() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("I'd rather not say").expect("e-mail");
    talk.hear("I don't have an email")
        .expect("No problem")
        .expect("What can we help you with?");
    assert_eq!(talk.var("caller_email"), "");
}

#[test]
fn common_requests_are_answered_at_any_question() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("What?")
        .expect("Sure.")
        .expect("May I have your name");
    talk.hear("Hello?").expect("May I have your name");
    talk.hear("Who is this?")
        .expect("I'm Robin, an automated assistant")
        .expect("your name");
    talk.hear("Jane Doe")
        .hear("Hold on a second.")
        .expect("take your time");
    assert!(
        talk.silence_after_s() >= 30.0,
        "a caller who looks something up is not hurried"
    );
    talk.hear("jane at example dot com")
        .expect("Is that right?");
    talk.hear("Could you repeat that?")
        .expect("at example dot com. Is that right?");
    talk.hear("Yes")
        .hear("I want to speak to a human")
        .expect("call you back");
    assert!(talk.ended());
    assert_eq!(talk.outcome(), "callback_requested");
    assert_eq!(talk.var("callback_requested"), "true");
}

#[test]
fn a_goodbye_ends_the_call() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("Jane Doe")
        .hear("Okay, goodbye.")
        .expect("Goodbye!");
    assert!(talk.ended());
    assert_eq!(talk.outcome(), "caller_ended");
}

#[test]
fn silence_is_met_twice_and_then_ends_the_call() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.silence(1)
        .expect("still there?")
        .expect("May I have your name");
    talk.silence(2)
        .expect("can't hear you")
        .expect("May I have your name");
    talk.silence(3).expect("let you go");
    assert!(talk.ended());
    assert_eq!(talk.outcome(), "no_answer");
}
