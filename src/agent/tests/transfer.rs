//! The call is given to a person.

use super::*;

const DESK: &str = r#"
name = "desk"
start = "hello"
[nodes.hello]
type = "ask"
say = "What is it about?"
slot = "topic"
grammar = "text"
next = "person"
on_fail = "bye"
[nodes.person]
type = "transfer"
to = "{{ desk | alice }}"
say = "One moment please, I am connecting you to somebody who can help you with that."
briefing = "Somebody asks about {{topic}}."
ring_s = 20
on_fail = "sorry"
[nodes.sorry]
type = "say"
say = "I am sorry, nobody is there."
next = "bye"
[nodes.bye]
type = "end"
say = "Goodbye!"
"#;

const MODEL: &str = r#"
name = "model"
start = "talk"
[nodes.talk]
type = "llm"
prompt = "Help."
say = "What can I do for you?"
tools = ["end_call"]
transfers = [{ name = "sales", to = "+12025550123", when = "the caller wants to buy", ring_s = 15 }]
on_error = "bye"
[nodes.bye]
type = "end"
say = "Goodbye!"
"#;

fn transfers(c: &Command) -> bool {
    matches!(c, Command::Transfer(_))
}

fn transfer(rig: &Rig) -> TransferRequest {
    let mut transfers = rig.log.iter().filter_map(|(_, command)| match command {
        Command::Transfer(request) => Some(request.clone()),
        _ => None,
    });
    transfers.next_back().expect("nobody is called")
}

/// A caller who has said what it is about, and hears that somebody is called.
fn told() -> Rig {
    let mut rig = Rig::new(flow_of(DESK));
    rig.answer();
    rig.hear_out();
    rig.say("my last bill");
    rig.advance(600);
    assert!(rig.sounding(), "the agent says what comes");
    rig
}

#[test]
fn somebody_is_called_once_the_caller_was_told() {
    let mut rig = told();
    assert_eq!(rig.count(transfers), 0, "the caller still hears that");
    rig.advance(8_000);
    let request = transfer(&rig);
    assert_eq!(request.to, "alice");
    assert_eq!(request.briefing, "Somebody asks about My last bill.");
    assert_eq!(request.ring, Duration::from_secs(20));
    rig.put_on_hold();
    rig.advance(19_000);
    assert_eq!(
        rig.said_since(rig.at(transfers).unwrap()),
        "",
        "no filler, no question"
    );
}

#[test]
fn where_nobody_takes_the_call_the_flow_goes_on() {
    let mut rig = told();
    rig.advance(8_000);
    rig.put_on_hold();
    rig.advance(5_000);
    let request = transfer(&rig);
    let failure = RequestFailure::Refused("busy".to_owned());
    rig.agent
        .handle_not_transferred(rig.now, request.id, failure);
    rig.drain();
    rig.take_off_hold();
    rig.advance(8_000);
    let said = rig.said_since(rig.at(transfers).unwrap());
    assert!(
        said.contains("nobody is there") && said.contains("Goodbye"),
        "{said}"
    );
}

#[test]
fn of_somebody_who_never_answers_the_agent_does_not_wait_for_ever() {
    let mut rig = told();
    rig.advance(8_000);
    rig.put_on_hold();
    rig.advance(90_000);
    assert_eq!(rig.count(|c| matches!(c, Command::CancelRequest { .. })), 1);
    rig.take_off_hold();
    rig.advance(8_000);
    assert!(
        rig.said_since(rig.at(transfers).unwrap())
            .contains("nobody is there")
    );
}

#[test]
fn who_takes_the_call_ends_the_agents_part() {
    let mut rig = told();
    rig.advance(8_000);
    rig.put_on_hold();
    rig.agent.handle_hang_up(rig.now);
    rig.drain();
    assert!(rig.agent.is_finished());
    assert_eq!(
        rig.count(|c| matches!(c, Command::CancelRequest { .. })),
        0,
        "whoever has the call keeps it"
    );
}

#[test]
fn a_caller_who_speaks_up_is_heard_out_before_somebody_is_called() {
    let mut rig = told();
    rig.say("Oh wait, and I have another question about the printer.");
    assert_eq!(rig.count(transfers), 0);
    rig.advance(8_000);
    assert_eq!(rig.count(transfers), 1, "it is not forgotten");
}

/// A caller whose wish the model answers by a transfer to `to`.
fn model_calls(to: &str) -> Rig {
    let mut rig = Rig::new(flow_of(MODEL));
    rig.answer();
    rig.hear_out();
    rig.say("I would like to buy ten telephones.");
    rig.advance(600);
    let request = rig.llms.last().expect("the model is asked").id;
    let call = ToolCall {
        id: "one".to_owned(),
        name: "transfer".to_owned(),
        arguments: format!(r#"{{"to":"{to}","briefing":"Wants ten telephones."}}"#),
    };
    for event in [
        LlmEvent::Token("I will connect you to our sales team now. ".to_owned()),
        LlmEvent::ToolCall(call),
        LlmEvent::Done,
    ] {
        rig.agent.handle_llm(rig.now, request, event);
        rig.drain();
    }
    rig
}

#[test]
fn a_model_gives_the_call_to_whom_the_flow_names() {
    let mut rig = model_calls("sales");
    assert_eq!(rig.count(transfers), 0, "first it is said");
    rig.advance(6_000);
    let request = transfer(&rig);
    assert_eq!(
        (request.to.as_str(), request.ring.as_secs()),
        ("+12025550123", 15)
    );
    assert_eq!(request.briefing, "Wants ten telephones.");

    // Nobody is there: the model hears why, and goes on.
    let asked = rig.llms.len();
    let failure = RequestFailure::Refused("busy".to_owned());
    rig.agent
        .handle_not_transferred(rig.now, request.id, failure);
    rig.drain();
    assert_eq!(rig.llms.len(), asked + 1);
    let last = rig.llms.last().unwrap().messages.last().unwrap().clone();
    assert!(
        format!("{last:?}").contains("nobody took the call"),
        "{last:?}"
    );
}

#[test]
fn a_model_cannot_dial_what_it_likes() {
    let mut rig = model_calls("+19005550100");
    rig.advance(6_000);
    assert_eq!(rig.count(transfers), 0);
    let last = rig.llms.last().unwrap().messages.last().unwrap().clone();
    assert!(format!("{last:?}").contains("cannot go to"), "{last:?}");
}

#[test]
fn a_caller_who_thinks_better_of_it_is_not_given_away() {
    let mut rig = model_calls("sales");
    rig.advance(300);
    rig.say("No, wait, I would rather have a brochure.");
    rig.advance(8_000);
    assert_eq!(rig.count(transfers), 0);
}
