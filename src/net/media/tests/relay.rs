//! Rooms of two on a media thread between whom packets pass as they come, over real sockets.

use offhook_media::Codec;
use offhook_media::codec::g711;

use super::rooms::{Phone, until};
use super::*;

fn relayed(media: &MediaThread) -> u64 {
    media.counters().relayed.load(Ordering::Relaxed)
}

/// Lets two phones speak until packets pass, and gives how many had passed by then.
fn until_relayed(media: &MediaThread, phones: &mut [&mut Phone], expected: &[i16]) -> u64 {
    let before = relayed(media);
    for _ in 0..50 {
        until(phones, expected);
        if relayed(media) > before + 10 {
            return relayed(media);
        }
    }
    panic!("nothing passes");
}

fn bridge(media: &MediaThread, phones: &mut [&mut Phone], room: RoomId) {
    for phone in phones {
        phone.join_alone(media, room, Part::Talks);
    }
}

#[test]
fn packets_of_two_pass_until_a_third_comes_and_again_when_it_has_left() {
    let media = MediaThread::start(None).unwrap();
    let mut a = Phone::open_heard(&media, 1, 1_000);
    let mut b = Phone::open(&media, 2, 4_000);
    let mut s = Phone::open(&media, 3, 9_000);
    let room = RoomId::next();
    bridge(&media, &mut [&mut a, &mut b], room);
    until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]);
    s.join_alone(&media, room, Part::Listens);
    until(&mut [&mut a, &mut b, &mut s], &[4_000, 1_000, 5_000]);
    let passed = relayed(&media);
    until(&mut [&mut a, &mut b, &mut s], &[4_000, 1_000, 5_000]);
    assert_eq!(relayed(&media), passed);
    media.send(Command::Leave(3)).unwrap();
    until(&mut [&mut a, &mut b, &mut s], &[4_000, 1_000, 0]);
    until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]);
    // One takes another part: the other does not hear it any more.
    a.takes_part(&media, Part::Listens).unwrap();
    until(&mut [&mut a, &mut b], &[4_000, 0]);
    a.takes_part(&media, Part::Talks).unwrap();
    until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]);
    media.send(Command::Leave(1)).unwrap();
    until(&mut [&mut a, &mut b], &[0, 0]);
}

#[test]
fn who_is_played_to_or_waits_with_music_is_mixed_meanwhile() {
    let media = MediaThread::start(None).unwrap();
    let mut a = Phone::open(&media, 1, 1_000);
    let mut b = Phone::open(&media, 2, 4_000);
    bridge(&media, &mut [&mut a, &mut b], RoomId::next());
    until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]);
    let utterance = UtteranceId(7);
    let samples: Arc<[i16]> = vec![5_000; 8_000].into();
    let play = Command::Play {
        leg: 1,
        utterance,
        samples,
    };
    media.send(play).unwrap();
    media.send(Command::Finish(1, utterance)).unwrap();
    until(&mut [&mut a, &mut b], &[9_000, 1_000]);
    until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]);
    let music = super::rooms::music(1_000);
    media.send(Command::Hold(2, music)).unwrap();
    until(&mut [&mut a, &mut b], &[0, 1_036]);
    media.send(Command::Unhold(2)).unwrap();
    until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]);
}

#[test]
fn a_relay_that_lets_steps_go_by_sends_none_of_them_later() {
    let media = MediaThread::start(None).unwrap();
    let mut a = Phone::open(&media, 1, 1_000);
    let mut b = Phone::open(&media, 2, 4_000);
    bridge(&media, &mut [&mut a, &mut b], RoomId::next());
    let ticks = || media.counters().ticks.load(Ordering::Relaxed);
    // A step is taken for each leg and packet until both are known to be heard.
    let mut rested = false;
    for _ in 0..50 {
        let (before, passed) = (
            ticks(),
            until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]),
        );
        until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]);
        rested |= (ticks() - before) * 2 < relayed(&media) - passed;
        if rested {
            break;
        }
    }
    assert!(rested, "each step is taken");
    let sent = |media: &MediaThread| media.counters().sent.load(Ordering::Relaxed);
    let before = (sent(&media), clock::now());
    b.takes_part(&media, Part::Listens).unwrap();
    until(&mut [&mut a, &mut b], &[0, 1_000]);
    let steps = before.1.elapsed().as_millis() as u64 / 20;
    let more = sent(&media) - before.0;
    assert!(more <= 2 * steps + 6, "{more} packets in {steps} steps");
}

#[test]
fn sides_of_other_codecs_are_mixed_until_they_agree_on_one() {
    let media = MediaThread::start(None).unwrap();
    let mut a = Phone::open(&media, 1, 1_000);
    let mut b = Phone::open(&media, 2, 4_000);
    let agreed = b.negotiated.clone();
    let other = Negotiated {
        codec: Codec::Pcma,
        send_payload_type: 8,
        ..agreed.clone()
    };
    b.renegotiate(&media, other);
    bridge(&media, &mut [&mut a, &mut b], RoomId::next());
    // A phone takes all that it hears for µ-law.
    let told = g711::ulaw_to_linear(g711::linear_to_alaw(1_000));
    until(&mut [&mut a, &mut b], &[4_000, told]);
    until(&mut [&mut a, &mut b], &[4_000, told]);
    assert_eq!(relayed(&media), 0);
    // A key passes all the same.
    a.press(5);
    b.until_key(5);
    b.renegotiate(&media, agreed);
    until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]);
}

#[test]
fn a_leg_that_is_closed_amid_a_relay_leaves_the_other_alone() {
    let media = MediaThread::start(None).unwrap();
    let mut a = Phone::open(&media, 1, 1_000);
    let mut b = Phone::open(&media, 2, 4_000);
    bridge(&media, &mut [&mut a, &mut b], RoomId::next());
    until_relayed(&media, &mut [&mut a, &mut b], &[4_000, 1_000]);
    media.send(Command::Close(1)).unwrap();
    a.event(|event| matches!(event, LegEvent::Closed { .. }).then_some(()));
    until(&mut [&mut b], &[0]);
}
