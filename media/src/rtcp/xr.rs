//! Extended reports: how well a voice was heard (RFC 3611 §4.7).

/// Packet type of an extended report (RFC 3611 §2).
pub(super) const EXTENDED_REPORT: u8 = 207;
/// Block type of VoIP metrics.
const VOIP_METRICS: u8 = 7;
/// What follows a block's header, in words.
const BLOCK_WORDS: u16 = 8;
/// A block of VoIP metrics with its header.
pub(super) const BLOCK_BYTES: usize = 4 * (BLOCK_WORDS as usize + 1);
/// What cannot be told (§4.7).
const UNAVAILABLE: u8 = 127;
/// Sound is concealed by more than a repetition, and the buffer adapts (§4.7.6).
const RECEIVER_CONFIGURATION: u8 = 0b1011_0000;

/// Holds a block of VoIP metrics: how one side hears the other (RFC 3611 §4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VoipMetrics {
    /// Whose stream it is about.
    pub ssrc: u32,
    /// Share of the packets lost, 0 to 1.
    pub loss: f32,
    /// Share of the packets that came too late, 0 to 1.
    pub discard: f32,
    /// Share of the packets within bursts that were lost or late, 0 to 1.
    pub burst_density: f32,
    /// Share of the packets within gaps that were lost or late, 0 to 1.
    pub gap_density: f32,
    /// Mean length of a burst, in milliseconds.
    pub burst_ms: u16,
    /// Mean length of a gap, in milliseconds.
    pub gap_ms: u16,
    /// Round trip, in milliseconds; 0 when it is not known.
    pub round_trip_ms: u16,
    /// Delay within the one who reports, in milliseconds; 0 when it is not known.
    pub end_system_ms: u16,
    /// Level of the speech heard, in dBm0.
    pub signal_dbm0: Option<i8>,
    /// Level of what is behind it, in dBm0.
    pub noise_dbm0: Option<i8>,
    /// Transmission rating R, 0 to 100 (ITU-T G.107).
    pub rating: Option<u8>,
    /// Mean opinion score of listening, 1 to 5.
    pub mos_listening: Option<f32>,
    /// Mean opinion score of a conversation, 1 to 5.
    pub mos_conversational: Option<f32>,
    /// Delay that the jitter buffer aims at, in milliseconds.
    pub buffer_nominal_ms: u16,
    /// Delay up to which a packet is in time now, in milliseconds.
    pub buffer_maximum_ms: u16,
    /// Delay to which the buffer may grow, in milliseconds.
    pub buffer_limit_ms: u16,
}

impl VoipMetrics {
    /// Writes the block as it goes on the wire.
    pub(super) fn to_bytes(self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        let mut room = block.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            let (now, later) = std::mem::take(&mut room).split_at_mut(bytes.len());
            now.copy_from_slice(bytes);
            room = later;
        };
        put(&[VOIP_METRICS, 0]);
        put(&BLOCK_WORDS.to_be_bytes());
        put(&self.ssrc.to_be_bytes());
        let shares = [
            self.loss,
            self.discard,
            self.burst_density,
            self.gap_density,
        ];
        put(&shares.map(in_256ths));
        let times = [
            self.burst_ms,
            self.gap_ms,
            self.round_trip_ms,
            self.end_system_ms,
        ];
        times.iter().for_each(|time| put(&time.to_be_bytes()));
        let level = |level: Option<i8>| level.map_or(UNAVAILABLE, |level| level as u8);
        let gap_min = crate::bursts::GAP_MIN as u8;
        put(&[
            level(self.signal_dbm0),
            level(self.noise_dbm0),
            UNAVAILABLE,
            gap_min,
        ]);
        put(&[
            self.rating.unwrap_or(UNAVAILABLE),
            UNAVAILABLE,
            in_tenths(self.mos_listening),
            in_tenths(self.mos_conversational),
        ]);
        put(&[RECEIVER_CONFIGURATION, 0]);
        put(&self.buffer_nominal_ms.to_be_bytes());
        put(&self.buffer_maximum_ms.to_be_bytes());
        put(&self.buffer_limit_ms.to_be_bytes());
        block
    }

    /// Reads what follows a block's header.
    fn read(body: &[u8]) -> Option<Self> {
        let body: &[u8; BLOCK_BYTES - 4] = body.first_chunk()?;
        let byte = |at: usize| body.get(at).copied().unwrap_or_default();
        let half = |at: usize| u16::from_be_bytes([byte(at), byte(at + 1)]);
        let share = |at: usize| f32::from(byte(at)) / 256.0;
        let known = |at: usize| Some(byte(at)).filter(|value| *value != UNAVAILABLE);
        let score = |at: usize| known(at).map(|tenths| f32::from(tenths) / 10.0);
        Some(Self {
            ssrc: u32::from_be_bytes([byte(0), byte(1), byte(2), byte(3)]),
            loss: share(4),
            discard: share(5),
            burst_density: share(6),
            gap_density: share(7),
            burst_ms: half(8),
            gap_ms: half(10),
            round_trip_ms: half(12),
            end_system_ms: half(14),
            signal_dbm0: known(16).map(|level| level as i8),
            noise_dbm0: known(17).map(|level| level as i8),
            rating: known(20).filter(|rating| *rating <= 100),
            mos_listening: score(22).filter(is_score),
            mos_conversational: score(23).filter(is_score),
            buffer_nominal_ms: half(26),
            buffer_maximum_ms: half(28),
            buffer_limit_ms: half(30),
        })
    }
}

