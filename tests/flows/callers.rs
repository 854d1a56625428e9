//! Callers as they are: two answers at once, second thoughts, bad temper, other languages.

use serde_json::json;

use crate::LEAD;
use crate::talk::Talk;

/// A caller of whom only the e-mail address is asked.
fn at_email() -> Talk {
    let mut talk = Talk::start(LEAD, &[("caller_name", "Jane Doe")]);
    talk.expect("e-mail address");
    talk
}

/// A caller of whom only the time is asked.
fn at_time() -> Talk {
    let known = [("caller_name", "Jane"), ("caller_email", "j@example.com")];
    let mut talk = Talk::start(LEAD, &known);
    talk.hear("A roof")
        .hear("Yes")
        .expect("When would suit you?");
    talk
}

#[test]
fn an_address_is_spelled_in_every_way() {
    for (said, email) in [
        ("j a n e at gmail dot com", "jane@gmail.com"),
        ("J-A-N-E at G-M-A-I-L dot com", "jane@gmail.com"),
        ("double u i l l at yahoo dot com", "will@yahoo.com"),
        (
            "j as in Juliet, o, e, at outlook dot com",
            "joe@outlook.com",
        ),
        ("jane one oh one at gmail dot com", "jane101@gmail.com"),
        (
            "jane doe, all one word, at gmail dot com",
            "janedoe@gmail.com",
        ),
        (
            "It's jane underscore doe ninety nine at hotmail dot com",
            "jane_doe99@hotmail.com",
        ),
        ("jane at the rate example dot com", "jane@example.com"),
    ] {
        let mut talk = at_email();
        talk.hear(said).expect("ight?");
        talk.hear("Yes");
        assert_eq!(talk.var("caller_email"), email, "{said}");
    }
}

#[test]
fn an_address_that_stops_at_the_at_sign_is_completed() {
    let mut talk = at_email();
    talk.hear("j a n e at")
        .expect("what comes after the at sign?");
    talk.hear("gmail dot com").hear("Yes, it is.");
    assert_eq!(talk.var("caller_email"), "jane@gmail.com");
}

#[test]
fn half_of_an_address_is_corrected() {
    let mut talk = at_email();
    talk.hear("jane at hotmail dot com");
    talk.hear("No, gmail dot com").expect("G mail dot com");
    talk.hear("yes");
    assert_eq!(talk.var("caller_email"), "jane@gmail.com");
    let mut talk = at_email();
    talk.hear("jane at gmail dot com");
    talk.hear("No, it's jayne, j a y n e")
        .expect("G mail dot com");
    talk.hear("That's right.");
    assert_eq!(talk.var("caller_email"), "jayne@gmail.com");
}

#[test]
fn half_of_a_time_is_corrected() {
    let mut talk = at_time();
    talk.hear("Tomorrow at three")
        .expect("tomorrow, Friday at 3 PM");
    talk.hear("No, at four").expect("tomorrow, Friday at 4 PM");
    talk.hear("Sorry, no, Monday")
        .expect("Monday, June 8th at 4 PM");
    talk.hear("Yes");
    assert_eq!(talk.take_booking().date_time, "2026-06-08T16:00:00-04:00");
}

#[test]
fn an_answer_is_mended_after_the_next_question() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("Jane").expect("Thanks, Jane.").expect("e-mail");
    talk.hear("No, it's Jayne, J-A-Y-N-E.")
        .expect("Sorry about that.")
        .expect("e-mail");
    assert_eq!(talk.var("caller_name"), "Jayne");
    assert_eq!(talk.var("caller_name_first"), "Jayne");
}

#[test]
fn two_answers_in_one_breath_are_both_taken() {
    for said in [
        "Jane Doe, jane dot doe at gmail dot com",
        "My name is Jane Doe and my email is jane.doe@gmail.com.",
        "Hi, I'm Jane Doe. My e-mail address is jane dot doe at gmail dot com.",
    ] {
        let mut talk = Talk::start(LEAD, &[]);
        talk.hear(said)
            .expect("Thanks, Jane.")
            .expect("I have jane dot doe, at G mail dot com.");
        talk.hear("Yes").expect("What can we help you with?");
        assert_eq!(talk.var("caller_name"), "Jane Doe", "{said}");
        assert_eq!(talk.var("caller_email"), "jane.doe@gmail.com", "{said}");
    }
    let known = [("caller_name", "Jane"), ("caller_email", "j@example.com")];
    let mut talk = Talk::start(LEAD, &known);
    talk.hear("A roof").hear("Yes, tomorrow at three.");
    talk.expect("That's tomorrow, Friday at 3 PM.");
    // A plain yes is no date: the question is put.
    let mut talk = Talk::start(LEAD, &known);
    talk.hear("A roof")
        .hear("Yes, please.")
        .expect("When would suit you?");
}

#[test]
fn dates_are_said_in_every_way() {
    for (said, at) in [
        ("Friday week at ten", "2026-06-12T10:00:00-04:00"),
        ("the 3rd at half past two", "2026-07-03T14:30:00-04:00"),
        (
            "How about Friday the 12th, two-ish?",
            "2026-06-12T14:00:00-04:00",
        ),
        (
            "tomorrow, nine oh five in the morning",
            "2026-06-05T09:05:00-04:00",
        ),
        ("a week on Monday, half nine", "2026-06-15T09:30:00-04:00"),
        ("Any time after three tomorrow", "2026-06-05T15:00:00-04:00"),
    ] {
        let mut talk = at_time();
        talk.hear(said).hear("Yes");
        assert_eq!(talk.take_booking().date_time, at, "{said}");
    }
}

