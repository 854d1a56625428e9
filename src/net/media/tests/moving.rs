//! Legs on the beats of a thread, and on their way between two.

use offhook_media::codec::g711;

use super::super::engine::{Engine, Setup};
use super::super::leg::Leg;
use super::super::moving::Moved;
use super::*;

/// A thread's engine that nothing drives but the test, and what speaks to it.
fn engine() -> (MediaThread, Engine) {
    let (commands, queue) = inward(COMMAND_QUEUE);
    let counters = Arc::new(Counters::default());
    let setup = Setup::new(queue, Arc::clone(&counters)).unwrap();
    let media = MediaThread {
        commands,
        waker: Arc::new(LastCall(setup.waker())),
        counters,
        probe: None,
    };
    (media, Engine::new(setup))
}

/// The other side of a leg that a test's engine has.
type Kept = (Peer, mpsc::Receiver<LegEvent>);

/// Opens a leg whose session began at a moment.
fn put(engine: &mut Engine, leg: LegId, now: Instant) -> Kept {
    let mut rig = rig_of(leg, 900 + leg);
    let mut config = SessionConfig::new(rig.negotiated, 9, Ipv4Addr::LOCALHOST.into());
    config.source_rule = SourceRule::Negotiated;
    rig.open.session = Box::new(MediaSession::new(now, config));
    engine.put(Leg::new(*rig.open), now);
    (rig.peer, rig.events)
}

fn next_tick(engine: &mut Engine, leg: LegId) -> Instant {
    let mut next = None;
    engine.with(leg, |leg| next = Some(leg.session.next_tick()));
    next.unwrap()
}

/// How many of the legs step on each beat.
fn on_beats(engine: &mut Engine, legs: impl Iterator<Item = LegId>) -> [u32; 20] {
    let mut beats = [0; 20];
    for leg in legs {
        let next = next_tick(engine, leg);
        assert_eq!(clock::beat(next), next, "a leg steps on whole beats");
        beats[(clock::beat_number(next) % 20) as usize] += 1;
    }
    beats
}

#[test]
fn forty_legs_that_open_at_one_instant_step_two_on_each_beat() {
    let (_media, mut engine) = engine();
    let now = clock::now();
    let mut kept: Vec<_> = (0..40).map(|leg| put(&mut engine, leg, now)).collect();
    assert_eq!(on_beats(&mut engine, 0..40), [2; 20]);
    for leg in 0..40 {
        assert!(next_tick(&mut engine, leg) < now + Duration::from_millis(21));
    }
    // The places of those who go are taken by who comes.
    for leg in [3, 17, 18, 30] {
        assert!(engine.take(leg).is_some());
    }
    kept.extend((40..44).map(|leg| put(&mut engine, leg, now)));
    let there = (0..44).filter(|leg| ![3, 17, 18, 30].contains(leg));
    assert_eq!(on_beats(&mut engine, there), [2; 20]);
}

#[test]
fn who_speaks_is_counted_on_the_beat_that_it_goes_back_to() {
    let (_media, mut engine) = engine();
    let now = clock::beat(clock::now());
    let _kept: Vec<_> = (0..20).map(|leg| put(&mut engine, leg, now)).collect();
    // All but one speak at once.
    for leg in 0..19 {
        let samples = Arc::from([4_000; 1_600]);
        engine.with(leg, |leg| leg.play(now, UtteranceId(1), samples));
        assert_eq!(next_tick(&mut engine, leg), now);
    }
    let _late = put(&mut engine, 20, now);
    assert!(engine.take(19).is_some());
    let _later = put(&mut engine, 21, now);
    let beat_of = |engine: &mut Engine, leg| clock::beat_number(next_tick(engine, leg)) % 20;
    assert_eq!(beat_of(&mut engine, 20), clock::beat_number(now) % 20);
    assert_eq!(
        beat_of(&mut engine, 21),
        (clock::beat_number(now) + 19) % 20
    );
}

#[test]
fn a_leg_that_comes_from_another_thread_takes_a_beat_on_which_the_fewest_step() {
    let ((_, mut from), (to, mut there)) = (engine(), engine());
    let now = clock::beat(clock::now());
    let mut kept = vec![put(&mut from, 100, now)];
    kept.extend((0..19).map(|leg| put(&mut there, leg, now)));
    let mut taken = from.take(100).unwrap();
    taken.rename(19);
    there.adopt(Moved::new(taken), now);
    assert_eq!(on_beats(&mut there, 0..20), [1; 20]);
    assert!(matches!(kept[0].1.try_recv(), Ok(LegEvent::Arrived)));
    assert_eq!(to.counters().legs.load(Ordering::Relaxed), 20);
}

