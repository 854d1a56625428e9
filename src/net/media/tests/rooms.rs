//! Rooms on a media thread: who hears whom over real sockets.

use offhook_media::codec::g711;
use offhook_media::music::SoundLoop;

use super::*;

/// Rounds of 20 ms within which what was asked for is to be heard.
const ROUNDS: usize = 250;
/// Rounds in a row that are to sound alike.
const STEADY: usize = 5;

/// A leg on the thread, its other side, and what that says all the while.
pub(super) struct Phone {
    leg: LegId,
    peer: Peer,
    pub(super) negotiated: Negotiated,
    events: mpsc::Receiver<LegEvent>,
    says: i16,
    sent: u16,
    heard: i16,
    alike: usize,
}

impl Phone {
    pub(super) fn open(media: &MediaThread, leg: LegId, says: i16) -> Self {
        let mut rig = rig_of(leg, 500 + leg);
        rig.open.sink = None;
        Self::of(media, rig, says)
    }

    /// One whose sound somebody listens to.
    pub(super) fn open_heard(media: &MediaThread, leg: LegId, says: i16) -> Self {
        Self::of(media, rig_of(leg, 500 + leg), says)
    }

    fn of(media: &MediaThread, rig: Rig, says: i16) -> Self {
        let leg = rig.open.leg;
        media.send(Command::Open(rig.open)).unwrap();
        // Each phone's grid has a phase of its own.
        rig.peer.await_sound();
        Self {
            leg,
            peer: rig.peer,
            negotiated: rig.negotiated,
            events: rig.events,
            says,
            sent: 0,
            heard: 0,
            alike: 0,
        }
    }

    /// Joins so that what is played to it is heard by the others.
    fn join(&mut self, media: &MediaThread, room: RoomId, part: Part) {
        self.join_room(media, room, part, true);
    }

    pub(super) fn join_alone(&mut self, media: &MediaThread, room: RoomId, part: Part) {
        self.join_room(media, room, part, false);
    }

    fn join_room(&mut self, media: &MediaThread, room: RoomId, part: Part, shares_playout: bool) {
        let leg = self.leg;
        let join = Command::Join {
            leg,
            room,
            part,
            shares_playout,
        };
        media.send(join).unwrap();
        assert_eq!(self.joined(), Ok(()));
    }

    pub(super) fn renegotiate(&mut self, media: &MediaThread, negotiated: Negotiated) {
        let negotiated = Box::new(negotiated);
        media
            .send(Command::Renegotiate(self.leg, negotiated))
            .unwrap();
    }

    pub(super) fn takes_part(&mut self, media: &MediaThread, part: Part) -> Result<(), MixerError> {
        media.send(Command::SetPart(self.leg, part)).unwrap();
        self.joined()
    }

    fn joined(&mut self) -> Result<(), MixerError> {
        self.event(|event| match event {
            LegEvent::Joined(joined) => Some(joined),
            _ => None,
        })
    }

    pub(super) fn event<T>(&mut self, wanted: impl Fn(LegEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.events.blocking_recv().unwrap()) {
                return found;
            }
        }
    }

    /// Presses a key by telephone-events, in place of three packets.
    pub(super) fn press(&mut self, key: u8) {
        let kind = self.negotiated.dtmf_receive.unwrap();
        let start = u32::from(self.sent) * 160;
        for (held, end) in [(160_u16, 0), (320, 0), (480, 0x80)] {
            let [high, low] = held.to_be_bytes();
            self.peer
                .send_payload(kind, self.sent, start, &[key, end | 10, high, low]);
            self.sent += 1;
        }
    }

    /// Goes on until it hears the end of a key.
    pub(super) fn until_key(&mut self, key: u8) {
        let kind = self.negotiated.dtmf.unwrap();
        for _ in 0..ROUNDS {
            let mut buffer = [0; 2048];
            let length = self.peer.rtp.recv(&mut buffer).unwrap();
            self.peer.send(self.sent, g711::linear_to_ulaw(self.says));
            self.sent = self.sent.wrapping_add(1);
            let event = &buffer[12..length];
            if buffer[1] & 0x7F == kind && event[0] == key && event[1] & 0x80 != 0 {
                return;
            }
        }
        panic!("no key");
    }

    /// Says one packet for each that it hears, as a phone does.
    fn turn(&mut self) {
        let mut buffer = [0; 2048];
        let length = self.peer.rtp.recv(&mut buffer).unwrap();
        // The loudest sample of either sign.
        if Some(buffer[1] & 0x7F) == self.negotiated.dtmf {
            return;
        }
        let sound = buffer[12..length].iter().map(|b| g711::ulaw_to_linear(*b));
        let heard = sound.max_by_key(|sample| sample.unsigned_abs()).unwrap();
        let alike = near(heard, self.heard);
        self.alike = if alike { self.alike + 1 } else { 0 };
        self.heard = heard;
        self.peer.send(self.sent, g711::linear_to_ulaw(self.says));
        self.sent = self.sent.wrapping_add(1);
    }
}

/// Whether a level is the other one but for the steps of µ-law.
fn near(a: i16, b: i16) -> bool {
    a.abs_diff(b) <= 40 + b.unsigned_abs() / 16
}

