//! Barge-in: who gives way, who goes on, and what is remembered.

use super::*;

#[test]
fn barge_in_pauses_at_once_and_cancels_when_the_caller_has_words() {
    let mut rig = chat();
    rig.advance(1_000);
    rig.voice_on();
    assert_eq!(
        rig.at(paused),
        Some(rig.ms()),
        "sound pauses with the first voice edge"
    );
    rig.advance(600);
    rig.voice_off("No wait, I have a question");
    rig.advance(HANGOVER_MS + STT_MS);
    assert_eq!(rig.count(cancelled), 1);
    assert_eq!(rig.count(resumed), 0);
}

#[test]
fn barge_in_over_the_question_is_decided_within_400_ms() {
    let mut rig = chat();
    rig.advance(5_000);
    rig.voice_on();
    let began = rig.ms();
    rig.advance(1_500);
    let decided = rig.at(cancelled).unwrap();
    assert!(decided - began <= 400, "{} ms", decided - began);
}

#[test]
fn a_cough_resumes_where_it_paused() {
    let mut rig = chat();
    rig.advance(1_000);
    rig.say_for("", 150);
    rig.advance(300);
    assert_eq!(
        (rig.count(paused), rig.count(resumed), rig.count(cancelled)),
        (1, 1, 0)
    );
    rig.hear_out();
    let turns = rig.turns();
    assert_eq!(turns.len(), 1, "the caller said nothing");
    assert!(!turns[0].interrupted && turns[0].heard_text.is_none());
}

#[test]
fn an_mm_hm_does_not_stop_the_agent() {
    for text in ["Mm-hm.", "Uh-huh.", "Yeah.", "Okay."] {
        let mut rig = chat();
        rig.advance(1_000);
        rig.say_for(text, 450);
        rig.advance(400);
        assert_eq!((rig.count(paused), rig.count(resumed)), (1, 1), "{text}");
        assert_eq!(rig.count(cancelled), 0, "{text}");
    }
}

#[test]
fn a_short_no_stops_the_agent_although_it_is_shorter_than_speech() {
    let mut rig = chat();
    rig.advance(1_000);
    rig.say_for("Stop.", 240);
    rig.advance(500);
    assert_eq!(rig.count(cancelled), 1);
}

#[test]
fn the_greeting_may_be_talked_over() {
    let mut rig = chat();
    rig.advance(200);
    rig.say_for("Hello?", 400);
    rig.advance(300);
    assert_eq!(
        (rig.count(cancelled), rig.count(resumed)),
        (0, 1),
        "a hello is no interruption"
    );
    rig.say_for("My name is Jane Doe and I am in a hurry", 2_000);
    rig.advance(400);
    assert_eq!(rig.count(cancelled), 1);
    assert!(
        rig.said_since(0).contains("And your phone number?"),
        "the answer counts"
    );
    assert_eq!(rig.agent.variables().text("caller_name"), "Jane Doe");
}

#[test]
fn a_hang_up_within_a_pause_leaves_only_what_was_sent_in_memory() {
    let mut rig = chat();
    rig.advance(1_040);
    rig.voice_on();
    rig.advance(200);
    let now = rig.now;
    rig.agent.handle_hang_up(now);
    rig.drain();
    assert!(!rig.agent.is_finished(), "the playout still owes a report");
    rig.advance(100);
    assert!(rig.agent.is_finished());
    let turns = rig.turns();
    // A second was sent, then the playout paused: at 60 ms a character these are 16.
    assert_eq!(turns[0].heard_text.as_deref(), Some("Thank you very"));
}

#[test]
fn a_turn_whose_playout_never_reports_is_remembered_by_its_whole_clauses() {
    let mut rig = chat();
    rig.advance(4_000);
    rig.mute = true;
    let now = rig.now;
    rig.agent.handle_hang_up(now);
    // Nobody carries the cancellation out.
    while let Some(command) = rig.agent.poll_command() {
        rig.log.push((rig.ms(), command));
    }
    let due = rig.agent.poll_timeout().unwrap().0;
    rig.agent.handle_timeout(due);
    rig.drain();
    assert!(
        rig.agent.is_finished(),
        "it waits for the report, not for ever"
    );
    let turns = rig.turns();
    let heard = turns[0].heard_text.as_deref();
    assert_eq!(heard, Some("Thank you very much for calling us today."));
}

#[test]
fn a_turn_begins_with_the_first_sound_even_of_a_clause_whose_voice_failed_on_the_way() {
    let mut rig = chat();
    let (turn, clause) = (TurnId(1), 0);
    let at = rig.now + Duration::from_millis(30);
    for event in [
        PlayoutEvent::Failed { turn, clause },
        PlayoutEvent::Started { turn, clause, at },
    ] {
        rig.agent.handle_playout(at, event);
    }
    rig.hear_out();
    let told = rig.turns()[0].started_at;
    assert_eq!(told, rig.agent.wall.timestamp(at));
}

#[test]
fn memory_is_cut_to_what_was_heard() {
    let mut rig = chat();
    rig.advance(40 + 60 * 27);
    rig.say_for("Sorry, I have to ask you something else", 1_500);
    rig.advance(1_000);
    let turns = rig.turns();
    assert!(turns[0].interrupted);
    assert_eq!(
        turns[0].heard_text.as_deref(),
        Some("Thank you very much for")
    );
    assert!(turns[0].text.ends_with("What is your name?"));
    assert_eq!(turns[1].who, Who::Caller);
}