#[test]
fn numbers_are_said_with_oh_and_double() {
    let mut talk = Talk::start("appointment-booking", &[("caller_name", "Jane")]);
    talk.hear("A check-up").hear("tomorrow at nine").hear("yes");
    talk.hear("four one five, five double five, oh one oh two")
        .expect("4 1 5, 5 5 5, 0 1 0 2");
    talk.hear("Correct.");
    assert_eq!(talk.var("callback_number"), "+14155550102");
}

#[test]
fn a_person_may_be_asked_for_at_every_question() {
    for answers in [
        vec!["Can I talk to a person?"],
        vec!["Jane Doe", "Can I please speak with a real person?"],
        vec!["Jane Doe", "jane at example dot com", "Get me a human."],
        vec![
            "Jane Doe",
            "jane at example dot com",
            "yes",
            "Can I talk to a person?",
        ],
        vec![
            "Jane Doe",
            "jane at example dot com",
            "yes",
            "I don't like robots. Let me talk to someone.",
        ],
        vec![
            "Jane Doe",
            "jane at example dot com",
            "yes",
            "A roof",
            "Yes, can I talk to a person now?",
        ],
        vec![
            "Jane Doe",
            "jane at example dot com",
            "yes",
            "A roof",
            "Yes",
            "Operator!",
        ],
    ] {
        let mut talk = Talk::start(LEAD, &[]);
        for answer in &answers {
            talk.hear(answer);
        }
        talk.expect("call you back");
        assert_eq!(talk.outcome(), "callback_requested", "{answers:?}");
    }
}

#[test]
fn what_a_caller_needs_may_mention_people() {
    for need in [
        "I'd like to talk to someone about selling my house.",
        "I need an agent to sell my house.",
        "My damn roof leaks again.",
    ] {
        let known = [("caller_name", "Jane"), ("caller_email", "j@example.com")];
        let mut talk = Talk::start(LEAD, &known);
        talk.hear(need).expect("book a call with the team?");
        assert_eq!(talk.var("need"), need);
    }
}

#[test]
fn callers_learn_that_they_talk_to_a_machine() {
    for said in [
        "Who are you?",
        "Is this a robot?",
        "Wait, am I talking to a real person?",
        "Is this a recording?",
        "Sorry, who am I speaking to?",
    ] {
        let mut talk = Talk::start(LEAD, &[]);
        talk.hear(said)
            .expect("I'm Robin, an automated assistant for our team.")
            .expect("May I have your name");
        let known = [("caller_name", "Jane"), ("caller_email", "j@example.com")];
        let mut talk = Talk::start(LEAD, &known);
        talk.hear(said)
            .expect("automated")
            .expect("What can we help you with?");
    }
}

#[test]
fn swearing_is_met_calmly_and_is_no_answer() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("What the fuck is this?")
        .expect("I'm sorry that this is annoying.")
        .expect("May I have your name");
    assert_eq!(talk.var("caller_name"), "");
    talk.hear("Fuck off.").expect("Goodbye!");
    assert_eq!(talk.outcome(), "caller_ended");
    let mut talk = at_time();
    talk.hear("Tomorrow at three").hear("Hell yes!");
    assert_eq!(talk.take_booking().date_time, "2026-06-05T15:00:00-04:00");
}

#[test]
fn another_language_is_answered_honestly() {
    for said in [
        "¿Habla español?",
        "Do you speak Spanish?",
        "Parlez-vous français?",
    ] {
        let mut talk = Talk::start(LEAD, &[]);
        talk.hear(said)
            .expect("I only speak English.")
            .expect("May I have your name");
    }
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("Me llamo Juan Pérez.").expect("Thanks, Juan.");
}

#[test]
fn a_plain_no_to_a_question_for_a_value_is_a_refusal() {
    let mut talk = at_email();
    talk.hear("No, thanks.")
        .expect("No problem")
        .expect("What can we help you with?");
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("Nope.").expect("e-mail");
    assert_eq!(talk.var("caller_name"), "");
}

#[test]
fn silence_repeats_what_is_being_confirmed() {
    let mut talk = at_email();
    talk.hear("jane at example dot com")
        .expect("Is that right?");
    talk.silence(1)
        .expect("still there?")
        .expect("at example dot com. Is that right?");
    talk.hear("I think so.")
        .expect("What can we help you with?");
}

#[test]
fn a_range_of_money_is_saved_with_both_ends() {
    for (said, min, max) in [
        (
            "three to four hundred thousand",
            json!(300_000),
            json!(400_000),
        ),
        (
            "Between $300,000 and $400,000.",
            json!(300_000),
            json!(400_000),
        ),
        ("up to half a million", json!(null), json!(500_000)),
        ("at least 250k", json!(250_000), json!(null)),
        ("about four fifty", json!(450), json!(450)),
    ] {
        let known = [("first_name", "Jane"), ("contact_id", "7")];
        let mut talk = Talk::start("lead-qualification-real-estate", &known);
        talk.hear("buy")
            .hear("A house by the lake")
            .hear(said)
            .expect("how soon");
        let want = json!({"min": min, "max": max, "currency": "USD"});
        assert_eq!(talk.json("budget"), want, "{said}");
    }
}
