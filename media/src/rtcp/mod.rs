//! RTCP: reports on what was sent and heard (RFC 3550 §6), and how well (RFC 3611).

mod schedule;
mod write;
mod xr;

pub(crate) use schedule::Schedule;
use thiserror::Error;
pub(crate) use write::{MAX_COMPOUND_BYTES, write_compound};
pub use write::{Report, SenderInfo};
pub use xr::{ExtendedBlocks, VoipMetrics};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
/// SDES item: canonical name (RFC 3550 §6.5.1).
const CNAME: u8 = 1;

/// Says why bytes are no compound RTCP packet (RFC 3550 A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtcpError {
    /// A length does not fit the datagram.
    #[error("the lengths of the packets do not add up")]
    Length,
    /// The version of a packet is not 2.
    #[error("the version is not 2")]
    Version,
    /// The first packet is neither a sender nor a receiver report.
    #[error("the first packet is no report")]
    NoReport,
    /// A packet other than the last one is padded, or the padding does not fit.
    #[error("the padding is misplaced")]
    Padding,
}

/// Holds one report block: what a receiver says about one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source that it is about.
    pub ssrc: u32,
    /// Fraction lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all, 24 bits signed.
    pub cumulative_lost: i32,
    /// Extended highest sequence number.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp ticks.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last sender report.
    pub last_sender_report: u32,
    /// Time since that report came, in 1/65536 s.
    pub delay_since_last: u32,
}

/// Holds one packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpPacket<'a> {
    /// SR.
    SenderReport {
        /// Who sends.
        ssrc: u32,
        /// What was sent.
        info: SenderInfo,
        /// What was heard.
        blocks: Blocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// Who sends.
        ssrc: u32,
        /// What was heard.
        blocks: Blocks<'a>,
    },
    /// SDES: the canonical name of its first source, when it has one.
    SourceDescription {
        /// Who it is about.
        ssrc: u32,
        /// The name; bytes, since a peer may send anything.
        cname: Option<&'a [u8]>,
    },
    /// BYE.
    Goodbye(Sources<'a>),
    /// XR: how well the other side is heard (RFC 3611).
    ExtendedReport {
        /// Who sends.
        ssrc: u32,
        /// What it says of voices.
        voices: ExtendedBlocks<'a>,
    },
    /// Anything else, to be skipped: APP, feedback.
    Other(u8),
}

/// Iterates over the report blocks of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.0.split_first_chunk::<24>()?;
        self.0 = rest;
        let word = |at: usize| word(block, at).unwrap_or_default();
        let lost = word(4);
        Some(ReportBlock {
            ssrc: word(0),
            fraction_lost: (lost >> 24) as u8,
            cumulative_lost: ((lost << 8) as i32) >> 8,
            highest_sequence: word(8),
            jitter: word(12),
            last_sender_report: word(16),
            delay_since_last: word(20),
        })
    }
}

/// Iterates over the sources that say goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources<'a>(&'a [u8]);

impl Iterator for Sources<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (source, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*source))
    }
}

/// Iterates over the packets of a compound that was checked as a whole.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

/// Checks a compound packet as a whole (RFC 3550 A.2) and iterates over its packets.
///
/// # Errors
/// Returns [`RtcpError`] when the bytes are no compound packet.
pub fn parse(bytes: &[u8]) -> Result<Compound<'_>, RtcpError> {
    let mut rest = bytes;
    let mut first = true;
    while !rest.is_empty() {
        let header = Header::read(rest).ok_or(RtcpError::Length)?;
        if header.version != 2 {
            return Err(RtcpError::Version);
        }
        if first && !matches!(header.kind, SENDER_REPORT | RECEIVER_REPORT) {
            return Err(RtcpError::NoReport);
        }
        let (packet, after) = rest
            .split_at_checked(header.bytes)
            .ok_or(RtcpError::Length)?;
        if header.padded {
            let padding = packet.last().copied().unwrap_or_default();
            let fits = padding != 0 && usize::from(padding) <= header.bytes - 4;
            if !after.is_empty() || !fits {
                return Err(RtcpError::Padding);
            }
        }
        rest = after;
        first = false;
    }
    if first {
        Err(RtcpError::Length)
    } else {
        Ok(Compound { rest: bytes })
    }
}

struct Header {
    version: u8,
    padded: bool,
    count: u8,
    kind: u8,
    /// Length of the packet with this header.
    bytes: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[first, kind, high, low] = bytes.first_chunk::<4>()?;
        Some(Self {
            version: first >> 6,
            padded: first & 0x20 != 0,
            count: first & 0x1F,
            kind,
            bytes: (usize::from(u16::from_be_bytes([high, low])) + 1) * 4,
        })
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<RtcpPacket<'a>> {
        let header = Header::read(self.rest)?;
        let (packet, after) = self.rest.split_at_checked(header.bytes)?;
        self.rest = after;
        let body = packet.get(4..).unwrap_or_default();
        Some(read_packet(&header, body).unwrap_or(RtcpPacket::Other(header.kind)))
    }
}