#[test]
fn a_leg_that_another_thread_does_not_take_stays_where_it_was_and_is_told_so() {
    let (media, mut engine) = engine();
    let now = clock::beat(clock::now());
    let others: Vec<_> = (0..3).map(|leg| put(&mut engine, leg, now)).collect();
    let (peer, mut events) = put(&mut engine, LEG + 10, now);
    let next = next_tick(&mut engine, LEG + 10);
    let held = media.counters().session_bytes.load(Ordering::Relaxed);
    let (full, _unread) = self::engine();
    while full.send(Command::Close(0)).is_ok() {}
    let (gone, ended) = self::engine();
    drop(ended);
    for to in [full, gone] {
        engine.give_away(LEG + 10, &to, 77, now);
        assert!(matches!(events.try_recv(), Ok(LegEvent::Stayed)));
        assert!(events.try_recv().is_err(), "nothing else is told");
        assert_eq!(to.counters().legs.load(Ordering::Relaxed), 0);
    }
    assert_eq!(next_tick(&mut engine, LEG + 10), next, "its grid goes on");
    assert_eq!(media.counters().legs.load(Ordering::Relaxed), 4);
    let counted = media.counters().session_bytes.load(Ordering::Relaxed);
    assert_eq!(counted, held);
    // It is served as before.
    let counters = Arc::clone(&engine.counters);
    engine.with(LEG + 10, |leg| leg.tick(next, &counters));
    peer.await_sound();
    drop(others);
}

#[test]
fn a_leg_that_moves_while_it_speaks_sends_each_packet_once_and_in_time() {
    let Rig {
        open,
        peer,
        mut events,
        ..
    } = rig(5);
    let threads = [(); 2].map(|()| MediaThread::start(None).unwrap());
    threads[0].send(Command::Open(open)).unwrap();
    // Some are there already, so that another beat has fewer.
    let mut there = Vec::new();
    for leg in 200..206 {
        let rig = rig_of(leg, leg);
        threads[1].send(Command::Open(rig.open)).unwrap();
        rig.peer.await_sound();
        there.push((rig.peer, rig.events));
    }
    let samples = vec![4_000; 80 * 160].into();
    let utterance = UtteranceId(1);
    let play = Command::Play {
        leg: LEG,
        utterance,
        samples,
    };
    threads[0].send(play).unwrap();
    threads[0].send(Command::Finish(LEG, utterance)).unwrap();
    let (mut at, mut leg) = (0, LEG);
    let mut before = None;
    let mut loud = 0;
    for number in 0..120 {
        let mut packet = [0; 2048];
        let length = peer.rtp.recv(&mut packet).unwrap();
        assert_eq!(length, 12 + 160);
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let timestamp = u32::from_be_bytes(packet[4..8].try_into().unwrap());
        if let Some((last, at)) = before.replace((sequence, timestamp)) {
            let (last, at): (u16, u32) = (last, at);
            assert_eq!(sequence, last.wrapping_add(1), "packet {number}");
            let moved = timestamp.wrapping_sub(at);
            // More than one step where the machine stood still.
            assert!(
                moved >= 160 && moved.is_multiple_of(160),
                "packet {number}: {moved}"
            );
        }
        let mut sound = packet[12..172]
            .iter()
            .map(|byte| g711::ulaw_to_linear(*byte));
        loud += usize::from(sound.any(|sample| sample > 1_000));
        // There and back, each time after it has come.
        if [20, 40, 60].contains(&number) {
            let to = threads[1 - at].clone();
            let renamed = 10 + number;
            let moves = Command::Move { leg, to, renamed };
            threads[at].send(moves).unwrap();
            loop {
                match events.blocking_recv().unwrap() {
                    LegEvent::Arrived => break,
                    LegEvent::Stayed | LegEvent::Closed { .. } => panic!("it has not moved"),
                    _ => {}
                }
            }
            (at, leg) = (1 - at, renamed);
        }
    }
    assert_eq!(loud, 80, "packets of speech");
    let told = std::iter::from_fn(|| events.try_recv().ok());
    let finished = told.filter_map(|event| match event {
        LegEvent::PlayoutFinished { played_samples, .. } => Some(played_samples),
        _ => None,
    });
    assert_eq!(finished.collect::<Vec<_>>(), [80 * 160]);
    threads[at].send(Command::Close(leg)).unwrap();
    peer.await_goodbye();
}
