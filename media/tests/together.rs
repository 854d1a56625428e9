//! Sessions that step together: what one peer says reaches the others in the very same step.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{A, Party, address, at, config, epoch, rtp, telltale, with_peer_at};
use offhook_media::codec::g711;
use offhook_media::mixer::{Mixer, PartyId, Role};
use offhook_media::{Event, MediaSession, StepSound};

/// A session of a conversation, and its party in the mixer.
struct Member {
    party: Party,
    id: PartyId,
    step: StepSound,
    takes_part: bool,
}

/// Some sessions, begun at these moments, in ms, and a mixer that steps at 0, 20, 40, … ms.
struct Room {
    mixer: Mixer,
    members: Vec<Member>,
    beat: Instant,
}

impl Room {
    fn new(begun_ms: &[u64]) -> Self {
        let mut mixer = Mixer::new(8_000);
        let members = (0..).zip(begun_ms).map(|(n, ms)| {
            let mut party = Party::new(config(with_peer_at(A), 0x100 + n));
            party.session = MediaSession::new(at(*ms), config(with_peer_at(A), 0x100 + n));
            Member {
                party,
                id: mixer.join(8_000, Role::Talker).unwrap(),
                step: StepSound::default(),
                takes_part: false,
            }
        });
        Self {
            members: members.collect(),
            mixer,
            beat: epoch(),
        }
    }

    /// One step of all, as their owner does it.
    fn step(&mut self, now: Instant) {
        for member in &mut self.members {
            while member.party.session.is_behind(self.beat) {
                member.party.session.tick(now);
                member.party.drain(now);
            }
            let session = &mut member.party.session;
            member.takes_part = session.begin_step(now, self.beat, &mut member.step);
            if member.takes_part {
                let (said, played) = (member.step.remote(), member.step.played());
                self.mixer.give_both(member.id, said, played);
            }
        }
        self.mixer.step();
        for member in self.members.iter_mut().filter(|member| member.takes_part) {
            let heard = self.mixer.heard(member.id);
            member.party.session.end_step(now, &member.step, heard);
            member.party.drain(now);
        }
        self.beat += Duration::from_millis(20);
    }

    fn receive(&mut self, who: usize, now: Instant, packet: &[u8]) {
        self.members[who].party.receive(now, A, packet);
    }
}

fn packet(number: u16, from: u64, sample: impl Fn(u64) -> i16) -> Vec<u8> {
    let sound = (0..160).map(|n| g711::linear_to_ulaw(sample(from + n)));
    rtp(
        0,
        number,
        u32::from(number) * 160,
        5,
        &sound.collect::<Vec<_>>(),
    )
}

/// The packets of a party that were sent at or after a moment, with their sound.
fn sent_after(party: &Party, ms: u64) -> Vec<(Instant, u32, Vec<i16>)> {
    let sent = party.rtp().filter(|sent| sent.at >= at(ms));
    sent.map(|sent| {
        let sound = sent.payload().iter().map(|b| g711::ulaw_to_linear(*b));
        (sent.at, sent.timestamp(), sound.collect())
    })
    .collect()
}

#[test]
fn what_one_says_leaves_to_the_others_in_the_same_step_and_sample_by_sample() {
    // Three sessions on three phases of the grid.
    let mut room = Room::new(&[0, 7, 13]);
    let mut pulled = Vec::new();
    for n in 0..100u64 {
        let now = at(n * 20);
        room.receive(0, now, &packet(n as u16, n * 160, telltale));
        room.step(now);
        if n >= 50 {
            pulled.push((now, room.members[0].step.remote().to_vec()));
        }
    }
    let loudest = |sound: &[i16]| sound.iter().map(|s| s.unsigned_abs()).max();
    assert!(
        pulled
            .iter()
            .all(|(_, sound)| loudest(sound) > Some(20_000))
    );
    for hears in [1, 2] {
        let sent = sent_after(&room.members[hears].party, 1_000);
        assert_eq!(sent.len(), 50);
        for ((sent_at, timestamp, sound), (pulled_at, pulled)) in sent.iter().zip(&pulled) {
            // What the jitter buffer gave is on its way at once, none of it changed.
            assert_eq!(sent_at, pulled_at);
            assert!(sound == pulled);
            assert_eq!((timestamp - sent[0].1) % 160, 0);
        }
    }
    // Who speaks does not hear itself.
    let own = sent_after(&room.members[0].party, 0);
    assert!(
        own.iter()
            .all(|(_, _, sound)| sound.iter().all(|sample| *sample == 0))
    );
}

