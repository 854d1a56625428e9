//! Copies to and from a ring of samples.

/// Writes `from` into the ring from index `at` on, over its end to its start.
#[inline]
pub(crate) fn copy_in(ring: &mut [i16], at: usize, from: &[i16]) {
    let (head, tail) = ring.split_at_mut(at.min(ring.len()));
    let (first, rest) = from.split_at(from.len().min(tail.len()));
    for (to, from) in tail.iter_mut().zip(first) {
        *to = *from;
    }
    for (to, from) in head.iter_mut().zip(rest) {
        *to = *from;
    }
}

/// Reads the ring from index `at` on, over its end to its start, until `out` is full.
#[inline]
pub(crate) fn copy_out(ring: &[i16], at: usize, out: &mut [i16]) {
    let (head, tail) = ring.split_at(at.min(ring.len()));
    let (first, rest) = out.split_at_mut(out.len().min(tail.len()));
    for (to, from) in first.iter_mut().zip(tail) {
        *to = *from;
    }
    for (to, from) in rest.iter_mut().zip(head) {
        *to = *from;
    }
}
