//! What RFC 3550 appendix A keeps about one source: extended numbers, loss, jitter.

use std::time::Instant;

use crate::bursts::{Bursts, Losses};

/// What became of a packet is settled when so many after it were sent.
const SETTLED_AFTER: u64 = 64;
/// A jump ahead by more is no loss but another stream (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3_000;
/// A packet that is later than so many others is no reordering (RFC 3550 A.1).
const MAX_MISORDER: u16 = 100;

/// What a sequence number says about its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The packet counts: its extended sequence number.
    Valid {
        sequence: u64,
        /// It is older than one that came before it.
        reordered: bool,
    },
    /// The same number came before.
    Duplicate,
    /// The numbers jumped; the packet counts only if the next one follows on it.
    Jumped,
    /// The numbers jumped, and this packet follows on the jump: the source started over.
    Restarted { sequence: u64 },
}

/// Follows one synchronisation source.
#[derive(Debug)]
pub(crate) struct Reception {
    /// Extended numbers start one cycle up, so that a packet from before the first has one too.
    base: u64,
    max: u64,
    jump: Option<u16>,
    /// Which of the newest 128 numbers came, the newest lowest.
    recent: u128,
    /// Which of them came too late to be played.
    late: u128,
    /// The first number of which it is open what becomes of it, and how those before lay.
    unsettled: u64,
    bursts: Bursts,
    received: u64,
    duplicates: u64,
    /// Lost before the source started over.
    lost_before: u64,
    expected_before: u64,
    timestamp: u64,
    transit: Option<i64>,
    clock_rate_hz: u32,
    /// Interarrival jitter in timestamp ticks, times 16 (RFC 3550 A.8).
    jitter_x16: u64,
    reported_expected: u64,
    reported_received: u64,
}

impl Reception {
    /// Starts with a source's first valid packet.
    pub(crate) fn new(sequence: u16, timestamp: u32) -> Self {
        let base = 0x1_0000 + u64::from(sequence);
        Self {
            base,
            max: base,
            jump: None,
            recent: 0,
            late: 0,
            unsettled: base,
            bursts: Bursts::default(),
            received: 0,
            duplicates: 0,
            lost_before: 0,
            expected_before: 0,
            timestamp: (1 << 32) + u64::from(timestamp),
            transit: None,
            clock_rate_hz: 1_000,
            jitter_x16: 0,
            reported_expected: 0,
            reported_received: 0,
        }
    }

    /// Goes on with how the losses of the source before lay.
    pub(crate) fn following(mut self, mut before: Self) -> Self {
        before.settle(before.max + 1);
        self.bursts = before.bursts;
        self
    }

