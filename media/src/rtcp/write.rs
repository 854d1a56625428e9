//! Writes compound packets: a report, the canonical name, and at the end a goodbye.

use super::xr::{BLOCK_BYTES, EXTENDED_REPORT};
use super::{
    CNAME, GOODBYE, RECEIVER_REPORT, ReportBlock, SENDER_REPORT, SOURCE_DESCRIPTION, VoipMetrics,
};

/// The longest name that is sent.
pub(crate) const MAX_CNAME_BYTES: usize = 64;
/// SR with one block, SDES with the longest name, XR with VoIP metrics, BYE.
pub(crate) const MAX_COMPOUND_BYTES: usize = 52 + 8 + 2 + MAX_CNAME_BYTES + 4 + 8 + BLOCK_BYTES + 8;

/// Holds what a sender report says about its sender (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Time of the report: seconds since 1900 and their fraction.
    pub ntp: u64,
    /// The same time on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// Holds what a compound packet is to say.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Who sends.
    pub ssrc: u32,
    /// What was sent; without it the report is a receiver's.
    pub info: Option<SenderInfo>,
    /// What was heard.
    pub block: Option<ReportBlock>,
    /// How well the other side's voice was heard; nothing unless it is wanted.
    pub voice: Option<VoipMetrics>,
    /// Canonical name.
    pub cname: &'a [u8],
    /// Whether this is the last packet.
    pub goodbye: bool,
}

/// Writes a compound packet into `out`, which holds [`MAX_COMPOUND_BYTES`], and returns its
/// length; 0 when it does not fit.
pub(crate) fn write_compound(report: &Report<'_>, out: &mut [u8]) -> usize {
    let mut writer = Writer {
        out,
        len: 0,
        fits: true,
    };
    writer.report(report);
    writer.description(report);
    if let Some(voice) = report.voice {
        writer.header(0, EXTENDED_REPORT, 1 + (BLOCK_BYTES / 4) as u16);
        writer.word(report.ssrc);
        writer.bytes(&voice.to_bytes());
    }
    if report.goodbye {
        writer.header(1, GOODBYE, 1);
        writer.word(report.ssrc);
    }
    if writer.fits { writer.len } else { 0 }
}

struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    fits: bool,
}

impl Writer<'_> {
    fn report(&mut self, report: &Report<'_>) {
        let count = u8::from(report.block.is_some());
        let kind = if report.info.is_some() {
            SENDER_REPORT
        } else {
            RECEIVER_REPORT
        };
        let words = 1 + if report.info.is_some() { 5 } else { 0 } + 6 * u16::from(count);
        self.header(count, kind, words);
        self.word(report.ssrc);
        if let Some(info) = &report.info {
            self.word((info.ntp >> 32) as u32);
            self.word(info.ntp as u32);
            self.word(info.rtp_timestamp);
            self.word(info.packets);
            self.word(info.octets);
        }
        if let Some(block) = &report.block {
            let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0x00FF_FFFF;
            self.word(block.ssrc);
            self.word(u32::from(block.fraction_lost) << 24 | lost);
            self.word(block.highest_sequence);
            self.word(block.jitter);
            self.word(block.last_sender_report);
            self.word(block.delay_since_last);
        }
    }

    fn description(&mut self, report: &Report<'_>) {
        let cname = report.cname.get(..MAX_CNAME_BYTES).unwrap_or(report.cname);
        // Items end with at least one zero byte, up to a whole word (§6.5).
        let items = (2 + cname.len() + 1).next_multiple_of(4);
        self.header(1, SOURCE_DESCRIPTION, 1 + (items / 4) as u16);
        self.word(report.ssrc);
        self.bytes(&[CNAME, cname.len() as u8]);
        self.bytes(cname);
        self.bytes([0u8; 4].get(..items - 2 - cname.len()).unwrap_or_default());
    }

    /// `words` is the length in words without this one (§6.4.1).
    fn header(&mut self, count: u8, kind: u8, words: u16) {
        let [high, low] = words.to_be_bytes();
        self.bytes(&[0x80 | count, kind, high, low]);
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.fits = false,
        }
    }
}