#[test]
fn a_yes_over_the_question_itself_is_an_answer() {
    let mut rig = chat();
    rig.hear_out();
    rig.say("Jane Doe");
    rig.hear_out();
    rig.say("4155550123");
    rig.advance(700);
    assert!(rig.sounding());
    rig.say_for("Yes.", 350);
    rig.advance(800);
    assert_eq!(rig.agent.variables().value("back"), Some(&true.into()));
}

#[test]
fn an_utterance_that_may_not_be_cut_off_is_heard_out_and_the_caller_is_heard_after_it() {
    let firm = CHAT.replace("start = \"a\"", "start = \"law\"")
        + "[nodes.law]\ntype = \"say\"\nsay = \"This call may be recorded for the law.\"\n\
           interruptible = false\nnext = \"a\"\n";
    let mut rig = Rig::new(flow_of(&firm));
    rig.answer();
    rig.advance(300);
    rig.say_for("I am Jane Doe", 900);
    assert_eq!((rig.count(paused), rig.count(cancelled)), (0, 0));
    rig.hear_out();
    let turns = rig.turns();
    assert_eq!(turns[0].text, "This call may be recorded for the law.");
    assert!(!turns[0].interrupted);
    assert_eq!(turns[1].text, "I am Jane Doe");
}

/// Brings the chat to the moment when "Great." answers a yes.
fn agreed(pause_ms: u64, tail: &str, ms: u64) -> Rig {
    let mut rig = Rig::new(flow(
        "lead-qualification",
        &Variables::new(),
        RunOptions::default(),
    ));
    rig.answer();
    for answer in [
        "Jane Doe",
        "jane dot doe at gmail dot com",
        "Yes.",
        "I need a new roof",
    ] {
        rig.hear_out();
        rig.say(answer);
    }
    rig.hear_out();
    rig.say_for("Yes,", 350);
    rig.advance(pause_ms - HANGOVER_MS);
    rig.say_for(tail, ms);
    rig
}

#[test]
fn a_courtesy_right_after_an_answer_belongs_to_it() {
    for (pause, tail, ms) in [
        (300, "please.", 350),
        (300, "please.", 280),
        (250, "thank you.", 500),
        (500, "that would be great.", 900),
        (900, "Sure.", 350),
    ] {
        let mut rig = agreed(pause, tail, ms);
        rig.hear_out();
        rig.advance(1_000);
        let said = rig.said_since(0);
        assert!(!said.contains("Sorry"), "{tail} after {pause} ms: {said}");
        assert_eq!(
            said.matches("When would suit you?").count(),
            1,
            "{tail} after {pause} ms"
        );
        assert_eq!(
            rig.agent.variables().value("wants_call"),
            Some(&true.into())
        );
    }
}

#[test]
fn the_tail_of_one_yes_does_not_answer_the_next_question() {
    let two = CHAT.replace("start = \"a\"", "start = \"c\"").replace(
        "slot = \"back\"\ngrammar = \"yes_no\"\nnext = \"bye\"",
        "slot = \"back\"\ngrammar = \"yes_no\"\nnext = \"d\"",
    ) + "[nodes.d]\ntype = \"ask\"\nsay = \"Shall we do it today?\"\nslot = \"today\"\n\
         grammar = \"yes_no\"\nnext = \"a\"\non_fail = \"bye\"\n";
    let mut rig = Rig::new(flow_of(&two));
    rig.answer();
    rig.hear_out();
    rig.say_for("Yes,", 350);
    rig.advance(300);
    rig.say_for("please.", 350);
    rig.hear_out();
    assert_eq!(rig.agent.variables().value("back"), Some(&true.into()));
    assert_eq!(rig.agent.variables().value("today"), None);
}

#[test]
fn words_right_after_an_answer_still_interrupt() {
    let mut rig = agreed(300, "but can you tell me what it costs", 1_800);
    rig.advance(500);
    assert_eq!(rig.count(cancelled), 1);
}

const MODEL: &str = r#"
name = "model"
start = "talk"
on_silence = { say = ["Are you there?", "This second question is a long one, is it not?"], max = 3 }
[nodes.talk]
type = "llm"
prompt = "Be kind."
say = "Hello, how can I help you?"
"#;

#[test]
fn a_model_is_told_of_a_cut_turn_what_was_heard_and_of_those_before_everything() {
    let mut rig = Rig::new(flow_of(MODEL));
    rig.answer();
    rig.hear_out();
    rig.advance(8_100);
    rig.hear_out();
    rig.advance(8_000 + 40 + 1_000);
    assert!(rig.sounding(), "the second question");
    rig.say("I would like some roses");
    rig.advance(3_000);
    let messages = &rig.llms.last().unwrap().messages;
    let said = messages[1].content.as_str();
    let heard = "Hello, how can I help you? Are you there? This second";
    assert!(said.starts_with(heard) && !said.contains("long"), "{said}");
    assert_eq!(messages[2].content, "I would like some roses");
}
