//! A seam: what would have been played next turns into what is played instead.

/// The longest seam: the longest pitch period.
const LONGEST_US: usize = 15_000;
/// The longest seam at 16 kHz.
const MAX_SAMPLES: usize = 240;

/// Keeps what is left of a sound that was cut off, to blend it into what follows.
#[derive(Debug)]
pub(crate) struct Seam {
    before: Box<[i16]>,
    len: usize,
    done: usize,
}

impl Seam {
    pub(crate) fn new(rate_hz: u32) -> Self {
        let longest = rate_hz as usize * LONGEST_US / 1_000_000;
        Self {
            before: vec![0; longest.clamp(1, MAX_SAMPLES)].into_boxed_slice(),
            len: 0,
            done: 0,
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.before)
    }

    /// Whether something is still to be blended.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.done < self.len
    }

    /// Begins a seam of `len` samples at most; `read` fills in what would have been played next,
    /// of which an older seam may take its part.
    pub(crate) fn begin(&mut self, len: usize, read: impl FnOnce(&mut [i16])) {
        let mut next = [0; MAX_SAMPLES];
        let len = len.min(self.before.len());
        let next = next.get_mut(..len).unwrap_or_default();
        read(next);
        self.blend(next);
        if let Some(before) = self.before.get_mut(..len) {
            before.copy_from_slice(next);
        }
        self.len = len;
        self.done = 0;
    }

    /// Leaves out what is left of it.
    pub(crate) fn end(&mut self) {
        self.done = self.len;
    }

    /// Blends what was cut off into the next samples.
    #[inline]
    pub(crate) fn blend(&mut self, out: &mut [i16]) {
        if !self.is_open() {
            return;
        }
        let left = self.before.get(self.done..self.len).unwrap_or_default();
        let len = self.len as i32;
        for (n, (to, before)) in (self.done as i32..).zip(out.iter_mut().zip(left)) {
            let (before, after) = (i32::from(*before), i32::from(*to));
            *to = ((before * (len - n) + after * n) / len) as i16;
        }
        self.pass(out.len());
    }

    /// Leaves out so many samples of it.
    #[inline]
    pub(crate) fn pass(&mut self, samples: usize) {
        self.done = (self.done + samples).min(self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seam_turns_one_sound_into_the_other_over_several_steps() {
        let mut seam = Seam::new(8_000);
        seam.begin(100, |before| before.fill(1_000));
        let mut out = [0; 150];
        for step in out.chunks_mut(30) {
            seam.blend(step);
        }
        assert!(!seam.is_open());
        assert_eq!((out[0], out[50], out[99], out[100]), (1_000, 500, 10, 0));
        assert!(out.windows(2).all(|pair| pair[1] <= pair[0]));
    }

    #[test]
    fn a_seam_within_a_seam_begins_where_that_one_was() {
        let mut seam = Seam::new(8_000);
        seam.begin(100, |before| before.fill(1_000));
        let mut out = [0; 50];
        seam.blend(&mut out);
        seam.begin(100, |before| before.fill(0));
        let mut out = [0; 1];
        seam.blend(&mut out);
        assert_eq!(out, [500]);
    }
}
