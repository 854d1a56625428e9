//! One page after another (RFC 3533 §6).

use std::io::{self, Write};

/// Bytes of a page's header before its table of segments.
const HEADER: usize = 27;
/// The most segments of a page, each of at most 255 bytes; one that is shorter ends its packet.
const SEGMENTS: usize = 255;
const SEGMENT: usize = 255;
/// Where the checksum stands.
const CHECKSUM: std::ops::Range<usize> = 22..26;

/// Says which of the stream's pages one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Middle,
    Last,
}

/// Gathers packets and writes them as pages, each by one call.
#[derive(Debug)]
pub(super) struct PageWriter<W: Write> {
    out: W,
    serial: u32,
    sequence: u32,
    segments: Vec<u8>,
    body: Vec<u8>,
    page: Vec<u8>,
}

impl<W: Write> PageWriter<W> {
    pub(super) fn new(out: W, serial: u32) -> Self {
        Self {
            out,
            serial,
            sequence: 0,
            segments: Vec::with_capacity(SEGMENTS),
            body: Vec::new(),
            page: Vec::new(),
        }
    }

    /// Whether a packet of so many bytes fits onto the page that is being gathered.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.segments.len() + bytes / SEGMENT < SEGMENTS
    }

    /// Whether the page that is being gathered holds nothing yet.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Appends a packet to the page.
    ///
    /// # Errors
    /// Returns [`io::ErrorKind::InvalidInput`] for one that has no room on it.
    pub(super) fn packet(&mut self, packet: &[u8]) -> io::Result<()> {
        if !self.has_room(packet.len()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let whole = packet.len() / SEGMENT;
        self.segments.extend(std::iter::repeat_n(255, whole));
        self.segments.push((packet.len() % SEGMENT) as u8);
        self.body.extend_from_slice(packet);
        Ok(())
    }

    /// Writes the page; `granule` is where the sound of its last packet ends.
    ///
    /// # Errors
    /// Returns what `out` returns.
    pub(super) fn end_page(&mut self, granule: u64, place: Place) -> io::Result<()> {
        let flags = match place {
            Place::First => 0x02,
            Place::Middle => 0,
            Place::Last => 0x04,
        };
        let page = &mut self.page;
        page.clear();
        page.extend_from_slice(b"OggS\0");
        page.push(flags);
        page.extend_from_slice(&granule.to_le_bytes());
        page.extend_from_slice(&self.serial.to_le_bytes());
        page.extend_from_slice(&self.sequence.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push(self.segments.len() as u8);
        debug_assert_eq!(page.len(), HEADER);
        page.extend_from_slice(&self.segments);
        page.extend_from_slice(&self.body);
        let checksum = checksum(page).to_le_bytes();
        if let Some(place) = page.get_mut(CHECKSUM) {
            place.copy_from_slice(&checksum);
        }
        self.out.write_all(page)?;
        self.sequence += 1;
        self.segments.clear();
        self.body.clear();
        Ok(())
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }
}

/// The remainder of each byte's division by Ogg's polynomial.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            let carry = remainder >> 31;
            remainder = (remainder << 1) ^ (carry * 0x04C1_1DB7);
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
};

/// The checksum of a page whose own place for it holds zeros.
fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum: u32, byte| {
        let at = (sum >> 24) as u8 ^ byte;
        let remainder = TABLE.get(usize::from(at)).copied().unwrap_or_default();
        (sum << 8) ^ remainder
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_division_bit_by_bit_that_rfc_3533_describes() {
        let page = b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x13\
                     OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
        let mut by_bits = 0_u32;
        for byte in page {
            by_bits ^= u32::from(*byte) << 24;
            for _ in 0..8 {
                let carry = by_bits & 0x8000_0000 != 0;
                by_bits <<= 1;
                if carry {
                    by_bits ^= 0x04C1_1DB7;
                }
            }
        }
        assert_eq!(checksum(page), by_bits);
    }

    #[test]
    fn packets_of_any_length_are_told_apart() {
        let mut writer = PageWriter::new(Vec::new(), 7);
        let lengths = [0, 1, 254, 255, 256, 510, 700];
        for length in lengths {
            writer.packet(&vec![9; length]).unwrap();
        }
        writer.end_page(960, Place::Middle).unwrap();
        let page = writer.into_inner();
        let segments = &page[27..][..usize::from(page[26])];
        let mut found = vec![0];
        for segment in segments {
            *found.last_mut().unwrap() += usize::from(*segment);
            if *segment < 255 {
                found.push(0);
            }
        }
        assert_eq!(found[..7], lengths);
        assert_eq!(
            page.len(),
            27 + segments.len() + lengths.iter().sum::<usize>()
        );
    }

    #[test]
    fn a_page_takes_no_packet_that_it_has_no_room_for() {
        let mut writer = PageWriter::new(Vec::new(), 7);
        for _ in 0..254 {
            writer.packet(&[1]).unwrap();
        }
        assert!(writer.has_room(254) && !writer.has_room(255));
        let refused = writer.packet(&[0; 255]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        writer.packet(&[0; 254]).unwrap();
        assert!(!writer.has_room(0));
    }
}