#[test]
fn rtp_time_stays_whole_into_a_conversation_through_standstills_and_out_of_it() {
    for begun in [0, 3, 10, 19] {
        let mut room = Room::new(&[begun, 5]);
        let session = |room: &mut Room| room.members[0].party.session.next_tick();
        // It is alone for a while, and speaks, which moves its grid.
        room.members[0].party.run_until(at(193));
        room.members[0].party.play_all(at(193), 1, &[3_000; 1_600]);
        room.members[0].party.run_until(at(240));
        room.beat = at(240);
        for n in 12..200 {
            // A standstill of 60 ms, and one of 500.
            let late = match n {
                50..53 => 60 - (n - 50) * 20,
                100..125 => 500 - (n - 100) * 20,
                _ => 0,
            };
            room.step(at(n * 20 + late));
        }
        let end = at(4_000);
        assert!(session(&mut room) < end + Duration::from_millis(20));
        room.members[0].party.run_until(at(5_000));
        let sent: Vec<_> = room.members[0].party.rtp().collect();
        for pair in sent.windows(2) {
            assert_eq!(pair[1].sequence(), pair[0].sequence().wrapping_add(1));
            let moved = pair[1].timestamp().wrapping_sub(pair[0].timestamp());
            assert!((160..=160 * 30).contains(&moved), "{begun}: {moved}");
        }
        let (first, last) = (sent[0], sent[sent.len() - 1]);
        let moved = u64::from(last.timestamp().wrapping_sub(first.timestamp())) / 8;
        let real = (last.at - first.at).as_millis() as u64;
        assert_eq!(moved, real, "RTP time is real time again once it is alone");
        // Ahead of RTP time by less than a step in between, and never behind.
        for packet in &sent {
            let rtp_ms = u64::from(packet.timestamp().wrapping_sub(first.timestamp())) / 8 + begun;
            let ms = (packet.at - epoch()).as_millis() as u64;
            let standstill = (1_000..=1_060).contains(&ms) || (2_000..=2_500).contains(&ms);
            assert!(
                standstill || (ms..ms + 20).contains(&rtp_ms),
                "{rtp_ms} at {ms}"
            );
        }
    }
}

#[test]
fn who_is_kept_waiting_with_music_is_neither_heard_nor_hears() {
    let mut room = Room::new(&[0, 7]);
    for n in 0..100u64 {
        let now = at(n * 20);
        if n == 50 {
            let music = offhook_media::music::Background {
                sound: std::sync::Arc::new(offhook_media::music::SoundLoop::chords()),
                level_dbfs: -30.0,
            };
            room.members[1].party.session.hold(&music);
        }
        room.receive(0, now, &packet(n as u16, 0, |_| 12_000));
        room.step(now);
    }
    let loudest = |(_, _, sound): &(Instant, u32, Vec<i16>)| sound.iter().copied().max();
    let sent = sent_after(&room.members[1].party, 500);
    assert!(
        sent[..20]
            .iter()
            .all(|packet| loudest(packet) > Some(11_000))
    );
    assert!(
        sent[26..]
            .iter()
            .all(|packet| loudest(packet) < Some(11_000))
    );
    assert!(sent[40..].iter().any(|packet| loudest(packet) > Some(500)));
}

#[test]
fn what_is_played_to_one_can_be_heard_by_others_and_is_reported_as_sent() {
    let mut room = Room::new(&[0, 7]);
    // An agent speaks on the first session; the second listens to both.
    let supervisor = room.members[1].id;
    room.mixer.set_role(supervisor, Role::Listener).unwrap();
    room.members[0].party.play_all(at(0), 1, &[2_000; 4_000]);
    for n in 0..60u64 {
        let now = at(n * 20);
        room.receive(0, now, &packet(n as u16, 0, |_| 300));
        room.receive(1, now, &packet(n as u16, 0, |_| 9_000));
        room.step(now);
    }
    let [agent_call, supervisor] = &room.members[..] else {
        panic!("two members");
    };
    let heard = |party: &Party, ms| {
        let packet = sent_after(party, ms).swap_remove(0);
        *packet.2.last().unwrap()
    };
    // The caller hears the agent; the supervisor hears both; the supervisor is heard by nobody.
    assert!((1_900..2_100).contains(&heard(&agent_call.party, 300)));
    assert!((2_150..2_450).contains(&heard(&supervisor.party, 300)));
    assert!((250..350).contains(&heard(&supervisor.party, 1_100)));
    let finished = agent_call
        .party
        .events
        .iter()
        .find_map(|(_, event)| match event {
            Event::PlayoutFinished { played_samples, .. } => Some(*played_samples),
            _ => None,
        });
    assert_eq!(finished, Some(4_000));
    assert_eq!(address(A), agent_call.party.session.source().unwrap());
}

#[test]
fn who_hears_nobody_is_still_told_what_is_played_to_it() {
    let mut party = Party::new(config(with_peer_at(A), 7));
    party.play_all(at(0), 1, &[2_000; 480]);
    let mut step = StepSound::default();
    for n in 0..3 {
        let now = at(n * 20);
        assert!(party.session.begin_step(now, now, &mut step));
        // Its place is gone, or it joins in the middle of a step.
        party
            .session
            .end_step(now, &step, &[0; 40][..n as usize * 20]);
        party.drain(now);
    }
    let sent = party.rtp().flat_map(|sent| sent.payload().to_vec());
    let sent: Vec<i16> = sent.map(g711::ulaw_to_linear).collect();
    assert!(sent.iter().all(|sample| (1_900..2_100).contains(sample)));
    assert_eq!(sent.len(), 480);
}
