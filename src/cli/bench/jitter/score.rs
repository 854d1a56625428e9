//! Runs a trace through a jitter buffer in virtual time and scores what comes out.

use offhook_media::codec::g711;

use super::trace::{PER_MS, Passage, Trace};

/// How many phases the playout's grid is put in against the packets'.
const PHASES: u64 = 4;

/// A jitter buffer under test; sound is 16-bit at 8 kHz, payloads are µ-law.
pub(super) trait Subject {
    /// Takes a packet that comes now.
    fn insert(&mut self, now_us: u64, packet: &Passage, payload: &[u8]);
    /// Position, in the sender's time, of the sample that would be played next; none when it is
    /// not there.
    fn next(&self) -> Option<u64>;
    /// Plays the next step.
    fn pull(&mut self, now_us: u64, out: &mut [i16]);
    /// What it did, at the end.
    fn tally(&self) -> Tally;
}

/// What a buffer did, in samples unless named otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Made up for what was late or lost, and for the sender's silence.
    pub(super) made_up: u64,
    /// Left out, be it that it came or that it was lost and nothing was put in its place.
    pub(super) accelerated: u64,
    /// Played twice.
    pub(super) expanded: u64,
    /// Packets that came too late.
    pub(super) late: u64,
    /// Packets that were heard, and how long after their arrival in all, in microseconds.
    pub(super) heard: u64,
    pub(super) heard_after_us: u64,
}

/// How a buffer did on a trace; shares are of what was played unless named otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Score {
    /// Time from a packet's arrival to its playing, over all that was played.
    pub(super) delay_ms: f64,
    pub(super) delay_p95_ms: f64,
    /// Mean time from a packet's arrival until the listeners have it.
    pub(super) heard_ms: f64,
    pub(super) concealed: f64,
    pub(super) accelerated: f64,
    pub(super) expanded: f64,
    /// Share of the packets that came.
    pub(super) late: f64,
}

impl Score {
    /// Share of what was played that no packet carried: what was made up and what was played
    /// twice. It is no less than what was lost, whatever a buffer calls it.
    pub(super) fn unreal(&self) -> f64 {
        self.concealed + self.expanded
    }

    /// Share of what was played that was not as it was sent, in sound or in time. What is put in
    /// must be left out again: a buffer that jumps over lost packets only seems to conceal less.
    pub(super) fn disturbed(&self) -> f64 {
        self.unreal() + self.accelerated
    }

    /// Delay and disturbance in one figure, in milliseconds: each per cent of sound that is
    /// disturbed costs as much as 20 ms of delay, as WebRTC's NetEQ reckons when it weighs waiting
    /// for packets against losing them (`ms_per_loss_percent`).
    pub(super) fn price_ms(&self) -> f64 {
        self.delay_ms + 20.0 * 100.0 * self.disturbed()
    }
}

/// Runs a trace at several phases of the playout's clock, with a `fresh` buffer for each.
pub(super) fn score<S: Subject>(
    trace: &Trace,
    voice: &[i16],
    step_ms: u64,
    mut fresh: impl FnMut() -> S,
) -> Score {
    let mut run = Run::default();
    for phase in 0..PHASES {
        let offset_us = (2 * phase + 1) * step_ms * 1_000 / (2 * PHASES);
        run.play(trace, voice, (step_ms, offset_us), &mut fresh());
    }
    run.score()
}

#[derive(Default)]
struct Run {
    waits_ms: Vec<f64>,
    played: u64,
    silence: u64,
    came: u64,
    sum: Tally,
}

impl Run {
    fn play(
        &mut self,
        trace: &Trace,
        voice: &[i16],
        (step_ms, offset_us): (u64, u64),
        subject: &mut impl Subject,
    ) {
        let came = trace.packets.iter();
        let mut arrivals: Vec<(u64, &Passage)> = came
            .filter_map(|packet| Some((packet.arrived_us?, packet)))
            .collect();
        arrivals.sort_by_key(|(at, packet)| (*at, packet.sequence));
        let (Some((first_us, _)), Some((end_us, _))) = (arrivals.first(), arrivals.last()) else {
            return;
        };
        let (mut now_us, end_us) = (first_us + offset_us, *end_us);
        self.came += arrivals.len() as u64;
        self.silence += trace.silent_samples();
        let mut arrivals = arrivals.into_iter().peekable();
        let mut out = vec![0; (step_ms * PER_MS) as usize];
        while now_us < end_us {
            while let Some((at, packet)) = arrivals.next_if(|(at, _)| *at <= now_us) {
                subject.insert(at, packet, &payload(trace, packet, voice));
            }
            self.waits_ms.extend(wait_ms(trace, subject.next(), now_us));
            subject.pull(now_us, &mut out);
            self.played += out.len() as u64;
            now_us += step_ms * 1_000;
        }
        self.add(subject.tally());
    }

