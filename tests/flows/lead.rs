//! Whole conversations, from the greeting to the outcome.

use offhook::agent::RequestFailure;
use serde_json::json;

use crate::LEAD;
use crate::talk::Talk;

#[test]
fn a_lead_is_qualified_and_booked() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.expect("May I have your name");
    talk.hear("Hi, my name is Jane Doe.")
        .expect("Thanks, Jane.")
        .expect("e-mail");
    talk.hear("It's jane dot doe at gmail dot com.");
    talk.expect("I have jane dot doe, at G mail dot com. Is that right?");
    talk.hear("Yes, that's right.")
        .expect("What can we help you with?");
    talk.hear("I need a new roof for my house.")
        .expect("book a call with the team?");
    talk.hear("Yes, please.").expect("When would suit you?");
    talk.hear("Tomorrow at three p.m.")
        .expect("tomorrow, Friday at 3 PM");
    talk.hear("Yes.");
    let book = talk.take_booking();
    assert_eq!(book.date_time, "2026-06-05T15:00:00-04:00");
    assert_eq!(book.notes, "Jane Doe: I need a new roof for my house.");
    talk.book(Ok(()))
        .expect("all set for tomorrow, Friday at 3 PM")
        .expect("Goodbye!");
    assert!(talk.ended());
    assert_eq!(talk.outcome(), "booked");
    assert_eq!(talk.var("caller_name"), "Jane Doe");
    assert_eq!(talk.var("caller_email"), "jane.doe@gmail.com");
    assert_eq!(talk.var("need"), "I need a new roof for my house.");
}

#[test]
fn the_whole_lead_flow_survives_other_phrasings_and_a_recognisers_slips() {
    let callers = [
        (
            [
                "This is Bob Smith speaking",
                "Bob underscore Smith at hot mail.com",
                "Yep.",
                "Um, we want to sell our company",
                "Sounds good",
                "How about next Tuesday afternoon",
                "That works",
            ],
            "Bob Smith",
            "bob_smith@hotmail.com",
            "2026-06-09T14:00:00-04:00",
        ),
        (
            [
                "Jane, J-A-Y-N-E.",
                "J-A-Y-N-E at jimail dot calm",
                "Correct.",
                "A new phone system.",
                "Sure, why not?",
                "the fifth of June at half past ten",
                "Yeah",
            ],
            "Jayne",
            "jayne@gmail.com",
            "2026-06-05T10:30:00-04:00",
        ),
        (
            [
                "You can call me Maria",
                "maria.lopez.at.yahoo.com",
                "uh-huh",
                "Pricing, mostly.",
                "I'd love to",
                "Monday at ten thirty in the morning",
                "Yes, go ahead",
            ],
            "Maria",
            "maria.lopez@yahoo.com",
            "2026-06-08T10:30:00-04:00",
        ),
    ];
    for (answers, name, email, at) in callers {
        let mut talk = Talk::start(LEAD, &[]);
        for answer in answers {
            talk.hear(answer);
        }
        assert_eq!(talk.var("caller_name"), name);
        assert_eq!(talk.var("caller_email"), email);
        assert_eq!(talk.take_booking().date_time, at);
        talk.book(Ok(()));
        assert_eq!(talk.outcome(), "booked");
    }
}

#[test]
fn a_declined_call_still_leaves_a_qualified_lead() {
    let mut talk = Talk::start(LEAD, &[]);
    talk.hear("Jane Doe")
        .hear("jane at example dot com")
        .hear("yes")
        .hear("A roof");
    talk.hear("No, thanks.").expect("Goodbye!");
    assert!(talk.ended());
    assert_eq!(talk.outcome(), "qualified");
}

#[test]
fn a_known_caller_is_greeted_by_name_and_not_asked_again() {
    let mut talk = Talk::start(
        LEAD,
        &[
            ("first_name", "Jane"),
            ("last_name", "Doe"),
            ("contact_id", "7"),
        ],
    );
    talk.expect("Hi Jane, good to hear from you again.")
        .expect("What can we help you with?");
    assert_eq!(talk.var("caller_name"), "Jane Doe");
    assert!(!talk.everything().contains("e-mail address"));
}

#[test]
fn a_failed_booking_is_said_honestly() {
    let mut talk = Talk::start(
        LEAD,
        &[("caller_name", "Jane"), ("caller_email", "j@example.com")],
    );
    talk.hear("A roof")
        .hear("Yes")
        .hear("tomorrow at three")
        .hear("Yes");
    talk.book(Err(RequestFailure::Timeout))
        .expect("couldn't put that into the calendar");
    assert_eq!(talk.outcome(), "booking_failed");
}

#[test]
fn a_property_lead_gives_budget_and_timeline() {
    let mut talk = Talk::start("lead-qualification-real-estate", &[]);
    talk.hear("Jane Doe")
        .hear("jane at example dot com")
        .hear("yes");
    talk.hear("We are looking to buy")
        .hear("Three bedrooms near the lake");
    talk.hear("between three hundred and four hundred thousand")
        .expect("how soon");
    talk.hear("two to three months").expect("book a call");
    assert_eq!(
        talk.json("budget"),
        json!({"min": 300_000, "max": 400_000, "currency": "USD"})
    );
    assert_eq!(
        talk.json("timeline"),
        json!({"min_days": 60, "max_days": 90})
    );
    assert_eq!(
        talk.var("need"),
        "buy: Three bedrooms near the lake. Budget: 300 thousand to 400 thousand dollars. \
         Timeline: 2 to 3 months."
    );
    talk.hear("not right now");
    assert_eq!(talk.outcome(), "qualified");
}

#[test]
fn support_works_without_a_model() {
    let mut talk = Talk::start("customer-support", &[("caller_phone", "+14155550123")]);
    talk.hear("I have a question about my invoice")
        .expect("in a sentence or two");
    talk.hear("I was charged twice").expect("urgent");
    talk.hear("Yes, it is")
        .hear("This number is fine")
        .expect("4 1 5, 5 5 5, 0 1 2 3");
    talk.hear("Yes").expect("today");
    assert_eq!(talk.outcome(), "ticket_urgent");
    assert_eq!(talk.var("topic"), "billing");
    assert_eq!(talk.var("problem"), "I was charged twice");
}
