//! The traps of turn-taking, one test each.

use std::time::Duration;

use super::flow::RunOptions;
use super::rig::{HANGOVER_MS, Rig, STT_MS, flow, flow_of};
use super::*;

const CHAT: &str = r#"
name = "chat"
start = "a"
[nodes.a]
type = "ask"
say = "Thank you very much for calling us today. There is a lot to say about this. What is your name?"
slot = "caller_name"
grammar = "name"
next = "b"
on_fail = "bye"
[nodes.b]
type = "ask"
say = "And your phone number?"
slot = "number"
grammar = "phone"
next = "c"
on_fail = "bye"
[nodes.c]
type = "ask"
say = "Shall we call you back?"
slot = "back"
grammar = "yes_no"
next = "bye"
on_fail = "bye"
[nodes.bye]
type = "end"
say = "Goodbye!"
"#;

fn chat() -> Rig {
    let mut rig = Rig::new(flow_of(CHAT));
    rig.answer();
    rig
}

fn cancelled(c: &Command) -> bool {
    matches!(c, Command::CancelTurn { .. })
}
fn paused(c: &Command) -> bool {
    matches!(c, Command::PausePlayout)
}
fn resumed(c: &Command) -> bool {
    matches!(c, Command::ResumePlayout)
}
fn spoke(c: &Command) -> bool {
    matches!(c, Command::Speak { .. })
}

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
fn the_look_at_a_pause_is_dropped_when_the_caller_goes_on() {
    let mut rig = chat();
    rig.p = 0.1;
    rig.stt_ms = 400;
    rig.hear_out();
    rig.say_for("My name is", 700);
    rig.advance(200);
    rig.say_for("Jane Doe", 600);
    assert_eq!(rig.count(|c| matches!(c, Command::Discard { .. })), 1);
    rig.advance(3_000);
    assert_eq!(rig.agent.variables().text("caller_name"), "Jane Doe");
    let callers: Vec<_> = rig
        .turns()
        .into_iter()
        .filter(|t| t.who == Who::Caller)
        .collect();
    assert_eq!(callers.len(), 1, "one turn, although it had a pause");
    assert_eq!(callers[0].text, "My name is Jane Doe");
}

#[test]
fn recognition_and_turn_model_start_in_parallel_at_the_first_silence() {
    let mut rig = chat();
    rig.hear_out();
    rig.say("Jane Doe");
    let stopped = rig.ms();
    assert_eq!(
        rig.at(|c| matches!(c, Command::Recognise { .. })),
        Some(stopped)
    );
    assert_eq!(
        rig.at(|c| matches!(c, Command::DetectTurn { .. })),
        Some(stopped)
    );
    rig.advance(STT_MS);
    let prepared = rig
        .log
        .iter()
        .any(|(_, c)| matches!(c, Command::Prepare { text } if text == "And your phone number?"));
    assert!(
        prepared,
        "the first clause is synthesised before the turn is committed"
    );
}

#[test]
fn a_turn_that_the_model_calls_complete_is_answered_after_200_ms_of_silence() {
    let mut rig = chat();
    rig.hear_out();
    rig.say("Jane Doe");
    let last_voiced = rig.ms() - HANGOVER_MS;
    rig.advance(1_000);
    assert_eq!(rig.at(spoke), Some(last_voiced + 200));
}

#[test]
fn a_turn_that_the_model_calls_unfinished_waits_for_the_cap() {
    let mut rig = chat();
    rig.p = 0.2;
    rig.hear_out();
    rig.say("Jane Doe");
    let last_voiced = rig.ms() - HANGOVER_MS;
    rig.advance(2_000);
    assert_eq!(rig.at(spoke), Some(last_voiced + 1_500));
}

#[test]
fn without_a_turn_model_silence_decides() {
    let settings = Settings {
        turn_model: false,
        ..Settings::default()
    };
    let mut rig = Rig::with(settings, flow_of(CHAT));
    rig.answer();
    rig.hear_out();
    rig.say("Jane Doe");
    let last_voiced = rig.ms() - HANGOVER_MS;
    rig.advance(2_000);
    assert_eq!(rig.count(|c| matches!(c, Command::DetectTurn { .. })), 0);
    assert_eq!(rig.at(spoke), Some(last_voiced + 700));
}