    /// Judges a sequence number and counts its packet (RFC 3550 A.1).
    pub(crate) fn arrive(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.max as u16);
        if ahead < MAX_DROPOUT {
            self.jump = None;
            let max = self.max + u64::from(ahead);
            self.settle(max.saturating_sub(SETTLED_AFTER));
            self.max = max;
            self.recent = self.recent.checked_shl(u32::from(ahead)).unwrap_or(0);
            self.late = self.late.checked_shl(u32::from(ahead)).unwrap_or(0);
            return self.mark(0);
        }
        let behind = ahead.wrapping_neg();
        if behind <= MAX_MISORDER {
            return self.mark(behind);
        }
        if self.jump == Some(sequence) {
            self.restart(sequence);
            return Arrival::Restarted { sequence: self.max };
        }
        self.jump = Some(sequence.wrapping_add(1));
        Arrival::Jumped
    }

    /// Takes note that a packet which came, came too late to be played.
    pub(crate) fn was_late(&mut self, sequence: u64) {
        let behind = u32::try_from(self.max.saturating_sub(sequence)).unwrap_or(u32::MAX);
        self.late |= 1_u128.checked_shl(behind).unwrap_or(0);
    }

    /// Settles what became of the packets before `end`.
    fn settle(&mut self, end: u64) {
        let mut bursts = self.bursts;
        self.unsettled = self.count(&mut bursts, end);
        self.bursts = bursts;
    }

    /// Counts in `bursts` what became of the packets from the first unsettled one up to `end`.
    fn count(&self, bursts: &mut Bursts, end: u64) -> u64 {
        for number in self.unsettled..end.min(self.max + 1) {
            let behind = (self.max - number) as u32;
            let is_among = |window: u128| window.checked_shr(behind).unwrap_or(0) & 1 == 1;
            match is_among(self.recent) {
                true => bursts.came(is_among(self.late)),
                false => bursts.lose(1),
            }
        }
        bursts.lose(end.saturating_sub(self.unsettled.max(self.max + 1)));
        self.unsettled.max(end)
    }

    /// Tells how losses lay over the source's whole life.
    pub(crate) fn bursts(&self) -> Losses {
        let mut bursts = self.bursts;
        self.count(&mut bursts, self.max + 1);
        bursts.losses()
    }

    /// Copies count as received (RFC 3550 A.3), though nothing else is done with them.
    fn mark(&mut self, behind: u16) -> Arrival {
        self.received += 1;
        let bit = 1 << behind;
        if self.recent & bit != 0 {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        self.recent |= bit;
        Arrival::Valid {
            sequence: self.max - u64::from(behind),
            reordered: behind > 0,
        }
    }

    /// Extends a timestamp to 64 bits by the nearest one seen before.
    pub(crate) fn extend_timestamp(&mut self, timestamp: u32) -> u64 {
        let moved = timestamp.wrapping_sub(self.timestamp as u32) as i32;
        let extended = self.timestamp.saturating_add_signed(i64::from(moved));
        self.timestamp = self.timestamp.max(extended);
        extended
    }

    /// Updates the interarrival jitter (RFC 3550 A.8); with another clock it starts over from the
    /// jitter so far (RFC 7160 §4.2).
    pub(crate) fn time(&mut self, since_start_us: u64, timestamp: u64, clock_rate_hz: u32) {
        if self.clock_rate_hz != clock_rate_hz {
            self.transit = None;
            let before = u64::from(self.clock_rate_hz.max(1));
            self.jitter_x16 = self.jitter_x16 * u64::from(clock_rate_hz) / before;
            self.clock_rate_hz = clock_rate_hz;
        }
        let arrival = (since_start_us as i64) * i64::from(clock_rate_hz) / 1_000_000;
        let transit = arrival.wrapping_sub(timestamp as i64);
        if let Some(before) = self.transit.replace(transit) {
            let moved = transit.wrapping_sub(before).unsigned_abs();
            // A clock that was set is no jitter: more than a second is left out.
            if moved < u64::from(clock_rate_hz) {
                self.jitter_x16 += moved;
                self.jitter_x16 -= (self.jitter_x16.saturating_sub(moved) + 8) >> 4;
            }
        }
    }

    pub(crate) fn jitter_ms(&self) -> f32 {
        self.jitter() as f32 * 1_000.0 / self.clock_rate_hz as f32
    }

    /// Interarrival jitter in ticks of the clock.
    pub(crate) fn jitter(&self) -> u32 {
        (self.jitter_x16 >> 4).min(u64::from(u32::MAX)) as u32
    }

    pub(crate) fn highest_sequence(&self) -> u64 {
        self.max
    }

    /// Packets that the source sent up to the newest one heard.
    pub(crate) fn expected(&self) -> u64 {
        self.max - self.base + 1
    }

    /// Expected less received; copies may make it negative (RFC 3550 A.3).
    pub(crate) fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }

    /// Packets that never came and packets that should have, over the source's whole life.
    pub(crate) fn losses(&self) -> (u64, u64) {
        let distinct = self.received - self.duplicates;
        let lost = self.expected().saturating_sub(distinct);
        (
            self.lost_before + lost,
            self.expected_before + self.expected(),
        )
    }

    /// Fraction lost since the last report, in 1/256 (RFC 3550 A.3); starts the next interval.
    pub(crate) fn fraction_lost(&mut self) -> u8 {
        let expected = self.expected() - self.reported_expected;
        let received = self.received - self.reported_received;
        self.reported_expected = self.expected();
        self.reported_received = self.received;
        let lost = expected.saturating_sub(received);
        (lost << 8).checked_div(expected).unwrap_or(0).min(255) as u8
    }

    /// RFC 3550 A.1: after a jump all counts start over, as if the source were new.
    fn restart(&mut self, sequence: u16) {
        (self.lost_before, self.expected_before) = self.losses();
        self.settle(self.max + 1);
        let next_cycle = (self.max >> 16) + 1;
        self.base = (next_cycle << 16) + u64::from(sequence);
        self.max = self.base;
        self.unsettled = self.base;
        self.jump = None;
        (self.recent, self.late) = (1, 0);
        self.received = 1;
        self.duplicates = 0;
        self.transit = None;
        self.reported_expected = 0;
        self.reported_received = 0;
    }
}