/// Lets all phones go on until each hears its level.
pub(super) fn until(phones: &mut [&mut Phone], expected: &[i16]) {
    for _ in 0..ROUNDS {
        phones.iter_mut().for_each(|phone| phone.turn());
        let mut all = phones.iter().zip(expected);
        if all.all(|(phone, level)| near(phone.heard, *level) && phone.alike >= STEADY) {
            return;
        }
    }
    let heard: Vec<_> = phones.iter().map(|phone| phone.heard).collect();
    panic!("{heard:?} were heard, not {expected:?}");
}

/// Music of one level, to be told from all else; its seam is louder, and far away.
pub(super) fn music(level: i16) -> Background {
    Background {
        sound: Arc::new(SoundLoop::from_samples(8_000, &[level; 80_000]).unwrap()),
        level_dbfs: -30.0,
    }
}

#[test]
fn two_hear_each_other_and_a_third_listens_whispers_and_barges_in() {
    let media = MediaThread::start(None).unwrap();
    let mut a = Phone::open(&media, 1, 1_000);
    let mut b = Phone::open(&media, 2, 4_000);
    let mut s = Phone::open(&media, 3, 9_000);
    let room = RoomId::next();
    a.join(&media, room, Part::Talks);
    until(&mut [&mut a, &mut b, &mut s], &[0, 0, 0]);
    b.join(&media, room, Part::Talks);
    until(&mut [&mut a, &mut b, &mut s], &[4_000, 1_000, 0]);
    s.join(&media, room, Part::Listens);
    until(&mut [&mut a, &mut b, &mut s], &[4_000, 1_000, 5_000]);
    s.takes_part(&media, Part::WhispersTo(1)).unwrap();
    until(&mut [&mut a, &mut b, &mut s], &[13_000, 1_000, 5_000]);
    s.takes_part(&media, Part::Talks).unwrap();
    until(&mut [&mut a, &mut b, &mut s], &[13_000, 10_000, 5_000]);
    let nobody = s.takes_part(&media, Part::WhispersTo(77));
    assert_eq!(nobody, Err(MixerError::NotThere));
    // Who leaves is alone, and who is left goes on.
    media.send(Command::Leave(2)).unwrap();
    until(&mut [&mut a, &mut b, &mut s], &[9_000, 0, 1_000]);
    media.send(Command::Close(3)).unwrap();
    s.event(|event| matches!(event, LegEvent::Closed { .. }).then_some(()));
    until(&mut [&mut a, &mut b], &[0, 0]);
    b.join(&media, room, Part::Talks);
    until(&mut [&mut a, &mut b], &[4_000, 1_000]);
    // Another room is another conversation.
    b.join(&media, RoomId::next(), Part::Talks);
    until(&mut [&mut a, &mut b], &[0, 0]);
}

#[test]
fn who_listens_to_an_agents_call_hears_the_agent_and_changes_nothing_of_what_it_reports() {
    let media = MediaThread::start(None).unwrap();
    let mut caller = Phone::open(&media, 1, 1_000);
    let mut supervisor = Phone::open(&media, 2, 9_000);
    let room = RoomId::next();
    caller.join(&media, room, Part::Talks);
    supervisor.join(&media, room, Part::Listens);
    until(&mut [&mut caller, &mut supervisor], &[0, 1_000]);
    let utterance = UtteranceId(7);
    let samples: Arc<[i16]> = vec![5_000; 8_000].into();
    media
        .send(Command::Play {
            leg: 1,
            utterance,
            samples,
        })
        .unwrap();
    media.send(Command::Finish(1, utterance)).unwrap();
    until(&mut [&mut caller, &mut supervisor], &[5_000, 6_000]);
    until(&mut [&mut caller, &mut supervisor], &[0, 1_000]);
    let played = caller.event(|event| match event {
        LegEvent::PlayoutFinished { played_samples, .. } => Some(played_samples),
        _ => None,
    });
    assert_eq!(played, 8_000);
}

#[test]
fn who_waits_with_music_hears_nobody_and_is_heard_by_nobody() {
    let media = MediaThread::start(None).unwrap();
    let mut a = Phone::open(&media, 1, 1_000);
    let mut b = Phone::open(&media, 2, 4_000);
    let room = RoomId::next();
    a.join(&media, room, Part::Talks);
    b.join(&media, room, Part::Talks);
    until(&mut [&mut a, &mut b], &[4_000, 1_000]);
    media.send(Command::Hold(2, music(1_000))).unwrap();
    until(&mut [&mut a, &mut b], &[0, 1_036]);
    a.says = 2_000;
    until(&mut [&mut a, &mut b], &[0, 1_036]);
    media.send(Command::Unhold(2)).unwrap();
    until(&mut [&mut a, &mut b], &[4_000, 2_000]);
}

#[test]
fn a_leg_of_a_room_of_which_nobody_hears_any_more_ends_and_the_others_go_on() {
    let media = MediaThread::start(None).unwrap();
    let mut a = Phone::open(&media, 1, 1_000);
    let mut b = Phone::open(&media, 2, 4_000);
    let mut c = Phone::open(&media, 3, 2_000);
    let room = RoomId::next();
    for phone in [&mut a, &mut b, &mut c] {
        phone.join(&media, room, Part::Talks);
    }
    until(&mut [&mut a, &mut b, &mut c], &[6_000, 3_000, 5_000]);
    let Phone { peer, events, .. } = c;
    drop(events);
    peer.await_goodbye();
    until(&mut [&mut a, &mut b], &[4_000, 1_000]);
    assert_eq!(media.counters().legs.load(Ordering::Relaxed), 2);
}
