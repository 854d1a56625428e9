//! The end of the caller's turn, and what is prepared before it.

use super::*;

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
    // The recogniser ran while the end of the turn was awaited, the voice came after it.
    let stt_began = agent.begins.stt_ms.unwrap();
    assert!(stt_began + agent.stt_ms.unwrap() <= 200, "{agent:?}");
    assert_eq!(agent.begins.tts_ms, Some(200));
    assert_eq!(agent.voice_to_voice_ms, Some(240));
    let greeting = turns[0].latency;
    assert_eq!(
        (greeting.endpoint_ms, greeting.voice_to_voice_ms),
        (None, None)
    );
}
