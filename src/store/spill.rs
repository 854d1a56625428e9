//! The spill file: where records go while the database cannot be written.
//!
//! Its blocks are set aside when it is made, so that it takes records on a full disk. It is two
//! header slots and a run of records, each `length u32 | crc u32 | sequence u64 | body`, little
//! endian, the CRC-32 over all that follows it. Sequence numbers go up by one and start after the
//! header's base: emptying the file is one write of a header, into the slot that is not in use, so
//! a torn write leaves the other. Reading stops at the first record that is torn or stale.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::StoreError;

const MAGIC: [u8; 8] = *b"offhspl1";
/// Each header slot has a disk block of its own.
const SLOT_BYTES: u64 = 4096;
const RECORDS_AT: u64 = 2 * SLOT_BYTES;
const HEADER_BYTES: usize = 28;
const RECORD_HEAD_BYTES: usize = 16;
/// A record is one call's; a longer one is a programming error.
const RECORD_LIMIT_BYTES: usize = 4 << 20;

/// An open spill file; the lock on it keeps other processes out of the store.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    path: PathBuf,
    size: u64,
    base_seq: u64,
    slot: u64,
    id: u64,
    next_seq: u64,
    end: u64,
}

/// A record read back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spilled {
    pub(super) seq: u64,
    pub(super) body: Vec<u8>,
}

impl Spill {
    /// Opens the file, or makes it with `size` bytes set aside and called `new_id`, and locks it.
    pub(super) fn open(path: &Path, size: u64, new_id: u64) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let size = size
            .max(RECORDS_AT + SLOT_BYTES)
            .max(file.metadata().map_err(failed)?.len());
        set_aside(&file, size).map_err(failed)?;
        let mut spill = Self {
            file,
            path: path.to_owned(),
            size,
            base_seq: 0,
            slot: 0,
            id: new_id,
            next_seq: 1,
            end: RECORDS_AT,
        };
        spill.find_end().map_err(failed)?;
        Ok(spill)
    }

    /// Returns where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns which file it is: sequence numbers of another one say nothing about this one.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Returns how many records it holds.
    pub(super) fn records(&self) -> u64 {
        self.next_seq - 1 - self.base_seq
    }

    /// Returns how many bytes its records take.
    pub(super) fn used_bytes(&self) -> u64 {
        self.end - RECORDS_AT
    }

    /// Writes a record, not yet safe before [`sync`](Self::sync). One that is not essential must
    /// fit the first half.
    ///
    /// # Errors
    /// `StorageFull` when there is no room, or what the system said.
    pub(super) fn append(&mut self, body: &[u8], essential: bool) -> io::Result<()> {
        let length = RECORD_HEAD_BYTES as u64 + body.len() as u64;
        let room = self.size - RECORDS_AT;
        let limit = RECORDS_AT + if essential { room } else { room / 2 };
        if body.len() > RECORD_LIMIT_BYTES || self.end + length > limit {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the spill file is full",
            ));
        }
        let seq = self.next_seq.to_le_bytes();
        let mut record = Vec::with_capacity(RECORD_HEAD_BYTES + body.len());
        record.extend_from_slice(&(body.len() as u32).to_le_bytes());
        record.extend_from_slice(&crc32(&[&seq, body]).to_le_bytes());
        record.extend_from_slice(&seq);
        record.extend_from_slice(body);
        self.file.write_all_at(&record, self.end)?;
        self.end += length;
        self.next_seq += 1;
        Ok(())
    }

    /// Waits until all that was appended is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reads every record, oldest first.
    pub(super) fn read(&self) -> io::Result<Vec<Spilled>> {
        let mut records = Vec::new();
        let mut at = RECORDS_AT;
        let mut seq = self.base_seq + 1;
        while let Some((body, next)) = self.read_at(at, seq)? {
            records.push(Spilled { seq, body });
            at = next;
            seq += 1;
        }
        Ok(records)
    }

    /// Empties the file; sequence numbers go on.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        self.write_header(self.next_seq - 1)
    }

    fn write_header(&mut self, base_seq: u64) -> io::Result<()> {
        let slot = 1 - self.slot;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&self.id.to_le_bytes());
        header.extend_from_slice(&base_seq.to_le_bytes());
        header.extend_from_slice(&crc32(&[&header]).to_le_bytes());
        self.file.write_all_at(&header, slot * SLOT_BYTES)?;
        self.sync()?;
        (self.slot, self.base_seq) = (slot, base_seq);
        (self.next_seq, self.end) = (base_seq + 1, RECORDS_AT);
        Ok(())
    }

    /// Finds the newer header and, after it, the end of the records.
    fn find_end(&mut self) -> io::Result<()> {
        let mut found = None;
        for slot in 0..2 {
            if let Some((id, base_seq)) = self.read_header(slot)?
                && found.is_none_or(|(_, _, other)| base_seq > other)
            {
                found = Some((slot, id, base_seq));
            }
        }
        let Some((slot, id, base_seq)) = found else {
            return self.write_header(0);
        };
        (self.slot, self.id, self.base_seq) = (slot, id, base_seq);
        self.next_seq = self.base_seq + 1;
        while let Some((_, next)) = self.read_at(self.end, self.next_seq)? {
            self.end = next;
            self.next_seq += 1;
        }
        Ok(())
    }

    /// Reads a header's file id and base sequence number when it is whole.
    fn read_header(&self, slot: u64) -> io::Result<Option<(u64, u64)>> {
        let mut header = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut header, slot * SLOT_BYTES)?;
        let (checked, crc) = header.split_at(HEADER_BYTES - 4);
        let (magic, numbers) = checked.split_at(8);
        let (id, seq) = numbers.split_at(8);
        let valid = magic == MAGIC && crc == crc32(&[checked]).to_le_bytes();
        Ok(valid.then(|| (le_u64(id), le_u64(seq))))
    }

    /// Reads the record at `at` when it is whole and its number is `seq`.
    fn read_at(&self, at: u64, seq: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
        if at + RECORD_HEAD_BYTES as u64 > self.size {
            return Ok(None);
        }
        let mut head = [0; RECORD_HEAD_BYTES];
        self.file.read_exact_at(&mut head, at)?;
        let (sizes, own_seq) = head.split_at(8);
        let (length, crc) = sizes.split_at(4);
        let length = le_u64(length) as usize;
        let body_at = at + RECORD_HEAD_BYTES as u64;
        if le_u64(own_seq) != seq
            || length > RECORD_LIMIT_BYTES
            || body_at + length as u64 > self.size
        {
            return Ok(None);
        }
        let mut body = vec![0; length];
        self.file.read_exact_at(&mut body, body_at)?;
        let whole = crc == crc32(&[own_seq, &body]).to_le_bytes();
        Ok(whole.then(|| (body, body_at + length as u64)))
    }
}

