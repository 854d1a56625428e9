//! Flows that an LLM leads for a while.

use offhook::agent::{LlmEvent, LlmFailure, LlmMessage, LlmRole, ToolCall};

use crate::talk::Talk;

fn tool(name: &str, arguments: &str) -> LlmEvent {
    LlmEvent::ToolCall(ToolCall {
        id: "c1".into(),
        name: name.into(),
        arguments: arguments.into(),
    })
}

fn with_model() -> Talk {
    let mut talk = Talk::start_with_model("customer-support", &[("caller_phone", "+14155550123")]);
    talk.hear("billing").expect("Please tell me what happened.");
    talk.hear("I was charged twice.");
    talk
}

#[test]
fn a_model_speaks_clause_by_clause_and_leaves_by_an_exit() {
    let mut talk = with_model();
    let request = talk.request();
    assert!(request.messages[0].content.contains("billing"));
    assert_eq!(
        request.messages.last().unwrap().content,
        "I was charged twice."
    );
    let names: Vec<_> = request.tools.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["set_variable", "end_call", "understood", "solved"]);
    // Each clause is said with the token that completes it, and once.
    for (token, said) in [
        ("I'm sor", ""),
        ("ry to hear", ""),
        (" that. Since", "I'm sorry to hear that."),
        (" when?", "Since when?"),
    ] {
        talk.llm(LlmEvent::Token(token.into()));
        assert_eq!(talk.said(), said, "with {token:?}");
    }
    talk.llm(LlmEvent::Done);
    assert_eq!(talk.said(), "");
    talk.hear("Since May.");
    talk.llm(tool(
        "set_variable",
        r#"{"name":"problem","value":"Charged twice since May"}"#,
    ));
    talk.llm(LlmEvent::Done);
    assert_eq!(talk.var("problem"), "Charged twice since May");
    let last = talk.request().messages.last().unwrap().clone();
    assert_eq!((last.role, last.content.as_str()), (LlmRole::Tool, "ok"));
    talk.llm(tool("understood", "{}"))
        .llm(LlmEvent::Done)
        .expect("urgent");
}

#[test]
fn a_model_that_fails_is_tried_once_more_and_then_the_flow_goes_on_without_it() {
    let mut talk = with_model();
    let first = talk.request().id;
    talk.llm(LlmEvent::Failed(LlmFailure::Stalled))
        .expect("Sorry, one moment.");
    assert_ne!(talk.request().id, first, "tried again");
    talk.llm(LlmEvent::Failed(LlmFailure::Status(500)))
        .expect("in a sentence or two");
    talk.hear("I was charged twice").expect("urgent");
}

#[test]
fn a_rate_limit_is_waited_out_within_reason() {
    let mut talk = with_model();
    let retry_after = Some(std::time::Duration::from_secs(60));
    talk.llm(LlmEvent::Failed(LlmFailure::RateLimited { retry_after }))
        .expect("one moment");
    assert_eq!(talk.request().delay, std::time::Duration::from_secs(3));
}

#[test]
fn an_answer_that_is_cut_in_the_middle_is_continued() {
    let mut talk = with_model();
    talk.llm(LlmEvent::Token("I'm sorry to hear that. Since wh".into()));
    talk.llm(LlmEvent::Failed(LlmFailure::Cut));
    let nudge = talk.request().messages.last().unwrap().content.clone();
    assert!(nudge.contains("without repeating"), "{nudge}");
    talk.llm(LlmEvent::Token("Since when?".into()))
        .expect("Since when?");
}

#[test]
fn a_model_that_answers_nothing_or_calls_unknown_tools_does_not_leave_silence() {
    let mut talk = with_model();
    talk.llm(LlmEvent::Done).expect("one moment");
    talk.llm(tool("format_disk", "not json"))
        .llm(LlmEvent::Done);
    assert!(
        talk.request()
            .messages
            .last()
            .unwrap()
            .content
            .contains("no tool")
    );
}