#[test]
fn a_phone_number_said_with_pauses_is_not_cut_off() {
    let mut rig = chat();
    rig.hear_out();
    rig.say("Jane Doe");
    rig.hear_out();
    for part in ["four one five", "five five five"] {
        rig.say(part);
        rig.advance(1_400);
    }
    rig.say("oh one two three");
    let last_voiced = rig.ms() - HANGOVER_MS;
    rig.advance(1_000);
    assert_eq!(rig.agent.variables().text("number"), "+14155550123");
    let asked =
        rig.at(|c| matches!(c, Command::Speak { text, .. } if text.contains("call you back")));
    assert!(
        asked.unwrap() - last_voiced <= 300,
        "a whole number is answered at once"
    );
}

#[test]
fn an_e_mail_address_said_with_pauses_is_not_cut_off() {
    let mut rig = Rig::new(flow(
        "lead-qualification",
        &Variables::new(),
        RunOptions::default(),
    ));
    rig.answer();
    rig.hear_out();
    rig.say("Jane Doe");
    rig.hear_out();
    for part in ["it's jane dot", "doe", "at gmail"] {
        rig.say(part);
        rig.advance(1_000);
    }
    rig.say("dot com");
    rig.advance(1_000);
    assert!(
        rig.said_since(0)
            .contains("jane dot doe, at G mail dot com"),
        "{}",
        rig.said_since(0)
    );
}

#[test]
fn yes_is_answered_at_once_even_if_the_model_thinks_that_more_comes() {
    let mut rig = chat();
    rig.hear_out();
    rig.say("Jane Doe");
    rig.hear_out();
    rig.say("4155550123");
    rig.hear_out();
    rig.p = 0.05;
    rig.say_for("Yes.", 350);
    let last_voiced = rig.ms() - HANGOVER_MS;
    rig.advance(1_000);
    let bye = rig
        .at(|c| matches!(c, Command::Speak { text, .. } if text == "Goodbye!"))
        .unwrap();
    assert!(bye - last_voiced <= 250, "{} ms", bye - last_voiced);
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
fn an_answer_of_which_nothing_was_heard_is_taken_back_when_the_caller_goes_on() {
    let mut rig = Rig::new(flow(
        "lead-qualification",
        &Variables::new(),
        RunOptions::default(),
    ));
    rig.answer();
    rig.hear_out();
    rig.say("Jane");
    rig.advance(90);
    assert_eq!(
        rig.count(|c| matches!(c, Command::Speak { text, .. } if text.contains("Thanks"))),
        1
    );
    // Nothing sounded yet: the caller only breathed.
    rig.say_for("Doe", 600);
    rig.advance(1_500);
    let callers: Vec<_> = rig
        .turns()
        .into_iter()
        .filter(|t| t.who == Who::Caller)
        .collect();
    assert_eq!(callers.len(), 1);
    assert_eq!(callers[0].text, "Jane Doe");
    assert_eq!(rig.agent.variables().text("caller_name"), "Jane Doe");
}

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
    rig.advance(7_100);
    assert!(rig.said_since(quiet).contains("Are you still there?"));
    rig.advance(60_000);
    assert!(rig.agent.is_finished());
    assert_eq!(rig.agent.outcome().outcome, "no_answer");
    assert_eq!(rig.count(|c| matches!(c, Command::HangUp { .. })), 1);
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
fn a_caller_who_talks_without_a_pause_is_heard_in_segments() {
    let mut rig = Rig::new(flow(
        "customer-support",
        &Variables::new(),
        RunOptions::default(),
    ));
    rig.answer();
    rig.hear_out();
    rig.transcript = Some(Some("my bill is wrong".into()));
    rig.voice_on();
    rig.advance(45_000);
    assert!(rig.count(|c| matches!(c, Command::Recognise { .. })) >= 2);
    rig.voice_off("");
    rig.advance(3_000);
    assert_eq!(rig.agent.variables().text("topic"), "billing");
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
fn the_waterfall_is_measured_from_the_last_voiced_packet() {
    let mut rig = chat();
    rig.hear_out();
    rig.say("Jane Doe");
    rig.hear_out();
    let turns = rig.turns();
    let caller = turns[1].latency;
    assert_eq!((caller.endpoint_ms, caller.stt_ms), (Some(200), Some(80)));
    let agent = turns[2].latency;
    assert_eq!(agent.endpoint_ms, Some(200));
    assert_eq!(agent.tts_first_audio_ms, Some(40));
    assert_eq!(agent.voice_to_voice_ms, Some(240));
    let greeting = turns[0].latency;
    assert_eq!(
        (greeting.endpoint_ms, greeting.voice_to_voice_ms),
        (None, None)
    );
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
