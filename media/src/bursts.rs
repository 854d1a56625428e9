//! Which losses came together: the gaps and bursts of RFC 3611 §4.7.2.

/// So many packets in a row must come for a burst to be over (Gmin, RFC 3611 §4.7.2).
pub(crate) const GAP_MIN: u64 = 16;

/// Follows a stream packet by packet, in the order in which they were sent.
///
/// A burst begins and ends with a lost packet, and between two of its losses fewer than
/// [`GAP_MIN`] packets came; a loss that stands alone belongs to the gap around it. A packet that
/// came too late to be played is lost for whoever listens, and counts as such here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bursts {
    in_gaps: Span,
    in_bursts: Span,
    bursts: u64,
    /// What may become a burst: from a loss on.
    open: Option<Span>,
    /// Packets that came since the last loss.
    came: u64,
    /// Runs of losses, each followed or preceded by what came.
    runs: u64,
    discarded: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    packets: u64,
    losses: u64,
}

impl Span {
    fn add(&mut self, packets: u64, losses: u64) {
        self.packets += packets;
        self.losses += losses;
    }

    fn density(self) -> f32 {
        self.losses as f32 / self.packets.max(1) as f32
    }
}

/// Tells how the losses of a stream lay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Share of the packets that came too late to be played, 0 to 1.
    pub discarded: f32,
    /// Share of the packets within bursts that were lost or late, 0 to 1.
    pub burst_density: f32,
    /// Share of the packets outside of bursts that were lost or late, 0 to 1.
    pub gap_density: f32,
    /// Mean length of a burst, in packets; 0 where there was none.
    pub burst_packets: f32,
    /// Mean length of a gap, in packets.
    pub gap_packets: f32,
    /// How much longer runs of losses were than they would be by chance (BurstR, ITU-T G.107):
    /// 1 by chance or without loss.
    pub burst_ratio: f32,
}

impl Bursts {
    /// Takes the next packet that came, and whether that was too late.
    #[inline]
    pub(crate) fn came(&mut self, late: bool) {
        if late {
            self.discarded += 1;
            self.lose(1);
        } else {
            self.came += 1;
        }
    }

    /// Takes so many packets in a row that never came.
    pub(crate) fn lose(&mut self, packets: u64) {
        if packets == 0 {
            return;
        }
        let came = std::mem::take(&mut self.came);
        if came > 0 || self.open.is_none() {
            self.runs += 1;
        }
        match &mut self.open {
            Some(open) if came < GAP_MIN => open.add(came + packets, packets),
            _ => {
                self.close();
                self.in_gaps.packets += came;
                self.open = Some(Span {
                    packets,
                    losses: packets,
                });
            }
        }
    }

    /// Ends what may have become a burst.
    fn close(&mut self) {
        match self.open.take() {
            Some(alone) if alone.losses == 1 => self.in_gaps.add(alone.packets, 1),
            Some(burst) => {
                self.bursts += 1;
                self.in_bursts.add(burst.packets, burst.losses);
            }
            None => {}
        }
    }

    /// Tells how the losses lay up to now.
    pub(crate) fn losses(&self) -> Losses {
        let mut told = *self;
        told.close();
        told.in_gaps.packets += told.came;
        let lost = told.in_gaps.losses + told.in_bursts.losses;
        let packets = told.in_gaps.packets + told.in_bursts.packets;
        let share = |part: u64| part as f32 / packets.max(1) as f32;
        let mean = |part: u64, of: u64| part as f32 / of.max(1) as f32;
        // A run of losses lasts 1 / (1 - p) packets in the mean when each is lost by chance.
        let run = mean(lost, told.runs);
        Losses {
            discarded: share(told.discarded),
            burst_density: told.in_bursts.density(),
            gap_density: told.in_gaps.density(),
            burst_packets: mean(told.in_bursts.packets, told.bursts),
            // A burst parts two gaps (RFC 3611 A.2).
            gap_packets: mean(told.in_gaps.packets, told.bursts + 1),
            burst_ratio: (run * (1.0 - share(lost))).max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream's losses are when `x` is lost, `l` late and anything else came.
    fn losses(stream: &str) -> Losses {
        let mut bursts = Bursts::default();
        for packet in stream.bytes() {
            match packet {
                b'x' => bursts.lose(1),
                b'l' => bursts.came(true),
                _ => bursts.came(false),
            }
        }
        bursts.losses()
    }

    #[test]
    fn a_stream_without_loss_is_one_gap() {
        let told = losses(&".".repeat(100));
        assert_eq!((told.gap_packets, told.gap_density), (100.0, 0.0));
        assert_eq!((told.burst_packets, told.burst_ratio), (0.0, 1.0));
    }

    #[test]
    fn losses_that_lie_apart_belong_to_the_gap() {
        let stream = format!("{0}x{0}x{0}x", ".".repeat(20));
        let told = losses(&stream);
        assert_eq!(told.burst_packets, 0.0);
        assert_eq!(told.gap_packets, 63.0);
        assert!((told.gap_density - 3.0 / 63.0).abs() < 1e-6);
        assert_eq!(told.burst_ratio, 1.0);
    }

    #[test]
    fn losses_that_lie_together_are_a_burst_and_late_packets_count() {
        let stream = format!("{0}xx..l.....x{0}", ".".repeat(40));
        let told = losses(&stream);
        assert_eq!(told.burst_packets, 11.0);
        assert!((told.burst_density - 4.0 / 11.0).abs() < 1e-6);
        assert_eq!((told.gap_packets, told.gap_density), (40.0, 0.0));
        assert!((told.discarded - 1.0 / 91.0).abs() < 1e-6);
        // Four losses in three runs.
        assert!((told.burst_ratio - 4.0 / 3.0 * (87.0 / 91.0)).abs() < 1e-5);
    }

    #[test]
    fn a_burst_ends_when_sixteen_in_a_row_came() {
        let apart = losses(&format!("xx{}xx", ".".repeat(16)));
        assert_eq!((apart.burst_packets, apart.burst_density), (2.0, 1.0));
        let together = losses(&format!("xx{}xx", ".".repeat(15)));
        assert_eq!(together.burst_packets, 19.0);
    }

    #[test]
    fn an_outage_is_one_run() {
        let mut bursts = Bursts::default();
        (0..900).for_each(|_| bursts.came(false));
        bursts.lose(100);
        let told = bursts.losses();
        assert_eq!(told.burst_packets, 100.0);
        assert!((told.burst_ratio - 90.0).abs() < 1e-3, "{told:?}");
    }
}