/// Makes the file `size` bytes long with every block really there.
fn set_aside(file: &File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    let written = file.metadata()?.len();
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        Ok(()) => {}
        // A file system that cannot set blocks aside takes them when they are written.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let zeros = vec![0; 64 << 10];
            let mut at = written;
            while at < size {
                let part = zeros
                    .len()
                    .min(usize::try_from(size - at).unwrap_or(usize::MAX));
                file.write_all_at(&zeros[..part], at)?;
                at += part as u64;
            }
        }
        Err(errno) => return Err(errno.into()),
    }
    file.sync_all()
}

fn le_u64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// CRC-32 of the parts one after the other (ISO 3309, reflected polynomial 0xEDB88320).
fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = !0_u32;
    for byte in parts.iter().copied().flatten() {
        let index = (crc ^ u32::from(*byte)) & 0xFF;
        crc = crc >> 8 ^ CRC_TABLE[index as usize];
    }
    !crc
}

static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 64 << 10;

    fn bodies(spill: &Spill) -> Vec<Vec<u8>> {
        spill
            .read()
            .unwrap()
            .into_iter()
            .map(|record| record.body)
            .collect()
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xCBF4_3926);
    }

    #[test]
    fn records_survive_reopening_and_a_torn_one_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spill");
        let mut spill = Spill::open(&path, SIZE, 1).unwrap();
        spill.append(b"one", true).unwrap();
        spill.append(b"two", true).unwrap();
        let torn_at = spill.end;
        spill.append(b"three", true).unwrap();
        spill
            .file
            .write_all_at(b"X", torn_at + RECORD_HEAD_BYTES as u64)
            .unwrap();
        drop(spill);

        let mut spill = Spill::open(&path, SIZE, 1).unwrap();
        assert_eq!(bodies(&spill), [b"one".to_vec(), b"two".to_vec()]);
        spill.append(b"3", true).unwrap();
        assert_eq!(
            spill.read().unwrap()[2],
            Spilled {
                seq: 3,
                body: b"3".to_vec()
            }
        );
    }

    #[test]
    fn emptied_means_empty_also_after_reopening_and_numbers_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spill");
        let mut spill = Spill::open(&path, SIZE, 1).unwrap();
        for round in 0..3 {
            spill.append(b"same length", true).unwrap();
            spill.append(b"same length", true).unwrap();
            assert_eq!(spill.records(), 2);
            spill.reset().unwrap();
            drop(spill);
            spill = Spill::open(&path, SIZE, 1).unwrap();
            assert_eq!(bodies(&spill), Vec::<Vec<u8>>::new());
            assert_eq!(spill.next_seq, 2 * (round + 1) + 1);
        }
    }

    #[test]
    fn a_torn_header_leaves_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spill");
        let mut spill = Spill::open(&path, SIZE, 1).unwrap();
        spill.write_header(7).unwrap();
        spill.append(b"kept", true).unwrap();
        let other = 1 - spill.slot;
        spill
            .file
            .write_all_at(b"offhspl1 torn", other * SLOT_BYTES)
            .unwrap();
        drop(spill);
        let spill = Spill::open(&path, SIZE, 1).unwrap();
        assert_eq!(
            spill.read().unwrap(),
            [Spilled {
                seq: 8,
                body: b"kept".to_vec()
            }]
        );
    }

    #[test]
    fn its_blocks_are_set_aside_and_the_last_half_is_for_what_is_essential() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spill");
        let mut spill = Spill::open(&path, SIZE, 1).unwrap();
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= SIZE);

        let body = [0; 1000];
        let refused = |result: io::Result<()>| {
            result.is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
        };
        while spill.append(&body, false).is_ok() {}
        let half = spill.used_bytes();
        assert!(half <= (SIZE - RECORDS_AT) / 2);
        while spill.append(&body, true).is_ok() {}
        assert!(spill.used_bytes() > half);
        assert!(refused(spill.append(&body, true)));
        assert_eq!(bodies(&spill).len() as u64, spill.records());
    }

    #[test]
    fn a_file_keeps_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spill");
        drop(Spill::open(&path, SIZE, 1).unwrap());
        assert_eq!(Spill::open(&path, SIZE, 2).unwrap().id(), 1);
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spill");
        let first = Spill::open(&path, SIZE, 1).unwrap();
        assert!(matches!(
            Spill::open(&path, SIZE, 1),
            Err(StoreError::InUse(_))
        ));
        drop(first);
        Spill::open(&path, SIZE, 1).unwrap();
    }
}