/// Microseconds from `start` to `now`; 0 before `start`.
pub(crate) fn micros(start: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(start)
        .as_micros()
        .min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(arrival: Arrival) -> u64 {
        match arrival {
            Arrival::Valid { sequence, .. } | Arrival::Restarted { sequence } => sequence,
            Arrival::Jumped | Arrival::Duplicate => panic!("no number"),
        }
    }

    #[test]
    fn numbers_go_on_over_the_wrap_both_ways() {
        let mut source = Reception::new(65_534, 0);
        let numbers: Vec<u64> = [65_534, 65_535, 1, 0, 2]
            .map(|number| sequence(source.arrive(number)))
            .into();
        assert_eq!(numbers, [131_070, 131_071, 131_073, 131_072, 131_074]);
        assert_eq!(source.lost(), 0);
    }

    #[test]
    fn the_first_packet_may_be_preceded_by_a_later_one() {
        let mut source = Reception::new(0, 0);
        assert_eq!(
            source.arrive(0),
            Arrival::Valid {
                sequence: 0x1_0000,
                reordered: false
            }
        );
        assert_eq!(
            source.arrive(65_535),
            Arrival::Valid {
                sequence: 0xFFFF,
                reordered: true
            }
        );
    }

    #[test]
    fn a_single_wild_number_is_ignored_and_a_second_in_a_row_restarts() {
        let mut source = Reception::new(10, 0);
        source.arrive(10);
        assert_eq!(source.arrive(40_000), Arrival::Jumped);
        assert_eq!(sequence(source.arrive(11)), 0x1_000B);
        assert_eq!(source.arrive(40_000), Arrival::Jumped);
        assert!(matches!(source.arrive(40_001), Arrival::Restarted { .. }));
        assert_eq!(sequence(source.arrive(40_002)), 0x2_0000 + 40_002);
    }

    #[test]
    fn loss_is_counted_in_256ths_since_the_last_report() {
        let mut source = Reception::new(0, 0);
        for n in (0..8).filter(|n| n % 2 == 0) {
            source.arrive(n);
        }
        source.arrive(7);
        assert_eq!(source.lost(), 3);
        assert_eq!(source.fraction_lost(), 96);
        source.arrive(8);
        assert_eq!(source.fraction_lost(), 0);
    }

    #[test]
    fn each_packet_is_settled_once_however_it_came() {
        let mut source = Reception::new(65_500, 0);
        let mut numbers: Vec<u16> = (0..300_u16).map(|n| n.wrapping_add(65_500)).collect();
        numbers.swap(40, 43);
        let lost = [100, 101, 150, 299];
        for (at, number) in numbers.iter().enumerate() {
            if lost.contains(&at) {
                continue;
            }
            let Arrival::Valid { sequence, .. } = source.arrive(*number) else {
                panic!("{number}")
            };
            if at == 200 {
                source.was_late(sequence);
            }
        }
        let told = source.bursts();
        // The last one is not missed yet, as nothing came after it.
        assert!((told.discarded - 1.0 / 299.0).abs() < 1e-6, "{told:?}");
        assert!((told.gap_density - 2.0 / 297.0).abs() < 1e-6, "{told:?}");
        assert_eq!((told.burst_packets, told.burst_density), (2.0, 1.0));
        source.arrive(40_000);
        source.arrive(40_001);
        assert_eq!(source.bursts().burst_packets, 2.0, "a jump is no loss");
    }

    #[test]
    fn timestamps_go_on_over_the_wrap() {
        let mut source = Reception::new(0, u32::MAX - 79);
        let first = source.extend_timestamp(u32::MAX - 79);
        assert_eq!(source.extend_timestamp(80), first + 160);
        assert_eq!(source.extend_timestamp(u32::MAX - 79), first);
    }

    #[test]
    fn jitter_settles_at_the_mean_deviation() {
        let mut source = Reception::new(0, 0);
        for n in 0..500u64 {
            let late_us = if n % 2 == 0 { 0 } else { 4_000 };
            source.time(n * 20_000 + late_us, n * 160, 8_000);
        }
        assert!((30..=33).contains(&source.jitter()), "{}", source.jitter());
    }
}
