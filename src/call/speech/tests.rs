use super::*;

fn sound(samples: usize) -> Arc<[i16]> {
    vec![1; samples].into()
}

fn steps(queue: &mut SpeechQueue) -> Vec<Step> {
    std::iter::from_fn(|| queue.poll_step()).collect()
}

const TURN: TurnId = TurnId(1);
const FIRST: UtteranceId = UtteranceId(1);
const SECOND: UtteranceId = UtteranceId(2);

fn two_clauses() -> SpeechQueue {
    let mut queue = SpeechQueue::new(8000);
    assert!(queue.speak(TURN, 0, "Hi.".into()) && queue.speak(TURN, 1, "You?".into()));
    assert_eq!(steps(&mut queue).len(), 2);
    queue
}

#[test]
fn a_later_clause_that_is_ready_first_waits_for_its_turn() {
    let mut queue = two_clauses();
    assert_eq!(queue.sound(SECOND, sound(80)), Some((TURN, 1)));
    assert_eq!(queue.complete(SECOND), None);
    assert_eq!(steps(&mut queue), []);
    queue.sound(FIRST, sound(160));
    assert_eq!(steps(&mut queue), [Step::Play(FIRST, sound(160))]);
    queue.complete(FIRST);
    let all = [
        Step::Finish(FIRST),
        Step::Play(SECOND, sound(80)),
        Step::Finish(SECOND),
    ];
    assert_eq!(steps(&mut queue), all);
}

#[test]
fn a_cancelled_turn_knows_what_was_sent_of_each_clause() {
    let mut queue = two_clauses();
    queue.sound(FIRST, sound(8000));
    queue.complete(FIRST);
    queue.sound(SECOND, sound(4000));
    assert!(queue.finished(FIRST).is_some());
    steps(&mut queue);
    queue.cancel(TURN);
    assert_eq!(
        steps(&mut queue),
        [Step::Abandon(SECOND), Step::CancelPlayout]
    );
    queue.sound(SECOND, sound(4000));
    assert_eq!(steps(&mut queue), [], "no sound from a cancelled turn");
    let played = |clause, played_ms, total_ms| ClausePlayed {
        clause,
        played_ms,
        total_ms,
    };
    let expected = PlayoutEvent::Cancelled {
        turn: TURN,
        played: vec![played(0, 1000, Some(1000)), played(1, 250, None)],
    };
    assert_eq!(queue.cancelled(Some((SECOND, 2000))), Some(expected));
    queue.speak(TurnId(2), 0, "Sorry?".into());
    queue.sound(UtteranceId(3), sound(10));
    assert_eq!(steps(&mut queue).len(), 2, "the next turn speaks");
}

#[test]
fn a_turn_cancelled_before_the_last_ones_report_takes_nothing_from_it() {
    let mut queue = two_clauses();
    queue.sound(FIRST, sound(8000));
    assert_eq!(queue.cancel(TURN), None);
    let (second, third) = (TurnId(2), TurnId(3));
    queue.speak(second, 0, "Sorry?".into());
    queue.sound(UtteranceId(3), sound(10));
    let unheard = PlayoutEvent::Cancelled {
        turn: second,
        played: Vec::new(),
    };
    assert_eq!(queue.cancel(second), Some(unheard));
    queue.speak(third, 0, "Go on.".into());
    queue.sound(UtteranceId(4), sound(20));
    queue.complete(UtteranceId(4));
    let so_far = steps(&mut queue);
    let asked = so_far.iter().filter(|s| **s == Step::CancelPlayout);
    assert_eq!(asked.count(), 1, "one report is awaited: {so_far:?}");
    assert!(!so_far.contains(&Step::Play(UtteranceId(3), sound(10))));
    let Some(PlayoutEvent::Cancelled { turn, played }) = queue.cancelled(Some((FIRST, 4000)))
    else {
        panic!("the report is the first turn's")
    };
    assert_eq!((turn, played[0].played_ms, played.len()), (TURN, 500, 1));
    let id = UtteranceId(4);
    let next = [Step::Play(id, sound(20)), Step::Finish(id)];
    assert_eq!(steps(&mut queue), next, "the turn after both speaks");
}

#[test]
fn a_prepared_clause_is_not_played_before_it_is_spoken() {
    let mut queue = SpeechQueue::new(8000);
    queue.prepare("Great.".into());
    queue.sound(FIRST, sound(10));
    queue.complete(FIRST);
    assert_eq!(
        steps(&mut queue),
        [Step::Synthesise(FIRST, "Great.".into())]
    );
    queue.speak(TURN, 0, "Great.".into());
    assert_eq!(
        steps(&mut queue),
        [Step::Play(FIRST, sound(10)), Step::Finish(FIRST)]
    );
    for text in ["a", "b", "c", "d"] {
        queue.prepare(text.into());
    }
    let steps = steps(&mut queue);
    assert!(
        steps.contains(&Step::Abandon(SECOND)),
        "what is not said is dropped"
    );
}

#[test]
fn a_clause_that_fails_does_not_hold_the_next_one_up() {
    let mut queue = two_clauses();
    queue.sound(SECOND, sound(80));
    assert_eq!(
        queue.failed(FIRST),
        Some(PlayoutEvent::Failed {
            turn: TURN,
            clause: 0
        })
    );
    assert_eq!(steps(&mut queue), [Step::Play(SECOND, sound(80))]);
}

#[test]
fn a_clause_whose_voice_failed_on_the_way_is_never_told_to_be_whole() {
    let mut queue = two_clauses();
    queue.sound(FIRST, sound(800));
    let failed = PlayoutEvent::Failed {
        turn: TURN,
        clause: 0,
    };
    assert_eq!(queue.failed(FIRST), Some(failed));
    steps(&mut queue);
    assert_eq!(queue.finished(FIRST), None, "what there was of it was sent");
    queue.cancel(TURN);
    let part = ClausePlayed {
        clause: 0,
        played_ms: 100,
        total_ms: None,
    };
    let expected = PlayoutEvent::Cancelled {
        turn: TURN,
        played: vec![part],
    };
    assert_eq!(queue.cancelled(None), Some(expected));
}

#[test]
fn a_prepared_clause_that_brought_no_sound_is_synthesised_anew_when_it_is_spoken() {
    let mut queue = SpeechQueue::new(8000);
    queue.prepare("Thanks.".into());
    steps(&mut queue);
    assert_eq!(queue.complete(FIRST), None);
    queue.speak(TURN, 0, "Thanks.".into());
    let again = Step::Synthesise(SECOND, "Thanks.".into());
    assert_eq!(steps(&mut queue), [again]);
}

#[test]
fn what_was_prepared_at_another_rate_is_synthesised_anew() {
    let mut queue = SpeechQueue::new(8_000);
    queue.prepare("Hello.".into());
    steps(&mut queue);
    queue.sound(FIRST, sound(80));
    queue.set_rate(8_000);
    assert_eq!(steps(&mut queue), []);
    queue.set_rate(16_000);
    let anew = [
        Step::Abandon(FIRST),
        Step::Synthesise(SECOND, "Hello.".into()),
    ];
    assert_eq!(steps(&mut queue), anew);
    queue.sound(FIRST, sound(80));
    queue.speak(TURN, 0, "Hello.".into());
    queue.sound(SECOND, sound(160));
    assert_eq!(steps(&mut queue), [Step::Play(SECOND, sound(160))]);
}