#[test]
fn what_the_caller_did_not_hear_is_not_in_the_models_memory() {
    let mut talk = with_model();
    talk.llm(LlmEvent::Token(
        "We will refund it today. And tomorrow too. ".into(),
    ));
    talk.interrupted("We will refund");
    talk.hear("Really?");
    let texts: Vec<_> = talk
        .request()
        .messages
        .iter()
        .map(|m| m.content.clone())
        .collect();
    assert!(texts.contains(&"We will refund".to_owned()), "{texts:?}");
    assert!(!texts.iter().any(|t| t.contains("today")), "{texts:?}");
}

const SHOP: &str = r#"
name = "shop"
start = "talk"
[nodes.talk]
type = "llm"
prompt = "You sell roses."
say = "Hello, what can I do for you?"
[[nodes.talk.http_tools]]
name = "stock"
description = "How many there are"
url = "/stock"
"#;

/// A shop that has said "Let me look." and asks its stock.
fn asking_the_stock() -> Talk {
    let mut talk = Talk::of_model(SHOP);
    talk.heard_out().hear("Do you have roses?");
    talk.llm(LlmEvent::Token("Let me look. ".into()));
    talk.llm(tool("stock", "{}")).llm(LlmEvent::Done);
    talk
}

/// Who wrote each message after the system's, and what.
fn shape(messages: &[LlmMessage]) -> Vec<(LlmRole, &str)> {
    let messages = messages.iter().skip(1);
    messages.map(|m| (m.role, m.content.as_str())).collect()
}

#[test]
fn a_word_of_patience_does_not_come_between_a_tools_call_and_its_result() {
    let mut talk = asking_the_stock();
    talk.still_waiting();
    assert!(!talk.said().is_empty());
    talk.http(200, "12");
    let expected = [
        (LlmRole::Assistant, "Hello, what can I do for you?"),
        (LlmRole::User, "Do you have roses?"),
        (LlmRole::Assistant, "Let me look."),
        (LlmRole::Tool, "HTTP 200: 12"),
    ];
    let request = talk.request();
    assert_eq!(shape(&request.messages), expected);
    assert_eq!(request.messages[3].tool_calls.len(), 1);
}

#[test]
fn a_caller_who_speaks_while_a_tool_is_asked_comes_after_its_result() {
    let mut talk = asking_the_stock();
    talk.hear("And lilies?");
    let expected = [
        (LlmRole::Assistant, "Hello, what can I do for you?"),
        (LlmRole::User, "Do you have roses?"),
        (LlmRole::Assistant, "Let me look."),
        (LlmRole::Tool, "abandoned"),
        (LlmRole::User, "And lilies?"),
    ];
    assert_eq!(shape(&talk.request().messages), expected);
    // Its answer comes too late.
    let asked = talk.request().id;
    talk.http(200, "12");
    assert_eq!(talk.request().id, asked);
}

#[test]
fn a_caller_who_cuts_in_on_a_tools_result_did_not_hear_what_was_said_before_it() {
    let mut talk = asking_the_stock();
    talk.http(200, "12");
    talk.llm(LlmEvent::Token("We have twelve of them. ".into()));
    talk.interrupted("Let me");
    talk.hear("Never mind.");
    let expected = [
        (LlmRole::Assistant, "Hello, what can I do for you?"),
        (LlmRole::User, "Do you have roses?"),
        (LlmRole::Assistant, "Let me"),
        (LlmRole::Tool, "HTTP 200: 12"),
        (LlmRole::User, "Never mind."),
    ];
    assert_eq!(shape(&talk.request().messages), expected);
}

#[test]
fn an_interruption_cuts_its_own_turn_and_leaves_what_was_heard_before() {
    let mut talk = Talk::of_model(SHOP);
    talk.heard_out().silence(1).heard_out().silence(2);
    talk.interrupted("");
    talk.hear("Roses, please.");
    let before = talk.request().messages[1].content.clone();
    assert!(
        before.starts_with("Hello, what can I do for you? "),
        "{before}"
    );
    // The caller makes a sound while the model thinks: nothing that was heard is forgotten.
    talk.interrupted("");
    talk.hear("Red ones.");
    assert_eq!(talk.request().messages[1].content, before);
}
