//! What the agent's configuration says of its manners.

use std::sync::Arc;

use super::*;
use crate::agent::flow::{FlowRun, parse};

fn told(flow: &str, options: RunOptions) -> Box<dyn Dialogue> {
    let flow = parse("test.toml", flow).unwrap_or_else(|p| panic!("{p:?}"));
    Box::new(FlowRun::new(Arc::new(flow), &Variables::new(), options))
}

fn greeting(text: &str) -> RunOptions {
    RunOptions {
        greeting: Some(text.to_owned()),
        ..RunOptions::default()
    }
}

#[test]
fn a_greeting_is_said_in_place_of_the_flows_first_words_and_only_once() {
    let mut rig = Rig::new(told(
        CHAT,
        greeting("Hello {{first_name | there}}, who is this?"),
    ));
    rig.answer();
    rig.hear_out();
    assert_eq!(rig.said_since(0), "Hello there, who is this?");
    let asked = rig.ms();
    rig.say("What?");
    rig.hear_out();
    assert_eq!(rig.said_since(asked), "Sure. Hello there, who is this?");
    let asked = rig.ms();
    rig.say("Jane Doe");
    rig.hear_out();
    assert_eq!(rig.said_since(asked), "And your phone number?");
}

#[test]
fn an_announcement_comes_before_the_greeting_and_is_said_to_its_end() {
    let options = RunOptions {
        announcement: Some("This call is recorded.".to_owned()),
        ..greeting("Hello, who is this?")
    };
    let mut rig = Rig::new(told(CHAT, options));
    rig.answer();
    rig.advance(300);
    assert!(rig.sounding());
    rig.say_for("Yes hello I am calling about the roof", 1_500);
    rig.hear_out();
    let turns = rig.turns();
    assert_eq!(turns[0].text, "This call is recorded.");
    assert!(!turns[0].interrupted && turns[0].heard_text.is_none());
    rig.hear_out();
    assert_eq!(
        rig.said_since(0),
        "This call is recorded. Hello, who is this?"
    );
}

#[test]
fn an_announcement_is_said_also_to_a_caller_who_speaks_or_presses_a_key_first() {
    for by_key in [false, true] {
        let options = RunOptions {
            announcement: Some("This call is recorded.".to_owned()),
            ..RunOptions::default()
        };
        let settings = Settings {
            greeting_delay: Duration::from_millis(2_000),
            ..Settings::default()
        };
        let mut rig = Rig::with(settings, told(CHAT, options));
        rig.answer();
        rig.advance(300);
        if by_key {
            rig.agent.handle_digit(rig.now, '#');
            rig.drain();
        } else {
            rig.say("Hello, anybody there?");
        }
        rig.advance(3_000);
        rig.hear_out();
        let said = rig.said_since(0);
        assert!(said.starts_with("This call is recorded."), "{said}");
    }
}

#[test]
fn a_greeting_belongs_to_the_first_node_that_speaks() {
    let mut rig = Rig::new(flow(
        "lead-qualification",
        &Variables::new(),
        greeting("Example Homes, good day."),
    ));
    rig.answer();
    rig.hear_out();
    assert_eq!(
        rig.said_since(0),
        "Example Homes, good day. May I have your name, please?"
    );
}

#[test]
fn a_model_that_would_speak_first_leaves_that_to_the_greeting() {
    const MODEL: &str = "name='m'\nstart='talk'\n[nodes.talk]\ntype='llm'\nprompt='Be kind.'\n\
                         tools=['end_call']\non_error='bye'\n[nodes.bye]\ntype='end'\nsay='Bye!'\n";
    let options = RunOptions {
        llm: true,
        ..greeting("Hello, this is Example Homes.")
    };
    let mut rig = Rig::new(told(MODEL, options));
    rig.answer();
    rig.hear_out();
    assert_eq!(rig.said_since(0), "Hello, this is Example Homes.");
    assert!(rig.llms.is_empty(), "the model waits for the caller");
    rig.say("I need a new roof");
    rig.advance(500);
    assert_eq!(rig.llms.len(), 1);
}

