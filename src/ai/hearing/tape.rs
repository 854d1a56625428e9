//! Bytes in the order in which they came, of which the oldest are dropped: kept in blocks, so that
//! there is room for hardly more than what there is.

use std::collections::VecDeque;

/// Bytes that find and give up their room together: an eighth of a second of a telephone call.
const BLOCK: usize = 1_024;

/// A queue of bytes.
#[derive(Default)]
pub(super) struct Tape {
    blocks: VecDeque<Box<[u8; BLOCK]>>,
    /// Bytes of the first block that were dropped.
    dropped: usize,
    len: usize,
    /// The block that was given up last, for the next one that is wanted.
    spare: Option<Box<[u8; BLOCK]>>,
}

impl Tape {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends bytes.
    pub(super) fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = (self.dropped + self.len) % BLOCK;
            if at == 0 && self.blocks.len() * BLOCK == self.dropped + self.len {
                let block = self.spare.take().unwrap_or_else(|| Box::new([0; BLOCK]));
                self.blocks.push_back(block);
            }
            let Some(room) = self.blocks.back_mut().and_then(|last| last.get_mut(at..)) else {
                return;
            };
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            for (to, from) in room.iter_mut().zip(now) {
                *to = *from;
            }
            self.len += now.len();
            bytes = later;
        }
    }

    /// Drops the oldest bytes.
    pub(super) fn drop_first(&mut self, bytes: usize) {
        let bytes = bytes.min(self.len);
        self.dropped += bytes;
        self.len -= bytes;
        while self.dropped >= BLOCK {
            self.spare = self.blocks.pop_front();
            self.dropped -= BLOCK;
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Copies the bytes from `begin` up to `end`, counted from the oldest.
    pub(super) fn copy(&self, begin: usize, end: usize) -> Vec<u8> {
        let (begin, end) = (begin.min(self.len), end.min(self.len));
        let mut copied = Vec::with_capacity(end.saturating_sub(begin));
        let (mut at, end) = (self.dropped + begin, self.dropped + end);
        while at < end {
            let (block, within) = (at / BLOCK, at % BLOCK);
            let until = BLOCK.min(within + end - at);
            let part = self.blocks.get(block).and_then(|b| b.get(within..until));
            copied.extend_from_slice(part.unwrap_or_default());
            at += until - within;
        }
        copied
    }

    /// Bytes of room on the heap.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        (self.blocks.len() + usize::from(self.spare.is_some())) * BLOCK
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn what_is_appended_is_read_back_in_order_whatever_was_dropped() {
        let mut random = SmallRng::seed_from_u64(7);
        let (mut tape, mut model) = (Tape::default(), VecDeque::new());
        for step in 0..3_000_u32 {
            let bytes: Vec<u8> = (0..random.random_range(0..700))
                .map(|n: u32| (n * 31 + step) as u8)
                .collect();
            tape.extend(&bytes);
            model.extend(bytes);
            let gone = random.random_range(0..750).min(model.len());
            tape.drop_first(gone);
            model.drain(..gone);
            assert_eq!(tape.len(), model.len());
            let begin = random.random_range(0..=model.len());
            let end = random.random_range(begin..=model.len());
            let wanted: Vec<u8> = model.range(begin..end).copied().collect();
            assert_eq!(tape.copy(begin, end), wanted);
            assert!(tape.capacity() <= tape.len() + 3 * BLOCK);
        }
        tape.clear();
        assert_eq!((tape.len(), tape.copy(0, 10)), (0, Vec::new()));
    }
}