    fn add(&mut self, tally: Tally) {
        self.sum.made_up += tally.made_up;
        self.sum.accelerated += tally.accelerated;
        self.sum.expanded += tally.expanded;
        self.sum.late += tally.late;
        self.sum.heard += tally.heard;
        self.sum.heard_after_us += tally.heard_after_us;
    }

    fn score(mut self) -> Score {
        self.waits_ms.sort_by(f64::total_cmp);
        let count = self.waits_ms.len();
        let p95 = (count * 95).div_ceil(100).saturating_sub(1);
        let share = |samples: u64| samples as f64 / self.played.max(1) as f64;
        Score {
            delay_ms: self.waits_ms.iter().sum::<f64>() / count.max(1) as f64,
            delay_p95_ms: self.waits_ms.get(p95).copied().unwrap_or(0.0),
            heard_ms: self.sum.heard_after_us as f64 / 1e3 / self.sum.heard.max(1) as f64,
            // Silence that the sender kept is not made up for anything.
            concealed: share(self.sum.made_up.saturating_sub(self.silence)),
            accelerated: share(self.sum.accelerated),
            expanded: share(self.sum.expanded),
            late: self.sum.late as f64 / self.came.max(1) as f64,
        }
    }
}

/// How long the sample at a position waited since its packet came, beyond its place in the packet.
fn wait_ms(trace: &Trace, position: Option<u64>, now_us: u64) -> Option<f64> {
    let position = position?;
    let behind = trace.packets.partition_point(|p| p.timestamp <= position);
    let packet = trace.packets.get(behind.checked_sub(1)?)?;
    let within = position - packet.timestamp;
    let arrived_us = packet.arrived_us.filter(|at| *at <= now_us)?;
    let within_us = within * 1_000 / PER_MS;
    let waited_us = now_us as f64 - arrived_us as f64 - within_us as f64;
    (within < trace.ptime_ms * PER_MS).then_some(waited_us / 1_000.0)
}

/// A packet's payload: the voice goes round and round.
fn payload(trace: &Trace, packet: &Passage, voice: &[i16]) -> Vec<u8> {
    let samples = (trace.ptime_ms * PER_MS) as usize;
    let turns = voice.len().max(1);
    let voice = voice.iter().cycle().skip(packet.timestamp as usize % turns);
    let codes = voice.take(samples).map(|s| g711::linear_to_ulaw(*s));
    codes.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Plays each packet a fixed time after it came, and never makes anything up.
    struct Shelf {
        packets: VecDeque<(u64, u64)>,
        delay_us: u64,
        playing: Option<u64>,
    }

    impl Subject for Shelf {
        fn insert(&mut self, now_us: u64, packet: &Passage, _payload: &[u8]) {
            self.packets.push_back((now_us, packet.timestamp));
        }

        fn next(&self) -> Option<u64> {
            self.playing
        }

        fn pull(&mut self, now_us: u64, out: &mut [i16]) {
            let step_us = out.len() as u64 * 1_000 / PER_MS;
            let due = now_us + step_us;
            let ready = |(at, _): &mut (u64, u64)| *at + self.delay_us <= due;
            if let Some((_, timestamp)) = self.packets.pop_front_if(ready) {
                self.playing = Some(timestamp);
            } else if let Some(playing) = &mut self.playing {
                *playing += out.len() as u64;
            }
        }

        fn tally(&self) -> Tally {
            Tally::default()
        }
    }

    #[test]
    fn the_delay_is_the_time_from_arrival_to_playing() {
        let lines: String = (0..200)
            .map(|n| format!("{} {}\n", n * 20, n * 20 + 50))
            .collect();
        let trace = Trace::read("steady", &lines).unwrap();
        let shelf = || Shelf {
            packets: VecDeque::new(),
            delay_us: 60_000,
            playing: None,
        };
        let score = score(&trace, &[0; 160], 10, shelf);
        // The grid of 10 ms adds half a step on average.
        assert!((60.0..70.0).contains(&score.delay_ms), "{score:?}");
        assert!(
            (score.delay_p95_ms - score.delay_ms).abs() < 6.0,
            "{score:?}"
        );
    }
}