fn read_packet<'a>(header: &Header, body: &'a [u8]) -> Option<RtcpPacket<'a>> {
    let count = usize::from(header.count);
    match header.kind {
        SENDER_REPORT => {
            let info = SenderInfo {
                ntp: u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?),
                rtp_timestamp: word(body, 12)?,
                packets: word(body, 16)?,
                octets: word(body, 20)?,
            };
            let blocks = Blocks(body.get(24..24 + count * 24)?);
            Some(RtcpPacket::SenderReport {
                ssrc: word(body, 0)?,
                info,
                blocks,
            })
        }
        RECEIVER_REPORT => {
            let blocks = Blocks(body.get(4..4 + count * 24)?);
            Some(RtcpPacket::ReceiverReport {
                ssrc: word(body, 0)?,
                blocks,
            })
        }
        SOURCE_DESCRIPTION if count > 0 => {
            let cname = cname(body.get(4..)?);
            Some(RtcpPacket::SourceDescription {
                ssrc: word(body, 0)?,
                cname,
            })
        }
        xr::EXTENDED_REPORT => Some(RtcpPacket::ExtendedReport {
            ssrc: word(body, 0)?,
            voices: ExtendedBlocks(body.get(4..)?),
        }),
        GOODBYE => Some(RtcpPacket::Goodbye(Sources(body.get(..count * 4)?))),
        _ => None,
    }
}

/// Finds the canonical name among the items of the first chunk (RFC 3550 §6.5).
fn cname(mut items: &[u8]) -> Option<&[u8]> {
    loop {
        let (&[kind, len], rest) = items.split_first_chunk::<2>()?;
        if kind == 0 {
            return None;
        }
        let (value, after) = rest.split_at_checked(usize::from(len))?;
        if kind == CNAME {
            return Some(value);
        }
        items = after;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compound(goodbye: bool) -> Vec<u8> {
        let block = ReportBlock {
            ssrc: 7,
            fraction_lost: 12,
            cumulative_lost: -3,
            highest_sequence: 0x0002_0001,
            jitter: 44,
            last_sender_report: 0xAABB_CCDD,
            delay_since_last: 65_536,
        };
        let info = SenderInfo {
            ntp: 0x0102_0304_0506_0708,
            rtp_timestamp: 9,
            packets: 10,
            octets: 11,
        };
        let report = Report {
            ssrc: 99,
            info: Some(info),
            block: Some(block),
            cname: b"abc",
            voice: None,
            goodbye,
        };
        let mut bytes = [0; MAX_COMPOUND_BYTES];
        let len = write_compound(&report, &mut bytes);
        bytes[..len].to_vec()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = compound(true);
        let packets: Vec<_> = parse(&bytes).unwrap().collect();
        let RtcpPacket::SenderReport {
            ssrc: 99,
            info,
            mut blocks,
        } = packets[0]
        else {
            panic!()
        };
        assert_eq!((info.ntp, info.octets), (0x0102_0304_0506_0708, 11));
        let block = blocks.next().unwrap();
        assert_eq!(
            (block.cumulative_lost, block.fraction_lost, block.jitter),
            (-3, 12, 44)
        );
        assert_eq!(blocks.next(), None);
        assert_eq!(
            packets[1],
            RtcpPacket::SourceDescription {
                ssrc: 99,
                cname: Some(b"abc")
            }
        );
        let RtcpPacket::Goodbye(sources) = packets[2] else {
            panic!()
        };
        assert_eq!(sources.collect::<Vec<_>>(), [99]);
    }

    #[test]
    fn a_compound_is_checked_as_a_whole() {
        let good = compound(false);
        assert_eq!(parse(&[]).err(), Some(RtcpError::Length));
        assert_eq!(
            parse(&good[..good.len() - 1]).err(),
            Some(RtcpError::Length)
        );
        let mut first_is_sdes = good.clone();
        first_is_sdes[1] = 202;
        assert_eq!(parse(&first_is_sdes).err(), Some(RtcpError::NoReport));
        let mut padded_first = good.clone();
        padded_first[0] |= 0x20;
        assert_eq!(parse(&padded_first).err(), Some(RtcpError::Padding));
        let mut version = good;
        version[0] = 0x41;
        assert_eq!(parse(&version).err(), Some(RtcpError::Version));
    }

    #[test]
    fn a_report_that_counts_more_blocks_than_it_has_is_skipped() {
        let mut bytes = compound(false);
        bytes[0] |= 0x1F;
        assert_eq!(parse(&bytes).unwrap().next(), Some(RtcpPacket::Other(200)));
    }
}