#[test]
fn the_greeting_waits_for_its_delay() {
    let settings = Settings {
        greeting_delay: Duration::from_millis(1_500),
        ..Settings::default()
    };
    let mut rig = Rig::with(settings, flow_of(CHAT));
    rig.answer();
    rig.advance(1_499);
    assert_eq!(rig.count(spoke), 0);
    rig.advance(1);
    let first = rig.log.iter().find(|(_, c)| spoke(c)).map(|(at, _)| *at);
    assert_eq!(first, Some(1_500));
    rig.hear_out();
    rig.say("Jane Doe");
    rig.advance(500);
    assert!(rig.said_since(1_501).contains("And your phone number?"));
}

#[test]
fn a_caller_who_speaks_first_is_not_kept_waiting_for_the_greeting() {
    let settings = Settings {
        greeting_delay: Duration::from_millis(9_000),
        ..Settings::default()
    };
    let mut rig = Rig::with(settings, flow_of(CHAT));
    rig.answer();
    rig.advance(300);
    rig.say("Hello?");
    rig.advance(1_000);
    assert!(rig.said_since(0).contains("What is your name?"));
}

fn firm() -> Rig {
    let settings = Settings {
        allow_interrupt: false,
        ..Settings::default()
    };
    let mut rig = Rig::with(settings, flow_of(CHAT));
    rig.answer();
    rig
}

#[test]
fn an_agent_that_may_not_be_interrupted_finishes_and_then_listens() {
    let mut rig = firm();
    rig.advance(1_000);
    rig.say_for("My name is Jane Doe and I am in a hurry", 2_000);
    rig.hear_out();
    assert_eq!((rig.count(paused), rig.count(cancelled)), (0, 0));
    let turns = rig.turns();
    assert!(!turns[0].interrupted && turns[0].heard_text.is_none());
    assert_eq!(rig.agent.variables().text("caller_name"), "Jane Doe");
}

#[test]
fn an_mm_hm_over_firm_speech_answers_nothing() {
    let mut rig = firm();
    rig.hear_out();
    rig.say("Jane Doe");
    rig.advance(600);
    assert!(rig.sounding());
    rig.say_for("Yeah.", 300);
    rig.hear_out();
    rig.say("415 555 0123");
    // Over the first words of "Shall we call you back?".
    rig.advance(400);
    rig.say_for("Mm-hm.", 300);
    rig.hear_out();
    assert_eq!(rig.agent.variables().text("number"), "+14155550123");
    assert_eq!(rig.count(cancelled), 0);
    assert!(
        !rig.said_since(0).contains("Sorry"),
        "{}",
        rig.said_since(0)
    );
}

fn silent_after(options: RunOptions, flow: &str) -> u64 {
    let mut rig = Rig::new(told(flow, options));
    rig.answer();
    rig.hear_out();
    let quiet = rig.ms();
    rig.advance(100_000);
    let asked = rig
        .log
        .iter()
        .find(|(at, c)| *at > quiet && spoke(c))
        .map(|(at, _)| *at);
    asked.unwrap() - quiet
}

#[test]
fn the_agents_silence_timeout_counts_before_the_flows() {
    let after = |s: Option<u64>| RunOptions {
        silence_after: s.map(Duration::from_secs),
        ..RunOptions::default()
    };
    let close = |waited: u64, s: u64| waited <= s * 1_000 && waited + 100 > s * 1_000;
    assert!(close(silent_after(after(None), CHAT), 8), "the default");
    assert!(close(silent_after(after(Some(15)), CHAT), 15));
    assert!(close(silent_after(after(Some(3)), CHAT), 3));
    let own = CHAT.replace(
        "slot = \"caller_name\"",
        "slot = \"caller_name\"\nsilence_s = 11",
    );
    assert!(
        close(silent_after(after(None), &own), 11),
        "the question's own"
    );
    assert!(
        close(silent_after(after(Some(3)), &own), 11),
        "the question's is longer"
    );
    assert!(
        close(silent_after(after(Some(15)), &own), 15),
        "the agent's is longer"
    );
}

#[test]
fn the_call_ends_at_the_last_silence_that_the_agent_allows() {
    for most in [1, 2, 3, 5] {
        let options = RunOptions {
            max_silences: Some(most),
            ..RunOptions::default()
        };
        let mut rig = Rig::new(told(CHAT, options));
        rig.answer();
        rig.hear_out();
        rig.advance(200_000);
        assert_eq!(rig.agent.outcome().outcome, "no_answer");
        let said = rig.said_since(0);
        let asked = said.matches("What is your name?").count();
        assert_eq!(
            asked, most as usize,
            "the greeting and {most} - 1 more: {said}"
        );
    }
}
