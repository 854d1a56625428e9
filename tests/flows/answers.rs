//! Answers: values, halves of them, corrections, keys.

use crate::LEAD;
use crate::talk::Talk;

#[test]
fn a_correction_is_taken() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("Jane Doe").hear("jane dot doe at gmail dot com");
    talk.hear("No, it's j doe at example dot com")
        .expect("at example dot com. Is that right?");
    talk.hear("Yes").expect("What can we help you with?");
    assert_eq!(talk.var("caller_email"), "jdoe@example.com");
    talk.hear("A roof").hear("Yes").hear("tomorrow at three");
    talk.hear("No, Monday at four")
        .expect("Monday, June 8th at 4 PM");
    talk.hear("yes");
    assert_eq!(talk.take_booking().date_time, "2026-06-08T16:00:00-04:00");
}

#[test]
fn a_plain_no_asks_again_in_other_words() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("Jane Doe").hear("jane dot doe at gmail dot com");
    talk.hear("No.")
        .expect("Sorry about that.")
        .expect("e-mail address again");
    talk.hear("jane doe at gmail dot com").hear("yes");
    assert_eq!(talk.var("caller_email"), "janedoe@gmail.com");
}

#[test]
fn half_a_date_is_completed() {
    let mut talk = Talk::start(
        LEAD,
        &[("caller_name", "Jane"), ("caller_email", "j@example.com")],
    );
    talk.hear("A roof").hear("Yes");
    talk.hear("Next Tuesday")
        .expect("And what time Tuesday, June 9th works for you?");
    talk.hear("Three would be good")
        .expect("Tuesday, June 9th at 3 PM");
    let mut talk = Talk::start(
        LEAD,
        &[("caller_name", "Jane"), ("caller_email", "j@example.com")],
    );
    talk.hear("A roof").hear("Yes");
    talk.hear("At 3 p.m.").expect("on which day, at 3 PM?");
    talk.hear("Tomorrow").expect("tomorrow, Friday at 3 PM");
    talk.hear("no")
        .hear("today at nine a.m.")
        .expect("has already passed");
}

#[test]
fn what_is_not_understood_is_asked_again_helpfully_and_not_forever() {
    let mut talk = Talk::start(LEAD, &[("caller_name", "Jane")]);
    talk.hear("blue banana")
        .expect("Sorry, I didn't catch that.")
        .expect("a bit slower?");
    talk.hear("blue banana").expect("letter by letter");
    talk.hear("blue banana")
        .expect("What can we help you with?");
    let mut talk = Talk::start(LEAD, &[]);
    talk.not_understood().expect("first and last name");
    talk.not_understood().expect("spell it");
    talk.not_understood().expect("e-mail");
}

#[test]
fn keys_answer_questions() {
    let mut talk = Talk::start(
        LEAD,
        &[("caller_name", "Jane"), ("caller_email", "j@example.com")],
    );
    talk.hear("A roof").keys("1").expect("When would suit you?");
    talk.hear("tomorrow at three").keys("1");
    assert_eq!(talk.take_booking().date_time, "2026-06-05T15:00:00-04:00");
    let mut talk = Talk::start("appointment-booking", &[]);
    talk.hear("A check-up")
        .hear("tomorrow at nine")
        .hear("yes")
        .hear("Jane Doe");
    talk.keys("4155550123")
        .expect("4 1 5, 5 5 5, 0 1 2 3. Is that right?");
    talk.keys("2").expect("with the area code?");
    talk.hear("four one five, double five five, oh one two four")
        .keys("1");
    assert_eq!(talk.var("callback_number"), "+14155550124");
}