fn is_score(score: &f32) -> bool {
    (1.0..=5.0).contains(score)
}

fn in_256ths(share: f32) -> u8 {
    (share * 256.0).clamp(0.0, 255.0) as u8
}

fn in_tenths(score: Option<f32>) -> u8 {
    score.map_or(UNAVAILABLE, |score| (score.clamp(1.0, 5.0) * 10.0) as u8)
}

/// Iterates over the blocks of VoIP metrics in an extended report; others are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedBlocks<'a>(pub(super) &'a [u8]);

impl Iterator for ExtendedBlocks<'_> {
    type Item = VoipMetrics;

    fn next(&mut self) -> Option<VoipMetrics> {
        loop {
            let (&[kind, _, high, low], rest) = self.0.split_first_chunk::<4>()?;
            let len = usize::from(u16::from_be_bytes([high, low])) * 4;
            let (body, rest) = rest.split_at_checked(len)?;
            self.0 = rest;
            if kind == VOIP_METRICS
                && let Some(metrics) = VoipMetrics::read(body)
            {
                return Some(metrics);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_other_blocks_are_skipped() {
        let metrics = VoipMetrics {
            ssrc: 0x0102_0304,
            loss: 0.25,
            discard: 0.125,
            burst_density: 0.5,
            gap_density: 0.03125,
            burst_ms: 120,
            gap_ms: 9_000,
            round_trip_ms: 80,
            end_system_ms: 45,
            signal_dbm0: Some(-21),
            noise_dbm0: Some(-60),
            rating: Some(82),
            mos_listening: Some(4.1),
            mos_conversational: None,
            buffer_nominal_ms: 20,
            buffer_maximum_ms: 40,
            buffer_limit_ms: 240,
        };
        let mut blocks = vec![4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
        blocks.extend(metrics.to_bytes());
        blocks.extend(VoipMetrics::default().to_bytes());
        let read: Vec<_> = ExtendedBlocks(&blocks).collect();
        assert_eq!(read, [metrics, VoipMetrics::default()]);
    }

    #[test]
    fn the_block_lies_on_the_wire_as_rfc_3611_draws_it() {
        let metrics = VoipMetrics {
            ssrc: 0xAABB_CCDD,
            loss: 1.0 / 256.0,
            round_trip_ms: 0x0102,
            signal_dbm0: Some(-18),
            rating: Some(93),
            mos_listening: Some(4.2),
            buffer_limit_ms: 0x0304,
            ..VoipMetrics::default()
        };
        let block = metrics.to_bytes();
        assert_eq!(
            block[..12],
            [7, 0, 0, 8, 0xAA, 0xBB, 0xCC, 0xDD, 1, 0, 0, 0]
        );
        assert_eq!(block[12..20], [0, 0, 0, 0, 1, 2, 0, 0]);
        assert_eq!(block[20..28], [0xEE, 127, 127, 16, 93, 127, 42, 127]);
        assert_eq!(block[28..], [0xB0, 0, 0, 0, 0, 0, 3, 4]);
    }

    #[test]
    fn blocks_that_do_not_add_up_or_say_nonsense_say_nothing() {
        for blocks in [
            &[7, 0, 0, 8, 1][..],
            &[7, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8],
            &[7, 0],
            &[],
        ] {
            assert_eq!(ExtendedBlocks(blocks).next(), None);
        }
        let mut block = VoipMetrics::default().to_bytes();
        (block[24], block[26]) = (250, 250);
        let read = ExtendedBlocks(&block).next().unwrap();
        assert_eq!((read.rating, read.mos_listening), (None, None));
    }
}
