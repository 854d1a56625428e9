//! L16: samples as they are, the high byte first (RFC 3551 §4.5.11).

/// Decodes as many samples as `out` has room for and returns how many they were.
pub(super) fn decode(payload: &[u8], out: &mut [i16]) -> usize {
    for (to, from) in out.iter_mut().zip(payload.chunks_exact(2)) {
        if let [high, low] = *from {
            *to = i16::from_be_bytes([high, low]);
        }
    }
    out.len().min(payload.len() / 2)
}

/// Encodes as many samples as `out` has room for and returns the bytes written.
pub(super) fn encode(samples: &[i16], out: &mut [u8]) -> usize {
    for (to, from) in out.chunks_exact_mut(2).zip(samples) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    2 * samples.len().min(out.len() / 2)
}
